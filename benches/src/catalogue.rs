//! What each row is and what it aims at: PERFORMANCE.md §4 as a table that verdicts and plots are made from, and the rows of
//! §3's other generators after it.

use crate::rows::Row;

/// One row.
pub(crate) struct Entry {
    pub(crate) row: Row,
    /// A few words, for the table of all rows.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The target and the moonshot, in words.
    pub(crate) aim: &'static str,
    pub(crate) targets: &'static [Target],
    /// The figures that are worth a picture.
    pub(crate) plotted: &'static [&'static str],
    /// Why nothing measures it yet.
    pub(crate) impossible: Option<&'static str>,
}

/// A bound on one figure.
pub(crate) struct Target {
    pub(crate) figure: &'static str,
    pub(crate) against: Against,
    /// Whether the bound is the least that will do; otherwise it is the most.
    pub(crate) is_least: bool,
    pub(crate) bound: f64,
}

/// What a figure is divided by before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    Floor,
    Nothing,
}

const fn least_of_floor(figure: &'static str, bound: f64) -> Target {
    Target { figure, against: Against::Floor, is_least: true, bound }
}

const fn most_of_floor(figure: &'static str, bound: f64) -> Target {
    Target { figure, against: Against::Floor, is_least: false, bound }
}

const fn at_most(figure: &'static str, bound: f64) -> Target {
    Target { figure, against: Against::Nothing, is_least: false, bound }
}

const fn at_least(figure: &'static str, bound: f64) -> Target {
    Target { figure, against: Against::Nothing, is_least: true, bound }
}

const PERF_TOOLS: &str = "no target: rates are the generator's, broker CPU and the generator's own beside them; acks=all, \
    idempotent, linger.ms=5, batch.size=131072, uncompressed, one partition, --throughput -1, the first quarter not timed; the \
    consumer with its defaults";
const LIBRDKAFKA: &str = "no target: rates are the generator's, broker CPU and the generator's own beside them; acks=all, \
    idempotent, linger.ms=5, batch.size=131072, uncompressed, one partition, one thread that sends, queue of 32 MiB; the \
    consumer with fetch.queue.backoff.ms=1";
const GENERATOR_PLOTS: &[&str] =
    &["produce: k records/s", "produce: CPU-s/M records", "consume: k records/s", "consume: CPU-s/M records"];

