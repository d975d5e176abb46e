//! `ottla-benches run`: measures the rows that were asked for, one after the other, and publishes what came of them.
//!
//! A row that fails has no result; the others still have theirs, and the page says why one is missing.
#![allow(clippy::print_stdout, reason = "how long it took is a part of what this program tells")]

use std::time::Instant;

use crate::comparison::peaks_under_load;
use crate::error::{BenchError, Doing, Result};
use crate::machine::Machine;
use crate::report::Run;
use crate::rows::{self, Plan, Row, Sample};
use crate::{RunArgs, network, page, plan, process, report};

/// The results as seen from a page in `docs/`.
const RESULTS_FROM_PAGE: &str = "../benches/results";

/// Measures and publishes.
pub(crate) fn run(arguments: &RunArgs) -> Result<()> {
    let network = network(arguments);
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let plan = plan(arguments, temporary.path())?;
    let machine = Machine::describe(network).with_disk_of(&plan.places.work_dir);
    let (mut samples, mut absent, mut took) = (Vec::new(), Vec::new(), Vec::new());
    let mut failed = Vec::new();
    for row in &arguments.rows {
        let from = Instant::now();
        match measure(&plan, *row, !arguments.no_spinners) {
            Ok(measured) => samples.extend(measured),
            Err(error) => {
                eprintln!("row {row}: {error}");
                if !matches!(error, BenchError::Absent(_)) {
                    failed.push(*row);
                }
                absent.push((*row, error.to_string()));
            }
        }
        took.push((*row, from.elapsed().as_secs_f64()));
    }
    samples.extend(peaks_under_load(&samples));
    let name = arguments.name.clone().unwrap_or_else(|| machine.unix_seconds.to_string());
    let run = Run {
        machine: &machine,
        name: &name,
        samples: &samples,
        absent: &absent,
        took: &took,
        has_pictures: !arguments.quick,
    };
    if !samples.is_empty() {
        report::publish(&run, &arguments.results)?;
        if let Some(path) = &arguments.page {
            page::write(path, &run, RESULTS_FROM_PAGE)?;
        }
    }
    println!("{}", report::describe_time(&run));
    if failed.is_empty() {
        return Ok(());
    }
    Err(BenchError::Void(format!("rows without a result: {failed:?}")))
}

fn measure(plan: &Plan, row: u8, spinners: bool) -> Result<Vec<Sample>> {
    // Not row 7: a disk's interrupt may wait for the tick while its processor spins, and the bare fdatasync takes 8 ms.
    let _spinners = if spinners && matches!(row, 5 | 6 | 16) {
        process::spinners(&plan.places.work_dir)?
    } else {
        Vec::new()
    };
    match row {
        1 => rows::fetch::row_1(plan),
        2 => rows::produce::row_2(plan),
        3 => rows::produce::row_3(plan),
        4 => rows::produce::row_4(plan),
        5 => rows::round_trip::row_5(plan),
        6 => rows::end_to_end::row_6(plan),
        7 => rows::round_trip::row_7(plan),
        8 => rows::launch::row_8(plan),
        9 => rows::crash::row_9(plan),
        12 => rows::connections::row_12(plan),
        13 => rows::produce::row_13(plan),
        16 => rows::soak::row_16(plan),
        18..=21 => rows::generators::row(plan, Row(row)),
        10 | 14 => Err(BenchError::Absent("it is measured in the course of row 8".to_owned())),
        11 => Err(BenchError::Absent("it is measured in the course of row 12".to_owned())),
        other => Err(BenchError::Void(format!("there is no row {other} here"))),
    }
}
