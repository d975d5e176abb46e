//! Log directories that come back empty, swapped, or not at all: what lived there is offline, and no offset is given twice.
//!
//! The metadata log knows which directory holds which partition (KIP-858). Nothing here deletes or recreates data because
//! something is absent; what never held a record is made anew.

use std::fs;
use std::path::{Path, PathBuf};

use ottla_broker::StartError;
use ottla_log::storage::{FaultyStorage, Storage};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::describe_log_dirs::DescribeLogDirsRequest;
use ottla_protocol::messages::fetch::PartitionData;
use ottla_protocol::messages::produce::PartitionProduceResponse;
use tempfile::TempDir;

use crate::support::batches::{batch, values};
use crate::support::requests::{create_topic, delete_topic, fetch, metadata_of_all, produce};
use crate::support::{Client, TestBroker};

/// Directories of one broker, below one that is removed in the end.
struct Disks {
    root: TempDir,
    names: Vec<&'static str>,
}

impl Disks {
    fn new(names: &[&'static str]) -> Disks {
        Disks { root: tempfile::tempdir().unwrap(), names: names.to_vec() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Starts a broker on those of the disks that are in its configuration.
    fn try_start(&self, settings: &[(&str, &str)]) -> Result<TestBroker, StartError> {
        let paths: Vec<String> =
            self.names.iter().map(|name| self.path(name).display().to_string()).collect();
        let all = paths.join(",");
        let mut with_dirs = vec![("log.dirs", &*all)];
        with_dirs.extend(settings);
        TestBroker::start_in(&self.path(self.names[0]), &with_dirs)
    }

    fn start(&self) -> TestBroker {
        self.try_start(&[]).unwrap()
    }

    fn holds(&self, name: &str, partition: i32) -> bool {
        self.path(name).join(format!("spread-{partition}")).exists()
    }

    /// Which of the four partitions of `spread` a disk holds.
    fn partitions_of(&self, name: &str) -> Vec<i32> {
        (0..4).filter(|partition| self.holds(name, *partition)).collect()
    }

    fn move_away(&self, name: &str) {
        fs::rename(self.path(name), self.path(&format!("{name}.away"))).unwrap();
    }

    fn bring_back(&self, name: &str) {
        let _in_its_place = fs::remove_dir_all(self.path(name));
        fs::rename(self.path(&format!("{name}.away")), self.path(name)).unwrap();
    }
}

fn append(client: &mut Client, topic: &str, partition: i32, value: &str) -> PartitionProduceResponse {
    let mut response = client.call(9, produce(topic, partition, -1, batch(&[value])));
    response.responses.remove(0).partition_responses.remove(0)
}

fn read(client: &mut Client, topic: &str, partition: i32) -> PartitionData {
    let mut request = fetch(topic, 0);
    request.topics[0].partitions[0].partition = partition;
    client.fetch_with(request)
}

/// A topic of four partitions with one record each, on a broker that is stopped again.
fn fill(disks: &Disks) {
    let mut broker = disks.start();
    let mut client = broker.connect();
    client.create_topic("spread", 4, &[]);
    for partition in 0..4 {
        assert_eq!(append(&mut client, "spread", partition, &format!("p{partition}")).base_offset, 0);
    }
    broker.stop();
}

/// Those of `lost` answer KAFKA_STORAGE_ERROR, the others serve on, and new topics are made.
fn expect_offline(disks: &Disks, lost: &[i32]) {
    let mut broker = disks.start();
    let mut client = broker.connect();
    for partition in 0..4 {
        let produced = append(&mut client, "spread", partition, "more");
        let fetched = read(&mut client, "spread", partition);
        if lost.contains(&partition) {
            assert_eq!(produced.error_code, ErrorCode::KAFKA_STORAGE_ERROR, "{partition}");
            assert_eq!(fetched.error_code, ErrorCode::KAFKA_STORAGE_ERROR, "{partition}");
        } else {
            assert_eq!(produced.error_code, ErrorCode::NONE, "{partition}");
            assert_eq!(values(&fetched)[0], format!("p{partition}"));
        }
    }
    client.new_topic(3, &[]);
    broker.stop();
}

/// Everything that was acknowledged is there again, and offsets go on where they were.
fn expect_whole(disks: &Disks) {
    let mut broker = disks.start();
    let mut client = broker.connect();
    for partition in 0..4 {
        let found = values(&read(&mut client, "spread", partition));
        assert_eq!(found[0], format!("p{partition}"));
        let produced = append(&mut client, "spread", partition, "again");
        assert_eq!((produced.error_code, produced.base_offset), (ErrorCode::NONE, found.len() as i64));
    }
    broker.stop();
}

#[test]
fn a_directory_that_comes_back_empty_never_gives_an_offset_twice() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    let lost = disks.partitions_of("b");
    assert_eq!(lost.len(), 2);
    disks.move_away("b");
    fs::create_dir(disks.path("b")).unwrap();
    expect_offline(&disks, &lost);
    assert_eq!(disks.partitions_of("b"), [], "nothing was made in its place");
    // The directory that took its place is known now, and must not be taken for the other one.
    expect_offline(&disks, &lost);
    disks.bring_back("b");
    expect_whole(&disks);
}

#[test]
fn a_directory_that_is_missing_takes_its_partitions_offline() {
    let disks = Disks::new(&["a", "b", "c"]);
    fill(&disks);
    let lost = disks.partitions_of("c");
    disks.move_away("c");
    expect_offline(&disks, &lost);
    disks.bring_back("c");
    expect_whole(&disks);
}

#[test]
fn a_directory_that_worked_and_cannot_be_read_now_is_told_and_the_others_go_on() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    let lost = disks.partitions_of("b");
    disks.move_away("b");
    fs::write(disks.path("b"), b"what a disk shows that is no directory any more").unwrap();
    expect_offline(&disks, &lost);
    let mut broker = disks.start();
    let rows = broker.connect().call(4, DescribeLogDirsRequest { topics: None }).results;
    let codes: Vec<_> = rows.iter().map(|row| (row.log_dir.to_string(), row.error_code)).collect();
    let path = |name: &str| disks.path(name).display().to_string();
    let expected = [(path("a"), ErrorCode::NONE), (path("b"), ErrorCode::KAFKA_STORAGE_ERROR)];
    assert_eq!(codes, expected);
    broker.stop();
    fs::remove_file(disks.path("b")).unwrap();
    disks.bring_back("b");
    expect_whole(&disks);
}

#[test]
fn a_path_that_never_worked_refuses_the_start() {
    let mut disks = Disks::new(&["a", "b"]);
    fill(&disks);
    fs::write(disks.path("c"), b"a file").unwrap();
    disks.names = vec!["a", "b", "c"];
    let error = disks.try_start(&[]).err().expect("it is a mistake in the configuration").to_string();
    assert!(error.contains(disks.path("c").to_str().unwrap()), "{error}");
}

#[test]
fn a_directory_that_is_taken_out_of_the_configuration_is_only_offline() {
    let mut disks = Disks::new(&["a", "b", "c"]);
    fill(&disks);
    let lost = disks.partitions_of("b");
    disks.names = vec!["a", "c"];
    expect_offline(&disks, &lost);
    disks.names = vec!["a", "c", "b"];
    expect_whole(&disks);
}

#[test]
fn an_old_disk_in_place_of_the_right_one_is_not_served() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    let lost = disks.partitions_of("b");
    disks.move_away("b");
    // A disk that was once of this broker: the same partitions, fewer records, a directory id of its own.
    fs::create_dir(disks.path("b")).unwrap();
    let properties = fs::read_to_string(disks.path("b.away").join("meta.properties")).unwrap();
    let properties: String = properties
        .lines()
        .map(|line| match line.starts_with("directory.id=") {
            true => "directory.id=AAAAAAAAAAAAAAAAAAAAAw\n".to_owned(),
            false => format!("{line}\n"),
        })
        .collect();
    fs::write(disks.path("b").join("meta.properties"), properties).unwrap();
    for partition in &lost {
        let name = format!("spread-{partition}");
        fs::create_dir(disks.path("b").join(&name)).unwrap();
        let metadata = disks.path("b.away").join(&name).join("partition.metadata");
        fs::copy(metadata, disks.path("b").join(&name).join("partition.metadata")).unwrap();
    }
    expect_offline(&disks, &lost);
    disks.bring_back("b");
    expect_whole(&disks);
}

