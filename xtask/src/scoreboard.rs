//! Counts what passed, failed and was skipped, and ends with the one line that CI reads.
//!
//! A failed step does not stop the ones after it: one run shows everything that is wrong.

use crate::failure::Failure;
use std::time::Instant;

/// The outcome of a task so far.
#[derive(Default)]
pub(crate) struct Scoreboard {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
}

impl Scoreboard {
    /// Runs one step, prints its name, time and failure, and counts it.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<(), Failure>) -> bool {
        println!("\n== {name}");
        let started = Instant::now();
        let result = step();
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                println!("== {name}: ok ({seconds:.1} s)");
                self.passed += 1;
                true
            }
            Err(failure) => {
                println!("== {name}: FAILED ({seconds:.1} s)\n{failure}");
                self.fail(name, &failure.to_string());
                false
            }
        }
    }

    /// Counts one failure.
    pub(crate) fn fail(&mut self, name: &str, why: &str) {
        self.failed += 1;
        self.failures.push(format!("{name}: {}", why.lines().next().unwrap_or_default()));
    }

    /// Counts what another runner has counted.
    pub(crate) fn add(&mut self, passed: u64, failed: u64, skipped: u64) {
        self.passed += passed;
        self.failed += failed;
        self.skipped += skipped;
    }

    /// Takes over everything that another scoreboard has seen.
    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.passed, other.failed, other.skipped);
        self.failures.extend(other.failures);
    }

    /// Prints the failures and the closing line; a failure if anything failed.
    pub(crate) fn close(self, task: &str) -> Result<(), Failure> {
        for failure in &self.failures {
            println!("FAILED {failure}");
        }
        println!("\n{task}: {} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 {
            return Ok(());
        }
        Err(Failure::Claim(format!("{task}: {} failed", self.failed)))
    }
}
