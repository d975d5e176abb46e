//! Each side's offline tool on the other side's files: Apache's `DumpLogSegments` on ottla's, `ottla log verify` on Kafka's.

use super::segments::files_of;
use crate::apache::Apache;
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::capture;
use std::path::Path;

/// What `DumpLogSegments` prints when something is wrong; it ends well all the same.
const COMPLAINTS: [&str; 6] = [
    "Found timestamp mismatch",
    "Found out of order timestamp",
    "Index position",
    "Mismatches in",
    "isvalid: false",
    "trailing bytes",
];

/// What it prints between two offsets with others between them.
const GAP: &str = "is followed by";

/// Apache's tool reads every segment, index and time index of these topics; returns how many files there were.
pub(crate) fn apache_reads(apache: &Apache, data: &Path, topics: &[String]) -> Result<usize, Failure> {
    apache_reads_without(&[&COMPLAINTS[..], &[GAP]].concat(), apache, data, topics)
}

/// The same for topics that were compacted, in which offsets are missing.
pub(crate) fn apache_reads_compacted(
    apache: &Apache,
    data: &Path,
    topics: &[String],
) -> Result<usize, Failure> {
    apache_reads_without(&COMPLAINTS, apache, data, topics)
}

fn apache_reads_without(
    complaints: &[&str],
    apache: &Apache,
    data: &Path,
    topics: &[String],
) -> Result<usize, Failure> {
    let mut count = 0;
    for (extension, flags) in [
        ("log", &["--deep-iteration"][..]),
        ("index", &["--index-sanity-check"]),
        ("index", &["--verify-index-only"]),
        ("timeindex", &["--verify-index-only"]),
    ] {
        let mut files = Vec::new();
        for topic in topics {
            files.extend(files_of(data, topic, extension)?);
        }
        if files.is_empty() {
            return Err(Failure::Claim(format!("no .{extension} file in {}", data.display())));
        }
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let mut command = apache.tool("dump-log")?;
        command.args(flags).arg("--files").arg(names.join(","));
        let printed = capture(&mut command)?;
        for complaint in complaints {
            // The first batch of any segment but the first "follows" -1 in Kafka's own files, too.
            let real = |line: &&str| {
                line.contains(*complaint) && !line.trim_start().starts_with("-1 is followed by")
            };
            if let Some(line) = printed.lines().find(real) {
                return Err(Failure::Claim(format!("DumpLogSegments {}: {line}", flags.join(" "))));
            }
        }
        count += files.len();
    }
    Ok(count)
}

/// `ottla log verify` reads a whole log directory; returns how many partitions it found in order.
pub(crate) fn ottla_reads(ottla: &Ottla, data: &Path) -> Result<usize, Failure> {
    let printed = capture(ottla.command().args(["log", "verify"]).arg(data))?;
    let sound = printed.lines().filter(|line| line.trim_end().ends_with(" ok")).count();
    if sound == 0 {
        return Err(Failure::Claim(format!("no partition was verified:\n{printed}")));
    }
    Ok(sound)
}
