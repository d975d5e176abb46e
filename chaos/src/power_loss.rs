//! The power goes under load, on a real ext4: what was synced before it was acknowledged is there, the rest is a clean
//! prefix, and every topic whose creation was acknowledged exists.
//!
//! One topic syncs before it acknowledges (`flush.messages=1`), one leaves it to the page cache. Then a disk that turns
//! read-only beside a healthy one: the healthy one goes on, the other is back after the repair. What counts in both is what
//! was acknowledged before the moment of the fault. An ext4 whose journal is aborted may answer an fsync that is in flight
//! with success and lose the bytes all the same, for any program: threads that do nothing but `pwrite` and `fdatasync` see
//! it on Linux 6.18. A machine without power answers nobody.

use crate::broker::Home;
use crate::chance::Chance;
use crate::disk::Disk;
use crate::finding::Finding;
use crate::load::Load;
use crate::producer::Amount;
use crate::topic;
use crate::wire::Wire;
use ottla_protocol::ErrorCode;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A file with holes. On a full disk nothing would be acknowledged.
const DISK_MIB: u64 = 2_048;
/// So many acknowledgements of each kind come before the fault.
const PROGRESS_MIN: u64 = 30;
const PROGRESS_DEADLINE: Duration = Duration::from_secs(30);
const TOPICS_PER_ROUND: u32 = 5;
/// Partitions of a topic that has no load, over both disks.
const PROBED: i32 = 4;

/// Runs it; `rounds` is how often the power goes.
pub(crate) fn run(binary: &Path, directory: &Path, rounds: u32, seed: u64) -> Result<(), Finding> {
    let place = directory.join("power-loss");
    std::fs::create_dir_all(&place)?;
    let Some(disk) = Disk::ext4(&place.join("disk.img"), &place.join("disk"), DISK_MIB)? else {
        println!("skipped: no ext4 can be made and mounted here, which takes root and a loop device");
        return Ok(());
    };
    let mut chance = Chance::new(seed);
    let home = Home::new(binary, &place)?.with_data(&[disk.path().join("data")]);
    let mut lost = 0;
    let mut kept = 0;
    for round in 0..rounds {
        let (synced, forgotten) = lose_power(&home, &disk, round, &mut chance)?;
        kept += synced;
        lost += forgotten;
    }
    println!(
        "{rounds} power losses: {kept} records that were synced before their acknowledgement are all there; of those that \
         were not, {lost} are gone, and each log is a clean prefix"
    );
    if lost == 0 {
        return Err(Finding::Void(
            "nothing was lost without a sync: the power was not really cut".to_owned(),
        ));
    }
    drop(disk);
    read_only(binary, &directory.join("read-only"), &mut chance)
}

/// One life, one power loss; how many synced records there are, and how many of the others are gone.
fn lose_power(home: &Home, disk: &Disk, round: u32, chance: &mut Chance) -> Result<(usize, u64), Finding> {
    let life = home.start_sound()?;
    let mut synced =
        Load::new(&format!("synced-{round}"), chance.number()).with_config("flush.messages", "1");
    let mut cached = Load::new(&format!("cached-{round}"), chance.number());
    synced.create_topic(home)?;
    cached.create_topic(home)?;
    let (synced_progress, cached_progress) = (AtomicU64::new(0), AtomicU64::new(0));
    let pause = Duration::from_micros(chance.between(0, 400_000));
    let moment = synced.run(home, Amount::Endless, &synced_progress, || {
        wait_for(&synced_progress, PROGRESS_MIN)?;
        // Last, for it fills the disk as fast as memory takes it, however slow the syncs are.
        cached.run(home, Amount::Endless, &cached_progress, || {
            wait_for(&cached_progress, PROGRESS_MIN)?;
            std::thread::sleep(pause);
            let mut wire = Wire::connect(home.address)?;
            for number in 0..TOPICS_PER_ROUND {
                topic::create(&mut wire, &made(round, number), 1, &[])?;
            }
            let moment = Instant::now();
            disk.cut_power()?;
            life.kill()?;
            Ok(moment)
        })
    })?;
    disk.plug_in_again()?;
    let life = home.start_sound()?;
    let mut wire = Wire::connect(home.address)?;
    for number in 0..TOPICS_PER_ROUND {
        topic::expect(&mut wire, &made(round, number))?;
    }
    let count = synced.check_until(home, moment)?;
    let before = cached.acknowledged_count();
    let there = cached.check_prefix(home)? as u64;
    for number in 0..TOPICS_PER_ROUND {
        let code = topic::append(&mut wire, &made(round, number), 0, 1)?;
        if code.is_error() {
            return Err(Finding::Refused { operation: "produce after a power loss".to_owned(), code });
        }
    }
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly after its recovery".to_owned()));
    }
    Ok((count, before.saturating_sub(there)))
}

