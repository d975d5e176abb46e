//! Who owned which partition when: intervals from the members' histories, and the promise that they never overlap (I13).
//!
//! Pure. An interval begins when the member is told of the partition, and ends when it lets go of it, finds out that it
//! has lost it, or dies. Two intervals of one partition may overlap only where the earlier owner was frozen for longer
//! than its session, and so could not know that it had been replaced.

use super::history::{End, Event, Life, Moment, Story};
use std::collections::BTreeMap;

/// How an interval ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// Given back, with whatever the last commit said.
    Revoked,
    /// The member was thrown out.
    Lost,
    /// The member left in the middle of a rebalance, which some clients do without a last commit.
    Abandoned,
    /// The process was killed.
    Killed,
    /// The process ended by itself and still had it.
    Kept,
}

/// One member's time with one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    /// Index of the life.
    pub(super) life: usize,
    /// Whose.
    pub(super) partition: i32,
    /// The generation, or member epoch, in which it came.
    pub(super) generation: i32,
    /// From when.
    pub(super) from: Moment,
    /// Till when; the greatest moment if it never ended.
    pub(super) until: Moment,
    /// How it ended.
    pub(super) released: Released,
}

impl Interval {
    fn holds_at(&self, at: Moment) -> bool {
        self.from <= at && at < self.until
    }
}

/// What the intervals say.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// Ordered by partition, then by their beginning.
    pub(super) intervals: Vec<Interval>,
    /// Overlaps that a frozen owner explains.
    pub(super) explained_overlaps: u64,
    /// Times a member was thrown out without having been frozen.
    pub(super) losses_without_a_fault: u64,
    /// The different generations or epochs.
    pub(super) generations: u64,
    /// What must not be.
    pub(super) broken: Vec<String>,
}

/// Builds and judges the intervals of a run.
pub(super) fn judge(story: &Story) -> Owners {
    let mut owners = Owners::default();
    for (index, life) in story.lives.iter().enumerate() {
        intervals_of(index, life, &mut owners);
    }
    owners.intervals.sort_by_key(|interval| (interval.partition, interval.from));
    generations(story, &mut owners);
    overlaps(story, &mut owners);
    settled(story, &mut owners);
    owners
}

/// Follows one history.
fn intervals_of(index: usize, life: &Life, owners: &mut Owners) {
    let mut open: BTreeMap<i32, (Moment, i32)> = BTreeMap::new();
    let mut closing = false;
    let mut close = |open: &mut BTreeMap<i32, (Moment, i32)>, partition: i32, until, released| {
        let (from, generation) = open.remove(&partition)?;
        owners.intervals.push(Interval { life: index, partition, generation, from, until, released });
        Some(())
    };
    for line in &life.lines {
        let (released, partitions) = match &line.event {
            Event::Assigned { generation, partitions, owned } => {
                for partition in partitions {
                    if open.insert(*partition, (line.at, *generation)).is_some() {
                        let what = format!("{} was given partition {partition}, which it had", life.name);
                        owners.broken.push(what);
                    }
                }
                if !open.keys().eq(owned) {
                    let name = &life.name;
                    let what = format!("{name} says that it owns {owned:?}, its history {:?}", open.keys());
                    owners.broken.push(what);
                }
                continue;
            }
            Event::Revoked { partitions } => (Released::Revoked, partitions),
            Event::Closing => {
                closing = true;
                continue;
            }
            Event::Lost { partitions } if closing => (Released::Abandoned, partitions),
            Event::Lost { partitions } => {
                if !partitions.is_empty() && life.frozen.is_empty() {
                    owners.losses_without_a_fault += 1;
                }
                (Released::Lost, partitions)
            }
            _ => continue,
        };
        for partition in partitions {
            if close(&mut open, *partition, line.at, released).is_none() {
                owners.broken.push(format!("{} gave back {partition}, which it had not", life.name));
            }
        }
    }
    let (until, released) = match life.end {
        Some((at, End::Killed)) => (at, Released::Killed),
        Some((at, End::Left)) => (at, Released::Kept),
        None => (Moment::MAX, Released::Kept),
    };
    for partition in open.keys().copied().collect::<Vec<_>>() {
        close(&mut open, partition, until, released);
    }
}

/// In one generation a partition has one owner; a static member stays itself over a restart.
fn generations(story: &Story, owners: &mut Owners) {
    let mut owner_of: BTreeMap<(i32, i32), &str> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for life in &story.lives {
        let identity = life.instance.as_deref().unwrap_or(&life.name);
        for line in &life.lines {
            let Event::Assigned { generation, owned, .. } = &line.event else { continue };
            seen.insert(*generation);
            for partition in owned {
                let other = owner_of.insert((*generation, *partition), identity);
                if let Some(other) = other.filter(|other| *other != identity) {
                    owners.broken.push(format!(
                        "partition {partition} has two owners in generation {generation}: {other} and {identity}"
                    ));
                }
            }
        }
    }
    owners.generations = seen.len() as u64;
}

/// On one partition, a later owner begins after the earlier one has ended, and in no earlier generation.
fn overlaps(story: &Story, owners: &mut Owners) {
    for (index, earlier) in owners.intervals.iter().enumerate() {
        let later = owners.intervals[index + 1..].iter();
        for later in later.take_while(|later| later.partition == earlier.partition) {
            let (first, second) = (&story.lives[earlier.life], &story.lives[later.life]);
            if later.generation < earlier.generation {
                owners.broken.push(format!(
                    "partition {} went from {} in generation {} to {} in generation {}",
                    earlier.partition, first.name, earlier.generation, second.name, later.generation
                ));
            }
            if later.from >= earlier.until {
                continue;
            }
            if could_not_know(first, later.from, story.session_timeout_ms) {
                owners.explained_overlaps += 1;
                continue;
            }
            owners.broken.push(format!(
                "partition {} was given to {} (generation {}) {} ms before {} (generation {}) let go of it ({:?})",
                earlier.partition,
                second.name,
                later.generation,
                (earlier.until - later.from) / 1_000_000,
                first.name,
                earlier.generation,
                earlier.released,
            ));
        }
    }
}