/// All rows, in order.
pub(crate) const CATALOGUE: &[Entry] = &[
    Entry {
        row: Row(1),
        name: "fetch 1 MiB",
        title: "fetch 1 MiB, hot, depth 1, one connection",
        aim: "MB/s ≥ 0.70, CPU ≤ 1.5 × the floor; moonshot 0.90, 1.2 ×",
        targets: &[least_of_floor("MB/s", 0.70), most_of_floor("CPU-s/GB", 1.5)],
        plotted: &["MB/s", "CPU-s/GB"],
        impossible: None,
    },
    Entry {
        row: Row(2),
        name: "produce 1 KiB",
        title: "produce 1 KiB records in 256 KiB batches, 5 in flight, acks=all, no fsync",
        aim: "MB/s ≥ 0.60, CPU ≤ 1.6 × the floor; moonshot 0.85, 1.2 ×",
        targets: &[least_of_floor("MB/s", 0.60), most_of_floor("CPU-s/GB", 1.6)],
        plotted: &["MB/s", "CPU-s/GB"],
        impossible: None,
    },
    Entry {
        row: Row(3),
        name: "produce 100 B",
        title: "produce 100 B records in 16 KiB batches, 5 in flight, acks=all, no fsync",
        aim: "MB/s ≥ 0.45, CPU ≤ 2.5 × the floor; moonshot 0.75, 1.5 ×",
        targets: &[least_of_floor("MB/s", 0.45), most_of_floor("CPU-s/GB", 2.5)],
        plotted: &["k records/s", "CPU-s/GB"],
        impossible: None,
    },
    Entry {
        row: Row(4),
        name: "produce lz4",
        title: "produce 1 KiB records, half of each repeating, packed by lz4, beside plain ones; as row 2",
        aim: "CPU per wire GB ≤ 1.2 × that of plain batches; moonshot 1.0 ×",
        targets: &[at_most("lz4 ÷ plain, CPU per wire GB", 1.2)],
        plotted: &["lz4: CPU-s per wire GB"],
        impossible: None,
    },
    Entry {
        row: Row(5),
        name: "round trip",
        title: "round trip of one 1 KiB record, acks=all, no fsync; floor: tokio echo",
        aim: "p50 ≤ 1.4 ×, p99 ≤ 1.5 × the floor; moonshot 1.15 ×, 1.2 ×",
        targets: &[most_of_floor("round trip p50 µs", 1.4), most_of_floor("round trip p99 µs", 1.5)],
        plotted: &["round trip p50 µs", "round trip p99 µs"],
        impossible: None,
    },
    Entry {
        row: Row(6),
        name: "end to end, 2,000/s",
        title: "from producer to consumer, 2,000 records of 1 KiB a second, linger 0, acks=all, no fsync; from the intended time; floor: tokio echo at the same pace",
        aim: "p50 0.25 ms, p99 1.0 ms; moonshot 0.15, 0.4 ms",
        targets: &[at_most("p50 ms", 0.25), at_most("p99 ms", 1.0)],
        plotted: &["p50 ms", "p99 ms"],
        impossible: None,
    },
    Entry {
        row: Row(7),
        name: "fsync before ack",
        title: "one 1 KiB record, acks=all, flush.messages=1 (fsync before the ack); floor: 4 KiB fdatasync (growing or preallocated file) + tokio echo",
        aim: "2,000/s p50 1 ms, p99 6 ms; round trip ≤ 1.3 × the floor; moonshot 0.5 ms, 2 ms, 1.1 ×",
        targets: &[
            at_most("2,000/s p50 ms", 1.0),
            at_most("2,000/s p99 ms", 6.0),
            most_of_floor("round trip p50 µs", 1.3),
        ],
        plotted: &["2,000/s p99 ms"],
        impossible: None,
    },
    Entry {
        row: Row(8),
        name: "start",
        title: "exec → first ack, on an empty directory and with 10,000 partitions after a clean end; floor: exec → first echo",
        aim: "50 ms empty, 1 s with 10,000 partitions; moonshot 10, 150 ms",
        targets: &[at_most("first ack, empty ms", 50.0), at_most("first ack, 10,000 ms", 1_000.0)],
        plotted: &["first ack, 10,000 ms"],
        impossible: None,
    },
    Entry {
        row: Row(9),
        name: "kill -9",
        title: "kill -9 → first ack, 5 GB unflushed in 12 partitions, everything audited",
        aim: "1 s; moonshot 100 ms",
        targets: &[at_most("first ack ms", 1_000.0)],
        plotted: &["first ack ms"],
        impossible: None,
    },
    Entry {
        row: Row(10),
        name: "memory",
        title: "RssAnon idle, with 10,000 partitions (both in the course of row 8), and at most in any row of this run",
        aim: "20, 60, 150 MiB; moonshot 8, 25, 64 MiB",
        targets: &[
            at_most("RssAnon idle MiB", 20.0),
            at_most("RssAnon 10,000 MiB", 60.0),
            at_most(PEAK_UNDER_LOAD, 150.0),
        ],
        plotted: &["RssAnon 10,000 MiB", PEAK_UNDER_LOAD],
        impossible: None,
    },
    Entry {
        row: Row(11),
        name: "idle CPU",
        title: "CPU while nobody asks anything, of one processor (in the course of row 12)",
        aim: "≤ 0.3 % with 10,000 partitions and 1,000 idle connections; moonshot 0.05 %",
        targets: &[at_most("idle CPU %, 10,000 partitions and 1,000 connections", 0.3)],
        plotted: &[],
        impossible: None,
    },
    Entry {
        row: Row(12),
        name: "1,000 connections",
        title: "1,000 connections, one record at a time over each in turn, beside 10,000 partitions; floor: tokio echo",
        aim: "round trip ≤ 1.1 × that over one connection; 16 KiB each; moonshot 1.0 ×, 4 KiB",
        targets: &[at_most("1,000 ÷ 1, p50", 1.1), at_most("RssAnon per idle connection KiB", 16.0)],
        plotted: &["1,000 connections: round trip p50 µs"],
        impossible: None,
    },
    Entry {
        row: Row(13),
        name: "many partitions",
        title: "produce 1 KiB records in 16 KiB batches over many partitions in turn, 5 in flight, acks=all, no fsync; log.index.size.max.bytes=524288",
        aim: "≥ 0.6 of the rate into one partition; moonshot 0.85; 10,000 partitions in one round, and not with --quick",
        targets: &[at_least("2,000 ÷ 1", 0.6), at_least("10,000 ÷ 1", 0.6)],
        plotted: &["2,000 partitions: MB/s"],
        impossible: None,
    },
    Entry {
        row: Row(14),
        name: "creation",
        title: "create 10,000 partitions → all take records (in the course of row 8)",
        aim: "1 s, 1 CPU-s; moonshot 200 ms",
        targets: &[at_most("create 10,000 s", 1.0), at_most("create 10,000 CPU-s", 1.0)],
        plotted: &["create 10,000 s"],
        impossible: None,
    },
    Entry {
        row: Row(15),
        name: "TLS fetch",
        title: "fetch over TLS",
        aim: "CPU ≤ 1.4 × (pread + send + AES); moonshot 1.15 ×",
        targets: &[],
        plotted: &[],
        impossible: Some("the broker does not speak TLS yet"),
    },
    Entry {
        row: Row(16),
        name: "what lasts",
        title: "half load with retention, last fifth against first; and a producer beside a reader of what is not in memory",
        aim: "p99 last ÷ first ≤ 1.2; p99 beside a cold reader ÷ alone ≤ 1.5; moonshot 1.0, 1.1",
        targets: &[at_most("soak: last ÷ first, p99", 1.2), at_most("cold reader: p99 with ÷ without", 1.5)],
        plotted: &[],
        impossible: None,
    },
    Entry {
        row: Row(17),
        name: "three brokers",
        title: "three brokers on this machine, replication factor 3",
        aim: "MB/s ÷ (one-node MB/s ÷ 3) ≥ 0.7; moonshot 0.9",
        targets: &[],
        plotted: &[],
        impossible: Some("there is no cluster of several brokers yet"),
    },
    Entry {
        row: Row(18),
        name: "Kafka's perf tools, 100 B",
        title: "100 B records from kafka-producer-perf-test and to kafka-consumer-perf-test; floor: that of row 3 with batches of 128 KiB",
        aim: PERF_TOOLS,
        targets: &[],
        plotted: GENERATOR_PLOTS,
        impossible: None,
    },
    Entry {
        row: Row(19),
        name: "Kafka's perf tools, 1 KiB",
        title: "1 KiB records from kafka-producer-perf-test and to kafka-consumer-perf-test; floor: that of row 2 with batches of 128 KiB",
        aim: PERF_TOOLS,
        targets: &[],
        plotted: GENERATOR_PLOTS,
        impossible: None,
    },
    Entry {
        row: Row(20),
        name: "librdkafka, 100 B",
        title: "100 B records from and to librdkafka; floor: that of row 3 with batches of 128 KiB",
        aim: LIBRDKAFKA,
        targets: &[],
        plotted: GENERATOR_PLOTS,
        impossible: None,
    },
    Entry {
        row: Row(21),
        name: "librdkafka, 1 KiB",
        title: "1 KiB records from and to librdkafka; floor: that of row 2 with batches of 128 KiB",
        aim: LIBRDKAFKA,
        targets: &[],
        plotted: GENERATOR_PLOTS,
        impossible: None,
    },
];

