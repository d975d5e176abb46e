//! Members of a consumer group that speak the classic protocol: while a group moves from one protocol to the other, they
//! go on with JoinGroup, SyncGroup and Heartbeat, and the coordinator assigns (KIP-848).
//!
//! Such a member is told that it is a follower. Its generation is its member epoch, a rebalance is the next epoch, and
//! what it may not own yet it is not told. It gives partitions up by joining again without them.

use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::TopicPartitions;
use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ottla_protocol::{ErrorCode, TopicId};

use super::heartbeat::{Outcome, Scene};
use super::member::{ClassicMetadata, ConsumerMember, MemberState};
use super::partitions::{Owned, owns};
use super::state::ConsumerGroup;
use super::topics::TopicDirectory;
use crate::group::joining::{Joining, TWO_STEPS_SINCE};
use crate::group::member::{own, own_protocols, rebalance_timeout_ms};
use crate::refusal::{Refusal, Refused, refuse};

/// The protocol type of Kafka's consumers.
pub(crate) const CONSUMER: &str = "consumer";

/// What a classic member said of itself, in the protocol that it likes best.
pub(crate) fn read_subscription(blob: &bytes::Bytes) -> Refused<ConsumerProtocolSubscription> {
    // Copied, because it outlives its request.
    let blob = bytes::Bytes::copy_from_slice(blob);
    let read = consumer_protocol::decode(blob).map(|(_, subscription)| subscription);
    read.map_err(|error| {
        Refusal::new(
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
            format!("the subscription cannot be read: {error}"),
        )
    })
}

/// Partitions by name as partitions by id; those of topics that are no more are left out.
fn with_ids(topics: &[TopicPartition], directory: &dyn TopicDirectory) -> Vec<TopicPartitions> {
    let with_id = |topic: &TopicPartition| {
        let id = directory.shape(&topic.topic)?.id;
        Some(TopicPartitions { topic_id: id.get(), partitions: topic.partitions.clone() })
    };
    topics.iter().filter_map(with_id).collect()
}

