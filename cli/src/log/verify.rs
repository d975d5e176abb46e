//! `ottla log verify`: does everything in the files hold?

use ottla_log::storage::RealStorage;
use ottla_log::{Verification, inspect, verify_partition};
use serde_json::{Value, json};

use super::VerifyArguments;
use super::targets::partition_directories;
use crate::failure::Failure;
use crate::report::Report;

/// Runs the command.
pub(crate) fn run(arguments: &VerifyArguments) -> Result<(), Failure> {
    let storage = RealStorage::new();
    let mut report = Report::new(&[
        "partition",
        "segments",
        "batches",
        "records",
        "bytes",
        "first",
        "end",
        "index_entries",
        "verdict",
    ]);
    let mut finding_count = 0;
    for path in &arguments.paths {
        for directory in partition_directories(path)? {
            let found =
                verify_partition(&storage, &directory).map_err(|error| Failure::new(error.to_string()))?;
            let name =
                inspect::partition_of(&directory).map_or_else(String::new, |partition| partition.to_string());
            finding_count += found.findings.len();
            for finding in &found.findings {
                eprintln!("ottla: {}: {}", finding.path.display(), finding.what);
            }
            row(&mut report, &name, &found);
        }
    }
    report.print(arguments.output)?;
    match finding_count {
        0 => Ok(()),
        1 => Err(Failure::new("one thing is wrong, see above")),
        count => Err(Failure::new(format!("{count} things are wrong, see above"))),
    }
}

fn row(report: &mut Report, name: &str, found: &Verification) {
    let offset =
        |offset: Option<ottla_client::Offset>| offset.map_or(Value::Null, |offset| json!(offset.get()));
    let verdict = if found.findings.is_empty() { "ok" } else { "damaged" };
    report.row([
        json!(name),
        json!(found.segments),
        json!(found.batches),
        json!(found.records),
        json!(found.bytes),
        offset(found.first_offset),
        offset(found.end_offset),
        json!(found.index_entries),
        json!(verdict),
    ]);
}
