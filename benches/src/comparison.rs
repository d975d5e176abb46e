//! From samples to what may be said of them: which of them are used, medians, ratios within a round, verdicts.
//!
//! Pure: samples in, figures out. How they look is `report`'s and `page`'s business.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::catalogue::{Against, CATALOGUE, Entry, PEAK_UNDER_LOAD, Target, more_is_better};
use crate::rows::{Figures, Life, Row, Sample};
use crate::stats::{Spread, spread};
use crate::system::System;

/// Above this share of the machine used by others a sample is noise and is dropped.
pub(crate) const FOREIGN_SHARE_MAX: f64 = 0.10;

/// The samples of a row that count.
pub(crate) struct Counted<'a> {
    pub(crate) all: Vec<&'a Sample>,
    /// The quiet ones, if every system has some; otherwise all.
    pub(crate) used: Vec<&'a Sample>,
}

impl<'a> Counted<'a> {
    /// Those of brokers that have run before.
    pub(crate) fn warm(samples: &'a [Sample], row: Row) -> Self {
        Self::of(samples, |sample| sample.row == row && sample.life != Life::Fresh)
    }

    /// Those of brokers that had their first load.
    pub(crate) fn fresh(samples: &'a [Sample], row: Row) -> Self {
        Self::of(samples, |sample| sample.row == row && sample.life == Life::Fresh)
    }

    fn of(samples: &'a [Sample], is_one: impl Fn(&Sample) -> bool) -> Self {
        let all: Vec<&Sample> = samples.iter().filter(|sample| is_one(sample)).collect();
        let is_quiet = |sample: &&&Sample| sample.foreign_share <= FOREIGN_SHARE_MAX;
        let quiet: Vec<&Sample> = all.iter().filter(is_quiet).copied().collect();
        let is_enough = systems_of(&all).iter().all(|of| quiet.iter().any(|sample| sample.system == *of));
        let used = if is_enough { quiet } else { all.clone() };
        Self { all, used }
    }

    /// Whether even what is used is noise.
    pub(crate) fn is_noisy(&self) -> bool {
        self.used.iter().any(|sample| sample.foreign_share > FOREIGN_SHARE_MAX)
    }

    /// The names of all figures.
    pub(crate) fn names(&self) -> BTreeSet<&'static str> {
        self.used.iter().flat_map(|sample| sample.figures.keys().copied()).collect()
    }

    /// The spread of one figure.
    pub(crate) fn spread(&self, system: System, name: &str) -> Option<Spread> {
        let of_system = self.used.iter().filter(|sample| sample.system == system);
        spread(of_system.filter_map(|sample| sample.figures.get(name).copied()))
    }

    /// The median of one figure.
    pub(crate) fn median(&self, system: System, name: &str) -> Option<f64> {
        self.spread(system, name).map(|spread| spread.median)
    }

    /// The ratio in each round that has both.
    pub(crate) fn pairs(&self, name: &str, upper: System, lower: System) -> BTreeMap<u32, f64> {
        let by_round = |system: System| -> BTreeMap<u32, f64> {
            let of_system = self.used.iter().filter(|sample| sample.system == system);
            of_system.filter_map(|sample| Some((sample.round, *sample.figures.get(name)?))).collect()
        };
        let (upper, lower) = (by_round(upper), by_round(lower));
        let ratio = |(round, figure): (&u32, &f64)| {
            let divisor = lower.get(round).filter(|divisor| **divisor > 0.0)?;
            Some((*round, figure / divisor))
        };
        upper.iter().filter_map(ratio).collect()
    }

    /// The spread of the ratios within a round.
    pub(crate) fn ratio(&self, name: &str, upper: System, lower: System) -> Option<Spread> {
        spread(self.pairs(name, upper, lower).into_values())
    }
}

/// The systems that have a sample.
pub(crate) fn systems_of(samples: &[&Sample]) -> BTreeSet<System> {
    samples.iter().map(|sample| sample.system).collect()
}

