//! A group changes its protocol while it runs (KIP-848): up when a member of the consumer protocol joins a classic group,
//! down when the last such member is gone.
//!
//! Up: each classic member keeps what the leader assigned it, in the epoch that was the generation. Down: each keeps
//! what it owns, in the generation that was its epoch, and the group rebalances.

use std::collections::BTreeMap;

use ottla_protocol::ErrorCode;
use ottla_protocol::TopicId;

use super::classic_member::{CONSUMER, from_blob, read_subscription, to_blob};
use super::heartbeat::Scene;
use super::member::{ClassicMetadata, ConsumerMember, CurrentAssignment, MemberState, MemberSubscription};
use super::partitions::{Owned, without_epochs};
use super::record::{ConsumerRecord, GroupEpoch, TargetEpoch};
use super::state::ConsumerGroup;
use super::subscription::metadata_hash;
use crate::group::classic::{ClassicGroup, ClassicState};
use crate::group::member::{Member, millis};
use crate::group::record::GroupRecord;
use crate::group::{GroupConfig, Now};
use crate::refusal::{Refused, refuse};

/// The consumer group that a classic group becomes, and the records that say so.
///
/// # Errors
/// GROUP_ID_NOT_FOUND: it may not, or its members speak something else.
pub(crate) fn upgrade<W>(
    classic: &ClassicGroup<W>,
    scene: &Scene<'_>,
) -> Refused<(ConsumerGroup, Vec<GroupRecord>)> {
    let cannot =
        |why: &str| refuse(ErrorCode::GROUP_ID_NOT_FOUND, format!("the classic group stays one: {why}"));
    let mut group = ConsumerGroup::new(classic.id.clone());
    let mut records = Vec::new();
    if classic.generation > 0 {
        records.push(GroupRecord::Group { group: classic.id.clone(), value: None });
    }
    if classic.members.is_empty() {
        return Ok((group, records));
    }
    if !scene.config.migration.may_upgrade() {
        return cannot("group.consumer.migration.policy does not let it change");
    }
    if classic.protocol_type.as_ref().is_none_or(|kind| *kind != CONSUMER) {
        return cannot("its members are no consumers");
    }
    if classic.members.len() > scene.config.members_max {
        return cannot("it has more members than group.consumer.max.size");
    }
    let generation = classic.generation;
    let mut made = Vec::new();
    for member in classic.members.values() {
        let (subscription, assigned) = read_member(classic, member, scene, &group)?;
        let member_id = member.id.clone();
        let current = CurrentAssignment {
            member_epoch: generation,
            previous_member_epoch: generation,
            state: MemberState::Stable,
            assigned,
            pending_revocation: Owned::new(),
        };
        let target = without_epochs(&current.assigned);
        let records = [
            ConsumerRecord::Member { member_id: member_id.clone(), value: Some(subscription) },
            ConsumerRecord::Target { member_id: member_id.clone(), value: Some(target) },
            ConsumerRecord::Current { member_id, value: Some(current) },
        ];
        records.iter().for_each(|record| group.apply(record));
        made.extend(records);
    }
    let metadata_hash = metadata_hash(&group.subscribed_topics(), scene.topics);
    made.push(ConsumerRecord::Epoch(Some(GroupEpoch { epoch: generation, metadata_hash })));
    let target_epoch = TargetEpoch { epoch: generation, timestamp_ms: scene.now.unix_ms };
    made.push(ConsumerRecord::TargetEpoch(Some(target_epoch)));
    made.iter().rev().take(2).for_each(|record| group.apply(record));
    records.extend(made.into_iter().map(|record| group.record(record)));
    Ok((group, records))
}

/// What a classic member says of itself, and what it owns; a partition that two members were given stays with the first.
fn read_member<W>(
    classic: &ClassicGroup<W>,
    member: &Member<W>,
    scene: &Scene<'_>,
    group: &ConsumerGroup,
) -> Refused<(MemberSubscription, Owned)> {
    let spoken = classic.protocol.as_ref().or_else(|| Some(&member.protocols.first()?.name));
    let read = read_subscription(&member.metadata(spoken))
        .or_else(|refusal| refuse(ErrorCode::GROUP_ID_NOT_FOUND, refusal.message))?;
    let mut assigned = Owned::new();
    for topic in from_blob(&member.assignment, spoken, scene.topics)? {
        let id = TopicId::new(topic.topic_id);
        let free = topic.partitions.into_iter().filter(|partition| !group.is_owned(id, *partition));
        let partitions: BTreeMap<i32, i32> = free.map(|partition| (partition, classic.generation)).collect();
        if !partitions.is_empty() {
            assigned.entry(id).or_default().extend(partitions);
        }
    }
    let subscription = MemberSubscription {
        instance_id: member.instance_id.clone(),
        rack_id: read.rack_id.filter(|rack| !rack.is_empty()),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topic_names: read.topics.into_iter().collect(),
        topic_regex: None,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic: Some(ClassicMetadata {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
    };
    Ok((subscription, assigned))
}

impl ConsumerGroup {
    /// Whether the group is to become a classic one: nobody is left who speaks the consumer protocol.
    pub(crate) fn wants_downgrade(&self, config: &GroupConfig) -> bool {
        !self.members.is_empty()
            && self.members.values().all(ConsumerMember::is_classic)
            && config.consumer.migration.may_downgrade()
            && self.members.len() <= config.members_max
    }

    /// The classic group that this one becomes, stable in a generation that its members know as their epoch, so that they
    /// are told to join again and lose nothing; and the records that say so.
    pub(crate) fn downgrade<W>(&self, scene: &Scene<'_>) -> (ClassicGroup<W>, Vec<GroupRecord>) {
        let mut records = self.tombstones();
        let mut classic = ClassicGroup::new(self.id.clone(), scene.now.unix_ms);
        classic.state = ClassicState::Stable;
        classic.protocol_type = Some(CONSUMER.into());
        let epochs = self.members.values().map(|member| member.current.member_epoch);
        classic.generation = epochs.max().unwrap_or(self.epoch);
        for member in self.members.values() {
            if let Some(member) = to_classic(member, scene, scene.now) {
                if let Some(instance) = &member.instance_id {
                    classic.instances.insert(instance.clone(), member.id.clone());
                }
                classic.leader.get_or_insert_with(|| member.id.clone());
                classic.members.insert(member.id.clone(), member);
            }
        }
        classic.protocol = classic.vote();
        records.push(classic.to_record(|member| member.assignment.clone()));
        (classic, records)
    }
}

fn to_classic<W>(member: &ConsumerMember, scene: &Scene<'_>, now: Now) -> Option<Member<W>> {
    let metadata = member.subscription.classic.as_ref()?;
    let version = member.classic_protocol()?.metadata.first_chunk().map_or(0, |it| i16::from_be_bytes(*it));
    let session_deadline = now.monotonic + millis(metadata.session_timeout_ms);
    Some(Member {
        id: member.id.clone(),
        instance_id: member.subscription.instance_id.clone(),
        client_id: member.subscription.client_id.clone(),
        client_host: member.subscription.client_host.clone(),
        rebalance_timeout_ms: member.subscription.rebalance_timeout_ms,
        session_timeout_ms: metadata.session_timeout_ms,
        protocols: metadata.protocols.clone(),
        assignment: to_blob(&member.current.assigned, version, scene.topics).unwrap_or_default(),
        joining: None,
        syncing: None,
        is_new: false,
        session_deadline,
        timer_at: session_deadline,
    })
}