/// The figure of row 10 that is made of all other rows.
pub(crate) const PEAK_UNDER_LOAD: &str = "RssAnon peak under load MiB";

/// Whether more of a figure is better, as its name tells; `None` where a name alone does not.
pub(crate) fn more_is_better(figure: &str) -> Option<bool> {
    let target = CATALOGUE.iter().flat_map(|entry| entry.targets).find(|target| target.figure == figure);
    if let Some(target) = target {
        return Some(target.is_least);
    }
    let ends = |ends: &[&str]| ends.iter().any(|end| figure.ends_with(end));
    match figure {
        _ if figure.starts_with("fdatasync") || figure.contains("generator's") => None,
        _ if figure.contains("CPU") || figure.contains("RssAnon") || figure.contains("VmHWM") => Some(false),
        _ if ends(&["MB/s", "records/s", "on the wire", "rate /s"]) => Some(true),
        _ if ends(&[" ms", " µs", " s"]) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_say_why_they_are_not_measured() {
        assert!(CATALOGUE.windows(2).all(|pair| pair[0].row < pair[1].row));
        for entry in CATALOGUE {
            assert!(entry.impossible.is_none() || entry.targets.is_empty(), "row {}", entry.row.0);
        }
    }

    #[test]
    fn the_better_direction_follows_from_the_name() {
        for (figure, expected) in [
            ("MB/s", Some(true)),
            ("produce: k records/s", Some(true)),
            ("held rate /s", Some(true)),
            ("CPU-s/M records", Some(false)),
            ("consume: RssAnon peak MiB", Some(false)),
            ("round trip p99 µs", Some(false)),
            ("2,000 ÷ 1", Some(true)),
            ("1,000 ÷ 1, p50", Some(false)),
            ("fdatasync p50 µs", None),
        ] {
            assert_eq!(more_is_better(figure), expected, "{figure}");
        }
    }
}