/// One target and what came of it.
pub(crate) struct Verdict {
    pub(crate) target: &'static Target,
    /// The median, or the median ratio to the floor.
    pub(crate) reached: Option<f64>,
}

impl Verdict {
    /// Of each target of a row.
    pub(crate) fn all(counted: &Counted<'_>, entry: &'static Entry) -> Vec<Self> {
        let judge = |target: &'static Target| {
            let reached = match target.against {
                Against::Floor => counted.ratio(target.figure, System::Ottla, System::Floor),
                Against::Nothing => counted.spread(System::Ottla, target.figure),
            };
            Self { target, reached: reached.map(|spread| spread.median) }
        };
        entry.targets.iter().map(judge).collect()
    }

    /// Whether the target is met; `None` when it was not measured.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let bound = self.target.bound;
        self.reached.map(|reached| if self.target.is_least { reached >= bound } else { reached <= bound })
    }

    /// By how much of the bound it is missed.
    pub(crate) fn missed_by(&self) -> Option<f64> {
        let reached = self.reached.filter(|_| self.is_met() == Some(false))?;
        Some((reached - self.target.bound).abs() / self.target.bound)
    }
}

/// A figure in which Apache Kafka did better.
pub(crate) struct Loss {
    pub(crate) row: Row,
    pub(crate) figure: &'static str,
    pub(crate) ours: f64,
    pub(crate) kafkas: f64,
    /// Ours by Kafka's, within rounds.
    pub(crate) ratio: Spread,
    /// Whether it was so in every round.
    pub(crate) always: bool,
}

/// All figures, of all rows, in which Kafka did better by the median of the ratios.
pub(crate) fn losses(samples: &[Sample]) -> Vec<Loss> {
    let of_row = |entry: &'static Entry| {
        let counted = Counted::warm(samples, entry.row);
        let loss = |figure: &'static str| {
            let more = more_is_better(figure)?;
            let ratio = counted.ratio(figure, System::Ottla, System::Kafka)?;
            let is_worse = |ratio: f64| if more { ratio < 1.0 } else { ratio > 1.0 };
            let (ours, kafkas) =
                (counted.median(System::Ottla, figure)?, counted.median(System::Kafka, figure)?);
            let always = is_worse(ratio.min) && is_worse(ratio.max);
            is_worse(ratio.median).then_some(Loss { row: entry.row, figure, ours, kafkas, ratio, always })
        };
        counted.names().into_iter().filter_map(loss).collect::<Vec<Loss>>()
    };
    CATALOGUE.iter().flat_map(of_row).collect()
}

/// Two systems, one figure, and their ratio in each round, as the JSON keeps it.
#[derive(Serialize)]
pub(crate) struct Pairs {
    row: Row,
    life: Life,
    figure: &'static str,
    upper: System,
    lower: System,
    by_round: BTreeMap<u32, f64>,
}

/// Every ratio of every round.
pub(crate) fn all_pairs(samples: &[Sample]) -> Vec<Pairs> {
    let couples =
        [(System::Ottla, System::Kafka), (System::Ottla, System::Floor), (System::Kafka, System::Floor)];
    let mut found = Vec::new();
    for entry in CATALOGUE {
        let row = entry.row;
        for counted in [Counted::fresh(samples, row), Counted::warm(samples, row)] {
            let Some(life) = counted.used.first().map(|sample| sample.life) else { continue };
            for figure in counted.names() {
                for (upper, lower) in couples {
                    let by_round = counted.pairs(figure, upper, lower);
                    if !by_round.is_empty() {
                        found.push(Pairs { row, life, figure, upper, lower, by_round });
                    }
                }
            }
        }
    }
    found
}

