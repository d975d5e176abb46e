//! Kills the broker at random moments while it compacts a topic that is written to; after every restart the topic is checked.
//!
//! The cleaner takes no rest and segments are as small as Kafka allows, so that a kill finds it reading, writing, or
//! with one set of files half in the place of another.

use crate::broker::Home;
use crate::chance::Chance;
use crate::finding::Finding;
use crate::load::Load;
use crate::moments::kill_under_load;
use std::path::Path;
use std::time::{Duration, Instant};

/// Keys of each producer.
const KEYS: u64 = 200;
/// Long enough for several segments.
const PAUSE_MAX: Duration = Duration::from_millis(600);
/// With fewer records there may be no segment that the cleaner may touch.
const RECORDS_MIN: u64 = 100_000;
/// How long the cleaner may take for what is left when the load has ended.
const CLEANING_DEADLINE: Duration = Duration::from_secs(60);

/// Runs it and says what became of the records.
pub(crate) fn run(binary: &Path, directory: &Path, moments: u32, seed: u64) -> Result<(), Finding> {
    let home = Home::new(binary, &directory.join("compaction"))?;
    let home = home.with("log.cleaner.backoff.ms=1").with("log.segment.delete.delay.ms=0");
    let mut chance = Chance::new(seed);
    let mut load = Load::new("compacted", chance.number())
        .with_config("cleanup.policy", "compact")
        .with_config("min.cleanable.dirty.ratio", "0.01")
        .with_keys(KEYS);
    let mut life = home.start_sound()?;
    load.create_topic(&home)?;
    for moment in 1..=moments {
        let pause = Duration::from_micros(chance.between(0, PAUSE_MAX.as_micros() as u64));
        kill_under_load(&home, &mut load, life, pause)?;
        life = home.start_sound()?;
        let there = load.check(&home)?;
        if moment % 10 == 0 || moment == moments {
            println!(
                "killed {moment:>3} times while it compacted: {there} records stand for {}",
                load.acknowledged_count()
            );
        }
    }
    let left = clean(&home, &load)?;
    println!(
        "{moments} kills: of {} records {left} are left, the newest of each key among them",
        load.acknowledged_count()
    );
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly after its last recovery".to_owned()));
    }
    Ok(())
}

/// Waits until the cleaner, which nobody disturbs any more, has taken most of it away; how many records are left.
fn clean(home: &Home, load: &Load) -> Result<usize, Finding> {
    let acknowledged = load.acknowledged_count();
    if acknowledged < RECORDS_MIN {
        return Err(Finding::Void(format!("only {acknowledged} records were acknowledged")));
    }
    let started = Instant::now();
    loop {
        let left = load.check(home)?;
        if left as u64 <= acknowledged / 2 {
            return Ok(left);
        }
        if started.elapsed() > CLEANING_DEADLINE {
            return Err(Finding::Broken(format!(
                "of {acknowledged} records {left} are left after 60 s of rest"
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