#[test]
fn a_directory_at_another_path_is_still_the_same() {
    let mut disks = Disks::new(&["a", "b"]);
    fill(&disks);
    fs::rename(disks.path("b"), disks.path("elsewhere")).unwrap();
    disks.names = vec!["a", "elsewhere"];
    expect_whole(&disks);
}

#[test]
fn a_partition_that_somebody_moved_between_directories_is_found_again() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    let moved = disks.partitions_of("b")[0];
    let name = format!("spread-{moved}");
    fs::rename(disks.path("b").join(&name), disks.path("a").join(&name)).unwrap();
    expect_whole(&disks);
    assert!(disks.holds("a", moved));
    // From now on it lives there, so that without its old directory nothing of it is missing.
    let rest = disks.partitions_of("b");
    disks.move_away("b");
    expect_offline(&disks, &rest);
}

#[test]
fn a_partition_whose_files_were_removed_is_offline_and_not_begun_anew() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    let kept = disks.root.path().join("kept");
    let removed = disks.partitions_of("a")[0];
    let place = disks.path("a").join(format!("spread-{removed}"));
    fs::rename(&place, &kept).unwrap();
    expect_offline(&disks, &[removed]);
    fs::rename(&kept, &place).unwrap();
    expect_whole(&disks);
}

#[test]
fn two_copies_of_a_partition_leave_the_right_one_in_service() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    let name = format!("spread-{}", disks.partitions_of("b")[0]);
    fs::create_dir(disks.path("a").join(&name)).unwrap();
    let metadata = disks.path("b").join(&name).join("partition.metadata");
    fs::copy(metadata, disks.path("a").join(&name).join("partition.metadata")).unwrap();
    expect_whole(&disks);
}

