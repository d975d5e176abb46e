//! `ottla consume --group`: members of one group, as a shell script would use them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cluster::{Running, TestCluster, interrupt, lines, stderr_of, stdout_of};

const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

fn numbers(count: u32) -> String {
    (1..=count).map(|n| format!("{n}\n")).collect()
}

fn sorted(outputs: &[String]) -> Vec<u32> {
    let mut numbers: Vec<u32> =
        outputs.iter().flat_map(|output| lines(output)).map(|line| line.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_group_goes_on_behind_the_last_record_that_was_written() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "counted", "-p", "1"]));
    stdout_of(cluster.ottla(&["produce", "counted", "-q"]).write_stdin(numbers(100)));
    for protocol in PROTOCOLS {
        let group = format!("readers-{protocol}");
        let consume = ["consume", "counted", "-q", "-g", &group, "--group-protocol", protocol];
        let first = stdout_of(cluster.ottla(&[&consume[..], &["-n", "30"]].concat()));
        assert_eq!(lines(&first).last().map(String::as_str), Some("30"), "in the middle of a batch");
        let second = stdout_of(cluster.ottla(&[&consume[..], &["-n", "30"]].concat()));
        assert_eq!(lines(&second).first().map(String::as_str), Some("31"));
        let rest = stdout_of(cluster.ottla(&[&consume[..], &["--exit-at-end"]].concat()));
        assert_eq!(sorted(&[first, second, rest]), (1..=100).collect::<Vec<u32>>());
        let nothing = stdout_of(cluster.ottla(&[&consume[..], &["--exit-at-end"]].concat()));
        assert_eq!(nothing, "");
    }
}

#[test]
fn an_interrupted_member_commits_and_leaves_and_the_next_one_has_everything_at_once() {
    let cluster = TestCluster::start();
    for topic in ["night", "day"] {
        stdout_of(cluster.ottla(&["topic", "create", topic, "-p", "2"]));
    }
    for protocol in PROTOCOLS {
        let group = format!("shifts-{protocol}");
        let several = ["consume", "night", "day", "-q", "-g", &group, "--group-protocol", protocol];
        let mut member = cluster.spawn(&several);
        stdout_of(cluster.ottla(&["produce", "night", "-q"]).write_stdin("1\n"));
        assert!(!member.read_line().is_empty());
        stdout_of(cluster.ottla(&["produce", "day", "-q"]).write_stdin("2\n"));
        assert!(!member.read_line().is_empty(), "of the other topic");
        let (code, error) = member.interrupted();
        assert_eq!(code, Some(0), "{error}");
        let started = std::time::Instant::now();
        let pattern = ["consume", "night|day", "--regex", "-q", "-g", &group, "--group-protocol", protocol];
        let mut next = cluster.spawn(&pattern);
        stdout_of(cluster.ottla(&["produce", "night", "-q"]).write_stdin("3\n"));
        assert_eq!(next.read_line(), "3\n", "what was written was committed");
        assert!(started.elapsed() < Duration::from_secs(40), "no session had to run out");
        assert_eq!(next.interrupted().0, Some(0));
    }
}

#[test]
fn members_share_a_topic() {
    let cluster = TestCluster::start();
    stdout_of(cluster.ottla(&["topic", "create", "shared", "-p", "4"]));
    let consume = ["consume", "shared", "-q", "-g", "sharers", "--assignor", "cooperative-sticky"];
    let members = [cluster.spawn(&consume), cluster.spawn(&consume)];
    let pids = members.each_ref().map(Running::pid);
    let (mut outputs, mut sent, begun) = (Vec::new(), 0, AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Whoever is not read from cannot write, and so does not rejoin: the others would wait for it.
        let reading = members.map(|mut member| {
            scope.spawn(|| {
                let first = member.read_line();
                begun.fetch_add(1, Ordering::Relaxed);
                (first, member.ended())
            })
        });
        // Each has something to do in the end, so both are members.
        while begun.load(Ordering::Relaxed) < pids.len() {
            let hundred: String = (sent + 1..=sent + 100).map(|n| format!("{n}\n")).collect();
            sent += 100;
            stdout_of(
                cluster.ottla(&["produce", "shared", "-q", "--batch-bytes", "100"]).write_stdin(hundred),
            );
        }
        for (pid, reader) in pids.into_iter().zip(reading) {
            interrupt(pid);
            let (first, (code, rest)) = reader.join().expect("read");
            assert_eq!(code, Some(0));
            outputs.push(first + &rest);
        }
    });
    outputs.push(stdout_of(cluster.ottla(&[&consume[..], &["--exit-at-end"]].concat())));
    let read = sorted(&outputs);
    let distinct: BTreeSet<u32> = read.iter().copied().collect();
    assert_eq!(distinct.len(), sent, "none is missing");
    assert_eq!(read.len(), sent, "nobody died, so none came twice");
}

#[test]
fn what_makes_no_sense_in_a_group_is_refused() {
    let cluster = TestCluster::start();
    for (arguments, words) in [
        (&["consume", "t", "--regex"][..], "--group"),
        (&["consume", "t", "-g", "g", "-p", "0"], "--partitions"),
        (&["consume", "t", "-g", "g", "--from", "-2h"], "earliest or latest"),
        (&["consume", "t", "-g", "g", "--assignor", "fair"], "fair"),
        (&["consume", "a", "b", "-g", "g", "--regex"], "one expression"),
    ] {
        let error = stderr_of(cluster.ottla(arguments), 2);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}
