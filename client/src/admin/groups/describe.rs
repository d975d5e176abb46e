//! Describing groups, whatever they are.
//!
//! Which of two APIs knows a group depends on what it is, and only its coordinator knows that: consumer groups are asked
//! for first, and what is none of them then as a classic one, as Kafka's own admin does. In a classic group, what members
//! want and have is their own affair; it is read here if they are consumers and speak Kafka's embedded protocol.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_protocol::messages::consumer_group_describe::{
    self, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};
use ottla_protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, decode,
};
use ottla_protocol::messages::describe_groups::{self, DescribeGroupsRequest, DescribeGroupsResponse};
use ottla_protocol::{BrokerId, ErrorCode, PartitionIndex, TopicName, TopicPartition};

use super::coordinators::GroupCall;
use super::{GroupState, GroupType, group_error, group_verdict};
use crate::admin::{Admin, PerResource, only};
use crate::error::{ErrorKind, Result};

/// The protocol type of groups whose members speak Kafka's embedded consumer protocol.
const CONSUMER: &str = "consumer";

/// A group and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: String,
    /// What it is.
    pub group_type: GroupType,
    /// How far it is.
    pub state: GroupState,
    /// The broker that coordinates it.
    pub coordinator: BrokerId,
    /// What members use it for, usually `consumer`; empty if it only holds offsets.
    pub protocol_type: String,
    /// The assignor in use, if one is.
    pub assignor: Option<String>,
    /// The epoch of a consumer group.
    pub group_epoch: Option<i32>,
    /// The epoch of a consumer group's target assignment.
    pub assignment_epoch: Option<i32>,
    /// Its members by id.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// Its rack, if it said so.
    pub rack: Option<String>,
    /// Its epoch, in a consumer group.
    pub member_epoch: Option<i32>,
    /// Whether a member of a consumer group speaks the classic protocol (while the group is upgraded), if told.
    pub is_classic: Option<bool>,
    /// The topics that it wants by name.
    pub subscribed_topics: Vec<String>,
    /// The regular expression that it wants topics by, in a consumer group.
    pub subscribed_regex: Option<String>,
    /// What it has.
    pub assignment: Vec<TopicPartition>,
    /// What it is to have in the end, in a consumer group.
    pub target_assignment: Option<Vec<TopicPartition>>,
}

impl Admin {
    /// One group with its members.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND` when there is none; others when its coordinator does not answer in time.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        only("describe group", self.describe_groups(&[group]).await?)
    }

    /// Groups with their members, classic or consumer.
    ///
    /// # Errors
    /// When a coordinator does not answer in time; `GROUP_ID_NOT_FOUND` is in a group's own result.
    pub async fn describe_groups(&self, groups: &[&str]) -> Result<PerResource<GroupDescription>> {
        let asked = self.ask_coordinators(groups, &DescribeConsumer).await?;
        let mut results: BTreeMap<String, Result<GroupDescription>> = asked.into_iter().collect();
        let may_be_classic: Vec<String> = results
            .iter()
            .filter(|(_, result)| {
                result.as_ref().is_err_and(|error| {
                    error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND)
                        || error.code() == Some(ErrorCode::UNSUPPORTED_VERSION)
                        || matches!(error.kind(), ErrorKind::UnsupportedApi { .. })
                })
            })
            .map(|(group, _)| group.clone())
            .collect();
        let may_be_classic: Vec<&str> = may_be_classic.iter().map(String::as_str).collect();
        results.extend(self.ask_coordinators(&may_be_classic, &DescribeClassic).await?);
        Ok(results.into_iter().collect())
    }
}

/// ConsumerGroupDescribe.
struct DescribeConsumer;

impl GroupCall for DescribeConsumer {
    type Api = ConsumerGroupDescribeRequest;
    type Answer = GroupDescription;
    const OPERATION: &'static str = "describe group";

    fn request(&self, groups: &[String], _version: i16) -> ConsumerGroupDescribeRequest {
        let group_ids = groups.iter().map(|group| group.as_str().into()).collect();
        ConsumerGroupDescribeRequest { group_ids, include_authorized_operations: false }
    }

