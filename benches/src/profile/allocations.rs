//! What one request makes the broker allocate: pieces and bytes, for batches of one record up to ten thousand.
//!
//! A broker that counts (`ottla-counting-broker`) serves requests one at a time over one connection; counted is what came on
//! top between two readings, after a warm-up, divided by the requests. It says nothing about time.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::Serialize;

use crate::batch::{Shape, build};
use crate::error::{BenchError, Doing, Result};
use crate::rows::now_ms;
use crate::wire::{Connection, PreparedProduce};

const RECORDS: [u32; 3] = [1, 100, 10_000];
/// Ten thousand of them stay below the largest batch that a broker takes.
const VALUE_BYTES: usize = 64;
const WARM_UP_REQUESTS: u32 = 50;
const REQUESTS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// What one request allocated.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Allocated {
    pub(crate) request: &'static str,
    pub(crate) records: u32,
    pub(crate) batch_bytes: usize,
    /// Pieces a request; a piece that grows counts again.
    pub(crate) pieces: f64,
    /// Bytes a request.
    pub(crate) bytes: f64,
}

/// A broker that counts, spoken with through its standard streams.
struct CountingBroker {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl CountingBroker {
    fn start(program: &Path, data: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg(data).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().doing(|| format!("start {}", program.display()))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => {
                Ok(Self { child, questions, answers: BufReader::new(answers) })
            }
            _ => Err(BenchError::Server("the counting broker has no pipes".to_owned())),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).doing(|| "listen to the counting broker".to_owned())?;
        Ok(line.trim().to_owned())
    }

    fn address(&mut self) -> Result<SocketAddr> {
        let line = self.line()?;
        line.parse().map_err(|_| BenchError::Server(format!("the counting broker said {line:?}")))
    }

    /// Pieces and bytes up to now.
    fn read(&mut self) -> Result<(u64, u64)> {
        writeln!(self.questions).doing(|| "ask the counting broker".to_owned())?;
        let line = self.line()?;
        let numbers = line.split_once(' ');
        let parsed = numbers.and_then(|(pieces, bytes)| Some((pieces.parse().ok()?, bytes.parse().ok()?)));
        parsed.ok_or_else(|| BenchError::Server(format!("the counting broker said {line:?}")))
    }
}

impl Drop for CountingBroker {
    fn drop(&mut self) {
        // One that has ended answers with an error, which is what we want to hear.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Counts for all kinds of requests.
pub(crate) fn measure(program: &Path, work_dir: &Path) -> Result<Vec<Allocated>> {
    let data = work_dir.join("counting-broker");
    let mut broker = CountingBroker::start(program, &data)?;
    let mut connection = Connection::open(broker.address()?)?;
    let mut counted = Vec::new();
    for records in RECORDS {
        let topic = format!("counted-{records}");
        let shape = Shape { value_bytes: VALUE_BYTES, batch_bytes_max: usize::MAX };
        connection.create_topic(&topic, 1, &[])?;
        let prepared = PreparedProduce::new(&topic, 0, build(shape, Some(records), now_ms(), 1));
        connection.produce_until_acked(&prepared, PATIENCE)?;
        let batch_bytes = prepared.batch.bytes.len();
        let mut note = |request, (pieces, bytes)| {
            counted.push(Allocated { request, records, batch_bytes, pieces, bytes });
        };
        note(
            "produce",
            each(&mut broker, || {
                connection.send_produce(&prepared)?;
                connection.receive_ack().map(drop)
            })?,
        );
        // The least that may be asked for brings one batch.
        note("fetch", each(&mut broker, || connection.fetch(&topic, 0, 0, 1, |_| {}).map(drop))?);
    }
    let member = connection.join_alone("counted", PATIENCE)?;
    let (pieces, bytes) = each(&mut broker, || connection.heartbeat(&member))?;
    counted.push(Allocated { request: "heartbeat", records: 0, batch_bytes: 0, pieces, bytes });
    drop(broker);
    fs::remove_dir_all(&data).doing(|| format!("remove {}", data.display()))?;
    Ok(counted)
}

/// Pieces and bytes for each of many requests.
fn each(broker: &mut CountingBroker, mut request: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    (0..WARM_UP_REQUESTS).try_for_each(|_| request())?;
    let before = broker.read()?;
    (0..REQUESTS).try_for_each(|_| request())?;
    let after = broker.read()?;
    let per_request = |before: u64, after: u64| (after - before) as f64 / f64::from(REQUESTS);
    Ok((per_request(before.0, after.0), per_request(before.1, after.1)))
}
