//! One connection that fetches: its partitions, where each is read next, and the fetch session around them.
//!
//! Several partitions are fetched in a session, as Kafka's own consumers do: the first request names all of them, later ones
//! only those that moved on. A broker that gives no session is asked for all of them each time, in turn, so that nobody is
//! always last.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};

use crate::error::{LoadError, Result};
use crate::plan::{ConsumePlan, Leader};
use crate::run::Run;
use crate::wire::{Wire, request};

/// The newest rigid version.
const FETCH_VERSION: i16 = 11;
/// How long the broker may wait for something to read; also how late a run may end.
const WAIT_MS: i32 = 100;
/// What a request without a session carries for its epoch.
const NO_SESSION: i32 = -1;

/// A partition and where it is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    partition: i32,
    next: i64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Reader {
    wire: Wire,
    topic: String,
    bytes_max: i32,
    /// By partition.
    positions: Vec<Position>,
    /// Whose turn it is to be first.
    turn: usize,
    /// None for a single partition: there is nothing to save.
    session: Option<Session>,
}

/// What the broker remembers of earlier requests.
#[derive(Debug, Default)]
struct Session {
    id: i32,
    epoch: i32,
    /// Places of the positions that it does not know yet.
    moved: Vec<usize>,
}

impl Reader {
    /// Connects consumer `index` of the plan.
    pub(crate) fn connect(run: &Run, plan: &ConsumePlan, index: usize) -> Result<Reader> {
        let (address, leaders) = plan.target.share(index, plan.clients);
        let position = |leader: &&Leader| Position { partition: leader.partition, next: leader.from };
        let mut positions: Vec<Position> = leaders.iter().map(position).collect();
        positions.sort_unstable_by_key(|position| position.partition);
        Ok(Reader {
            wire: Wire::open_for(run, address, plan.target.patience)?,
            topic: plan.target.topic.clone(),
            bytes_max: i32::try_from(plan.fetch_bytes).unwrap_or(i32::MAX),
            session: (positions.len() > 1).then(Session::default),
            positions,
            turn: index,
        })
    }

    /// Fetches once, from all partitions.
    pub(crate) fn fetch(&mut self) -> Result<Vec<PartitionData>> {
        loop {
            let fetch = self.next_request();
            self.wire.send(&request(FETCH_VERSION, fetch)?)?;
            let response = self.wire.answer::<FetchRequest>(FETCH_VERSION)?;
            let is_forgotten = matches!(
                response.error_code,
                ErrorCode::FETCH_SESSION_ID_NOT_FOUND | ErrorCode::INVALID_FETCH_SESSION_EPOCH
            );
            if is_forgotten
                && let Some(session) = &mut self.session
                && session.id != 0
            {
                *session = Session::default();
                continue;
            }
            if response.error_code.is_error() {
                return Err(LoadError::Refused { request: "Fetch", code: response.error_code });
            }
            if let Some(session) = &mut self.session {
                session.id = response.session_id;
                session.epoch = if session.id == 0 { 0 } else { next_epoch(session.epoch) };
            }
            return Ok(response.responses.into_iter().flat_map(|topic| topic.partitions).collect());
        }
    }

    /// Moves a partition's position.
    pub(crate) fn advance(&mut self, partition: i32, next: i64) {
        let place = self.positions.binary_search_by_key(&partition, |position| position.partition);
        if let Ok(place) = place
            && self.positions[place].next != next
        {
            self.positions[place].next = next;
            if let Some(session) = &mut self.session {
                session.moved.push(place);
            }
        }
    }

    fn next_request(&mut self) -> FetchRequest {
        let bytes_max = self.bytes_max;
        let partition = |position: &Position| FetchPartition {
            partition: position.partition,
            fetch_offset: position.next,
            partition_max_bytes: bytes_max,
            ..Default::default()
        };
        let (mut id, mut epoch, mut named) = (0, NO_SESSION, None);
        if let Some(session) = &mut self.session {
            (id, epoch) = (session.id, session.epoch);
            let mut moved = std::mem::take(&mut session.moved);
            moved.sort_unstable();
            moved.dedup();
            named = (id != 0).then(|| moved.iter().map(|place| partition(&self.positions[*place])).collect());
        }
        let partitions: Vec<FetchPartition> = named.unwrap_or_else(|| {
            self.turn = (self.turn + 1) % self.positions.len();
            let (last, first) = self.positions.split_at(self.turn);
            first.iter().chain(last).map(partition).collect()
        });
        let is_empty = partitions.is_empty();
        let topic = FetchTopic { topic: Str::from(self.topic.as_str()), partitions, ..Default::default() };
        FetchRequest {
            max_wait_ms: WAIT_MS,
            min_bytes: 1,
            max_bytes: bytes_max,
            session_id: id,
            session_epoch: epoch,
            topics: if is_empty { Vec::new() } else { vec![topic] },
            ..Default::default()
        }
    }
}

/// Epochs of a session count from 1 and begin again there.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(partitions: i32) -> Reader {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let positions: Vec<Position> =
            (0..partitions).map(|partition| Position { partition, next: 0 }).collect();
        Reader {
            wire: Wire::open(&address, std::time::Duration::from_secs(1)).unwrap(),
            topic: "t".to_owned(),
            bytes_max: 1 << 20,
            session: (partitions > 1).then(Session::default),
            positions,
            turn: 0,
        }
    }

    fn named(request: &FetchRequest) -> Vec<(i32, i64)> {
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
    }

    #[test]
    fn a_session_names_all_partitions_once_and_then_those_that_moved() {
        let mut reader = reader(3);
        let first = reader.next_request();
        assert_eq!((first.session_id, first.session_epoch), (0, 0));
        assert_eq!(named(&first), [(1, 0), (2, 0), (0, 0)]);
        reader.session = Some(Session { id: 7, epoch: 1, moved: Vec::new() });
        reader.advance(2, 10);
        reader.advance(2, 20);
        reader.advance(1, 0);
        let second = reader.next_request();
        assert_eq!((second.session_id, second.session_epoch), (7, 1));
        assert_eq!(named(&second), [(2, 20)]);
        assert!(reader.next_request().topics.is_empty());
        assert_eq!(next_epoch(i32::MAX), 1);
    }

    #[test]
    fn a_single_partition_needs_no_session_and_partitions_without_one_take_turns() {
        let mut one = reader(1);
        assert_eq!(one.next_request().session_epoch, NO_SESSION);
        let mut two = reader(2);
        assert_eq!(named(&two.next_request()), [(1, 0), (0, 0)]);
        assert_eq!(named(&two.next_request()), [(0, 0), (1, 0)]);
    }
}
