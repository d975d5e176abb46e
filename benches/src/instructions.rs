//! User-space instructions of the broker for one request, counted by callgrind: the same on a busy machine as on a quiet
//! one, so that a regression shows in a review of `benches/instructions.md`.
//!
//! The real binary runs under valgrind and serves N requests, and in another run 3 N; start, stop and warm-up cancel out in
//! the difference. What the kernel does is not counted, and what threads do by the clock adds some noise.
#![allow(clippy::print_stdout, reason = "the table is what this command is for")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::batch::{Shape, build};
use crate::error::{BenchError, Doing, Result};
use crate::machine::Machine;
use crate::rows::now_ms;
use crate::system::{Launcher, Meanwhile, Places, System};
use crate::wire::{Connection, PreparedProduce};

const REQUESTS: u32 = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);
const TOPIC: &str = "counted";

/// What is asked of the broker, one request at a time.
#[derive(Debug, Clone, Copy)]
enum Request {
    Produce { batch_bytes: usize },
    Fetch { batch_bytes: usize },
    Heartbeat,
}

const REQUESTS_COUNTED: [(Request, &str); 5] = [
    (Request::Produce { batch_bytes: 1 << 10 }, "produce one batch of one record, 1 KiB, acks=all"),
    (Request::Produce { batch_bytes: 16 << 10 }, "produce one batch of 16 KiB, records of 100 B, acks=all"),
    (Request::Fetch { batch_bytes: 1 << 10 }, "fetch one batch of 1 KiB (copied)"),
    (Request::Fetch { batch_bytes: 256 << 10 }, "fetch one batch of 256 KiB (sendfile)"),
    (Request::Heartbeat, "heartbeat of a classic group"),
];

/// Counts, prints the table and writes it to `path`.
pub(crate) fn run(machine: &Machine, places: &Places, path: &Path) -> Result<()> {
    let earlier = fs::read_to_string(path).unwrap_or_default();
    let mut table = format!(
        "# Instructions of the broker for one request\n\nUser space only, by callgrind (`cargo xtask bench \
         instructions`); commit {}. Before: what this table\nsaid when it was written for commit {}.\n\n\
         | request | instructions | before |\n|---|---|---|\n",
        machine.commit,
        commit_of(&earlier).unwrap_or("none")
    );
    for (request, title) in REQUESTS_COUNTED {
        let few = count(places, request, REQUESTS)?;
        let many = count(places, request, 3 * REQUESTS)?;
        let each = many.saturating_sub(few) / u64::from(2 * REQUESTS);
        eprintln!("{title}: {each}");
        let _ = writeln!(table, "| {title} | {each} | {} |", counted_in(&earlier, title).unwrap_or("–"));
    }
    println!("{table}");
    fs::write(path, table).doing(|| format!("write {}", path.display()))
}

/// The commit that an earlier table is of.
fn commit_of(table: &str) -> Option<&str> {
    table.split_once("; commit ")?.1.split(['.', '\n']).next()
}

/// What an earlier table says of a request.
fn counted_in<'a>(table: &'a str, title: &str) -> Option<&'a str> {
    let rest =
        table.lines().find_map(|line| line.strip_prefix("| ")?.strip_prefix(title)?.strip_prefix(" | "))?;
    rest.split(' ').next()
}

/// Instructions of a broker's whole life in which it serves `requests` of a kind.
fn count(places: &Places, request: Request, requests: u32) -> Result<u64> {
    let launcher = Launcher::prepare(System::Ottla, places, "instructions", Meanwhile::Running)?;
    let counts = places.work_dir.join("callgrind.out");
    let out_file = format!("--callgrind-out-file={}", counts.display());
    let mut process = launcher.spawn_under(&["valgrind", "--tool=callgrind", &out_file])?;
    launcher.wait_for_accept(&mut process)?;
    let mut connection = Connection::open(launcher.address())?;
    match request {
        Request::Produce { batch_bytes } => {
            let prepared = prepare(&mut connection, batch_bytes)?;
            for _ in 0..requests {
                connection.send_produce(&prepared)?;
                connection.receive_ack()?;
            }
        }
        Request::Fetch { batch_bytes } => {
            prepare(&mut connection, batch_bytes)?;
            for _ in 0..requests {
                connection.fetch(TOPIC, 0, 0, 1, |_| {})?;
            }
        }
        Request::Heartbeat => {
            let member = connection.join_alone("counted", PATIENCE)?;
            (0..requests).try_for_each(|_| connection.heartbeat(&member))?;
        }
    }
    drop(connection);
    process.terminate(PATIENCE)?;
    launcher.remove();
    let text = fs::read_to_string(&counts).doing(|| format!("read {}", counts.display()))?;
    let summary =
        text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    let total = summary.and_then(|summary| summary.split_whitespace().next()?.parse().ok());
    total.ok_or_else(|| BenchError::Void(format!("{} has no total", counts.display())))
}

/// A topic with one batch of this size, and the request that brought it.
fn prepare(connection: &mut Connection, batch_bytes: usize) -> Result<PreparedProduce> {
    let small = batch_bytes <= 1 << 10;
    let value_bytes = if small { batch_bytes } else { 100 };
    let shape = Shape { value_bytes, batch_bytes_max: batch_bytes };
    let batch = build(shape, small.then_some(1), now_ms(), 1);
    connection.create_topic(TOPIC, 1, &[])?;
    let prepared = PreparedProduce::new(TOPIC, 0, batch);
    connection.produce_until_acked(&prepared, PATIENCE)?;
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_in_the_table_before_is_found_again() {
        let table = "By callgrind; commit 23e023ad9934 with local changes. Before: …\n\n| request | instructions |\n\
                     |---|---|\n| heartbeat | 8841 |\n| heartbeat of two | 17 | 9 |\n";
        assert_eq!(commit_of(table), Some("23e023ad9934 with local changes"));
        assert_eq!(counted_in(table, "heartbeat"), Some("8841"));
        assert_eq!(counted_in(table, "heartbeat of two"), Some("17"));
        assert_eq!(counted_in(table, "fetch"), None);
    }
}