impl ConsumerGroup {
    /// JoinGroup of a member that speaks the classic protocol.
    pub(crate) fn handle_classic_join(
        &self,
        scene: &Scene<'_>,
        request: &JoinGroupRequest,
        joining: &Joining,
    ) -> Refused<Outcome<JoinGroupResponse>> {
        let is_unknown = request.member_id.is_empty();
        let id = if is_unknown {
            Str::from(format!("{}-{}", joining.client_id, joining.unique))
        } else {
            own(&request.member_id)
        };
        self.check_size(&id, scene)?;
        if !self.speaks(request) {
            return refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "the members have no protocol in common");
        }
        let instance = request.group_instance_id.as_ref().map(own);
        if is_unknown && instance.is_none() && joining.api_version >= TWO_STEPS_SINCE {
            let reply = JoinGroupResponse {
                error_code: ErrorCode::MEMBER_ID_REQUIRED,
                member_id: id,
                ..JoinGroupResponse::default()
            };
            return Ok(Outcome { records: Vec::new(), reply });
        }
        let creates = instance.is_none() || is_unknown;
        let place = self.place(id, instance.as_ref(), creates, true)?;
        let protocols = own_protocols(request);
        let Some(favourite) = protocols.first() else {
            return refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "the member speaks no protocol");
        };
        let read = read_subscription(&favourite.metadata)?;
        let protocol_name = favourite.name.clone();
        let mut subscription = place.member.subscription.clone();
        subscription.instance_id = instance.or(subscription.instance_id);
        subscription.rack_id = read.rack_id.filter(|rack| !rack.is_empty()).or(subscription.rack_id);
        subscription.rebalance_timeout_ms = rebalance_timeout_ms(request);
        subscription.topic_names = read.topics.into_iter().collect();
        subscription.topic_regex = None;
        subscription.client_id = joining.client_id.clone();
        subscription.client_host = joining.client_host.clone();
        subscription.classic =
            Some(ClassicMetadata { session_timeout_ms: request.session_timeout_ms, protocols });
        let claimed = with_ids(&read.owned_partitions, scene.topics);
        let mut records = Vec::new();
        let member = self.carry_through(scene, place, subscription, Some(&claimed), &mut records)?;
        let reply = JoinGroupResponse {
            generation_id: member.current.member_epoch,
            protocol_type: Some(Str::from_static(CONSUMER)),
            protocol_name: Some(protocol_name),
            member_id: member.id,
            ..JoinGroupResponse::default()
        };
        Ok(Outcome { records, reply })
    }

    /// Whether a member can join that offers these protocols: one of them is spoken by every classic member.
    fn speaks(&self, request: &JoinGroupRequest) -> bool {
        let classic: Vec<&ClassicMetadata> = self
            .members
            .values()
            .filter(|member| member.id != request.member_id)
            .filter_map(|member| member.subscription.classic.as_ref())
            .collect();
        let all_speak = |name: &Str| {
            classic.iter().all(|member| member.protocols.iter().any(|protocol| protocol.name == *name))
        };
        request.protocol_type == CONSUMER && request.protocols.iter().any(|offered| all_speak(&offered.name))
    }

    /// The classic member that a request speaks for.
    pub(crate) fn classic_member(
        &self,
        member_id: &Str,
        instance: Option<&Str>,
        generation: i32,
    ) -> Result<&ConsumerMember, ErrorCode> {
        let member = match instance {
            None => self.members.get(member_id),
            Some(instance) => self.static_member(instance),
        };
        let member = member.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if member.id != *member_id {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        if !member.is_classic() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if member.current.member_epoch != generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        Ok(member)
    }

    /// SyncGroup: what the member may own.
    ///
    /// # Errors
    /// REBALANCE_IN_PROGRESS when the group has a newer epoch, for which the member is to join again.
    pub(crate) fn handle_classic_sync(
        &self,
        request: &SyncGroupRequest,
        topics: &dyn TopicDirectory,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let instance = request.group_instance_id.as_ref();
        let member = self.classic_member(&request.member_id, instance, request.generation_id)?;
        let Some(protocol) = member.classic_protocol() else { return Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        let differs =
            |theirs: &Option<Str>, ours: &str| theirs.as_ref().is_some_and(|theirs| *theirs != ours);
        if differs(&request.protocol_type, CONSUMER) || differs(&request.protocol_name, &protocol.name) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if self.epoch > member.current.member_epoch
            && member.current.state != MemberState::UnrevokedPartitions
        {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        let version = protocol.metadata.first_chunk().map_or(0, |version| i16::from_be_bytes(*version));
        let assignment = to_blob(&member.current.assigned, version, topics)?;
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..SyncGroupResponse::default()
        })
    }

    /// Heartbeat: whether the member is to join again.
    pub(crate) fn handle_classic_heartbeat(&self, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let instance = request.group_instance_id.as_ref();
        let member = self.classic_member(&request.member_id, instance, request.generation_id)?;
        let may_go_on = match member.current.state {
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !self.waits_for_others(member),
            MemberState::Stable | MemberState::Unknown => false,
        };
        if member.current.member_epoch < self.epoch || may_go_on {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// Whether somebody else still has a partition that the member is to own.
    fn waits_for_others(&self, member: &ConsumerMember) -> bool {
        let target = self.target_of(member).into_iter().flatten();
        let mut wanted =
            target.flat_map(|(topic, partitions)| partitions.iter().map(move |it| (*topic, *it)));
        wanted.any(|(topic, it)| !owns(&member.current.assigned, topic, it) && self.is_owned(topic, it))
    }
}

/// What a member owns as it is told in the classic protocol.
pub(crate) fn to_blob(
    owned: &Owned,
    version: i16,
    topics: &dyn TopicDirectory,
) -> Result<bytes::Bytes, ErrorCode> {
    let named = |(id, partitions): (&TopicId, &std::collections::BTreeMap<i32, i32>)| {
        Some(TopicPartition { topic: topics.name(*id)?, partitions: partitions.keys().copied().collect() })
    };
    let assigned_partitions = owned.iter().filter_map(named).collect();
    let assignment =
        ConsumerProtocolAssignment { assigned_partitions, ..ConsumerProtocolAssignment::default() };
    let version = version.clamp(0, consumer_protocol::VERSION_MAX);
    consumer_protocol::encode(assignment, version).map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)
}

/// The assignors of Kafka's own clients. What they keep in the user data of an assignment is a hint to themselves, which
/// may be lost: librdkafka's sticky ones repeat there what they also say in each subscription.
const ASSIGNORS: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];

/// What the leader of a classic group assigned by this assignor, with ids.
pub(crate) fn from_blob(
    blob: &bytes::Bytes,
    assignor: Option<&Str>,
    topics: &dyn TopicDirectory,
) -> Refused<Vec<TopicPartitions>> {
    if blob.is_empty() {
        return Ok(Vec::new());
    }
    let is_known = assignor.is_some_and(|name| ASSIGNORS.contains(&name.as_str()));
    let read = consumer_protocol::decode::<ConsumerProtocolAssignment>(blob.clone());
    match read {
        Ok((_, read)) if is_known || read.user_data.as_ref().is_none_or(|data| data.is_empty()) => {
            Ok(with_ids(&read.assigned_partitions, topics))
        }
        Ok(_) => refuse(ErrorCode::GROUP_ID_NOT_FOUND, "the group's own assignor keeps data of its own"),
        Err(error) => refuse(
            ErrorCode::GROUP_ID_NOT_FOUND,
            format!("an assignment of the group cannot be read: {error}"),
        ),
    }
}
