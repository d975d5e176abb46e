//! The commits of a run: none goes back unasked (I14), none of a replaced owner is taken (I13), the last is the log's end.
//!
//! Pure. A commit that was refused counts for nothing; one whose answer never came may hold or not.

use super::history::{Event, Life, Moment, Outcome, Story};
use super::ownership::{Interval, Owners};
use std::collections::BTreeMap;

/// One partition of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// Index of the life.
    pub(super) life: usize,
    /// Whose offset.
    pub(super) partition: i32,
    /// The next offset to read.
    pub(super) offset: i64,
    /// When it was sent.
    pub(super) from: Moment,
    /// When the answer came; the greatest moment if none did.
    pub(super) until: Moment,
    /// What the answer said.
    pub(super) outcome: Outcome,
}

/// All commits of all members.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// Ordered by partition, then by when they were sent.
    pub(super) all: Vec<Commit>,
    /// Requests by their outcome.
    pub(super) ok: u64,
    /// Refused by the broker.
    pub(super) refused: u64,
    /// Without an answer that says.
    pub(super) unknown: u64,
}

impl Commits {
    /// Those of one partition.
    pub(super) fn of(&self, partition: i32) -> &[Commit] {
        let from = self.all.partition_point(|commit| commit.partition < partition);
        let until = self.all.partition_point(|commit| commit.partition <= partition);
        &self.all[from..until]
    }
}

/// Collects them.
pub(super) fn collect(lives: &[Life]) -> Commits {
    let mut commits = Commits::default();
    for (life, history) in lives.iter().enumerate() {
        let mut answers: BTreeMap<u64, (Moment, Outcome)> = BTreeMap::new();
        for line in &history.lines {
            if let Event::Committed { id, outcome } = line.event {
                answers.insert(id, (line.at, outcome));
            }
        }
        for line in &history.lines {
            let Event::Committing { id, offsets } = &line.event else { continue };
            let (until, outcome) = answers.get(id).copied().unwrap_or((Moment::MAX, Outcome::Unknown));
            match outcome {
                Outcome::Ok => commits.ok += 1,
                Outcome::Refused => commits.refused += 1,
                Outcome::Unknown => commits.unknown += 1,
            }
            commits.all.extend(offsets.iter().map(|(partition, offset)| Commit {
                life,
                partition: *partition,
                offset: *offset,
                from: line.at,
                until,
                outcome,
            }));
        }
    }
    commits.all.sort_by_key(|commit| (commit.partition, commit.from));
    commits
}

/// What must not be.
pub(super) fn judge(story: &Story, commits: &Commits, owners: &Owners) -> Vec<String> {
    let mut broken = Vec::new();
    for partition in 0..story.partition_count {
        steps_back(story, commits.of(partition), &mut broken);
        fenced(story, commits.of(partition), &owners.intervals, &mut broken);
    }
    broken
}

/// A commit sent after another was acknowledged is not behind it.
fn steps_back(story: &Story, commits: &[Commit], broken: &mut Vec<String>) {
    let held = |commit: &&Commit| commit.outcome == Outcome::Ok;
    let mut by_answer: Vec<&Commit> = commits.iter().filter(held).collect();
    by_answer.sort_by_key(|commit| commit.until);
    let mut answered = by_answer.into_iter().peekable();
    let mut furthest: Option<&Commit> = None;
    for commit in commits.iter().filter(held) {
        while let Some(earlier) = answered.next_if(|earlier| earlier.until < commit.from) {
            if furthest.is_none_or(|furthest| furthest.offset < earlier.offset) {
                furthest = Some(earlier);
            }
        }
        if let Some(furthest) = furthest.filter(|furthest| furthest.offset > commit.offset) {
            broken.push(format!(
                "the committed offset of partition {} went back: {} by {}, then {} by {}",
                commit.partition,
                furthest.offset,
                story.lives[furthest.life].name,
                commit.offset,
                story.lives[commit.life].name
            ));
        }
    }
}

