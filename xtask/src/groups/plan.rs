//! What happens to the members, in which order: a seeded deck of cards in which every kind of member has every fate.
//!
//! Pure. A deck instead of dice, because a run of a minute must have killed every kind once, too.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// Whose client a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Kind {
    /// The Java client of Apache Kafka.
    Java,
    /// librdkafka, through Python.
    Librdkafka,
    /// ottla's own.
    Ottla,
}

impl Kind {
    /// As the command line spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Librdkafka => "librdkafka",
            Self::Ottla => "ottla",
        }
    }
}

/// What is done to one member of a kind, or to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Another process starts.
    Join(Kind),
    /// SIGTERM: it leaves.
    Leave(Kind),
    /// SIGKILL.
    Kill(Kind),
    /// SIGSTOP for so long.
    Freeze(Kind, Duration),
    /// SIGKILL for the broker, and a new start.
    KillBroker,
    /// Nothing, until every partition has one owner.
    Settle,
}

/// A card, and how long to wait before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Short pauses let faults meet in one rebalance.
    pub(super) pause: Duration,
    /// The card.
    pub(super) act: Act,
}

/// A settled group after so many cards.
const CARDS_BETWEEN_SETTLED: usize = 5;

/// Draws decks.
pub(super) struct Plan {
    chance: StdRng,
    kinds: Vec<Kind>,
    frozen_for: Duration,
    kills_broker: bool,
}

impl Plan {
    /// Decks for these kinds; who is frozen for `frozen_for` loses its place in the group.
    pub(super) fn new(seed: u64, kinds: &[Kind], frozen_for: Duration) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        Self { chance, kinds: kinds.to_vec(), frozen_for, kills_broker: false }
    }

    /// The broker dies in every deck, too.
    pub(super) fn with_broker_kills(self, kills_broker: bool) -> Self {
        Self { kills_broker, ..self }
    }

    /// Whose members there are.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Whether the broker is to die.
    pub(super) fn kills_broker(&self) -> bool {
        self.kills_broker
    }

    /// One number below `count`, for whoever has to choose between members.
    pub(super) fn choose(&mut self, count: usize) -> usize {
        self.chance.random_range(0..count.max(1))
    }

    /// One deck: per kind a leave, two kills, a short and a long freeze, and a new member after each that went.
    pub(super) fn deck(&mut self) -> Vec<Step> {
        let mut cards = Vec::new();
        for kind in self.kinds.clone() {
            let short = Duration::from_millis(self.chance.random_range(500..2_500));
            cards.extend([Act::Leave(kind), Act::Kill(kind), Act::Kill(kind)]);
            cards.extend([Act::Freeze(kind, short), Act::Freeze(kind, self.frozen_for)]);
        }
        cards.extend(self.kills_broker.then_some(Act::KillBroker));
        cards.shuffle(&mut self.chance);
        let mut acts: Vec<Act> = Vec::new();
        let mut owed = Vec::new();
        for card in cards {
            acts.push(card);
            if let Act::Leave(kind) | Act::Kill(kind) = card {
                owed.push(kind);
            }
            while !owed.is_empty() && self.chance.random_bool(0.6) {
                acts.push(Act::Join(owed.remove(0)));
            }
        }
        acts.extend(owed.into_iter().map(Act::Join));
        let mut steps = Vec::new();
        for (number, act) in acts.into_iter().enumerate() {
            if number > 0 && number % CARDS_BETWEEN_SETTLED == 0 {
                steps.push(Step { pause: Duration::ZERO, act: Act::Settle });
            }
            steps.push(Step { pause: self.pause(), act });
        }
        steps.push(Step { pause: Duration::ZERO, act: Act::Settle });
        steps
    }

    fn pause(&mut self) -> Duration {
        let most = if self.chance.random_bool(0.4) { 150 } else { 2_000 };
        Duration::from_millis(self.chance.random_range(0..most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Java, Kind::Librdkafka, Kind::Ottla];

    fn plan(seed: u64) -> Plan {
        Plan::new(seed, &KINDS, Duration::from_secs(9))
    }

    #[test]
    fn every_kind_has_every_fate_in_one_deck() {
        let deck = plan(1).deck();
        let count = |act: Act| deck.iter().filter(|step| step.act == act).count();
        for kind in KINDS {
            assert_eq!((count(Act::Leave(kind)), count(Act::Kill(kind)), count(Act::Join(kind))), (1, 2, 3));
            assert_eq!(count(Act::Freeze(kind, Duration::from_secs(9))), 1);
        }
        assert_eq!(deck.last().map(|step| step.act), Some(Act::Settle));
    }

    #[test]
    fn nobody_joins_before_somebody_went() {
        for kind in KINDS {
            let mut missing = 0;
            for step in plan(2).deck() {
                missing += match step.act {
                    Act::Leave(it) | Act::Kill(it) if it == kind => 1,
                    Act::Join(it) if it == kind => -1,
                    _ => 0,
                };
                assert!(missing >= 0);
            }
            assert_eq!(missing, 0);
        }
    }

    #[test]
    fn the_broker_dies_once_in_a_deck_if_it_dies_at_all() {
        let count = |kills| {
            let deck = plan(1).with_broker_kills(kills).deck();
            deck.iter().filter(|step| step.act == Act::KillBroker).count()
        };
        assert_eq!((count(false), count(true)), (0, 1));
    }

    #[test]
    fn the_same_seed_draws_the_same_decks() {
        let two = |seed| {
            let mut plan = plan(seed);
            [plan.deck(), plan.deck()]
        };
        assert_eq!(two(3), two(3));
        assert_ne!(two(3), two(4));
    }
}
