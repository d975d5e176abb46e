//! Not a file descriptor left (EMFILE), for a while: what is open goes on, what needs a descriptor is refused with an error
//! that can be retried, nothing is poisoned and no core is kept busy; and when there are descriptors again, all works.
//!
//! The limit of the running broker is lowered to the first number that is free, and raised again.

use crate::broker::{Home, Life};
use crate::finding::Finding;
use crate::process::Process;
use crate::reader::Reader;
use crate::topic;
use crate::wire::Wire;
use ottla_protocol::ErrorCode;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::path::Path;
use std::time::{Duration, Instant};

const PARTITION_COUNT: i32 = 10;
/// A few hundred KiB: four of them are more than a segment.
const BIG_BATCH_RECORDS: u64 = 1_500;
const SHORTAGE: Duration = Duration::from_secs(3);
/// Of [`SHORTAGE`], when all that there is to do is to find out that nothing can be done.
const CPU_TIME_MAX: Duration = Duration::from_millis(600);
const RECOVERY_DEADLINE: Duration = Duration::from_secs(10);

/// Runs it.
pub(crate) fn run(binary: &Path, directory: &Path, _seed: u64) -> Result<(), Finding> {
    let home = Home::new(binary, &directory.join("descriptors"))?;
    let life = home.start_sound()?;
    topic::create(&mut Wire::connect(home.address)?, "written", PARTITION_COUNT, &[("flush.messages", "1")])?;
    let process = Process::new(life.id());
    let mut wire = Wire::connect(home.address)?;
    let mut acknowledged = vec![0; PARTITION_COUNT as usize];
    for partition in 0..PARTITION_COUNT {
        append(&mut wire, partition, &mut acknowledged)?;
    }
    let before = run_out(&life, &process)?;
    let mut kept_out = Wire::connect(home.address)?;
    kept_out.send_ask()?;
    for partition in 0..PARTITION_COUNT {
        append(&mut wire, partition, &mut acknowledged)?;
    }
    let refusal = fill_segment(&mut wire, &mut acknowledged[0])?;
    topic::create(&mut wire, "later", 1, &[])?;
    let used = process.cpu_time()?;
    std::thread::sleep(SHORTAGE);
    let used = process.cpu_time()?.saturating_sub(used);
    if used > CPU_TIME_MAX {
        return Err(Finding::Broken(format!("{used:?} of a core in {SHORTAGE:?} without descriptors")));
    }
    limit(&life, before)?;
    let restored = Instant::now();
    kept_out.receive_answer()?;
    let waited = restored.elapsed();
    for partition in 0..PARTITION_COUNT {
        append(&mut wire, partition, &mut acknowledged)?;
    }
    until_taken(&mut wire, "later")?;
    println!(
        "without descriptors what was open went on, a roll was refused with {}, and in {SHORTAGE:?} the broker used \
         {used:?} of a core; with descriptors again a client that had waited was answered after {waited:?}, and every \
         partition takes records",
        refusal.name()
    );
    drop(wire);
    life.kill()?;
    let life = home.start_sound()?;
    let mut wire = Wire::connect(home.address)?;
    for (partition, acknowledged) in (0..).zip(acknowledged) {
        let mut reader = Reader::new("written", partition);
        reader.read_to_end(&mut wire)?;
        let there = reader.records.len() as u64;
        if there != acknowledged {
            return Err(Finding::Broken(format!(
                "written-{partition}: {acknowledged} records were acknowledged, {there} are there"
            )));
        }
    }
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly afterwards".to_owned()));
    }
    Ok(())
}

/// Lowers the limit to the first number that is free; the limit that there was.
fn run_out(life: &Life, process: &Process) -> Result<u64, Finding> {
    let used = process.descriptors()?;
    let first_free = (0..).zip(&used).find(|(number, used)| number != *used).map(|(number, _)| number);
    limit(life, first_free.unwrap_or(used.len() as u64))?;
    process.descriptors_max()
}

/// Sets the soft limit; the hard one stays where it is.
fn limit(life: &Life, descriptors: u64) -> Result<(), Finding> {
    let id = i32::try_from(life.id()).ok().and_then(Pid::from_raw);
    let maximum = Process::new(life.id()).descriptors_max()?;
    let limit = Rlimit { current: Some(descriptors), maximum: Some(maximum) };
    prlimit(id, Resource::Nofile, limit).map_err(std::io::Error::from)?;
    Ok(())
}

/// Appends until the next segment is needed, which is a new file; how that was refused.
fn fill_segment(wire: &mut Wire, acknowledged: &mut u64) -> Result<ErrorCode, Finding> {
    for _ in 0..20 {
        let code = topic::append(wire, "written", 0, BIG_BATCH_RECORDS)?;
        if code.is_retriable() {
            return Ok(code);
        }
        if code.is_error() {
            return Err(Finding::Refused { operation: "a roll without descriptors".to_owned(), code });
        }
        *acknowledged += BIG_BATCH_RECORDS;
    }
    Err(Finding::Void("the broker did not run out of descriptors".to_owned()))
}

fn append(wire: &mut Wire, partition: i32, acknowledged: &mut [u64]) -> Result<(), Finding> {
    let code = topic::append(wire, "written", partition, 1)?;
    if code.is_error() {
        return Err(Finding::Refused { operation: format!("produce to written-{partition}"), code });
    }
    acknowledged[partition as usize] += 1;
    Ok(())
}

/// A topic that was created without descriptors is there, and is to be usable as soon as there are some.
fn until_taken(wire: &mut Wire, name: &str) -> Result<(), Finding> {
    let started = Instant::now();
    loop {
        let code = topic::append(wire, name, 0, 1)?;
        if code == ErrorCode::NONE {
            return Ok(());
        }
        if !code.is_retriable() || started.elapsed() > RECOVERY_DEADLINE {
            return Err(Finding::Refused {
                operation: format!("produce to {name}, made without descriptors,"),
                code,
            });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