/// The sample of row 10 that is made of all others: the most that each broker held in any of them.
pub(crate) fn peaks_under_load(samples: &[Sample]) -> Vec<Sample> {
    let peak_of = |system: System| {
        let of_system = samples.iter().filter(|sample| sample.system == system);
        let peaks = of_system.flat_map(|sample| sample.figures.iter());
        let peaks = peaks.filter(|(name, _)| name.contains("RssAnon peak")).map(|(_, mib)| *mib);
        let figures = Figures::from([(PEAK_UNDER_LOAD, peaks.reduce(f64::max)?)]);
        Some(Sample { row: Row(10), system, round: 1, life: Life::Anew, figures, foreign_share: 0.0 })
    };
    [System::Ottla, System::Kafka].into_iter().filter_map(peak_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(system: System, round: u32, name: &'static str, figure: f64) -> Sample {
        let figures = Figures::from([(name, figure)]);
        Sample { row: Row(1), system, round, life: Life::Warm, figures, foreign_share: 0.0 }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let samples = [
            sample(System::Floor, 1, "MB/s", 100.0),
            sample(System::Ottla, 1, "MB/s", 80.0),
            sample(System::Floor, 2, "MB/s", 200.0),
            sample(System::Ottla, 2, "MB/s", 140.0),
        ];
        let counted = Counted::warm(&samples, Row(1));
        assert_eq!(counted.pairs("MB/s", System::Ottla, System::Floor), BTreeMap::from([(1, 0.8), (2, 0.7)]));
        let found = counted.ratio("MB/s", System::Ottla, System::Floor).unwrap();
        assert_eq!((found.min, found.max), (0.7, 0.8));
    }

    #[test]
    fn a_target_is_judged_by_the_median_and_a_miss_is_a_share_of_the_bound() {
        let samples = [sample(System::Floor, 1, "MB/s", 100.0), sample(System::Ottla, 1, "MB/s", 56.0)];
        let counted = Counted::warm(&samples, Row(1));
        let verdicts = Verdict::all(&counted, &CATALOGUE[0]);
        assert_eq!((verdicts[0].is_met(), verdicts[1].is_met()), (Some(false), None));
        assert!((verdicts[0].missed_by().unwrap() - 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_loss_is_known_in_both_directions_and_says_whether_rounds_agree() {
        let samples = [
            sample(System::Ottla, 1, "MB/s", 90.0),
            sample(System::Kafka, 1, "MB/s", 100.0),
            sample(System::Ottla, 2, "MB/s", 80.0),
            sample(System::Kafka, 2, "MB/s", 100.0),
            sample(System::Ottla, 1, "p50 ms", 2.0),
            sample(System::Kafka, 1, "p50 ms", 4.0),
        ];
        let found = losses(&samples);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].figure, found[0].always), ("MB/s", true));
        let mixed = [&samples[..2], &[sample(System::Ottla, 2, "MB/s", 101.0), samples[3].clone()]].concat();
        assert!(losses(&mixed).iter().all(|loss| !loss.always));
    }

    #[test]
    fn a_noisy_sample_is_dropped_when_quiet_ones_remain_and_a_fresh_one_never_counts() {
        let mut samples =
            vec![sample(System::Floor, 1, "MB/s", 100.0), sample(System::Floor, 2, "MB/s", 10.0)];
        samples[1].foreign_share = 0.5;
        samples.push(Sample { life: Life::Fresh, ..sample(System::Floor, 0, "MB/s", 1.0) });
        let counted = Counted::warm(&samples, Row(1));
        assert_eq!((counted.all.len(), counted.used.len()), (2, 1));
        assert_eq!(counted.median(System::Floor, "MB/s"), Some(100.0));
        assert_eq!(Counted::fresh(&samples, Row(1)).median(System::Floor, "MB/s"), Some(1.0));
    }

    #[test]
    fn the_peak_under_load_is_the_greatest_of_all_rows() {
        let samples = [
            sample(System::Ottla, 1, "RssAnon peak MiB", 20.0),
            sample(System::Ottla, 2, "consume: RssAnon peak MiB", 30.0),
            sample(System::Ottla, 3, "RssAnon idle MiB", 99.0),
        ];
        let found = peaks_under_load(&samples);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].figures[PEAK_UNDER_LOAD], 30.0);
    }
}