#[test]
fn a_topic_with_offline_partitions_can_be_deleted_and_created_again() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    disks.move_away("b");
    let mut broker = disks.start();
    let mut client = broker.connect();
    client.delete_topic("spread");
    client.create_topic("spread", 4, &[]);
    for partition in 0..4 {
        assert_eq!(append(&mut client, "spread", partition, &format!("p{partition}")).base_offset, 0);
    }
    broker.stop();
    // What lies on the disk that comes back now is of another topic of the same name.
    disks.bring_back("b");
    let mut broker = disks.start();
    let mut client = broker.connect();
    client.delete_topic("spread");
    client.create_topic("spread", 4, &[]);
    (0..4).for_each(|partition| assert_eq!(append(&mut client, "spread", partition, "new").base_offset, 0));
    broker.stop();
}

#[test]
fn without_its_metadata_log_a_broker_with_data_refuses_to_start() {
    let disks = Disks::new(&["a", "b"]);
    fill(&disks);
    disks.move_away("a");
    let error = disks.try_start(&[]).err().expect("b holds partitions that nobody knows any more");
    assert!(matches!(error, StartError::MetadataLogMissing { .. }), "{error:?}");
    let line = error.to_string();
    assert!(line.contains(disks.path("a").to_str().unwrap()), "what is missing: {line}");
    assert!(line.contains(disks.path("b").to_str().unwrap()), "how it is known: {line}");
    disks.bring_back("a");
    expect_whole(&disks);
}

