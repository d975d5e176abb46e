//! ConsumerGroupHeartbeat: from a request to the records that it causes and the answer that waits for them.
//!
//! Three questions in turn: who is this, and may it speak (its *place*); does what it says ask for a new target assignment;
//! and how far may it go towards its target now. Classic members of a consumer group ask the last two as well, by their
//! JoinGroup ([`super::classic_member`]). Who leaves is [`super::leaving`]'s.

use std::collections::BTreeSet;

use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ottla_protocol::{ErrorCode, TopicId};

use super::member::{ConsumerMember, LEAVING, LEFT_FOR_A_WHILE, MemberSubscription};
use super::partitions::{Owned, Partitions, owns};
use super::reconcile::{self, Step};
use super::record::{ConsumerRecord, GroupEpoch};
use super::state::ConsumerGroup;
use super::subscription::{compile, metadata_hash, resolve};
use super::target::Roster;
use super::topics::TopicDirectory;
use crate::group::joining::Joining;
use crate::group::member::own;
use crate::group::record::GroupRecord;
use crate::group::{ConsumerGroupConfig, ConsumerTimeouts, Now};
use crate::refusal::{Refused, refuse};

/// From this version on a member makes its own id (KIP-1082).
const OWN_ID_SINCE: i16 = 1;
/// The first epoch of a group. Kafka keeps 1 for members that come before there is an assignment (KIP-1263).
const FIRST_EPOCH: i32 = 2;

/// What a decision depends on beside the group.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a ConsumerGroupConfig,
    pub(crate) topics: &'a dyn TopicDirectory,
}

/// What a request comes to: records, and the answer that leaves once they are committed.
#[derive(Debug)]
pub(crate) struct Outcome<R> {
    pub(crate) records: Vec<GroupRecord>,
    pub(crate) reply: R,
}

/// Where a request's member stands in the group: as it is known so far, and whose place it takes.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) member: ConsumerMember,
    /// The static member that it replaces.
    pub(crate) replaced: Option<Str>,
}

/// What is wrong with a request whatever the group is.
pub(crate) fn check(
    request: &ConsumerGroupHeartbeatRequest,
    api_version: i16,
    config: &ConsumerGroupConfig,
) -> Refused<()> {
    let invalid = |why: &str| refuse(ErrorCode::INVALID_REQUEST, why);
    let is_empty = |text: &Option<Str>| text.as_ref().is_some_and(|text| text.is_empty());
    if request.group_id.is_empty() {
        return invalid("the group id is empty");
    }
    if is_empty(&request.instance_id) {
        return invalid("the instance id is empty");
    }
    if is_empty(&request.rack_id) {
        return invalid("the rack id is empty");
    }
    if request.member_id.is_empty() && (api_version >= OWN_ID_SINCE || request.member_epoch != 0) {
        return invalid("the member id is empty");
    }
    match request.member_epoch {
        0 if request.rebalance_timeout_ms == -1 => {
            return invalid("a member that joins names a rebalance timeout");
        }
        0 if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("a member that joins owns nothing, and says so");
        }
        0 if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            return invalid("a member that joins names its topics, or an expression for them");
        }
        LEFT_FOR_A_WHILE if request.instance_id.is_none() => {
            return invalid("only a static member may leave for a while");
        }
        epoch if epoch < LEFT_FOR_A_WHILE => return invalid("there is no such member epoch"),
        _ => {}
    }
    if let Some(wish) = &request.server_assignor
        && !config.assignors.iter().any(|assignor| assignor.name() == wish.as_str())
    {
        let names: Vec<&str> = config.assignors.iter().map(|assignor| assignor.name()).collect();
        let why = format!("the assignor {wish:?} is not among {}", names.join(", "));
        return refuse(ErrorCode::UNSUPPORTED_ASSIGNOR, why);
    }
    Ok(())
}

impl ConsumerGroup {
    /// A heartbeat of a member that joins or stays.
    pub(crate) fn handle_heartbeat(
        &self,
        scene: &Scene<'_>,
        request: &ConsumerGroupHeartbeatRequest,
        joining: &Joining,
        timeouts: ConsumerTimeouts,
    ) -> Refused<Outcome<ConsumerGroupHeartbeatResponse>> {
        let claimed = request.topic_partitions.as_deref();
        let id = if request.member_id.is_empty() { joining.unique.clone() } else { own(&request.member_id) };
        self.check_size(&id, scene)?;
        let instance = request.instance_id.as_ref().map(own);
        let place = self.place(id, instance.as_ref(), request.member_epoch == 0, false)?;
        check_epoch(&place.member, request.member_epoch, claimed)?;
        let subscription = updated(&place.member.subscription, request, joining);
        let before = place.member.current.assigned.clone();
        let mut records = Vec::new();
        let member = self.carry_through(scene, place, subscription, claimed, &mut records)?;
        let is_full = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
            && claimed.is_some();
        let assigned = &member.current.assigned;
        let tell = request.member_epoch == 0 || is_full || !same_partitions(&before, assigned);
        let reply = ConsumerGroupHeartbeatResponse {
            member_epoch: member.current.member_epoch,
            heartbeat_interval_ms: timeouts.heartbeat_interval_ms,
            assignment: tell.then(|| to_assignment(assigned)),
            member_id: Some(member.id),
            ..ConsumerGroupHeartbeatResponse::default()
        };
        Ok(Outcome { records, reply })
    }