    fn answers(
        &self,
        response: ConsumerGroupDescribeResponse,
        _: &[String],
        broker: BrokerId,
    ) -> PerResource<GroupDescription> {
        let described = |group: consumer_group_describe::DescribedGroup| {
            let message = group.error_message.as_deref();
            let verdict = group_verdict(Self::OPERATION, &group.group_id, group.error_code, message);
            let mut members: Vec<MemberDescription> = group.members.iter().map(consumer_member).collect();
            members.sort_by(|one, other| one.member_id.cmp(&other.member_id));
            let described = GroupDescription {
                group_id: group.group_id.to_string(),
                group_type: GroupType::Consumer,
                state: GroupState::named(&group.group_state),
                coordinator: broker,
                protocol_type: CONSUMER.to_owned(),
                assignor: (!group.assignor_name.is_empty()).then(|| group.assignor_name.to_string()),
                group_epoch: Some(group.group_epoch),
                assignment_epoch: Some(group.assignment_epoch),
                members,
            };
            (group.group_id.to_string(), verdict.map(|()| described))
        };
        response.groups.into_iter().map(described).collect()
    }
}

fn consumer_member(member: &consumer_group_describe::Member) -> MemberDescription {
    let partitions = |assignment: &consumer_group_describe::Assignment| {
        let of_topic = |topic: &consumer_group_describe::TopicPartitions| {
            topic_partitions(&topic.topic_name, &topic.partitions)
        };
        sorted(assignment.topic_partitions.iter().flat_map(of_topic).collect())
    };
    MemberDescription {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.as_deref().map(str::to_owned),
        client_id: member.client_id.to_string(),
        client_host: host(&member.client_host),
        rack: member.rack_id.as_deref().filter(|rack| !rack.is_empty()).map(str::to_owned),
        member_epoch: Some(member.member_epoch),
        is_classic: (member.member_type >= 0).then_some(member.member_type == 0),
        subscribed_topics: member.subscribed_topic_names.iter().map(ToString::to_string).collect(),
        subscribed_regex: member
            .subscribed_topic_regex
            .as_deref()
            .filter(|regex| !regex.is_empty())
            .map(str::to_owned),
        assignment: partitions(&member.assignment),
        target_assignment: Some(partitions(&member.target_assignment)),
    }
}

/// DescribeGroups.
struct DescribeClassic;

impl GroupCall for DescribeClassic {
    type Api = DescribeGroupsRequest;
    type Answer = GroupDescription;
    const OPERATION: &'static str = "describe group";

    fn request(&self, groups: &[String], _version: i16) -> DescribeGroupsRequest {
        let groups = groups.iter().map(|group| group.as_str().into()).collect();
        DescribeGroupsRequest { groups, include_authorized_operations: false }
    }

    fn answers(
        &self,
        response: DescribeGroupsResponse,
        _: &[String],
        broker: BrokerId,
    ) -> PerResource<GroupDescription> {
        let described = |group: describe_groups::DescribedGroup| {
            let id = group.group_id.to_string();
            let message = group.error_message.as_deref();
            let mut verdict = group_verdict(Self::OPERATION, &id, group.error_code, message);
            let state = GroupState::named(&group.group_state);
            if verdict.is_ok() && state == GroupState::Dead {
                // Before version 6 that is how a coordinator says that there is no such group.
                verdict = Err(group_error(Self::OPERATION, &id, ErrorCode::GROUP_ID_NOT_FOUND, None));
            }
            let are_consumers = group.protocol_type == *CONSUMER;
            let mut members: Vec<MemberDescription> =
                group.members.iter().map(|member| classic_member(member, are_consumers)).collect();
            members.sort_by(|one, other| one.member_id.cmp(&other.member_id));
            let described = GroupDescription {
                group_id: id.clone(),
                group_type: GroupType::Classic,
                state,
                coordinator: broker,
                protocol_type: group.protocol_type.to_string(),
                assignor: (!group.protocol_data.is_empty()).then(|| group.protocol_data.to_string()),
                group_epoch: None,
                assignment_epoch: None,
                members,
            };
            (id, verdict.map(|()| described))
        };
        response.groups.into_iter().map(described).collect()
    }
}

