//! Kills the broker at random moments under load; after every restart the whole topic is read and checked.
//!
//! One broker directory lives through the whole run. A fresh topic is taken every five lives, so that reading everything
//! back stays quick; the earlier topics are checked once more at the end.

use crate::broker::{Home, Life};
use crate::chance::Chance;
use crate::finding::Finding;
use crate::load::Load;
use crate::producer::Amount;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LIVES_PER_TOPIC: u32 = 5;
/// A life that nothing was acknowledged in proves little; this is how long it may take until something is.
const FIRST_ACKNOWLEDGEMENT: Duration = Duration::from_secs(30);

/// Runs it and prints a line per topic.
pub(crate) fn run(binary: &Path, directory: &Path, moments: u32, seed: u64) -> Result<(), Finding> {
    let home = Home::new(binary, &directory.join("moments"))?;
    let mut chance = Chance::new(seed);
    let mut loads: Vec<Load> = Vec::new();
    let mut restarts: Vec<Duration> = Vec::new();
    let mut life = home.start_sound()?;
    for moment in 0..moments {
        if moment % LIVES_PER_TOPIC == 0 {
            let load = Load::new(&format!("crash-{}", loads.len()), chance.number());
            load.create_topic(&home)?;
            loads.push(load);
        }
        let Some(load) = loads.last_mut() else { continue };
        let pause = Duration::from_micros(chance.between(0, 300_000));
        kill_under_load(&home, load, life, pause)?;
        let started = Instant::now();
        life = home.start_sound()?;
        restarts.push(started.elapsed());
        let count = load.check(&home)?;
        if (moment + 1) % LIVES_PER_TOPIC == 0 || moment + 1 == moments {
            println!("killed {:>3} times: {count} records of this topic are all there", moment + 1);
        }
    }
    let mut total = 0;
    for load in &loads {
        total += load.check(&home)?;
    }
    restarts.sort();
    let acknowledged: u64 = loads.iter().map(Load::acknowledged_count).sum();
    println!(
        "{moments} kills: {acknowledged} records were acknowledged, {total} are there, each once and in order; \
         restart to first answer: median {:?}, longest {:?}",
        restarts.get(restarts.len() / 2).copied().unwrap_or_default(),
        restarts.last().copied().unwrap_or_default()
    );
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly after its last recovery".to_owned()));
    }
    Ok(())
}

/// Puts a broker under load and kills it so long after its first acknowledgement.
pub(crate) fn kill_under_load(
    home: &Home,
    load: &mut Load,
    life: Life,
    pause: Duration,
) -> Result<(), Finding> {
    let progress = AtomicU64::new(0);
    load.run(home, Amount::Endless, &progress, || {
        let started = Instant::now();
        while progress.load(Ordering::Relaxed) == 0 {
            if started.elapsed() > FIRST_ACKNOWLEDGEMENT {
                return Err(Finding::Broken("nothing was acknowledged in 30 s".to_owned()));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(pause);
        life.kill()
    })
}