    /// Refuses a member that has no place yet when all are taken.
    pub(crate) fn check_size(&self, member_id: &Str, scene: &Scene<'_>) -> Refused<()> {
        let max = scene.config.members_max;
        if self.members.len() >= max && !self.members.contains_key(member_id) {
            return refuse(ErrorCode::GROUP_MAX_SIZE_REACHED, format!("the group has {max} members already"));
        }
        Ok(())
    }

    /// The place of a member in the group; a new one when it `joins`.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID.
    pub(crate) fn place(
        &self,
        id: Str,
        instance: Option<&Str>,
        joins: bool,
        is_classic: bool,
    ) -> Refused<Place> {
        let known = match instance {
            None => self.members.get(&id),
            Some(instance) => match self.static_member(instance) {
                Some(holder) if joins && holder.id != id => {
                    return replace(holder, id, instance, is_classic);
                }
                Some(holder) if holder.id != id => {
                    let why = format!("the instance id {instance:?} belongs to the member {}", holder.id);
                    return refuse(ErrorCode::FENCED_INSTANCE_ID, why);
                }
                known => known,
            },
        };
        match known {
            Some(member) => Ok(Place { member: member.clone(), replaced: None }),
            None if joins => Ok(Place { member: ConsumerMember::new(id), replaced: None }),
            None => {
                refuse(ErrorCode::UNKNOWN_MEMBER_ID, format!("{id} is no member of the group {}", self.id))
            }
        }
    }

    /// Makes the records of a member whose subscription is now this one, and takes it as far as it may go.
    pub(crate) fn carry_through(
        &self,
        scene: &Scene<'_>,
        place: Place,
        subscription: MemberSubscription,
        claimed: Option<&[TopicPartitions]>,
        records: &mut Vec<GroupRecord>,
    ) -> Refused<ConsumerMember> {
        let Place { member: before, replaced } = place;
        let mut member = ConsumerMember { subscription, ..before.clone() };
        if let Some(old) = &replaced {
            records.extend(self.member_tombstones(old));
            let target = self.target.get(old).cloned().unwrap_or_default();
            records.push(
                self.record(ConsumerRecord::Target { member_id: member.id.clone(), value: Some(target) }),
            );
        }
        let is_on_record = self.members.contains_key(&member.id);
        if !is_on_record || member.subscription != before.subscription {
            let value = Some(member.subscription.clone());
            records.push(self.record(ConsumerRecord::Member { member_id: member.id.clone(), value }));
        }
        let mut regexes = std::borrow::Cow::Borrowed(&self.regexes);
        let regex_changed = self.settle_regex(scene, &before, &member, regexes.to_mut(), records)?;
        let changed = regex_changed || member.subscription.topic_names != before.subscription.topic_names;
        let roster =
            Roster { group: self, changed: Some(&member), replaced: replaced.as_ref(), regexes: &regexes };
        let (target_epoch, target) = self.settle_target(scene, &roster, changed, records);
        let mut current = member.current.clone();
        if changed || !member.is_reconciled_to(target_epoch) {
            let subscribed: BTreeSet<TopicId> = roster
                .topics_of(&member)
                .into_iter()
                .filter_map(|name| scene.topics.shape(name).map(|shape| shape.id))
                .collect();
            let step = Step {
                target_epoch,
                target: &target,
                subscribed: &subscribed,
                subscription_changed: changed,
                claimed,
                is_owned: &|topic, partition| self.is_owned(topic, partition),
            };
            current = reconcile::next(&member, &step)?;
        }
        if replaced.is_some() || !is_on_record || current != member.current {
            let value = Some(current.clone());
            records.push(self.record(ConsumerRecord::Current { member_id: member.id.clone(), value }));
        }
        member.current = current;
        Ok(member)
    }

    /// Forgets an expression that nobody has any more and resolves one that nobody had; tells whether the member now
    /// has another one.
    fn settle_regex(
        &self,
        scene: &Scene<'_>,
        before: &ConsumerMember,
        member: &ConsumerMember,
        regexes: &mut std::collections::BTreeMap<Str, super::record::ResolvedRegex>,
        records: &mut Vec<GroupRecord>,
    ) -> Refused<bool> {
        let (old, new) = (&before.subscription.topic_regex, &member.subscription.topic_regex);
        let mut changed = old != new;
        if let Some(old) = old.as_ref().filter(|_| changed)
            && self.regex_subscribers(old) <= 1
        {
            regexes.remove(old);
            records.push(self.record(ConsumerRecord::Regex { regex: old.clone(), value: None }));
        }
        if let Some(new) = new.as_ref().filter(|new| !regexes.contains_key(*new)) {
            let resolved = resolve(&compile(new)?, scene.topics, scene.now);
            records.push(
                self.record(ConsumerRecord::Regex { regex: new.clone(), value: Some(resolved.clone()) }),
            );
            regexes.insert(new.clone(), resolved);
            changed = true;
        }
        Ok(changed)
    }