/// Whether the member had been frozen before that moment, for about as long as its session or longer.
pub(super) fn could_not_know(life: &Life, at: Moment, session_timeout_ms: u64) -> bool {
    // Its last heartbeat is up to one interval older than the freeze; an interval is at most a third of the session.
    let enough = session_timeout_ms * 1_000_000 * 2 / 3;
    life.frozen.iter().any(|(from, until)| *from < at && until - from >= enough)
}

/// Whenever the group was called settled, every partition had exactly one owner.
fn settled(story: &Story, owners: &mut Owners) {
    for at in &story.settled {
        for partition in 0..story.partition_count {
            let of_partition = owners.intervals.iter().filter(|interval| interval.partition == partition);
            let holders: Vec<&str> = of_partition
                .filter(|interval| interval.holds_at(*at))
                .map(|interval| story.lives[interval.life].name.as_str())
                .collect();
            if holders.len() != 1 {
                owners.broken.push(format!("a settled group has partition {partition} owned by {holders:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Line;
    use super::super::tests::{assigned, died, life, lost, revoked, story};
    use super::*;

    fn broken(lives: Vec<Life>) -> Vec<String> {
        judge(&story(lives)).broken
    }

    #[test]
    fn a_partition_handed_over_in_order_is_sound() {
        let first = life("a", vec![assigned(10, 1, &[0, 1]), revoked(20, &[0, 1]), assigned(30, 2, &[0])]);
        let second = life("b", vec![assigned(31, 2, &[1])]);
        let owners = judge(&Story { settled: vec![40], ..story(vec![first, second]) });
        assert_eq!((owners.broken, owners.generations), (vec![], 2));
    }

    #[test]
    fn two_owners_in_one_generation_are_found() {
        let first = life("a", vec![assigned(10, 1, &[0]), revoked(20, &[0])]);
        let second = life("b", vec![assigned(30, 1, &[0])]);
        assert_eq!(broken(vec![first, second]).len(), 1);
    }

    #[test]
    fn a_static_member_may_come_back_into_its_generation() {
        let named = |life: Life| Life { instance: Some("s".to_owned()), ..life };
        let first = named(died(life("a", vec![assigned(10, 1, &[0])]), 20));
        let second = named(life("b", vec![assigned(30, 1, &[0])]));
        assert!(broken(vec![first, second]).is_empty());
    }

    #[test]
    fn an_owner_before_the_last_one_let_go_is_found() {
        let first = life("a", vec![assigned(10, 1, &[0]), revoked(40, &[0])]);
        let second = life("b", vec![assigned(30, 2, &[0])]);
        assert_eq!(broken(vec![first, second]).len(), 1);
    }

    #[test]
    fn an_owner_before_the_last_one_was_dead_is_found() {
        let first = died(life("a", vec![assigned(10, 1, &[0])]), 40);
        let second = life("b", vec![assigned(30, 2, &[0])]);
        assert_eq!(broken(vec![first, second]).len(), 1);
    }

    #[test]
    fn a_frozen_owner_cannot_know() {
        let second = 1_000_000_000;
        let first = life("a", vec![assigned(second, 1, &[0]), lost(20 * second, &[0])]);
        let frozen = |until| Life { frozen: vec![(2 * second, until)], ..first.clone() };
        let next = life("b", vec![assigned(9 * second, 2, &[0])]);
        let owners = judge(&story(vec![frozen(10 * second), next.clone()]));
        assert_eq!((owners.broken, owners.explained_overlaps), (vec![], 1));
        assert_eq!(broken(vec![frozen(3 * second), next]).len(), 1, "one second is no excuse");
    }

    #[test]
    fn a_member_thrown_out_for_nothing_is_counted() {
        let losses = |lines| judge(&story(vec![life("a", lines)])).losses_without_a_fault;
        assert_eq!(losses(vec![assigned(10, 1, &[0]), lost(20, &[0])]), 1);
        let closing = Line { at: 15, event: Event::Closing };
        assert_eq!(losses(vec![assigned(10, 1, &[0]), closing, lost(20, &[0])]), 0, "it left by itself");
    }

    #[test]
    fn a_generation_that_goes_back_is_found() {
        let first = life("a", vec![assigned(10, 5, &[0]), revoked(20, &[0])]);
        let second = life("b", vec![assigned(30, 4, &[0])]);
        assert_eq!(broken(vec![first, second]).len(), 1);
    }

    #[test]
    fn a_settled_group_with_an_orphan_is_found() {
        let owners =
            judge(&Story { settled: vec![20], ..story(vec![life("a", vec![assigned(10, 1, &[0])])]) });
        assert_eq!(owners.broken.len(), 1, "partition 1 has no owner");
    }

    #[test]
    fn a_member_that_contradicts_itself_is_found() {
        assert_eq!(broken(vec![life("a", vec![revoked(10, &[0])])]).len(), 1);
        assert_eq!(broken(vec![life("a", vec![assigned(10, 1, &[0]), assigned(20, 2, &[0])])]).len(), 1);
    }
}
