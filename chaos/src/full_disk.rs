//! A full disk: appends are refused with an error that can be retried, everything else goes on, nothing acknowledged is
//! lost, and when space is back the broker goes on by itself.
//!
//! The disk is a small tmpfs, which takes root to mount. It is filled by producing, once to the brim and once by a
//! foreign file, so that the broker meets both its own low-water mark and the real ENOSPC.

use crate::broker::Home;
use crate::disk::Disk;
use crate::finding::Finding;
use crate::payload::{Identity, value_of};
use crate::reader::Reader;
use crate::topic;
use crate::wire::Wire;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::delete_topics::DeleteTopicsRequest;
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::records::{BatchBuilder, Compression};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const DISK_MIB: u64 = 96;
const RECORDS_PER_BATCH: u64 = 2_000;
/// Far more batches than fit.
const BATCHES_MAX: u64 = 2_000;
/// Deleted files are kept for a moment, and the broker looks for space now and then.
const RESUME_DEADLINE: Duration = Duration::from_secs(60);

/// One plain producer of big batches.
struct Filler {
    topic: &'static str,
    producer: u64,
    next_number: u64,
}

impl Filler {
    /// One batch; the error that it was answered with, if any.
    fn send(&mut self, wire: &mut Wire) -> Result<ErrorCode, Finding> {
        let mut builder = BatchBuilder::new(Compression::None);
        for number in self.next_number..self.next_number + RECORDS_PER_BATCH {
            let value = value_of(Identity { producer: self.producer, number });
            if builder.push(1_000 + number as i64, None, Some(&value), &[]).is_err() {
                return Err(Finding::Void("a batch of this size cannot be built".to_owned()));
            }
        }
        let partition = PartitionProduceData { index: 0, records: Some(builder.build()) };
        let topic = TopicProduceData { name: self.topic.into(), partition_data: vec![partition] };
        let request =
            ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 10_000, topic_data: vec![topic] };
        let response = wire.call(9, request)?;
        let answer = response.responses.first().and_then(|topic| topic.partition_responses.first());
        let code = answer.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |answer| answer.error_code);
        if !code.is_error() {
            self.next_number += RECORDS_PER_BATCH;
        }
        Ok(code)
    }

    /// Until the broker refuses.
    fn fill(&mut self, wire: &mut Wire) -> Result<ErrorCode, Finding> {
        for _ in 0..BATCHES_MAX {
            let code = self.send(wire)?;
            if code.is_error() {
                return Ok(code);
            }
        }
        Err(Finding::Broken(format!("{BATCHES_MAX} batches fit on a disk of {DISK_MIB} MiB")))
    }

    /// All that was acknowledged is there, and nothing else.
    fn check(&self, wire: &mut Wire) -> Result<(), Finding> {
        let mut reader = Reader::new(self.topic, 0);
        reader.read_to_end(wire)?;
        let expected = (0..self.next_number).map(|number| Identity { producer: self.producer, number });
        if reader.records.iter().copied().eq(expected) {
            return Ok(());
        }
        let (there, told) = (reader.records.len(), self.next_number);
        Err(Finding::Broken(format!("{}: {told} records were acknowledged, {there} are there", self.topic)))
    }
}

/// Runs it.
pub(crate) fn run(binary: &Path, directory: &Path) -> Result<(), Finding> {
    let place = directory.join("full-disk");
    let Some(disk) = Disk::tmpfs(&place.join("data"), DISK_MIB)? else {
        println!("skipped: a tmpfs cannot be mounted here; this takes root");
        return Ok(());
    };
    let home = Home::new(binary, &place)?
        .with("log.segment.delete.delay.ms=100")
        .with("log.flush.offset.checkpoint.interval.ms=500");
    let life = home.start_sound()?;
    let mut wire = Wire::connect(home.address)?;
    let mut kept = Filler { topic: "kept", producer: 1, next_number: 0 };
    let mut victim = Filler { topic: "victim", producer: 2, next_number: 0 };
    for filler in [&mut kept, &mut victim] {
        topic::create(&mut wire, filler.topic, 1, &[])?;
        for _ in 0..20 {
            let code = filler.send(&mut wire)?;
            if code.is_error() {
                return Err(Finding::Refused { operation: "produce to an empty disk".to_owned(), code });
            }
        }
    }
    let code = victim.fill(&mut wire)?;
    println!("full after {} records: {}", kept.next_number + victim.next_number, code.name());
    expect_retriable(code)?;
    kept.check(&mut wire)?;
    victim.check(&mut wire)?;
    println!("both topics are read on a full disk, nothing acknowledged is missing");

    delete(&mut wire, victim.topic)?;
    let took = resume(&mut kept, &mut wire)?;
    println!("{:.1} s after the deletion of a topic, appends are taken again", took.as_secs_f64());

    let stuffing = disk.path().join("stuffing");
    let _ = Command::new("dd").args(["if=/dev/zero", "bs=64k", "status=none"]).arg(of(&stuffing)).output()?;
    let code = kept.fill(&mut wire)?;
    expect_retriable(code)?;
    kept.check(&mut wire)?;
    std::fs::remove_file(&stuffing)?;
    let took = resume(&mut kept, &mut wire)?;
    println!(
        "a foreign file filled the disk: {}; {:.1} s after it went, appends are taken",
        code.name(),
        took.as_secs_f64()
    );

    kept.check(&mut wire)?;
    drop(wire);
    if !life.stop()? {
        return Err(Finding::Broken("the broker does not end cleanly afterwards".to_owned()));
    }
    let life = home.start_sound()?;
    kept.check(&mut Wire::connect(home.address)?)?;
    life.stop()?;
    println!("after a restart, all {} records are there", kept.next_number);
    Ok(())
}

fn of(path: &Path) -> String {
    format!("of={}", path.display())
}

fn expect_retriable(code: ErrorCode) -> Result<(), Finding> {
    if code.is_retriable() {
        return Ok(());
    }
    Err(Finding::Refused { operation: "produce to a full disk, which can be tried again,".to_owned(), code })
}

fn delete(wire: &mut Wire, topic: &str) -> Result<(), Finding> {
    let request = DeleteTopicsRequest {
        topic_names: vec![topic.into()],
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    let response = wire.call(5, request)?;
    match response.responses.first().map(|result| result.error_code) {
        Some(code) if code.is_error() => {
            Err(Finding::Refused { operation: format!("deletion of {topic}"), code })
        }
        _ => Ok(()),
    }
}

/// Until an append is taken again.
fn resume(filler: &mut Filler, wire: &mut Wire) -> Result<Duration, Finding> {
    let started = Instant::now();
    loop {
        let code = filler.send(wire)?;
        if !code.is_error() {
            return Ok(started.elapsed());
        }
        if started.elapsed() > RESUME_DEADLINE {
            return Err(Finding::Refused {
                operation: "produce, 60 s after space came back,".to_owned(),
                code,
            });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