fn made(round: u32, number: u32) -> String {
    format!("made-{round}-{number}")
}

/// A disk turns read-only beside a healthy one.
fn read_only(binary: &Path, place: &Path, chance: &mut Chance) -> Result<(), Finding> {
    std::fs::create_dir_all(place)?;
    let Some(disk) = Disk::ext4(&place.join("disk.img"), &place.join("disk"), DISK_MIB)? else {
        return Err(Finding::Void("a second ext4 cannot be mounted".to_owned()));
    };
    let data = [place.join("healthy"), disk.path().join("data")];
    let home = Home::new(binary, place)?.with_data(&data);
    let mut life = home.start_sound()?;
    let mut load = Load::new("spread", chance.number()).with_config("flush.messages", "1");
    load.create_topic(&home)?;
    let mut probe = Wire::connect(home.address)?;
    topic::create(&mut probe, "probed", PROBED, &[])?;
    let progress = AtomicU64::new(0);
    let (offline, moment) = load.run(&home, Amount::Endless, &progress, || {
        wait_for(&progress, PROGRESS_MIN)?;
        let moment = Instant::now();
        disk.turn_read_only()?;
        // Whatever was on its way is through after this; what comes now is of the healthy disk.
        wait_for(&progress, progress.load(Ordering::Relaxed) + 20)?;
        let before = progress.load(Ordering::Relaxed);
        wait_for(&progress, before + PROGRESS_MIN)?;
        let mut offline = Vec::new();
        for partition in 0..PROBED {
            if topic::append(&mut probe, "probed", partition, 1)? == ErrorCode::KAFKA_STORAGE_ERROR {
                offline.push(partition);
            }
        }
        if life.has_died()? {
            return Err(Finding::Broken("the broker died of a disk that turned read-only".to_owned()));
        }
        life.kill()?;
        Ok((offline, moment))
    })?;
    let on_disk: Vec<i32> =
        (0..PROBED).filter(|partition| data[1].join(format!("probed-{partition}")).exists()).collect();
    if offline != on_disk || offline.is_empty() {
        return Err(Finding::Broken(format!(
            "partitions {on_disk:?} were on the disk that turned read-only, and {offline:?} refuse records"
        )));
    }
    disk.plug_in_again()?;
    let life = home.start_sound()?;
    let count = load.check_until(&home, moment)?;
    let code = topic::append(&mut Wire::connect(home.address)?, "probed", offline[0], 1)?;
    if code.is_error() {
        return Err(Finding::Refused { operation: "produce to the repaired disk".to_owned(), code });
    }
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly after the repair".to_owned()));
    }
    println!(
        "a disk turned read-only: {} of {PROBED} partitions refused records, the others went on; after its repair all \
         that was acknowledged before is there, {count} records",
        offline.len()
    );
    Ok(())
}

fn wait_for(progress: &AtomicU64, count: u64) -> Result<(), Finding> {
    let started = Instant::now();
    while progress.load(Ordering::Relaxed) < count {
        if started.elapsed() > PROGRESS_DEADLINE {
            return Err(Finding::Broken("nothing more was acknowledged for 30 s".to_owned()));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}
