//! The rows of PERFORMANCE.md §4 that this instrument measures, one file per kind of row.
//!
//! Every row measures its systems in interleaved rounds: only the ratio of figures from one run means something on a
//! machine whose speed drifts. A row ends by reading everything back; a difference makes the row void, not smaller.

pub(crate) mod clients;
pub(crate) mod cold;
pub(crate) mod connections;
pub(crate) mod crash;
pub(crate) mod end_to_end;
pub(crate) mod fetch;
pub(crate) mod generators;
pub(crate) mod launch;
pub(crate) mod produce;
pub(crate) mod round_trip;
pub(crate) mod soak;
pub(crate) mod steady;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::system::{Places, System};

/// What was measured, by name and unit.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// A row, by its number in PERFORMANCE.md §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Row(pub(crate) u8);

/// How much to measure, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) places: Places,
    pub(crate) systems: Vec<System>,
    /// Counted rounds, in which brokers have run before.
    pub(crate) rounds: u32,
    /// Smaller volumes.
    pub(crate) quick: bool,
}

impl Plan {
    /// The systems in the order of this round: each comes first equally often.
    pub(crate) fn order(&self, round: u32) -> Vec<System> {
        let mut order = self.systems.clone();
        let shift = round as usize % order.len().max(1);
        order.rotate_left(shift);
        order
    }

    /// The rounds of a row, by sittings. Each sitting starts the brokers on empty directories, once; its first round finds
    /// them fresh. More than three rounds are two sittings, so that the luck of one start does not decide.
    pub(crate) fn sittings(&self) -> Vec<Vec<Round>> {
        let count = if self.rounds > 3 { 2 } else { 1 };
        let mut numbers = 0..;
        let mut round = |life| Round { number: numbers.next().unwrap_or_default(), life };
        let warm_in = |sitting: u32| self.rounds * (sitting + 1) / count - self.rounds * sitting / count;
        let rounds_of = |sitting| {
            let lives = std::iter::once(Life::Fresh).chain((0..warm_in(sitting)).map(|_| Life::Warm));
            lives.map(&mut round).collect()
        };
        (0..count).map(rounds_of).collect()
    }

    /// The same with no more rounds than these, for a row whose rounds take long.
    pub(crate) fn with_at_most(&self, rounds: u32) -> Self {
        Self { rounds: self.rounds.min(rounds), ..self.clone() }
    }

    /// The rounds of a row that starts its brokers in each of them; they take long, so there are few.
    pub(crate) fn rounds_anew(&self) -> impl Iterator<Item = Round> {
        let rounds = if self.quick { 1 } else { self.rounds.min(2) };
        (1..=rounds).map(|number| Round { number, life: Life::Anew })
    }

    /// The brokers among the systems.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = System> {
        self.systems.iter().copied().filter(|system| *system != System::Floor)
    }
}

/// Where a round comes in the life of the brokers that it measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Life {
    /// The first load since their start on an empty directory. It is shown apart and in no median.
    Fresh,
    /// They have had the same load before.
    Warm,
    /// In this row every round starts its brokers, because the start is what is measured or because it changes little.
    Anew,
}

/// A round: each system has its turn in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) number: u32,
    pub(crate) life: Life,
}

impl Round {
    /// Keeps what was measured, and tells a person who waits; the table comes at the end.
    pub(crate) fn sample(self, row: Row, system: System, figures: Figures, foreign_share: f64) -> Sample {
        let text: Vec<String> = figures.iter().map(|(name, figure)| format!("{name} {figure:.3}")).collect();
        let (number, life) = (self.number, self.life);
        eprintln!("row {} round {number} ({life:?}) {system}: {}", row.0, text.join(", "));
        Sample { row, system, round: number, life, figures, foreign_share }
    }
}

/// One measurement of one system.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) row: Row,
    pub(crate) system: System,
    /// Samples of the same number were taken side by side.
    pub(crate) round: u32,
    pub(crate) life: Life,
    pub(crate) figures: Figures,
    /// The share of the machine that others used meanwhile, `0..=1`.
    pub(crate) foreign_share: f64,
}

/// Milliseconds since 1970, for the timestamps of records.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sitting_begins_with_a_fresh_round_and_no_counted_round_is_lost() {
        let places = Places { ottla: "".into(), kafka_libs: "".into(), work_dir: "".into() };
        for (rounds, sittings) in [(1, 1), (3, 1), (7, 2)] {
            let plan = Plan { places: places.clone(), systems: vec![System::Ottla], rounds, quick: false };
            let found = plan.sittings();
            assert_eq!(found.len(), sittings);
            for sitting in &found {
                assert_eq!(sitting[0].life, Life::Fresh);
                assert!(sitting[1..].iter().all(|round| round.life == Life::Warm));
            }
            let numbers: Vec<u32> = found.iter().flatten().map(|round| round.number).collect();
            assert_eq!(numbers, (0..rounds + sittings as u32).collect::<Vec<_>>());
        }
    }
}