#[test]
fn a_metadata_directory_that_comes_back_empty_refuses_the_start() {
    let disks = Disks::new(&["a"]);
    let metadata = disks.path("metadata");
    let settings = [("metadata.log.dir", metadata.to_str().unwrap())];
    disks.try_start(&settings).unwrap().stop();
    disks.move_away("metadata");
    let error = disks.try_start(&settings).err().expect("the directory was in use");
    assert!(matches!(error, StartError::MetadataLogMissing { .. }), "{error:?}");
    disks.bring_back("metadata");
    disks.try_start(&settings).unwrap().stop();
}

#[test]
fn two_brokers_with_one_metadata_directory_are_one_too_many() {
    let (one, other) = (Disks::new(&["a"]), Disks::new(&["a"]));
    let metadata = one.path("metadata");
    let settings = [("metadata.log.dir", metadata.to_str().unwrap())];
    let mut broker = one.try_start(&settings).unwrap();
    let error = other.try_start(&settings).err().expect("it is in use").to_string();
    assert!(error.contains(metadata.to_str().unwrap()), "{error}");
    broker.stop();
}

#[test]
fn directories_in_another_order_are_told_where_the_metadata_log_is() {
    let mut disks = Disks::new(&["a", "b"]);
    fill(&disks);
    disks.names = vec!["b", "a"];
    let error = disks.try_start(&[]).err().expect("the metadata log is in the first directory").to_string();
    assert!(error.contains(disks.path("a").join("__cluster_metadata").to_str().unwrap()), "{error}");
    let metadata = disks.path("a");
    let mut broker = disks.try_start(&[("metadata.log.dir", metadata.to_str().unwrap())]).unwrap();
    assert_eq!(values(&read(&mut broker.connect(), "spread", 3)), ["p3"]);
    broker.stop();
}

