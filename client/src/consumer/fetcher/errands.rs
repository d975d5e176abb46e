//! What the fetching task has others do: find offsets, ask where epochs end, refresh metadata, close sessions. Each errand
//! is a task that ends in an event.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use ottla_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, Offset, TopicName, TopicPartition};
use std::time::Instant;
use tokio::time::{sleep, timeout};

use super::request::{farewell, isolation};
use super::{Event, FAREWELL_TIMEOUT, Fetcher};
use crate::admin::{Admin, OffsetSpec};
use crate::client::{AutoCreate, Client};
use crate::consumer::assignment::{EpochEnd, Unchecked, Unresolved};
use crate::error::{ClientError, Result};

/// An offset that was found, and the leader epoch of the record there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) offset: Offset,
    pub(super) leader_epoch: Option<LeaderEpoch>,
}

impl Fetcher {
    pub(super) fn resolve(&self, now: Instant) {
        let unresolved = self.inner.assignment.lock().unresolved(now);
        if unresolved.is_empty() {
            return;
        }
        let (admin, events) = (Admin::new(self.inner.client.clone()), self.events.clone());
        let isolation = isolation(&self.inner.config);
        tokio::spawn(async move {
            let _ = events.send(Event::Resolved(resolve(&admin, isolation, unresolved).await));
        });
    }

    pub(super) fn check(&self, unchecked: Vec<Unchecked>) {
        let mut by_leader: HashMap<BrokerId, Vec<Unchecked>, RandomState> = HashMap::default();
        for one in unchecked {
            by_leader.entry(one.leader).or_default().push(one);
        }
        for (leader, unchecked) in by_leader {
            let (client, events) = (self.inner.client.clone(), self.events.clone());
            tokio::spawn(async move {
                let _ = events.send(Event::Checked(check(&client, leader, unchecked).await));
            });
        }
    }

    pub(super) fn ask_metadata(&mut self) {
        if std::mem::replace(&mut self.is_asking_metadata, true) {
            return;
        }
        let mut topics: Vec<TopicName> =
            self.inner.assignment.lock().partitions().into_iter().map(|partition| partition.topic).collect();
        topics.dedup();
        let (events, client) = (self.events.clone(), self.inner.client.clone());
        let delay = client.config().backoff.delay(self.metadata_failures, rand::random());
        let generation = client.metadata().generation();
        let is_first = self.metadata_failures == 0;
        self.metadata_failures = self.metadata_failures.saturating_add(1);
        tokio::spawn(async move {
            if !is_first {
                sleep(delay).await;
            }
            if let Err(error) = client.refresh(&topics, AutoCreate::Forbidden, generation).await {
                tracing::debug!(%error, "no metadata yet");
            }
            let _ = events.send(Event::Metadata);
        });
    }

    /// Tells the brokers that our sessions are over, so that they need not wait for that to show.
    pub(super) async fn close_sessions(&self) {
        let open = self.lanes.iter().filter_map(|(broker, lane)| Some((*broker, lane.session.open_id()?)));
        let pool = self.inner.fetches.pool();
        for (broker, session_id) in open {
            let farewell = pool.call_broker(broker, farewell(session_id), FAREWELL_TIMEOUT);
            if !matches!(timeout(FAREWELL_TIMEOUT, farewell).await, Ok(Ok(_))) {
                tracing::debug!(%broker, "a fetch session is left to expire");
            }
        }
    }
}

/// The offsets that the specs mean now. A time later than every record means the end.
async fn resolve(
    admin: &Admin,
    isolation: i8,
    unresolved: Vec<Unresolved>,
) -> Vec<(Unresolved, Result<Found>)> {
    let questions: Vec<_> = unresolved.iter().map(|one| (one.partition.clone(), one.spec)).collect();
    let mut found = offsets(admin, isolation, &questions).await;
    let ends: Vec<_> = found
        .iter()
        .filter(|(_, answer)| matches!(answer, Ok(None)))
        .map(|(partition, _)| (partition.clone(), OffsetSpec::Latest))
        .collect();
    if !ends.is_empty() {
        found.extend(offsets(admin, isolation, &ends).await);
    }
    let resolved = unresolved.into_iter().map(|one| {
        let answer = match found.remove(&one.partition) {
            Some(Ok(Some(found))) => Ok(found),
            Some(Err(error)) => Err(error),
            Some(Ok(None)) | None => {
                let error = ClientError::broker("list offsets", ErrorCode::LEADER_NOT_AVAILABLE, None);
                Err(error.for_topic(&one.partition.topic).for_partition(one.partition.partition.get()))
            }
        };
        (one, answer)
    });
    resolved.collect()
}

/// The answer for each partition; an error of the whole call is each partition's.
async fn offsets(
    admin: &Admin,
    isolation: i8,
    questions: &[(TopicPartition, OffsetSpec)],
) -> BTreeMap<TopicPartition, Result<Option<Found>>> {
    match admin.list_offsets_isolated(questions, isolation).await {
        Ok(answers) => answers
            .into_iter()
            .map(|(partition, answer)| {
                let found = answer.map(|listed| {
                    let leader_epoch = listed.leader_epoch;
                    listed.offset.map(|offset| Found { offset, leader_epoch })
                });
                (partition, found)
            })
            .collect(),
        Err(error) => {
            questions.iter().map(|(partition, _)| (partition.clone(), Err(error.clone()))).collect()
        }
    }
}

/// Where the epochs end in the leader's log.
async fn check(
    client: &Client,
    leader: BrokerId,
    unchecked: Vec<Unchecked>,
) -> Vec<(Unchecked, Result<Option<EpochEnd>>)> {
    let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
    for one in &unchecked {
        let partition = OffsetForLeaderPartition {
            partition: one.partition.partition.get(),
            current_leader_epoch: one.leader_epoch.get(),
            leader_epoch: one.fetch_epoch.get(),
        };
        match topics.last_mut().filter(|topic| topic.topic == *one.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(OffsetForLeaderTopic {
                topic: (&one.partition.topic).into(),
                partitions: vec![partition],
            }),
        }
    }
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics };
    let response = client.pool().call_broker(leader, request, client.config().request_timeout).await;
    let answers = unchecked.into_iter().map(|one| {
        let answer = match &response {
            Ok(response) => epoch_end(response, &one),
            Err(error) => Err(error.clone().during("check the position")),
        };
        let located = answer.map_err(|error| {
            let error = error.for_topic(&one.partition.topic);
            error.for_partition(one.partition.partition.get()).at_offset(one.fetch_offset.get())
        });
        (one, located)
    });
    answers.collect()
}

fn epoch_end(response: &OffsetForLeaderEpochResponse, unchecked: &Unchecked) -> Result<Option<EpochEnd>> {
    let TopicPartition { topic, partition } = &unchecked.partition;
    let rows = response.topics.iter().filter(|row| row.topic == **topic).flat_map(|row| &row.partitions);
    let error = |code| ClientError::broker("check the position", code, None);
    let row = rows.into_iter().find(|row| row.partition == partition.get());
    let row = row.ok_or_else(|| error(ErrorCode::LEADER_NOT_AVAILABLE))?;
    row.error_code.ok().map_err(error)?;
    let end = LeaderEpoch::known(row.leader_epoch).zip(Offset::known(row.end_offset));
    Ok(end.map(|(leader_epoch, end_offset)| EpochEnd { leader_epoch, end_offset }))
}
