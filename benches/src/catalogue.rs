//! What each row is and what it aims at: PERFORMANCE.md §4 as a table that verdicts and plots are made from.

use crate::rows::Row;

/// One row.
pub(crate) struct Entry {
    pub(crate) row: Row,
    pub(crate) title: &'static str,
    /// The target and the moonshot, in words.
    pub(crate) aim: &'static str,
    pub(crate) targets: &'static [Target],
    /// The figures that are worth a picture.
    pub(crate) plotted: &'static [&'static str],
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
#[derive(Clone, Copy)]
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

/// All rows, in order.
pub(crate) const CATALOGUE: &[Entry] = &[
    Entry {
        row: Row(1),
        title: "fetch 1 MiB, hot, depth 1, one connection",
        aim: "MB/s ≥ 0.70, CPU ≤ 1.5 × the floor; moonshot 0.90, 1.2 ×",
        targets: &[least_of_floor("MB/s", 0.70), most_of_floor("CPU-s/GB", 1.5)],
        plotted: &["MB/s", "CPU-s/GB"],
    },
    Entry {
        row: Row(2),
        title: "produce 1 KiB records in 256 KiB batches, 5 in flight, acks=all, no fsync",
        aim: "MB/s ≥ 0.60, CPU ≤ 1.6 × the floor; moonshot 0.85, 1.2 ×",
        targets: &[least_of_floor("MB/s", 0.60), most_of_floor("CPU-s/GB", 1.6)],
        plotted: &["MB/s", "CPU-s/GB"],
    },
    Entry {
        row: Row(3),
        title: "produce 100 B records in 16 KiB batches, 5 in flight, acks=all, no fsync",
        aim: "MB/s ≥ 0.45, CPU ≤ 2.5 × the floor; moonshot 0.75, 1.5 ×",
        targets: &[least_of_floor("MB/s", 0.45), most_of_floor("CPU-s/GB", 2.5)],
        plotted: &["k records/s", "CPU-s/GB"],
    },
    Entry {
        row: Row(4),
        title: "produce 1 KiB records, half of each repeating, packed by lz4, beside plain ones; as row 2",
        aim: "CPU per wire GB ≤ 1.2 × that of plain batches; moonshot 1.0 ×",
        targets: &[at_most("lz4 ÷ plain, CPU per wire GB", 1.2)],
        plotted: &["lz4: CPU-s per wire GB"],
    },
    Entry {
        row: Row(5),
        title: "round trip of one 1 KiB record, acks=all, no fsync; floor: tokio echo",
        aim: "p50 ≤ 1.4 ×, p99 ≤ 1.5 × the floor; moonshot 1.15 ×, 1.2 ×",
        targets: &[most_of_floor("round trip p50 µs", 1.4), most_of_floor("round trip p99 µs", 1.5)],
        plotted: &["round trip p50 µs", "round trip p99 µs"],
    },
    Entry {
        row: Row(6),
        title: "from producer to consumer, 2,000 records a second, linger 0, acks=all; from the intended time",
        aim: "p50 0.25 ms, p99 1.0 ms; moonshot 0.15, 0.4 ms",
        targets: &[at_most("p50 ms", 0.25), at_most("p99 ms", 1.0)],
        plotted: &["p50 ms", "p99 ms"],
    },
    Entry {
        row: Row(7),
        title: "one 1 KiB record, acks=all, flush.messages=1 (fsync before the ack); floor: 4 KiB fdatasync (growing or preallocated file) + tokio echo",
        aim: "2,000/s p50 1 ms, p99 6 ms; round trip ≤ 1.3 × the floor; moonshot 0.5 ms, 2 ms, 1.1 ×",
        targets: &[
            at_most("2,000/s p50 ms", 1.0),
            at_most("2,000/s p99 ms", 6.0),
            most_of_floor("round trip p50 µs", 1.3),
        ],
        plotted: &["2,000/s p99 ms"],
    },
    Entry {
        row: Row(8),
        title: "exec → first ack; and rows 10 and 14: memory, creation of 10,000 partitions",
        aim: "50 ms empty, 1 s with 10,000 partitions; RssAnon 20 and 60 MiB; creation 1 s, 1 CPU-s",
        targets: &[
            at_most("first ack, empty ms", 50.0),
            at_most("first ack, 10,000 ms", 1_000.0),
            at_most("RssAnon idle MiB", 20.0),
            at_most("RssAnon 10,000 MiB", 60.0),
            at_most("create 10,000 s", 1.0),
            at_most("create 10,000 CPU-s", 1.0),
        ],
        plotted: &["first ack, 10,000 ms", "RssAnon 10,000 MiB"],
    },
    Entry {
        row: Row(9),
        title: "kill -9 → first ack, 5 GB unflushed in 12 partitions, everything audited",
        aim: "1 s; moonshot 100 ms",
        targets: &[at_most("first ack ms", 1_000.0)],
        plotted: &["first ack ms"],
    },
    Entry {
        row: Row(12),
        title: "1,000 connections, beside 10,000 partitions; and row 11: idle CPU",
        aim: "round trip ≤ 1.1 × that over one connection; 16 KiB each; idle CPU ≤ 0.3 %; moonshot 1.0 ×, 4 KiB, 0.05 %",
        targets: &[
            at_most("1,000 ÷ 1, p50", 1.1),
            at_most("RssAnon per idle connection KiB", 16.0),
            at_most("idle CPU %, 10,000 partitions and 1,000 connections", 0.3),
        ],
        plotted: &["1,000 connections: round trip p50 µs"],
    },
    Entry {
        row: Row(13),
        title: "produce 1 KiB records in 16 KiB batches over many partitions in turn, 5 in flight, acks=all",
        aim: "≥ 0.6 of the rate into one partition; moonshot 0.85",
        targets: &[at_least("2,000 ÷ 1", 0.6), at_least("10,000 ÷ 1", 0.6)],
        plotted: &["2,000 partitions: MB/s"],
    },
    Entry {
        row: Row(16),
        title: "half load with retention, last fifth against first; and a producer beside a reader of what is not in memory",
        aim: "p99 last ÷ first ≤ 1.2; p99 beside a cold reader ÷ alone ≤ 1.5; moonshot 1.05, 1.1",
        targets: &[
            at_most("soak: last ÷ first, p99", 1.2),
            at_most("cold reader: p99 with ÷ without", 1.5),
        ],
        plotted: &[],
    },
];
