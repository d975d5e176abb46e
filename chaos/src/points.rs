//! Kills the broker at each of its own writes, fsyncs, renames, truncations, creations and removals.
//!
//! The broker counts them and dies right before the Nth (`OTTLA_CRASH_AT`), for N from one until a whole short life,
//! from an empty directory over a topic, produced batches and rolled segments to a clean end, has fewer. Every second
//! time a write gets half of its bytes through, and every third restart dies as well, on a point of its own.

use crate::broker::{CrashPoint, Home, Life, Start};
use crate::chance::Chance;
use crate::finding::Finding;
use crate::load::Load;
use crate::producer::Amount;
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// Batches of each producer; enough for a roll in every partition.
const BATCHES: usize = 80;
/// More operations than this in so short a life would be a finding of another kind.
const POINTS_MAX: u64 = 5_000;

/// Runs it and prints how many points there were. With a `stride` only every so many are tried.
pub(crate) fn run(binary: &Path, directory: &Path, stride: u64, seed: u64) -> Result<(), Finding> {
    let mut chance = Chance::new(seed);
    let mut tried = 0_u64;
    let mut operation = 1;
    loop {
        let place = directory.join("point");
        if place.exists() {
            std::fs::remove_dir_all(&place)?;
        }
        let home = Home::new(binary, &place)?;
        let crash = CrashPoint { operation, torn: operation % 2 == 0 };
        let died = point(&home, crash, &mut chance).inspect_err(|_| {
            println!("at crash point {operation} (torn: {}), files kept in {}", crash.torn, place.display());
        })?;
        if !died {
            break;
        }
        tried += 1;
        operation += stride;
        if operation > POINTS_MAX {
            return Err(Finding::Void(format!("more than {POINTS_MAX} operations in one short life")));
        }
    }
    if tried == 0 {
        return Err(Finding::Void("the broker did not die at its first operation".to_owned()));
    }
    println!(
        "{tried} crash points (every {stride}), the last at operation {}: nothing lost",
        operation - stride
    );
    Ok(())
}

/// One life up to its crash point, the restart, and the check. False if the life ended without reaching the point.
fn point(home: &Home, crash: CrashPoint, chance: &mut Chance) -> Result<bool, Finding> {
    let mut load = Load::new("points", chance.number());
    let died = match home.start(Some(crash))? {
        Start::Died(_) => true,
        Start::Listening(life) => live(home, life, &mut load)?,
    };
    if !died {
        return Ok(false);
    }
    if chance.between(0, 3) == 0 {
        // Recovery is interrupted as well; whether it got that far does not matter.
        let again = CrashPoint { operation: chance.between(1, 20), torn: false };
        drop(home.start(Some(again))?);
    }
    let life = home.start_sound()?;
    load.create_topic(home)?;
    load.check(home)?;
    // And it works on: the same producers with the same sequences.
    load.run(home, Amount::Batches(BATCHES + 5), &AtomicU64::new(0), || Ok(()))?;
    load.check(home)?;
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly after its recovery".to_owned()));
    }
    Ok(true)
}

/// Topic, batches, clean end; true if the broker died somewhere on the way.
fn live(home: &Home, mut life: Life, load: &mut Load) -> Result<bool, Finding> {
    match load.create_topic(home) {
        Err(finding) if finding.is_disconnection() => return Ok(true),
        result => result?,
    }
    load.run(home, Amount::Batches(BATCHES), &AtomicU64::new(0), || Ok(()))?;
    if life.has_died()? {
        return Ok(true);
    }
    Ok(!life.stop()?)
}
