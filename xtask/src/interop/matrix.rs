//! The matrix: three producers, five codecs, three consumers, and one digest that all forty-five cells must show.

use super::digest::{self, Digest};
use super::segments;
use super::speakers::Speakers;
use crate::failure::Failure;
use crate::scoreboard::Scoreboard;
use std::path::Path;
use std::time::Instant;

/// Every topic of the matrix has this many partitions.
pub(crate) const PARTITION_COUNT: i32 = 12;
/// Kafka's codecs, by the names that `compression.type` takes.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Fills the matrix and prints it. `data` is the broker's log directory, if it is on this machine.
pub(crate) fn run(
    speakers: &Speakers<'_>,
    clients: &[String],
    input: &Path,
    data: Option<&Path>,
    scratch: &Path,
    board: &mut Scoreboard,
) -> Result<(), Failure> {
    let expected = digest::of_input(input, PARTITION_COUNT)?;
    println!(
        "input: {} records, content {:016x}, order {:016x}, placement {:016x}",
        expected.count, expected.content, expected.order, expected.placement
    );
    let topics: Vec<String> = clients
        .iter()
        .flat_map(|client| CODECS.iter().map(move |codec| format!("flights-{client}-{codec}")))
        .collect();
    speakers.create_topics(&topics, PARTITION_COUNT)?;

    let mut table = vec![header(clients)];
    for client in clients {
        for codec in CODECS {
            let topic = format!("flights-{client}-{codec}");
            let started = Instant::now();
            let mut row = vec![client.clone(), codec.to_owned()];
            match speakers.produce(client, &topic, codec, input) {
                Ok(()) => {
                    row.push(format!("{:.1} s", started.elapsed().as_secs_f64()));
                    board.add(1, 0, 0);
                }
                Err(failure) => {
                    row.push("FAILED".to_owned());
                    board.fail(&format!("produce {topic}"), &failure.to_string());
                    println!("{failure}");
                    table.push(row);
                    continue;
                }
            }
            for reader in clients {
                row.push(cell(speakers, reader, &topic, scratch, expected, board));
            }
            row.push(data.map_or(Ok("-".to_owned()), |data| on_disk(data, &topic, codec, board))?);
            println!("{}", row.join("  "));
            table.push(row);
        }
    }
    print_table(&table);
    Ok(())
}

fn header(clients: &[String]) -> Vec<String> {
    let mut header = ["producer", "codec", "produced in"].map(str::to_owned).to_vec();
    header.extend(clients.iter().map(|client| format!("read by {client}")));
    header.push("batches on disk".to_owned());
    header
}

/// Reads a topic back through one client and compares.
fn cell(
    speakers: &Speakers<'_>,
    reader: &str,
    topic: &str,
    scratch: &Path,
    expected: Digest,
    board: &mut Scoreboard,
) -> String {
    let started = Instant::now();
    let name = format!("{topic} read by {reader}");
    let read = speakers.consume(reader, topic, scratch);
    let seconds = started.elapsed().as_secs_f64();
    match read {
        Ok(digest) if digest == expected => {
            board.add(1, 0, 0);
            format!("{} = {seconds:.1} s", digest.count)
        }
        Ok(digest) => {
            let why = differences(digest, expected);
            println!("{name}: {why}");
            board.fail(&name, &why);
            format!("{} DIFFERS", digest.count)
        }
        Err(failure) => {
            println!("{name}: {failure}");
            board.fail(&name, &failure.to_string());
            "FAILED".to_owned()
        }
    }
}

fn differences(found: Digest, expected: Digest) -> String {
    let mut words = Vec::new();
    for (what, found, expected) in [
        ("count", found.count, expected.count),
        ("content", found.content, expected.content),
        ("order", found.order, expected.order),
        ("placement", found.placement, expected.placement),
    ] {
        if found != expected {
            words.push(format!("{what} is {found:x} instead of {expected:x}"));
        }
    }
    words.join(", ")
}

/// Whether the batches on disk carry the codec that the producer was told.
fn on_disk(data: &Path, topic: &str, codec: &str, board: &mut Scoreboard) -> Result<String, Failure> {
    let counts = segments::batches_by_codec(data, topic)?;
    let text = counts.iter().map(|(codec, count)| format!("{count} {codec}")).collect::<Vec<_>>().join(" ");
    if counts.keys().eq([&codec]) {
        board.add(1, 0, 0);
    } else {
        board.fail(&format!("{topic} on disk"), &format!("expected {codec} batches, found {text}"));
    }
    Ok(text)
}

/// Prints rows of cells, each column as wide as its widest cell.
pub(crate) fn print_table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    println!();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        println!("| {} |", cells.join(" | "));
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            println!("|-{}-|", rule.join("-|-"));
        }
    }
    println!();
}