#[test]
fn a_single_directory_that_is_emptied_leaves_its_topics_offline_while_their_metadata_lives() {
    let disks = Disks::new(&["a"]);
    let metadata = disks.path("metadata");
    let settings = [("metadata.log.dir", metadata.to_str().unwrap())];
    let mut broker = disks.try_start(&settings).unwrap();
    broker.connect().create_topic("spread", 1, &[]);
    append(&mut broker.connect(), "spread", 0, "p0");
    let cluster_id = broker.connect().call(12, metadata_of_all()).cluster_id;
    broker.stop();
    disks.move_away("a");
    let mut broker = disks.try_start(&settings).unwrap();
    let mut client = broker.connect();
    assert_eq!(client.call(12, metadata_of_all()).cluster_id, cluster_id, "it is still the same cluster");
    assert_eq!(append(&mut client, "spread", 0, "p0").error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    client.new_topic(1, &[]);
    broker.stop();
}

#[test]
fn a_broker_that_is_emptied_together_with_its_metadata_is_a_new_one() {
    let disks = Disks::new(&["a"]);
    let mut broker = disks.start();
    let mut client = broker.connect();
    client.create_topic("spread", 1, &[]);
    append(&mut client, "spread", 0, "p0");
    broker.stop();
    disks.move_away("a");
    let mut broker = disks.start();
    let mut client = broker.connect();
    client.create_topic("spread", 1, &[]);
    assert_eq!(append(&mut client, "spread", 0, "of a new cluster").base_offset, 0);
    broker.stop();
}

#[test]
fn two_directories_with_one_id_are_refused() {
    let disks = Disks::new(&["a", "b"]);
    disks.start().stop();
    fs::copy(disks.path("a").join("meta.properties"), disks.path("b").join("meta.properties")).unwrap();
    let error = disks.try_start(&[]).err().expect("one of them is a copy").to_string();
    assert!(error.contains(disks.path("b").to_str().unwrap()), "{error}");
}

/// The metadata log of a broker that did not know of directories: `old`, two partitions, topic id below.
const OLD_METADATA: &str = "4f544d440100000004000000fbdaceab010002004b000000522b5cb50301036f6c6410fcda629a3eca45028d09\
                            ab47ea6f14700210fcda629a3eca45028d09ab47ea6f14700001020102010200021\
                            0fcda629a3eca45028d09ab47ea6f1470020102010201020004000000\
                            1ca2b48e0105d00f";
const OLD_TOPIC_ID: &str = "_Npimj7KRQKNCatH6m8UcA";

fn write_old_broker(disks: &Disks) {
    let digits: Vec<u8> =
        OLD_METADATA.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
    let metadata: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let log = disks.path("a").join("__cluster_metadata");
    fs::create_dir_all(&log).unwrap();
    fs::write(log.join("00000000000000000000.log"), metadata).unwrap();
    for (name, id, partition) in [("a", "AAAAAAAAAAAAAAAAAAAAAQ", 0), ("b", "AAAAAAAAAAAAAAAAAAAAAg", 1)] {
        let files = disks.path(name).join(format!("old-{partition}"));
        fs::create_dir_all(&files).unwrap();
        let properties =
            format!("version=1\ncluster.id=B6RP-1J_RCmWv1UYtd0r2A\nnode.id=1\ndirectory.id={id}\n");
        fs::write(disks.path(name).join("meta.properties"), properties).unwrap();
        fs::write(files.join("partition.metadata"), format!("version: 0\ntopic_id: {OLD_TOPIC_ID}\n"))
            .unwrap();
        fs::write(files.join("00000000000000000000.log"), batch(&[&format!("in {partition}")])).unwrap();
    }
}

#[test]
fn partitions_of_an_older_broker_are_adopted_where_they_are_found() {
    let disks = Disks::new(&["a", "b"]);
    write_old_broker(&disks);
    let mut broker = disks.start();
    let mut client = broker.connect();
    assert_eq!(values(&read(&mut client, "old", 0)), ["in 0"]);
    assert_eq!(values(&read(&mut client, "old", 1)), ["in 1"]);
    broker.stop();
    disks.move_away("b");
    let mut broker = disks.start();
    let mut client = broker.connect();
    assert_eq!(append(&mut client, "old", 0, "more").base_offset, 1);
    assert_eq!(append(&mut client, "old", 1, "more").error_code, ErrorCode::KAFKA_STORAGE_ERROR);
    broker.stop();
}

/// Dies at each operation of a creation, with and without what was not synced: a topic that nobody was told of, or that
/// holds nothing yet, is made anew and not mourned.
#[test]
fn a_creation_that_was_cut_short_never_leaves_a_partition_offline() {
    for at in 1.. {
        let storage = FaultyStorage::new();
        let settings = [("log.dirs", "/data,/more")];
        let broker = TestBroker::start_on(&storage, &settings).unwrap();
        let mut client = broker.connect();
        storage.crash_at(at);
        let created = client.call(7, create_topic("cut", 4, &[])).topics[0].error_code;
        let acknowledged =
            created == ErrorCode::NONE && append(&mut client, "cut", 3, "a").error_code == ErrorCode::NONE;
        drop(broker);
        for survivor in
            [storage.after_kill(), storage.after_power_loss(|| 0), storage.after_power_loss(|| 90)]
        {
            let after = TestBroker::start_on(&survivor, &settings).unwrap();
            let mut client = after.connect();
            let again = client.call(7, create_topic("cut", 4, &[])).topics[0].error_code;
            assert!([ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS].contains(&again), "{at}: {again:?}");
            for partition in 0..4 {
                let row = append(&mut client, "cut", partition, "b");
                assert_eq!(row.error_code, ErrorCode::NONE, "crash at {at}, partition {partition}");
            }
            let deleted = client.call(6, delete_topic("cut")).responses[0].error_code;
            assert_eq!(deleted, ErrorCode::NONE);
        }
        if acknowledged && !storage.has_crashed() {
            assert!(at > 8, "there are two commits, directories and files to crash at");
            assert!(storage.list(Path::new("/data")).is_ok());
            return;
        }
    }
}
