//! What keeps a broker from starting: one typed error and one line each, and nothing is left running or locked.

use std::fs;

use ottla_broker::StartError;
use ottla_log::LogError;

use crate::support::TestBroker;
use crate::support::batches::{batch, values};
use crate::support::requests::metadata_of_all;

/// One line that a person can act on.
fn one_line(error: &StartError) -> String {
    let line = error.to_string();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(!line.contains("Os {") && line.len() < 300, "for people: {line}");
    line
}

fn start_error(data: &std::path::Path, settings: &[(&str, &str)]) -> StartError {
    match TestBroker::start_in(data, settings) {
        Ok(_) => panic!("the broker started"),
        Err(error) => error,
    }
}

#[test]
fn a_port_in_use_is_one_clear_line_and_leaves_the_directory_alone() {
    let broker = TestBroker::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let listener = format!("PLAINTEXT://127.0.0.1:{}", broker.address().port());
    let error = start_error(directory.path(), &[("listeners", &listener)]);
    assert!(matches!(error, StartError::Bind { .. }), "{error:?}");
    assert!(one_line(&error).contains(&broker.address().to_string()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was written");
    TestBroker::start_in(directory.path(), &[]).unwrap();
}

#[test]
fn a_directory_that_another_broker_uses_is_locked_until_that_one_stops() {
    let mut broker = TestBroker::start(&[]);
    let error = start_error(broker.data(), &[]);
    assert!(matches!(error, StartError::Log(LogError::Locked(_))), "{error:?}");
    assert!(one_line(&error).contains(broker.data().to_str().unwrap()));
    broker.connect().expect_service();
    let (data, _directory) = broker.stop();
    TestBroker::start_in(&data, &[]).unwrap();
}

#[test]
fn a_directory_of_another_cluster_or_node_is_refused() {
    let mut broker = TestBroker::start(&[]);
    let (data, _directory) = broker.stop();
    for settings in [[("cluster.id", "AAAAAAAAAAAAAAAAAAAAAA")], [("node.id", "7")]] {
        let error = start_error(&data, &settings);
        assert!(matches!(error, StartError::Log(LogError::NotOurs { .. })), "{error:?}");
        assert!(one_line(&error).contains(data.to_str().unwrap()));
    }
    TestBroker::start_in(&data, &[]).unwrap();
}

#[test]
fn meta_properties_that_make_no_sense_are_refused() {
    let mut broker = TestBroker::start(&[]);
    let (data, _directory) = broker.stop();
    fs::write(data.join("meta.properties"), b"\xff\xfe\x00 not properties").unwrap();
    one_line(&start_error(&data, &[]));
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data");
    fs::write(&file, b"something else").unwrap();
    assert!(one_line(&start_error(&file, &[])).contains(file.to_str().unwrap()));
    assert_eq!(fs::read(&file).unwrap(), b"something else");
}

#[test]
fn a_directory_with_the_files_of_somebody_else_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), b"mine").unwrap();
    let error = start_error(directory.path(), &[]);
    assert!(matches!(error, StartError::Log(LogError::NotOurs { .. })), "{error:?}");
    assert!(one_line(&error).contains("notes.txt"));
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name == "notes.txt" || name == ".lock"), "{names:?}");
    assert_eq!(fs::read(directory.path().join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_fresh_file_system_is_an_empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("lost+found")).unwrap();
    TestBroker::start_in(directory.path(), &[]).unwrap().connect().new_topic(1, &[]);
}

#[test]
fn files_that_somebody_puts_into_our_directory_later_are_left_alone() {
    let mut broker = TestBroker::start(&[]);
    let (data, _directory) = broker.stop();
    fs::write(data.join("notes.txt"), b"mine").unwrap();
    let mut broker = TestBroker::start_in(&data, &[]).unwrap();
    broker.connect().new_topic(1, &[]);
    broker.crash();
    assert_eq!(fs::read(data.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_partition_that_no_metadata_speaks_of_is_never_deleted() {
    let mut broker = TestBroker::start(&[]);
    let (data, _directory) = broker.stop();
    let stray = data.join("stray-0");
    fs::create_dir(&stray).unwrap();
    fs::write(stray.join("00000000000000000000.log"), batch(&["precious"])).unwrap();
    let broker = TestBroker::start_in(&data, &[]).unwrap();
    let mut client = broker.connect();
    assert_eq!(client.call(12, metadata_of_all()).topics, []);
    let broker = broker.restart(&[]);
    broker.connect().expect_service();
    assert!(stray.join("00000000000000000000.log").exists());
}

#[test]
fn several_brokers_in_one_process_do_not_know_of_each_other() {
    let brokers = [(); 3].map(|()| TestBroker::start(&[]));
    for (index, broker) in brokers.iter().enumerate() {
        let mut client = broker.connect();
        client.create_topic("same", 1, &[]);
        client.append("same", batch(&[&format!("of {index}")]));
    }
    for (index, broker) in brokers.iter().enumerate() {
        assert_eq!(values(&broker.connect().fetch("same", 0)), [format!("of {index}")]);
    }
    let mut ids: Vec<_> =
        brokers.iter().map(|broker| broker.connect().call(12, metadata_of_all()).cluster_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each is a cluster of its own");
}

#[test]
fn several_directories_share_the_partitions() {
    let directories = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let paths = directories.each_ref().map(|directory| directory.path().to_str().unwrap());
    let all = paths.join(",");
    let mut broker = TestBroker::start_in(directories[0].path(), &[("log.dirs", &all)]).unwrap();
    let mut client = broker.connect();
    client.create_topic("spread", 6, &[]);
    for path in paths {
        let count = fs::read_dir(path)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("spread-"))
            .count();
        assert_eq!(count, 2, "{path}");
    }
    client.append("spread", batch(&["a"]));
    broker.crash();
    let broker = TestBroker::start_in(directories[0].path(), &[("log.dirs", &all)]).unwrap();
    assert_eq!(values(&broker.connect().fetch("spread", 0)), ["a"]);
}