fn classic_member(member: &describe_groups::DescribedGroupMember, is_consumer: bool) -> MemberDescription {
    let read = |blob: &Bytes| (is_consumer && !blob.is_empty()).then(|| blob.clone());
    // What cannot be read is somebody else's protocol, and nobody's error.
    let subscription = read(&member.member_metadata)
        .and_then(|blob| decode::<ConsumerProtocolSubscription>(blob).ok())
        .map(|(_, subscription)| subscription)
        .unwrap_or_default();
    let assignment = read(&member.member_assignment)
        .and_then(|blob| decode::<ConsumerProtocolAssignment>(blob).ok())
        .map(|(_, assignment)| assignment)
        .unwrap_or_default();
    let partitions = assignment
        .assigned_partitions
        .iter()
        .flat_map(|topic| topic_partitions(&topic.topic, &topic.partitions));
    MemberDescription {
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_deref().map(str::to_owned),
        client_id: member.client_id.to_string(),
        client_host: host(&member.client_host),
        rack: subscription.rack_id.as_deref().filter(|rack| !rack.is_empty()).map(str::to_owned),
        member_epoch: None,
        is_classic: None,
        subscribed_topics: subscription.topics.iter().map(ToString::to_string).collect(),
        subscribed_regex: None,
        assignment: sorted(partitions.collect()),
        target_assignment: None,
    }
}

/// Kafka writes a host as Java prints an address: with a slash before it.
fn host(text: &str) -> String {
    text.strip_prefix('/').unwrap_or(text).to_owned()
}

fn topic_partitions(topic: &str, partitions: &[i32]) -> Vec<TopicPartition> {
    let Ok(name) = TopicName::new(topic) else { return Vec::new() };
    let partition = |index: &i32| TopicPartition::new(name.clone(), PartitionIndex::new(*index));
    partitions.iter().map(partition).collect()
}

fn sorted(mut partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
    partitions.sort();
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::messages::consumer_protocol::{self, encode};

    fn member(metadata: Bytes, assignment: Bytes) -> describe_groups::DescribedGroupMember {
        describe_groups::DescribedGroupMember {
            member_id: "m".into(),
            client_host: "/127.0.0.1".into(),
            member_metadata: metadata,
            member_assignment: assignment,
            ..Default::default()
        }
    }

    #[test]
    fn a_classic_consumers_subscription_and_assignment_are_read() {
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["t".into()],
            ..ConsumerProtocolSubscription::default()
        };
        let assigned = consumer_protocol::TopicPartition { topic: "t".into(), partitions: vec![2, 0] };
        let assignment = ConsumerProtocolAssignment { assigned_partitions: vec![assigned], user_data: None };
        let member = member(encode(subscription, 1).expect("legal"), encode(assignment, 1).expect("legal"));
        let described = classic_member(&member, true);
        assert_eq!(described.subscribed_topics, ["t"]);
        assert_eq!(described.assignment, topic_partitions("t", &[0, 2]));
        assert_eq!(described.client_host, "127.0.0.1");
    }

    #[test]
    fn what_members_of_another_protocol_say_stays_their_own() {
        let garbage = || Bytes::from_static(b"\xff\xff\xff");
        assert!(classic_member(&member(garbage(), garbage()), true).assignment.is_empty());
        assert!(classic_member(&member(garbage(), garbage()), false).subscribed_topics.is_empty());
    }

    #[test]
    fn a_dead_group_of_an_old_broker_was_not_found() {
        let group = describe_groups::DescribedGroup {
            group_id: "g".into(),
            group_state: "Dead".into(),
            ..Default::default()
        };
        let response = DescribeGroupsResponse { groups: vec![group], ..Default::default() };
        let answers = DescribeClassic.answers(response, &[], BrokerId::new(1));
        let error = answers[0].1.as_ref().expect_err("not found");
        assert_eq!(error.code(), Some(ErrorCode::GROUP_ID_NOT_FOUND));
        assert_eq!(error.group(), Some("g"));
    }
}