    /// Makes a new group epoch if one is asked for, and a new target assignment if the group's epoch is ahead of it; gives
    /// the target's epoch and the part of the changed member.
    fn settle_target(
        &self,
        scene: &Scene<'_>,
        roster: &Roster<'_>,
        bump: bool,
        records: &mut Vec<GroupRecord>,
    ) -> (i32, Partitions) {
        let mut epoch = self.epoch;
        if bump || epoch == 0 {
            epoch = if epoch == 0 { FIRST_EPOCH } else { epoch + 1 };
            let metadata_hash = metadata_hash(&roster.topics(), scene.topics);
            records.push(self.record(ConsumerRecord::Epoch(Some(GroupEpoch { epoch, metadata_hash }))));
            if self.has_topics_record {
                records.push(self.record(ConsumerRecord::Topics(false)));
            }
        }
        let Some(member) = roster.changed else { return (self.target_epoch, Partitions::new()) };
        if epoch > self.target_epoch {
            let mut target = roster.assign(&scene.config.assignors, scene.topics);
            records.extend(roster.target_records(&target, epoch, scene.now));
            return (epoch, target.remove(&member.id).unwrap_or_default());
        }
        (self.target_epoch, self.target_of(member).cloned().unwrap_or_default())
    }
}

/// A static member comes back under another id.
fn replace(holder: &ConsumerMember, id: Str, instance: &Str, is_classic: bool) -> Refused<Place> {
    check_released(holder, instance, is_classic)?;
    let mut member = ConsumerMember { id, ..holder.clone() };
    member.current.member_epoch = 0;
    member.current.previous_member_epoch = 0;
    Ok(Place { member, replaced: Some(holder.id.clone()) })
}

/// Between members of the consumer protocol, a static place is free only once its holder has said that it left.
fn check_released(holder: &ConsumerMember, instance: &Str, is_classic: bool) -> Refused<()> {
    if is_classic || holder.is_classic() || holder.current.member_epoch == LEFT_FOR_A_WHILE {
        return Ok(());
    }
    let why = format!("the instance id {instance:?} is in use by the member {}", holder.id);
    refuse(ErrorCode::UNRELEASED_INSTANCE_ID, why)
}

/// Whether a member that comes with this epoch is the one that we know, or has only missed our last answer.
fn check_epoch(member: &ConsumerMember, epoch: i32, claimed: Option<&[TopicPartitions]>) -> Refused<()> {
    let current = &member.current;
    let missed_answer = || {
        epoch == current.previous_member_epoch
            && claimed.is_some_and(|claimed| is_subset(claimed, &current.assigned))
    };
    if epoch == 0 || epoch == current.member_epoch || (epoch < current.member_epoch && missed_answer()) {
        return Ok(());
    }
    let why = format!(
        "the member has epoch {epoch} and should have {}; it has to give up all and join again",
        current.member_epoch
    );
    refuse(ErrorCode::FENCED_MEMBER_EPOCH, why)
}

fn is_subset(claimed: &[TopicPartitions], owned: &Owned) -> bool {
    claimed
        .iter()
        .all(|topic| topic.partitions.iter().all(|it| owns(owned, TopicId::new(topic.topic_id), *it)))
}

/// What a member says of itself now: what it said before, with what it says anew.
fn updated(
    before: &MemberSubscription,
    request: &ConsumerGroupHeartbeatRequest,
    joining: &Joining,
) -> MemberSubscription {
    let mut now = before.clone();
    now.client_id = joining.client_id.clone();
    now.client_host = joining.client_host.clone();
    now.classic = None;
    if let Some(instance) = &request.instance_id {
        now.instance_id = Some(own(instance));
    }
    if let Some(rack) = &request.rack_id {
        now.rack_id = Some(own(rack));
    }
    if request.rebalance_timeout_ms != -1 {
        now.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(assignor) = &request.server_assignor {
        now.server_assignor = Some(own(assignor));
    }
    if let Some(names) = &request.subscribed_topic_names {
        now.topic_names = names.iter().map(own).collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        now.topic_regex = Some(own(regex)).filter(|regex| !regex.is_empty());
    }
    now
}

fn same_partitions(one: &Owned, other: &Owned) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((topic, partitions), (other_topic, others))| {
            topic == other_topic && partitions.keys().eq(others.keys())
        })
}

fn to_assignment(owned: &Owned) -> Assignment {
    let topic_partitions = owned.iter().map(|(topic, partitions)| TopicPartitions {
        topic_id: topic.get(),
        partitions: partitions.keys().copied().collect(),
    });
    Assignment { topic_partitions: topic_partitions.collect() }
}

/// The answer to a heartbeat that fails.
pub(crate) fn heartbeat_error(refusal: crate::refusal::Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: refusal.error_code,
        error_message: Some(Str::from(refusal.message)),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

/// Whether the member leaves, for good or for a while.
pub(crate) fn is_leaving(request: &ConsumerGroupHeartbeatRequest) -> bool {
    matches!(request.member_epoch, LEAVING | LEFT_FOR_A_WHILE)
}