/// Once a partition has a new owner, the broker takes no commit for it from the old one.
fn fenced(story: &Story, commits: &[Commit], intervals: &[Interval], broken: &mut Vec<String>) {
    for commit in commits.iter().filter(|commit| commit.outcome == Outcome::Ok) {
        let of_partition = || intervals.iter().filter(|interval| interval.partition == commit.partition);
        let own = of_partition().rfind(|own| own.life == commit.life && own.from <= commit.from);
        let Some(own) = own else {
            let name = &story.lives[commit.life].name;
            broken.push(format!("{name} committed partition {}, which it never had", commit.partition));
            continue;
        };
        let next = of_partition().find(|next| {
            next.life != commit.life
                && next.from > own.from
                && next.from < commit.from
                && commit.from < own.until
        });
        if let Some(next) = next {
            broken.push(format!(
                "a commit of {} (generation {}) for partition {} was taken after {} had it (generation {})",
                story.lives[commit.life].name,
                own.generation,
                commit.partition,
                story.lives[next.life].name,
                next.generation
            ));
        }
    }
}

/// After the drain and the last clean leave, what is committed is what there was to read.
pub(super) fn ends(story: &Story, commits: &Commits, ends: &BTreeMap<i32, i64>) -> Vec<String> {
    let mut broken = Vec::new();
    for partition in 0..story.partition_count {
        let held = commits.of(partition).iter().filter(|commit| commit.outcome == Outcome::Ok);
        let committed = held.map(|commit| commit.offset).max();
        if committed != ends.get(&partition).copied() {
            broken.push(format!(
                "partition {partition} ends at {:?}, and {committed:?} is committed",
                ends.get(&partition)
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assigned, commit, life, lost, revoked, story};
    use super::*;
    use crate::groups::ownership;

    fn broken(lives: Vec<Life>) -> Vec<String> {
        let story = story(lives);
        judge(&story, &collect(&story.lives), &ownership::judge(&story))
    }

    #[test]
    fn commits_that_grow_are_sound() {
        let mut lines = vec![assigned(1, 1, &[0])];
        lines.extend(commit(10, 1, 0, 5, Some(Outcome::Ok)));
        lines.extend(commit(20, 2, 0, 5, Some(Outcome::Ok)));
        lines.extend(commit(30, 3, 0, 9, Some(Outcome::Ok)));
        assert!(broken(vec![life("a", lines)]).is_empty());
    }

    #[test]
    fn a_step_back_is_found_and_a_refused_one_is_none() {
        let history = |outcome| {
            let mut lines = vec![assigned(1, 1, &[0])];
            lines.extend(commit(10, 1, 0, 5, Some(Outcome::Ok)));
            lines.extend(commit(20, 2, 0, 4, outcome));
            vec![life("a", lines)]
        };
        assert_eq!(broken(history(Some(Outcome::Ok))).len(), 1);
        assert!(broken(history(Some(Outcome::Refused))).is_empty());
        assert!(broken(history(None)).is_empty(), "nobody knows whether it holds");
    }

    #[test]
    fn a_commit_of_a_replaced_owner_is_found() {
        let history = |outcome| {
            let mut lines = vec![assigned(1, 1, &[0])];
            lines.extend(commit(30, 1, 0, 5, Some(outcome)));
            lines.push(lost(40, &[0]));
            let frozen = vec![(2, 20_000_000_000)];
            vec![Life { frozen, ..life("a", lines) }, life("b", vec![assigned(20, 2, &[0])])]
        };
        assert_eq!(broken(history(Outcome::Ok)).len(), 1);
        assert!(broken(history(Outcome::Refused)).is_empty());
    }

    #[test]
    fn a_commit_before_the_partition_was_given_back_is_sound() {
        let mut lines = vec![assigned(1, 1, &[0])];
        lines.extend(commit(10, 1, 0, 5, Some(Outcome::Ok)));
        lines.push(revoked(20, &[0]));
        assert!(broken(vec![life("a", lines), life("b", vec![assigned(30, 2, &[0])])]).is_empty());
    }

    #[test]
    fn an_end_that_is_not_committed_is_found() {
        let mut lines = vec![assigned(1, 1, &[0, 1])];
        lines.extend(commit(10, 1, 0, 5, Some(Outcome::Ok)));
        lines.extend(commit(20, 2, 1, 3, Some(Outcome::Ok)));
        let story = story(vec![life("a", lines)]);
        let commits = collect(&story.lives);
        assert!(ends(&story, &commits, &BTreeMap::from([(0, 5), (1, 3)])).is_empty());
        assert_eq!(ends(&story, &commits, &BTreeMap::from([(0, 5), (1, 4)])).len(), 1);
    }
}
