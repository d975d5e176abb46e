//! What became of every record: none lost, none invented, none processed out of order, and why some came twice.
//!
//! Pure. Inside one ownership interval offsets follow each other (I9). An interval begins at an offset that was committed
//! when it began; therefore a record comes twice only if its first processing was not committed, and every duplicate has
//! the fate of its first reader as its reason.

use super::commits::Commits;
use super::history::{Event, Moment, Outcome, Story};
use super::ownership::{Interval, Owners, Released, could_not_know};
use std::collections::BTreeMap;

/// Why a record was processed again: what became of the one who had processed it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// It was killed before its commit.
    Killed,
    /// It was frozen, and replaced meanwhile.
    Frozen,
    /// It was thrown out.
    Lost,
    /// It left in the middle of a rebalance.
    Abandoned,
    /// Its last commit was refused, or got no answer.
    NotCommitted,
}

/// What the records say.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// Acknowledged by the broker.
    pub(super) acknowledged: u64,
    /// Processed, with duplicates.
    pub(super) processed: u64,
    /// Processed again, by reason.
    pub(super) duplicates: BTreeMap<Reason, u64>,
    /// Per partition, the offset after the last acknowledged record.
    pub(super) ends: BTreeMap<i32, i64>,
    /// What must not be.
    pub(super) broken: Vec<String>,
}

/// A run of records, and the interval in which it was processed.
struct Run<'a> {
    at: Moment,
    interval: usize,
    offset: i64,
    values: &'a [u64],
}

/// Judges all records of a run.
pub(super) fn judge(story: &Story, owners: &Owners, commits: &Commits) -> Delivery {
    let mut delivery = Delivery::default();
    let mut sent: BTreeMap<(i32, i64), u64> = BTreeMap::new();
    let mut below = 0;
    for line in &story.producer {
        match line.event {
            Event::Acknowledged { partition, offset, value } => {
                sent.insert((partition, offset), value);
                let end = delivery.ends.entry(partition).or_insert(0);
                *end = (*end).max(offset + 1);
            }
            Event::Sending { below: now } => below = now,
            _ => {}
        }
    }
    delivery.acknowledged = sent.len() as u64;
    let mut runs = runs(story, owners, &mut delivery.broken);
    runs.sort_by_key(|run| run.at);
    order(story, owners, commits, &runs, &mut delivery.broken);
    let mut readers: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for run in &runs {
        let interval = &owners.intervals[run.interval];
        for (offset, value) in (run.offset..).zip(run.values) {
            let place = (interval.partition, offset);
            delivery.processed += 1;
            if sent.get(&place).map_or(*value >= below, |sent| sent != value) {
                delivery.broken.push(format!(
                    "{} read {value} at offset {offset} of partition {}, where {:?} was sent",
                    story.lives[interval.life].name,
                    interval.partition,
                    sent.get(&place)
                ));
            }
            if let Some(before) = readers.insert(place, run.interval) {
                let reason = reason(story, &owners.intervals[before], interval, run.at);
                *delivery.duplicates.entry(reason).or_insert(0) += 1;
            }
        }
    }
    lost(&sent, &readers, &mut delivery.broken);
    delivery
}

/// Every run with its interval; a run outside of any is broken.
fn runs<'a>(story: &'a Story, owners: &Owners, broken: &mut Vec<String>) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for (life, history) in story.lives.iter().enumerate() {
        for line in &history.lines {
            let Event::Records { partition, offset, values } = &line.event else { continue };
            let own = owners.intervals.iter().position(|interval| {
                interval.life == life
                    && interval.partition == *partition
                    && interval.from <= line.at
                    && line.at <= interval.until
            });
            match own {
                Some(interval) => runs.push(Run { at: line.at, interval, offset: *offset, values }),
                None => broken.push(format!(
                    "{} processed offset {offset} of partition {partition}, which it did not own",
                    history.name
                )),
            }
        }
    }
    runs
}

