//! Committing offsets and asking for committed ones, again and again while that can help.
//!
//! Commits of one consumer go one after the other, so that an old one never overtakes a newer. Each attempt looks anew at
//! who this member is, what it owns and how far it got: a rebalance in between costs an attempt, not the commit. What
//! was committed already is not committed again, unless the program names it. Both futures may be dropped.

use std::collections::BTreeMap;
use std::time::Instant;

use ottla_protocol::{ErrorCode, TopicPartition};

use super::effect::Identity;
use super::offsets::{
    COMMIT_VERSION_MAX, FETCH_VERSION_MAX, Fetched, OffsetAndMetadata, Offsets, commit_codes, commit_request,
    fetch_request, fetched,
};
use super::{Group, Inner};
use crate::error::{ClientError, ErrorKind, Result};

pub(crate) const COMMIT: &str = "commit offsets";
pub(crate) const FETCH: &str = "fetch committed offsets";

/// What is committed.
#[derive(Debug, Clone)]
pub(crate) enum Extent {
    /// All that was handed out and acknowledged.
    Acknowledged,
    /// The same, of these partitions.
    AcknowledgedOf(Vec<TopicPartition>),
    /// All that was handed out.
    Consumed,
    /// These offsets.
    Given(Offsets),
}

/// What an answer asks for.
enum Verdict {
    Done,
    Again(ClientError),
    Never(ClientError),
}

/// What an error of a commit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The group is dividing its partitions: soon this works.
    Rebalancing,
    /// The partitions are others' now.
    Lost,
    /// It may work later.
    Retriable,
    /// It will not work.
    Final,
}

/// What `code` means for a commit; `is_outdated`: the member has become another since, and still owns the partitions.
fn meaning(code: ErrorCode, is_outdated: bool) -> Meaning {
    match code {
        // The member is asked to join again, or its heartbeat will tell it its new epoch.
        ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::STALE_MEMBER_EPOCH => Meaning::Rebalancing,
        ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_MEMBER_EPOCH => {
            if is_outdated {
                Meaning::Rebalancing
            } else {
                Meaning::Lost
            }
        }
        code if code.is_retriable() => Meaning::Retriable,
        _ => Meaning::Final,
    }
}

/// Commits, until it is done or hopeless or the client's `api_timeout` is over.
pub(crate) async fn commit(inner: &Inner, group: &Group, extent: Extent) -> Result<()> {
    let _one_after_the_other = group.committing.lock().await;
    let (started, mut attempt) = (Instant::now(), 0);
    loop {
        let identity = group.identity();
        let offsets = offsets_of(inner, group, &extent);
        if offsets.is_empty() {
            return Ok(());
        }
        let error = match attempt_commit(inner, group, &identity, &offsets).await {
            Verdict::Done => {
                let mut committed = group.committed.lock();
                committed.extend(offsets.into_iter().map(|(partition, one)| (partition, one.offset)));
                return Ok(());
            }
            Verdict::Never(error) => return Err(error),
            Verdict::Again(error) => error,
        };
        attempt = inner.client.pause_or_give_up(started, attempt, false, error).await?;
    }
}

/// The offsets that this covers now.
pub(crate) fn offsets_of(inner: &Inner, group: &Group, extent: &Extent) -> Offsets {
    let assignment = inner.assignment.lock();
    let consumed = match extent {
        Extent::Given(offsets) => return offsets.clone(),
        Extent::Consumed => assignment.consumed(),
        Extent::Acknowledged => assignment.acknowledged(),
        Extent::AcknowledgedOf(partitions) => {
            let all = assignment.acknowledged().into_iter();
            all.filter(|(partition, _)| partitions.contains(partition)).collect()
        }
    };
    drop(assignment);
    let committed = group.committed.lock();
    let news = consumed.into_iter().filter(|(partition, one)| committed.get(partition) != Some(&one.offset));
    news.map(|(partition, consumed)| (partition, consumed.into())).collect()
}

async fn attempt_commit(inner: &Inner, group: &Group, identity: &Identity, offsets: &Offsets) -> Verdict {
    let settings = &group.settings;
    // Brokers before version 7 know no static members.
    let instance_id = |version| settings.group_instance_id.as_deref().filter(|_| version >= 7);
    let request = |version| commit_request(&settings.group_id, instance_id(version), identity, offsets);
    let deadline = inner.client.config().request_timeout;
    let response = match group.coordinator.call(&inner.client, COMMIT_VERSION_MAX, request, deadline).await {
        Ok(response) => response,
        Err(error) if error.is_retriable() => return Verdict::Again(error.during(COMMIT)),
        Err(error) => return Verdict::Never(error.during(COMMIT)),
    };
    let codes = commit_codes(&response);
    let Some((partition, code)) = codes.into_iter().find(|(_, code)| code.is_error()) else {
        return Verdict::Done;
    };
    group.coordinator.has_moved(code);
    let refused = ClientError::broker(COMMIT, code, None)
        .for_topic(&partition.topic)
        .for_partition(partition.partition.get());
    match meaning(code, group.identity() != *identity && still_owns(inner, offsets)) {
        Meaning::Rebalancing => Verdict::Again(ClientError::new(COMMIT, ErrorKind::RebalanceInProgress)),
        Meaning::Lost => Verdict::Never(ClientError::new(COMMIT, ErrorKind::MembershipLost { code })),
        Meaning::Retriable => Verdict::Again(refused),
        Meaning::Final => Verdict::Never(refused),
    }
}

