//! The turn that a fetch request takes in its session (KIP-227): what it reads, and which rows it is told.
//!
//! The decisions are `cluster::fetch_session`'s. This names partitions as the request does and gives a session text of
//! its own, so that it does not keep request frames alive.

use std::collections::HashSet;

use ottla_cluster::fetch_session::{Interest, SessionRequest, Told};
use ottla_protocol::codec::Str;
use ottla_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchableTopicResponse, ForgottenTopic, PartitionData,
};
use ottla_protocol::{ErrorCode, Offset};

use super::{FetchKey, RequestContext};
use crate::rt::rng;

/// What the response owes to the session.
pub(super) enum SessionTurn {
    /// Every row is told, and there is no session.
    Sessionless,
    /// Every row is told, and a session begins if there is room for it.
    Begin,
    /// Only rows with news are told.
    Continue(i32),
}

/// Applies the request to its session.
pub(super) fn take_turn(
    context: &RequestContext,
    request: FetchRequest,
) -> Result<(SessionTurn, Vec<(FetchKey, Interest)>), ErrorCode> {
    let named = request.topics.into_iter().flat_map(|topic| {
        let name = topic.topic;
        topic.partitions.into_iter().map(move |asked| ((name.clone(), asked.partition), interest(&asked)))
    });
    let mut sessions = context.core.fetch_sessions.lock();
    match SessionRequest::new(request.session_id, request.session_epoch) {
        SessionRequest::Sessionless => Ok((SessionTurn::Sessionless, named.collect())),
        SessionRequest::Close { id } => {
            sessions.close(id);
            Ok((SessionTurn::Sessionless, named.collect()))
        }
        SessionRequest::Begin { replaces } => {
            if let Some(id) = replaces {
                sessions.close(id);
            }
            Ok((SessionTurn::Begin, named.collect()))
        }
        SessionRequest::Continue { id, epoch } => {
            let changed = named.map(|(key, interest)| (owned(&key), interest));
            let forgotten = request.forgotten_topics_data.into_iter().flat_map(forgotten_keys);
            let reads = sessions.resume(context.core.clock.now(), id, epoch, changed, forgotten)?;
            Ok((SessionTurn::Continue(id), reads))
        }
    }
}

impl SessionTurn {
    /// Keeps the rows that have to be told, grouped by topic in their order, and names the session.
    pub(super) fn select(
        self,
        context: &RequestContext,
        reads: Vec<(FetchKey, Interest)>,
        rows: Vec<PartitionData>,
    ) -> (i32, Vec<FetchableTopicResponse>) {
        assert_eq!(reads.len(), rows.len(), "every partition that was read has its row");
        let id = match self {
            SessionTurn::Sessionless => return (0, group(reads.into_iter().zip(rows))),
            SessionTurn::Begin => begin(context, &reads),
            SessionTurn::Continue(id) => Some(id),
        };
        let Some(id) = id else { return (0, group(reads.into_iter().zip(rows))) };
        let mut sessions = context.core.fetch_sessions.lock();
        let mut served = HashSet::new();
        let told = reads.into_iter().zip(rows).enumerate().filter(|(place, ((key, _), row))| {
            let has_records = !row.records.is_empty();
            if has_records {
                served.insert(owned(key));
            }
            let told = Told {
                high_watermark: row.high_watermark,
                log_start_offset: row.log_start_offset,
                error_code: row.error_code,
            };
            sessions.tell(id, *place, key, told, has_records)
        });
        let responses = group(told.map(|(_, row)| row));
        if !served.is_empty() {
            sessions.rotate(id, |key| served.contains(key));
        }
        (id, responses)
    }
}

fn begin(context: &RequestContext, reads: &[(FetchKey, Interest)]) -> Option<i32> {
    if reads.is_empty() {
        return None;
    }
    let partitions = reads.iter().map(|(key, interest)| (owned(key), *interest));
    context.core.fetch_sessions.lock().begin(context.core.clock.now(), rng::positive_i32(), partitions)
}

fn group(rows: impl Iterator<Item = ((FetchKey, Interest), PartitionData)>) -> Vec<FetchableTopicResponse> {
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    for (((topic, _), _), row) in rows {
        match topics.last_mut().filter(|last| last.topic == topic) {
            Some(last) => last.partitions.push(row),
            None => {
                topics.push(FetchableTopicResponse { topic, partitions: vec![row], ..Default::default() })
            }
        }
    }
    topics
}

fn forgotten_keys(topic: ForgottenTopic) -> impl Iterator<Item = FetchKey> {
    let name = topic.topic;
    topic.partitions.into_iter().map(move |partition| (name.clone(), partition))
}

/// The same key with a copy of its text.
fn owned(key: &FetchKey) -> FetchKey {
    (Str::from(key.0.as_str()), key.1)
}

fn interest(asked: &FetchPartition) -> Interest {
    Interest {
        fetch_offset: Offset::new(asked.fetch_offset),
        log_start_offset: Offset::known(asked.log_start_offset),
        current_leader_epoch: asked.current_leader_epoch,
        last_fetched_epoch: asked.last_fetched_epoch,
        partition_max_bytes: asked.partition_max_bytes,
    }
}
