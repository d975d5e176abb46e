//! Fetch (1), versions 4 to 12: record batches as regions of their segment files, by long poll (KIP-74, KIP-227, KIP-320).
//!
//! A request is read once; if it finds `min_bytes`, an error or no patience, it is answered at once on the same task.
//! Otherwise it leaves a [`FetchWait`] with every partition it reads and is read again when it is woken or its time is
//! up. Partitions keep the order of the request. Record bytes never enter our memory here: a row carries the length of
//! its region, and the region travels beside it to the socket.

mod rows;
mod session;

use std::sync::Arc;

use ottla_cluster::fetch_session::Interest;
use ottla_protocol::codec::Str;
use ottla_protocol::frame;
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse};
use ottla_protocol::{ApiKey, ErrorCode, Offset};

use self::rows::Rows;
use self::session::SessionTurn;
use super::{RequestContext, not_encodable};
use crate::cold_reads::{self, CHUNK_BYTES, ColdRead};
use crate::connection::Handled;
use crate::partition::{FetchWait, Partition};
use crate::response::{CloseReason, Reply, Response};
use crate::rt::time::{self, Instant};

/// As much as a search for a batch reads at a time.
const HEADERS_BYTES: u32 = 8 << 10;

/// A partition as a fetch names it.
pub(crate) type FetchKey = (Str, i32);

/// A request past its session: what to read, and when it is enough.
struct Fetch {
    context: RequestContext,
    turn: SessionTurn,
    reads: Vec<(FetchKey, Interest)>,
    read_committed: bool,
    bytes_min: i64,
    bytes_max: usize,
}

/// A partition that was read, and how far it was readable then.
type Seen = (Arc<Partition>, Offset);

/// Reads, and waits if there is reason to.
pub(super) fn handle(context: RequestContext, request: FetchRequest) -> Handled {
    let deadline = time::now() + time::duration_ms(i64::from(request.max_wait_ms));
    let patient = request.max_wait_ms > 0;
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(context.core.limits.fetch_bytes_max);
    let bytes_min = i64::from(request.min_bytes);
    let read_committed = request.isolation_level == 1;
    if request.replica_id >= 0 {
        // No other broker is in this cluster, so nobody has the right to read past the high watermark.
        return Handled::Done(refuse(&context, ErrorCode::NOT_LEADER_OR_FOLLOWER));
    }
    let (turn, reads) = match session::take_turn(&context, request) {
        Ok(turn) => turn,
        Err(code) => return Handled::Done(refuse(&context, code)),
    };
    let fetch = Fetch { context, turn, reads, read_committed, bytes_min, bytes_max };
    let cold = fetch.pull_cold_starts();
    if !cold.is_empty() {
        return Handled::Future(Box::pin(fetch.read_once_warm(cold, patient.then_some(deadline))));
    }
    let (rows, seen) = fetch.read();
    if !patient || seen.is_empty() || rows.is_enough(fetch.bytes_min) {
        return Handled::Done(fetch.reply(rows));
    }
    Handled::Future(Box::pin(fetch.wait(rows, seen, deadline)))
}

fn refuse(context: &RequestContext, error_code: ErrorCode) -> Reply {
    context.reply::<FetchRequest>(FetchResponse { error_code, ..FetchResponse::default() })
}

impl Fetch {
    /// Has the batches that this will look at first read elsewhere, if they are not in the page cache: a look at a cold
    /// header waits for the disk, and with it every connection of this worker.
    fn pull_cold_starts(&self) -> Vec<Arc<ColdRead>> {
        let core = &self.context.core;
        let topics = core.topics.load();
        let pull = |((topic, index), interest): &(FetchKey, Interest)| {
            let partition = topics.partition(topic, *index).ok()?;
            // What is wrong with it is found again, and told, by the read.
            let start = partition.log().start_of_read(interest.fetch_offset, CHUNK_BYTES).ok()??;
            (!cold_reads::is_cached(&start.first(HEADERS_BYTES))).then(|| core.cold_reads.pull(start))
        };
        // More than fit the answer need not be warm.
        self.reads.iter().filter_map(pull).take(1 + self.bytes_max / CHUNK_BYTES as usize).collect()
    }

    /// Without a deadline there is one answer, whatever is found.
    async fn read_once_warm(self, cold: Vec<Arc<ColdRead>>, deadline: Option<Instant>) -> Reply {
        for read in cold {
            std::future::poll_fn(|cx| read.poll_done(cx)).await;
        }
        let (rows, seen) = self.read();
        match deadline {
            Some(deadline) if !seen.is_empty() && !rows.is_enough(self.bytes_min) => {
                self.wait(rows, seen, deadline).await
            }
            _ => self.reply(rows),
        }
    }

    fn read(&self) -> (Rows, Vec<Seen>) {
        let topics = self.context.core.topics.load();
        let mut rows = Rows::new(self.bytes_max, self.read_committed, self.reads.len());
        let mut seen = Vec::with_capacity(self.reads.len());
        for ((topic, index), interest) in &self.reads {
            match topics.partition(topic, *index) {
                Ok(partition) => {
                    // Before the read: what becomes readable after this is news to the wait.
                    let high_watermark = partition.high_watermark();
                    rows.read(*index, partition, interest, high_watermark);
                    seen.push((Arc::clone(partition), high_watermark));
                }
                Err(code) => rows.refuse(*index, code),
            }
        }
        (rows, seen)
    }

    async fn wait(self, mut rows: Rows, mut seen: Vec<Seen>, deadline: Instant) -> Reply {
        let sleep = time::sleep_until(deadline);
        let mut sleep = std::pin::pin!(sleep);
        loop {
            let wait = Arc::new(FetchWait::new(self.bytes_min - rows.bytes()));
            let parked = Parked::new(&wait, &seen);
            let timed_out = parked.is_current
                && tokio::select! {
                    biased;
                    () = wait.woken() => false,
                    () = &mut sleep => true,
                };
            drop(parked);
            (rows, seen) = self.read();
            if timed_out || seen.is_empty() || rows.is_enough(self.bytes_min) {
                return self.reply(rows);
            }
        }
    }

    fn reply(self, rows: Rows) -> Reply {
        let (rows, slices) = rows.finish();
        let (session_id, responses) = self.turn.select(&self.context, self.reads, rows);
        let response = FetchResponse { session_id, responses, ..FetchResponse::default() };
        let header = &self.context.header;
        let encoded = match frame::encode_response(
            header.correlation_id,
            ApiKey::Fetch,
            header.api_version,
            response,
        ) {
            Ok(encoded) => encoded,
            Err(error) => return not_encodable(ApiKey::Fetch, error),
        };
        match Response::fill(encoded, slices) {
            Ok(response) => Reply::Send(response),
            Err(error) => Reply::Close(CloseReason::Io(error)),
        }
    }
}

/// A wait in its place at every partition that was read, until it is dropped: also when the client goes away.
struct Parked<'a> {
    wait: &'a Arc<FetchWait>,
    at: Vec<&'a Partition>,
    /// Whether nothing moved since the read; otherwise it has to be read again at once.
    is_current: bool,
}

impl<'a> Parked<'a> {
    fn new(wait: &'a Arc<FetchWait>, seen: &'a [Seen]) -> Parked<'a> {
        let mut parked = Parked { wait, at: Vec::with_capacity(seen.len()), is_current: true };
        for (partition, high_watermark) in seen {
            if !partition.fetch_waits().park(wait, *high_watermark) {
                parked.is_current = false;
                break;
            }
            parked.at.push(partition);
        }
        parked
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        for partition in &self.at {
            partition.fetch_waits().leave(self.wait);
        }
    }
}
