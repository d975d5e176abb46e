//! What a run says at its end: counts first, then every broken promise; and whether it proves anything at all.

use super::commits;
use super::conductor::{Fates, Outcome};
use super::delivery::{self, Reason};
use super::ownership;
use crate::failure::Failure;

/// More broken promises than this are one bug.
const SHOWN_MAX: usize = 20;

/// Runs all passes, prints what they count, and fails if a promise is broken or nothing was tried.
pub(super) fn judge(outcome: &Outcome) -> Result<(), Failure> {
    let story = &outcome.story;
    let owners = ownership::judge(story);
    let commits = commits::collect(&story.lives);
    let delivery = delivery::judge(story, &owners, &commits);
    let mut broken = outcome.broken.clone();
    broken.extend(owners.broken.iter().cloned());
    broken.extend(commits::judge(story, &commits, &owners));
    broken.extend(delivery.broken.iter().cloned());
    broken.extend(commits::ends(story, &commits, &delivery.ends));

    println!("  kind         joined   left  killed  frozen  paused");
    for (kind, fates) in &outcome.fates {
        let Fates { joined, left, killed, paused, frozen } = fates;
        println!("  {:<11} {joined:>7} {left:>6} {killed:>7} {frozen:>7} {paused:>7}", kind.name());
    }
    println!(
        "  broker killed {} times; {} generations, settled {} times, at most {:.1} s after the last fault",
        outcome.broker_kills,
        owners.generations,
        story.settled.len(),
        outcome.longest_unsettled
    );
    println!(
        "  {} ownership intervals, {} overlaps, all of frozen members; thrown out without a fault: {}",
        owners.intervals.len(),
        owners.explained_overlaps,
        owners.losses_without_a_fault
    );
    let duplicates: u64 = delivery.duplicates.values().sum();
    println!(
        "  {} records acknowledged, {} processed, {duplicates} of them again: {}",
        delivery.acknowledged,
        delivery.processed,
        reasons(&delivery)
    );
    println!("  commits: {} held, {} refused, {} unanswered", commits.ok, commits.refused, commits.unknown);
    proves_something(outcome, &delivery)?;
    if broken.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} broken promises", broken.len());
    for what in broken.iter().take(SHOWN_MAX) {
        text.push_str("\n  ");
        text.push_str(what);
    }
    Err(Failure::Claim(text))
}

fn reasons(delivery: &delivery::Delivery) -> String {
    let words = [
        (Reason::Killed, "by killed members"),
        (Reason::Frozen, "by frozen ones"),
        (Reason::Lost, "by ones thrown out"),
        (Reason::Abandoned, "by ones that left in a rebalance"),
        (Reason::NotCommitted, "after a refused commit"),
    ];
    let count = |reason| delivery.duplicates.get(&reason).copied().unwrap_or(0);
    words.map(|(reason, word)| format!("{} {word}", count(reason))).join(", ")
}

/// A run in which the faults did not happen says nothing.
fn proves_something(outcome: &Outcome, delivery: &delivery::Delivery) -> Result<(), Failure> {
    for (kind, fates) in &outcome.fates {
        if fates.killed == 0 || fates.left == 0 || fates.joined <= 2 || fates.frozen == 0 {
            let what = format!("the run proves nothing: {} had only {fates:?}", kind.name());
            return Err(Failure::Claim(what));
        }
    }
    if delivery.acknowledged < 1_000 || outcome.story.settled.len() < 2 {
        return Err(Failure::Claim("the run proves nothing: too few records or settled groups".to_owned()));
    }
    Ok(())
}
