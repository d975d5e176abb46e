//! What members and the producer write down while they live, and what the conductor did to them.
//!
//! One file per process, one line of JSON per event, appended with one write each, so that `kill -9` leaves whole lines.
//! `at` is `CLOCK_MONOTONIC` in nanoseconds, which all processes of a machine share: what happened before is less.
//!
//! Every kind of member (Java, librdkafka, ottla) takes the same command line, `BOOTSTRAP GROUP TOPIC HISTORY NAME=VALUE…`
//! with the names `protocol` (`classic` or `consumer`), `assignor`, `session.timeout.ms`, `heartbeat.interval.ms`,
//! `rebalance.timeout.ms`, `commit.interval.ms` and, for a static member, `instance`; begins a partition without a
//! committed offset at its start; commits synchronously, every so often and when partitions are revoked; and ends on
//! SIGTERM after leaving the group. A `revoked` line is written when the partitions are let go, after that commit.

use crate::failure::Failure;
use serde::Deserialize;
use std::path::Path;

/// A moment on the clock that all processes share, in nanoseconds.
pub(super) type Moment = u64;

/// One line of a history.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Line {
    /// When it was written.
    pub(super) at: Moment,
    /// What happened.
    #[serde(flatten)]
    pub(super) event: Event,
}

/// What a process writes down.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// The process runs.
    Started,
    /// Partitions came; `owned` is all that the member has now.
    Assigned {
        /// The generation, or the member epoch.
        generation: i32,
        /// Those that came.
        partitions: Vec<i32>,
        /// All.
        owned: Vec<i32>,
    },
    /// Partitions were given back.
    Revoked {
        /// Those that went.
        partitions: Vec<i32>,
    },
    /// The member found out that it had been thrown out.
    Lost {
        /// What it had till then.
        partitions: Vec<i32>,
    },
    /// Records were processed: consecutive offsets of one partition.
    Records {
        /// The partition.
        partition: i32,
        /// Of the first record.
        offset: i64,
        /// One per record.
        values: Vec<u64>,
    },
    /// A commit goes out.
    Committing {
        /// Unique in this history.
        id: u64,
        /// Partition and the next offset to read.
        offsets: Vec<(i32, i64)>,
    },
    /// Its answer came.
    Committed {
        /// Of the commit.
        id: u64,
        /// What the answer says.
        outcome: Outcome,
    },
    /// The member was told to end.
    Closing,
    /// It has left the group, or the producer has sent everything.
    Closed,
    /// The client gave up.
    Failed {
        /// Its name for that.
        error: String,
    },
    /// All values below this may be in the log.
    Sending {
        /// The bound, exclusive.
        below: u64,
    },
    /// The broker has acknowledged a record.
    Acknowledged {
        /// Where it lies.
        partition: i32,
        /// At which offset.
        offset: i64,
        /// Its number.
        value: u64,
    },
}

/// What is known of a commit after its answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It holds.
    Ok,
    /// The broker refused it.
    Refused,
    /// No answer, or one that leaves it open.
    Unknown,
}

/// How a process ended, as far as the conductor did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By SIGKILL.
    Killed,
    /// By itself, after SIGTERM.
    Left,
}

/// One process that was a member, from its start to its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    /// What reports call it.
    pub(super) name: String,
    /// `group.instance.id`, which outlives a process.
    pub(super) instance: Option<String>,
    /// What it wrote.
    pub(super) lines: Vec<Line>,
    /// When and how it ended.
    pub(super) end: Option<(Moment, End)>,
    /// From SIGSTOP to SIGCONT.
    pub(super) frozen: Vec<(Moment, Moment)>,
}

/// Everything a run left behind, as the passes of the checker take it.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    /// How many partitions the topic has.
    pub(super) partition_count: i32,
    /// A member frozen for longer may be thrown out.
    pub(super) session_timeout_ms: u64,
    /// The producer's history.
    pub(super) producer: Vec<Line>,
    /// The members.
    pub(super) lives: Vec<Life>,
    /// When the conductor saw that everything had an owner.
    pub(super) settled: Vec<Moment>,
}

/// Reads the history that a process left; a last line without its end was never written.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
    parse(&text).map_err(|why| Failure::Claim(format!("{}: {why}", path.display())))
}

/// The whole lines of a text.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error} in {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_was_never_written() {
        let text = "{\"at\":1,\"event\":\"started\"}\n{\"at\":2,\"event\":\"lo";
        assert_eq!(parse(text), Ok(vec![Line { at: 1, event: Event::Started }]));
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error() {
        assert!(parse("{\"at\":1,\n{\"at\":2,\"event\":\"closed\"}\n").is_err());
    }

    #[test]
    fn lines_of_members_are_read_with_fields_that_only_people_read() {
        let text = "{\"at\":5,\"event\":\"committing\",\"id\":1,\"generation\":3,\"offsets\":[[0,7],[2,9]]}\n\
                    {\"at\":6,\"event\":\"committed\",\"id\":1,\"outcome\":\"refused\",\"error\":\"ILLEGAL_GENERATION\"}\n";
        let events: Vec<Event> =
            parse(text).expect("both are whole").into_iter().map(|it| it.event).collect();
        let offsets = vec![(0, 7), (2, 9)];
        assert_eq!(
            events,
            [Event::Committing { id: 1, offsets }, Event::Committed { id: 1, outcome: Outcome::Refused }]
        );
    }
}
