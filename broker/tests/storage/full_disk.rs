//! A real disk without room: a small tmpfs. Needs the right to mount one; says so and does nothing where it is missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::describe_log_dirs::DescribeLogDirsRequest;
use tempfile::TempDir;

use crate::support::batches::{batch, offsets};
use crate::support::client::PATIENCE;
use crate::support::requests::{delete_records, delete_topic};
use crate::support::{Client, TestBroker};

/// A file system of a fixed size, unmounted when dropped.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk { directory }),
            _ => {
                println!("SKIPPED: this user may not mount a tmpfs, so no real disk was filled");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.directory.path()]).status();
    }
}

/// Appends until the broker refuses; gives how much it has acknowledged.
fn fill(client: &mut Client, topic: &str) -> i64 {
    let mut acknowledged = 0;
    loop {
        let row = client.produce(topic, -1, batch(&[&"x".repeat(50_000)]));
        if row.error_code.is_error() {
            assert!(row.error_code.is_retriable(), "{:?}", row.error_code);
            return acknowledged;
        }
        assert_eq!(row.base_offset, acknowledged);
        acknowledged += 1;
        assert!(acknowledged < 1_000, "the disk has no end");
    }
}

fn read_all(client: &mut Client, topic: &str) -> i64 {
    let mut next = 0;
    loop {
        let row = client.fetch(topic, next);
        assert_eq!(row.error_code, ErrorCode::NONE);
        let Some(last) = offsets(&row).last().copied() else { return next };
        next = last + 1;
    }
}

fn start(data: &Path) -> TestBroker {
    TestBroker::start_in(
        data,
        &[
            ("log.segment.delete.delay.ms", "0"),
            ("log.retention.check.interval.ms", "50"),
            ("ottla.log.dir.free.bytes.min", "262144"),
        ],
    )
    .unwrap()
}

#[test]
fn a_full_disk_refuses_appends_and_resumes_when_a_topic_is_deleted() {
    let Some(disk) = SmallDisk::mount("12m") else { return };
    fs::create_dir(disk.path()).unwrap();
    let mut broker = start(&disk.path());
    let mut client = broker.connect();
    client.create_topic("ballast", 1, &[("segment.bytes", "1048576"), ("file.delete.delay.ms", "0")]);
    client.create_topic("full", 1, &[("segment.bytes", "1048576")]);
    for _ in 0..40 {
        client.append("ballast", batch(&[&"x".repeat(50_000)]));
    }
    let mut acknowledged = fill(&mut client, "full");
    assert!(acknowledged > 10, "{acknowledged}");
    assert_eq!(
        read_all(&mut client, "full"),
        acknowledged,
        "fetch goes on, and brings all that was acknowledged"
    );
    assert_eq!(client.list_offset("full", -1), acknowledged);
    let deleted = client.call(6, delete_topic("ballast")).responses[0].error_code;
    assert_eq!(deleted, ErrorCode::NONE, "administration goes on");
    let began = Instant::now();
    loop {
        let row = client.produce("full", -1, batch(&["after"]));
        if row.error_code == ErrorCode::NONE {
            assert_eq!(row.base_offset, acknowledged);
            acknowledged += 1;
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it resumes by itself: {:?}", row.error_code);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    broker.crash();
    assert_eq!(read_all(&mut start(&disk.path()).connect(), "full"), acknowledged);
}

#[test]
fn producers_are_refused_while_there_is_still_room_for_everything_else() {
    const MARK_BYTES: i64 = 2 << 20;
    let Some(disk) = SmallDisk::mount("12m") else { return };
    fs::create_dir(disk.path()).unwrap();
    let settings = [("ottla.log.dir.free.bytes.min", &*MARK_BYTES.to_string())];
    let broker = TestBroker::start_in(&disk.path(), &settings).unwrap();
    let mut client = broker.connect();
    client.create_topic("full", 1, &[("segment.bytes", "1048576")]);
    let large = || batch(&[&"x".repeat(50_000)]);
    let acknowledged = fill(&mut client, "full");
    let mut free_bytes = || {
        let request = DescribeLogDirsRequest { topics: None };
        client.call(4, request).results[0].usable_bytes
    };
    let left = free_bytes();
    assert!((MARK_BYTES - 60_000..2 * MARK_BYTES).contains(&left), "{left} of {MARK_BYTES} are left");
    // Topics, offsets of groups and reads are not what the mark holds back.
    client.create_topic("beside", 3, &[]);
    assert!(client.produce("beside", -1, large()).error_code.is_retriable());
    assert_eq!(read_all(&mut client, "full"), acknowledged);
    let response = client.call(2, delete_records("full", acknowledged / 2));
    assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
    // A foreign file takes the rest, goes again, and takes appends with it: nothing is asked but the file system.
    let ballast = disk.directory.path().join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    assert!(client.produce("full", -1, large()).error_code.is_retriable());
    fs::remove_file(&ballast).unwrap();
    assert!(client.produce("full", -1, large()).error_code.is_retriable(), "as little as before");
}

#[test]
fn new_partitions_go_to_a_disk_with_room() {
    let (Some(full), Some(roomy)) = (SmallDisk::mount("1m"), SmallDisk::mount("24m")) else { return };
    let dirs = format!("{},{}", full.path().display(), roomy.path().display());
    let settings = [("ottla.log.dir.free.bytes.min", "4194304"), ("log.dirs", &*dirs)];
    let broker = TestBroker::start_in(&full.path(), &settings).unwrap();
    let mut client = broker.connect();
    client.create_topic("placed", 4, &[]);
    assert_eq!(client.append("placed", batch(&["a"])), 0);
    assert!((0..4).all(|partition| roomy.path().join(format!("placed-{partition}")).exists()));
}

#[test]
fn a_broker_killed_on_a_full_disk_starts_again_with_all_it_has_acknowledged() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    fs::create_dir(disk.path()).unwrap();
    let ballast = disk.directory.path().join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let mut broker = start(&disk.path());
    let mut client = broker.connect();
    client.create_topic("full", 1, &[]);
    let acknowledged = fill(&mut client, "full");
    broker.crash();
    fs::remove_file(&ballast).unwrap();
    let broker = start(&disk.path());
    let mut client = broker.connect();
    assert_eq!(read_all(&mut client, "full"), acknowledged);
    assert_eq!(client.append("full", batch(&["after"])), acknowledged);
}
