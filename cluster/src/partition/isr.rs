//! The in-sync replicas of a partition, as their leader knows them.
//!
//! Only the controller changes the set (KIP-497). Between the leader's proposal and the controller's answer both sets
//! may be in force, so whatever must hold "for the ISR" has to hold for the union of the two: the *maximal* ISR.
//! Invariant: neither set is ever empty, and the leader is a member of both.

use std::collections::BTreeSet;

use ottla_protocol::BrokerId;

/// The in-sync replicas, committed or with a change under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isr {
    /// The controller's last word, and nothing proposed since.
    Committed(BTreeSet<BrokerId>),
    /// A change was proposed and not yet answered.
    Pending {
        /// The controller's last word.
        committed: BTreeSet<BrokerId>,
        /// What the leader proposed.
        proposed: BTreeSet<BrokerId>,
    },
}

impl Isr {
    /// The set that the controller last committed.
    pub fn committed(&self) -> &BTreeSet<BrokerId> {
        match self {
            Isr::Committed(committed) | Isr::Pending { committed, .. } => committed,
        }
    }

    /// Every replica that is in sync now or may be as soon as the controller answers.
    pub fn maximal(&self) -> impl Iterator<Item = BrokerId> + '_ {
        let proposed = match self {
            Isr::Committed(_) => None,
            Isr::Pending { proposed, .. } => Some(proposed),
        };
        let added = proposed.into_iter().flat_map(|proposed| proposed.difference(self.committed()));
        self.committed().iter().chain(added).copied()
    }

    /// Whether the controller has an unanswered proposal: a second one must wait for the first.
    pub fn is_pending(&self) -> bool {
        matches!(self, Isr::Pending { .. })
    }

    /// Records that `proposed` was sent to the controller.
    pub(super) fn propose(&mut self, proposed: BTreeSet<BrokerId>) {
        assert!(!proposed.is_empty(), "an in-sync set has at least its leader");
        *self = Isr::Pending { committed: self.committed().clone(), proposed };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[i32]) -> BTreeSet<BrokerId> {
        ids.iter().map(|&id| BrokerId::new(id)).collect()
    }

    #[test]
    fn the_maximal_set_is_the_union_of_the_committed_and_the_proposed() {
        let mut isr = Isr::Committed(set(&[1, 2]));
        isr.propose(set(&[1, 3]));
        assert!(isr.is_pending());
        assert_eq!(isr.maximal().collect::<BTreeSet<_>>(), set(&[1, 2, 3]));
        assert_eq!(isr.committed(), &set(&[1, 2]));
    }
}