/// Offsets follow each other inside an interval, and its first one is where the group had committed.
fn order(story: &Story, owners: &Owners, commits: &Commits, runs: &[Run<'_>], broken: &mut Vec<String>) {
    let mut next: BTreeMap<usize, i64> = BTreeMap::new();
    for run in runs {
        let interval = &owners.intervals[run.interval];
        let name = &story.lives[interval.life].name;
        let partition = interval.partition;
        match next.get(&run.interval) {
            Some(due) if *due != run.offset => broken.push(format!(
                "{name} processed offset {} of partition {partition} where {due} was due",
                run.offset
            )),
            Some(_) => {}
            None => {
                let (sure, possible) = committed(commits, interval, run.at);
                if run.offset != sure && !possible.contains(&run.offset) {
                    broken.push(format!(
                        "{name} began partition {partition} at offset {}, and {sure} was committed (perhaps {possible:?})",
                        run.offset
                    ));
                }
            }
        }
        next.insert(run.interval, run.offset + run.values.len() as i64);
    }
}

/// The offset that was committed for sure when an interval began, and those that may have been by its first record.
fn committed(commits: &Commits, interval: &Interval, first: Moment) -> (i64, Vec<i64>) {
    let mut sure = 0;
    for commit in commits.of(interval.partition) {
        if commit.outcome == Outcome::Ok && commit.until <= interval.from {
            sure = sure.max(commit.offset);
        }
    }
    let open = commits.of(interval.partition).iter().filter(|commit| {
        commit.outcome != Outcome::Refused
            && commit.from <= first
            && commit.offset > sure
            && (commit.outcome == Outcome::Unknown || commit.until > interval.from)
    });
    (sure, open.map(|commit| commit.offset).collect())
}

fn reason(story: &Story, before: &Interval, now: &Interval, at: Moment) -> Reason {
    let frozen =
        |interval: &Interval, at| could_not_know(&story.lives[interval.life], at, story.session_timeout_ms);
    match before.released {
        _ if frozen(before, now.from) || frozen(now, at) => Reason::Frozen,
        Released::Killed => Reason::Killed,
        Released::Lost => Reason::Lost,
        Released::Abandoned => Reason::Abandoned,
        Released::Revoked | Released::Kept => Reason::NotCommitted,
    }
}

fn lost(sent: &BTreeMap<(i32, i64), u64>, readers: &BTreeMap<(i32, i64), usize>, broken: &mut Vec<String>) {
    let lost: Vec<_> = sent.keys().filter(|place| !readers.contains_key(*place)).collect();
    if let Some((partition, offset)) = lost.first() {
        broken.push(format!(
            "{} acknowledged records were never processed, the first at offset {offset} of partition {partition}",
            lost.len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{Life, Line};
    use super::super::tests::{assigned, commit, died, life, records, revoked, sent, story};
    use super::*;
    use crate::groups::{commits, ownership};

    fn judged(produced: Vec<Line>, lives: Vec<Life>) -> Delivery {
        let story = Story { producer: produced, ..story(lives) };
        judge(&story, &ownership::judge(&story), &commits::collect(&story.lives))
    }

    fn first_life(outcome: Option<Outcome>) -> Vec<Line> {
        let mut lines = vec![assigned(10, 1, &[0]), records(20, 0, 0, &[0, 1])];
        lines.extend(commit(30, 1, 0, 2, outcome));
        lines.push(records(40, 0, 2, &[2]));
        lines
    }

    fn second_life(offset: i64, values: &[u64]) -> Life {
        life("b", vec![assigned(60, 2, &[0]), records(70, 0, offset, values)])
    }

    #[test]
    fn a_killed_reader_explains_what_it_had_not_committed() {
        let first = died(life("a", first_life(Some(Outcome::Ok))), 50);
        let delivery = judged(sent(&[0, 1, 2, 3]), vec![first, second_life(2, &[2, 3])]);
        assert_eq!((delivery.broken, delivery.processed), (vec![], 5));
        assert_eq!(delivery.duplicates, BTreeMap::from([(Reason::Killed, 1)]));
    }

    #[test]
    fn a_commit_without_an_answer_may_hold_or_not() {
        let first = died(life("a", first_life(None)), 50);
        for (offset, values) in [(0, &[0, 1, 2, 3][..]), (2, &[2, 3])] {
            let lives = vec![first.clone(), second_life(offset, values)];
            assert!(judged(sent(&[0, 1, 2, 3]), lives).broken.is_empty());
        }
        let delivery = judged(sent(&[0, 1, 2, 3]), vec![first, second_life(1, &[1, 2, 3])]);
        assert_eq!(delivery.broken.len(), 1, "nobody ever committed 1");
    }

    #[test]
    fn a_lost_record_and_a_skipped_start_are_found() {
        let first = died(life("a", first_life(Some(Outcome::Ok))), 50);
        let delivery = judged(sent(&[0, 1, 2, 3]), vec![first, second_life(3, &[3])]);
        assert_eq!(delivery.broken.len(), 1, "3 was never committed: {:?}", delivery.broken);
        let delivery = judged(sent(&[0]), vec![]);
        assert_eq!(delivery.broken.len(), 1, "nobody read it");
    }

    #[test]
    fn reading_again_what_was_committed_is_found() {
        let mut lines = first_life(Some(Outcome::Ok));
        lines.push(revoked(50, &[0]));
        let delivery = judged(sent(&[0, 1, 2]), vec![life("a", lines), second_life(0, &[0, 1, 2])]);
        assert_eq!(delivery.broken.len(), 1);
    }

    #[test]
    fn a_gap_and_a_step_back_inside_an_interval_are_found() {
        for offset in [0, 2] {
            let lines = vec![
                assigned(10, 1, &[0]),
                records(20, 0, 0, &[0]),
                records(30, 0, offset, &[offset as u64]),
            ];
            let delivery = judged(sent(&[0, 1, 2]), vec![life("a", lines)]);
            assert!(delivery.broken.iter().any(|what| what.contains("was due")), "{:?}", delivery.broken);
        }
    }

    #[test]
    fn a_record_of_a_partition_that_is_not_owned_is_found() {
        let lines = vec![assigned(10, 1, &[0]), revoked(20, &[0]), records(30, 0, 0, &[0])];
        assert!(judged(sent(&[0]), vec![life("a", lines)]).broken[0].contains("did not own"));
    }

    #[test]
    fn a_changed_and_an_invented_record_are_found() {
        let read = |value| vec![life("a", vec![assigned(10, 1, &[0]), records(20, 0, 0, &[value])])];
        assert_eq!(judged(sent(&[0]), read(7)).broken.len(), 1);
        assert_eq!(judged(vec![], read(0)).broken.len(), 1);
    }
}