fn still_owns(inner: &Inner, offsets: &Offsets) -> bool {
    let assignment = inner.assignment.lock();
    offsets.keys().all(|partition| assignment.contains(partition))
}

/// What the group has committed of these partitions, until it is known or the client's `api_timeout` is over. An error
/// of one partition is its own.
pub(crate) async fn fetch_committed(
    inner: &Inner,
    group: &Group,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Result<Option<OffsetAndMetadata>>>> {
    let (started, mut attempt) = (Instant::now(), 0);
    let mut known = BTreeMap::new();
    let mut open = partitions.to_vec();
    while !open.is_empty() {
        let failure = match attempt_fetch(inner, group, &open).await {
            Ok(answers) => take_answers(group, answers, &mut known),
            Err(error) if error.is_retriable() => Some(error),
            Err(error) => return Err(error),
        };
        open.retain(|partition| !known.contains_key(partition));
        if open.is_empty() {
            break;
        }
        let nothing = || ClientError::broker(FETCH, ErrorCode::COORDINATOR_NOT_AVAILABLE, None);
        let failure = failure.unwrap_or_else(nothing);
        attempt = inner.client.pause_or_give_up(started, attempt, false, failure).await?;
    }
    Ok(known)
}

async fn attempt_fetch(inner: &Inner, group: &Group, open: &[TopicPartition]) -> Result<Fetched> {
    let identity = group.identity_for_fetch();
    let request = |version| fetch_request(&group.settings.group_id, &identity, open, version);
    let deadline = inner.client.config().request_timeout;
    let response = group.coordinator.call(&inner.client, FETCH_VERSION_MAX, request, deadline).await;
    let response = response.map_err(|error| error.during(FETCH))?;
    fetched(&response).map_err(|code| {
        group.coordinator.has_moved(code);
        match code {
            ErrorCode::STALE_MEMBER_EPOCH => ClientError::new(FETCH, ErrorKind::RebalanceInProgress),
            code => ClientError::broker(FETCH, code, None),
        }
    })
}

/// Takes in what is settled; the last error that is worth another attempt is returned.
fn take_answers(
    group: &Group,
    answers: Fetched,
    known: &mut BTreeMap<TopicPartition, Result<Option<OffsetAndMetadata>>>,
) -> Option<ClientError> {
    let mut failure = None;
    for (partition, answer) in answers {
        let answer = answer.map_err(|code| {
            group.coordinator.has_moved(code);
            ClientError::broker(FETCH, code, None)
                .for_topic(&partition.topic)
                .for_partition(partition.partition.get())
        });
        match answer {
            Err(error) if error.is_retriable() => failure = Some(error),
            answer => drop(known.insert(partition, answer)),
        }
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_tried_again_through_a_rebalance_and_given_up_when_the_partitions_are_gone() {
        let table = [
            (ErrorCode::REBALANCE_IN_PROGRESS, false, Meaning::Rebalancing),
            (ErrorCode::STALE_MEMBER_EPOCH, false, Meaning::Rebalancing),
            (ErrorCode::ILLEGAL_GENERATION, true, Meaning::Rebalancing),
            (ErrorCode::ILLEGAL_GENERATION, false, Meaning::Lost),
            (ErrorCode::UNKNOWN_MEMBER_ID, false, Meaning::Lost),
            (ErrorCode::FENCED_MEMBER_EPOCH, false, Meaning::Lost),
            (ErrorCode::NOT_COORDINATOR, false, Meaning::Retriable),
            (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, false, Meaning::Retriable),
            (ErrorCode::FENCED_INSTANCE_ID, true, Meaning::Final),
            (ErrorCode::OFFSET_METADATA_TOO_LARGE, false, Meaning::Final),
            (ErrorCode::GROUP_AUTHORIZATION_FAILED, false, Meaning::Final),
        ];
        for (code, is_outdated, expected) in table {
            assert_eq!(meaning(code, is_outdated), expected, "{code} {is_outdated}");
        }
    }
}
