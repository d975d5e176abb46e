//! A group that changes its protocol while it runs.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use ottla_protocol::messages::describe_groups::DescribeGroupsRequest;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use crate::broker;
use crate::member::{Member, describe, new_group, topic_id};
use crate::support::Client;

/// What a classic consumer of `topic` that owns these partitions says.
fn classic_join(group: &Str, member: &Str, topic: &str, owned: &[i32]) -> JoinGroupRequest {
    let subscription = ConsumerProtocolSubscription {
        topics: vec![topic.into()],
        owned_partitions: vec![TopicPartition { topic: topic.into(), partitions: owned.to_vec() }],
        ..Default::default()
    };
    let metadata = consumer_protocol::encode(subscription, 1).unwrap();
    JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.clone(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata }],
        ..Default::default()
    }
}

fn classic_sync(
    client: &mut Client,
    group: &Str,
    member: &Str,
    generation: i32,
    assigned: Option<(&str, Vec<i32>)>,
) -> Result<Vec<i32>, ErrorCode> {
    let part = |(topic, partitions): (&str, Vec<i32>)| {
        let assigned_partitions = vec![TopicPartition { topic: topic.into(), partitions }];
        let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
        let assignment = consumer_protocol::encode(assignment, 1).unwrap();
        SyncGroupRequestAssignment { member_id: member.clone(), assignment }
    };
    let request = SyncGroupRequest {
        group_id: group.clone(),
        generation_id: generation,
        member_id: member.clone(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assigned.into_iter().map(part).collect(),
        ..Default::default()
    };
    let response = client.call(5, request);
    if response.error_code.is_error() {
        return Err(response.error_code);
    }
    let (_, read) = consumer_protocol::decode::<ConsumerProtocolAssignment>(response.assignment).unwrap();
    Ok(read.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect())
}

fn classic_beat(client: &mut Client, group: &Str, member: &Str, generation: i32) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.clone(),
        generation_id: generation,
        member_id: member.clone(),
        ..Default::default()
    };
    client.call(4, request).error_code
}

#[test]
fn a_group_goes_from_classic_to_consumer_and_back_while_it_runs() {
    let broker = broker();
    let mut client = broker.connect();
    let topic = client.new_topic(4, &[]);
    let id = topic_id(&mut client, &topic);
    let group = new_group(&mut client);
    let classic = client.call(9, classic_join(&group, &Str::EMPTY, &topic, &[])).member_id;
    let joined = client.call(9, classic_join(&group, &classic, &topic, &[]));
    assert_eq!(joined.generation_id, 1);
    let owned = classic_sync(&mut client, &group, &classic, 1, Some((&topic, vec![0, 1, 2, 3]))).unwrap();
    assert_eq!(owned.len(), 4);

    let mut consumer = Member::new(&broker, &group, &topic);
    consumer.beat(id);
    assert_eq!((consumer.epoch, consumer.owned.len()), (2, 0));
    let types: Vec<i8> =
        describe(&mut client, &group).members.iter().map(|member| member.member_type).collect();
    assert_eq!(types.iter().map(|kind| i32::from(*kind)).sum::<i32>(), 1, "one of each: {types:?}");
    assert_eq!(classic_beat(&mut client, &group, &classic, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let told = client.call(9, classic_join(&group, &classic, &topic, &owned));
    assert_eq!((told.error_code, told.generation_id), (ErrorCode::NONE, 1));
    let kept = classic_sync(&mut client, &group, &classic, 1, None).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(classic_beat(&mut client, &group, &classic, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    let told = client.call(9, classic_join(&group, &classic, &topic, &kept));
    assert_eq!(told.generation_id, 2);
    assert_eq!(classic_sync(&mut client, &group, &classic, 2, None), Ok(kept));
    consumer.beat(id);
    assert_eq!(consumer.owned.len(), 2);
    assert_eq!(classic_beat(&mut client, &group, &classic, 2), ErrorCode::NONE);
    assert_eq!(describe(&mut client, &group).group_state, "Stable");

    assert_eq!(consumer.leave(-1), ErrorCode::NONE);
    assert_eq!(describe(&mut client, &group).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    let mut described =
        client.call(5, DescribeGroupsRequest { groups: vec![group.clone()], ..Default::default() });
    assert_eq!(described.groups.remove(0).group_state, "PreparingRebalance");
    let again = client.call(9, classic_join(&group, &classic, &topic, &[]));
    assert_eq!((again.error_code, again.leader), (ErrorCode::NONE, classic));
}
