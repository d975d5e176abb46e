//! librdkafka as a generator: the worker process of the client benches, asked for one job.

use std::net::SocketAddr;

use super::Said;
use crate::error::{BenchError, Result};
use crate::rows::Figures;
use crate::rows::clients::{Action, Client, Job, run_worker};

/// Sends or reads `records`, without a warm-up: its report would leave that out, the broker's CPU would not.
pub(super) fn run(
    action: Action,
    address: SocketAddr,
    topic: &str,
    records: u64,
    value_bytes: usize,
) -> Result<Said> {
    let job = Job {
        client: Client::Librdkafka,
        action,
        bootstrap: address.to_string(),
        topic: topic.to_owned(),
        records,
        warm: 0,
        value_bytes,
    };
    let report = run_worker(&job)?;
    if (report.records, report.bytes) != (records, records * value_bytes as u64) {
        return Err(BenchError::Void(format!("librdkafka {action}: {report}")));
    }
    Ok(Said { records, elapsed_s: report.wall_s, more: Figures::new() })
}
