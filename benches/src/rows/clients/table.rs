//! The table of the clients: one per broker and direction, a line per size and client.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{Client, ClientSample};
use crate::error::{Doing, Result};
use crate::machine::Machine;
use crate::stats::{Spread, spread};

#[derive(Serialize)]
struct Kept<'a> {
    machine: &'a Machine,
    samples: &'a [ClientSample],
}

/// Prints the table, and writes it and every sample to `dir`.
pub(crate) fn publish(machine: &Machine, samples: &[ClientSample], dir: &Path, name: &str) -> Result<()> {
    let markdown = render(machine, samples);
    println!("{markdown}");
    fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
    let json = serde_json::to_string_pretty(&Kept { machine, samples }).unwrap_or_default();
    for (extension, text) in [("md", markdown), ("json", json + "\n")] {
        let path = dir.join(format!("{name}.{extension}"));
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn render(machine: &Machine, samples: &[ClientSample]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# Measured by `{}`\n", machine.command_line);
    let _ = writeln!(
        out,
        "{} × {}, {} MiB; Linux {}; {}; commit {}; Unix time {}.\n",
        machine.processor_count,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        machine.network,
        machine.commit,
        machine.unix_seconds
    );
    let _ = writeln!(
        out,
        "Medians with [min – max] over interleaved rounds, the warm-up round dropped. All clients: idempotent, acks=all, \
         linger 5 ms, batches of 128 KiB, uncompressed, four partitions, one producing thread. Processor time is the \
         client's own. The last column is the share of the machine that went to others: where it is large, only the \
         processor time means much.\n"
    );
    let kinds: BTreeSet<_> = samples.iter().map(|sample| (sample.broker, sample.action)).collect();
    for (broker, action) in kinds {
        let _ = writeln!(out, "## {action}, against {broker}\n");
        let _ = writeln!(
            out,
            "| bytes | client | records/s | MB/s | CPU-s per million | rate ÷ librdkafka | CPU ÷ librdkafka | others |"
        );
        let _ = writeln!(out, "|---|---|---|---|---|---|---|---|");
        let of_kind: Vec<&ClientSample> = samples
            .iter()
            .filter(|sample| sample.round > 0 && (sample.broker, sample.action) == (broker, action))
            .collect();
        let lines: BTreeSet<_> = of_kind.iter().map(|sample| (sample.value_bytes, sample.client)).collect();
        for (value_bytes, client) in lines {
            line(&mut out, &of_kind, value_bytes, client);
        }
        let _ = writeln!(out);
    }
    out
}

fn line(out: &mut String, samples: &[&ClientSample], value_bytes: usize, client: Client) {
    let of = |client: Client| {
        samples.iter().filter(move |sample| (sample.value_bytes, sample.client) == (value_bytes, client))
    };
    let figure = |figure: fn(&ClientSample) -> f64| cell(spread(of(client).map(|sample| figure(sample))));
    // Within a round: only figures of one moment can be compared on a machine whose speed drifts.
    let ratio = |figure: fn(&ClientSample) -> f64| {
        cell(spread(of(client).filter_map(|sample| {
            let other = of(Client::Librdkafka).find(|other| other.round == sample.round)?;
            Some(figure(sample) / figure(other))
        })))
    };
    let _ = writeln!(
        out,
        "| {value_bytes} | {client} | {} | {} | {} | {} | {} | {} |",
        figure(|sample| sample.records_per_s),
        figure(|sample| sample.mb_per_s),
        figure(|sample| sample.cpu_s_per_million),
        ratio(|sample| sample.records_per_s),
        ratio(|sample| sample.cpu_s_per_million),
        figure(|sample| sample.foreign_share),
    );
}

fn cell(spread: Option<Spread>) -> String {
    let Some(Spread { median, min, max }) = spread else { return "–".to_owned() };
    if min == max {
        digits(median)
    } else {
        format!("**{}** [{} – {}]", digits(median), digits(min), digits(max))
    }
}

fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::Action;
    use super::*;
    use crate::system::System;

    #[test]
    fn ratios_are_taken_within_a_round_and_the_first_round_is_dropped() {
        let sample = |client, round, records_per_s| ClientSample {
            broker: System::Ottla,
            action: Action::Produce,
            value_bytes: 100,
            client,
            round,
            records_per_s,
            mb_per_s: 1.0,
            cpu_s_per_million: 1.0,
            foreign_share: 0.0,
        };
        let samples = [
            sample(Client::Ottla, 0, 9.0),
            sample(Client::Ottla, 1, 30.0),
            sample(Client::Librdkafka, 1, 20.0),
            sample(Client::Ottla, 2, 20.0),
            sample(Client::Librdkafka, 2, 10.0),
        ];
        let table = render(&Machine::describe(String::new()), &samples);
        assert!(table.contains("**1.75** [1.50 – 2.00]"), "{table}");
        assert!(table.contains("| 100 | ottla | **25.0** [20.0 – 30.0]"), "{table}");
    }
}
