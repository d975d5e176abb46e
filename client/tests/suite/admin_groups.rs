//! What an administrator of groups must get from any cluster: groups without members, with classic members and, in the
//! consumer protocol, with members of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_client::{
    Admin, Client, Consumer, ConsumerConfig, ErrorCode, GroupDescription, GroupFilter, GroupProtocol,
    GroupState, GroupType, MemberToRemove, Offset, OffsetAndMetadata, TopicPartition,
};

use super::{at, fresh_topic};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs every check.
pub(crate) async fn run(client: &Client) {
    offsets_of_a_group_without_members_are_set_read_and_deleted(client).await;
    what_is_no_group_is_not_found(client).await;
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        a_group_with_members_is_described_and_defends_its_offsets(client, protocol).await;
    }
}

fn committed(rows: &[(&str, i32, i64)]) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
    rows.iter()
        .map(|(topic, partition, offset)| (at(topic, *partition), Offset::new(*offset).into()))
        .collect()
}

async fn offsets(admin: &Admin, group: &str) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
    let mut answers = admin.group_offsets(&[group]).await.expect("answered");
    answers.remove(0).1.expect("read")
}

async fn offsets_of_a_group_without_members_are_set_read_and_deleted(client: &Client) {
    let admin = client.admin();
    let topic = fresh_topic(client, "admin-offsets", 3).await;
    let group = format!("group-{topic}");
    let mut wanted = committed(&[(&topic, 0, 7), (&topic, 2, 0)]);
    wanted.get_mut(&at(&topic, 0)).expect("there").metadata = Some("by hand".to_owned());
    for (_, result) in admin.alter_group_offsets(&group, &wanted).await.expect("answered") {
        result.expect("set");
    }
    assert_eq!(offsets(&admin, &group).await, wanted);

    let empty = GroupFilter { states: vec![GroupState::Empty], types: vec![GroupType::Classic] };
    let listed = admin.list_groups(&empty).await.expect("listed");
    let mine = listed.iter().find(|one| one.group_id == group).expect("listed");
    assert_eq!((&mine.state, &mine.group_type), (&Some(GroupState::Empty), &Some(GroupType::Classic)));
    let stable = GroupFilter { states: vec![GroupState::Stable], types: Vec::new() };
    assert!(admin.list_groups(&stable).await.expect("listed").iter().all(|one| one.group_id != group));
    let described = admin.describe_group(&group).await.expect("described");
    assert_eq!((described.state, described.members.len()), (GroupState::Empty, 0));

    let deleted = admin.delete_group_offsets(&group, &[at(&topic, 0)]).await.expect("answered");
    assert!(deleted[0].1.is_ok());
    assert_eq!(offsets(&admin, &group).await, committed(&[(&topic, 2, 0)]));
    admin.delete_groups(&[&group]).await.expect("answered")[0].1.as_ref().expect("deleted");
    assert!(offsets(&admin, &group).await.is_empty());
    let gone = admin.describe_group(&group).await.expect_err("gone");
    assert_eq!((gone.code(), gone.group()), (Some(ErrorCode::GROUP_ID_NOT_FOUND), Some(&*group)));
}

async fn what_is_no_group_is_not_found(client: &Client) {
    let admin = client.admin();
    let answers = admin.delete_groups(&["no-group-a", "no-group-b"]).await.expect("answered");
    let codes: Vec<_> = answers.iter().map(|(group, result)| (&**group, code_of(result))).collect();
    let missing = Some(ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(codes, [("no-group-a", missing), ("no-group-b", missing)]);
    let described = admin.describe_groups(&["no-group-a", "no-group-b"]).await.expect("answered");
    assert!(described.iter().all(|(_, result)| code_of(result) == missing), "{described:?}");
    let topic = fresh_topic(client, "admin-missing", 1).await;
    let deleted = admin.delete_group_offsets("no-group-a", &[at(&topic, 0)]).await;
    assert_eq!(deleted.expect_err("no group").code(), missing);
    let unknown = admin.alter_group_offsets("no-group-a", &committed(&[("no-topic-at-all", 0, 1)])).await;
    let unknown = unknown.expect("answered");
    assert_eq!(code_of(&unknown[0].1), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
}

fn code_of<T>(result: &ottla_client::Result<T>) -> Option<ErrorCode> {
    result.as_ref().err().and_then(ottla_client::ClientError::code)
}

async fn a_group_with_members_is_described_and_defends_its_offsets(client: &Client, protocol: GroupProtocol) {
    let admin = client.admin();
    let topic = fresh_topic(client, "admin-members", 4).await;
    let group = format!("group-{topic}");
    let config = ConsumerConfig {
        group_protocol: protocol,
        heartbeat_interval: Duration::from_millis(200),
        ..ConsumerConfig::in_group(&group)
    };
    let consumers = [client.consumer(config.clone()), client.consumer(config)];
    for consumer in &consumers {
        consumer.subscribe([&topic]).expect("subscribed");
    }
    let described = until_stable(&admin, &group, &consumers).await;
    let expected = if protocol == GroupProtocol::Classic { GroupType::Classic } else { GroupType::Consumer };
    assert_eq!(described.group_type, expected);
    assert_eq!(described.protocol_type, "consumer");
    assert_eq!(described.group_epoch.is_some(), protocol == GroupProtocol::Consumer);
    let mut assigned: Vec<TopicPartition> = Vec::new();
    for member in &described.members {
        assert_eq!(member.subscribed_topics, [&*topic]);
        assert!(!member.client_id.is_empty() && !member.client_host.starts_with('/'), "{member:?}");
        assigned.extend(member.assignment.iter().cloned());
    }
    assigned.sort();
    assert_eq!(assigned, [0, 1, 2, 3].map(|partition| at(&topic, partition)));

    let set = admin.alter_group_offsets(&group, &committed(&[(&topic, 0, 1)])).await.expect("answered");
    assert_eq!(code_of(&set[0].1), Some(ErrorCode::UNKNOWN_MEMBER_ID));
    let deleted = admin.delete_group_offsets(&group, &[at(&topic, 0)]).await.expect("answered");
    assert_eq!(code_of(&deleted[0].1), Some(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC));
    let deleted = admin.delete_groups(&[&group]).await.expect("answered");
    assert_eq!(code_of(&deleted[0].1), Some(ErrorCode::NON_EMPTY_GROUP));

    let stranger = MemberToRemove::Member("nobody".to_owned());
    let first = MemberToRemove::Member(described.members[0].member_id.clone());
    let removed = admin.remove_members(&group, &[stranger, first], "a test").await.expect("answered");
    assert_eq!(code_of(&removed[0].1), Some(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(code_of(&removed[1].1), None);
    for consumer in consumers {
        // Who was removed may have come back by now, or may not be able to commit any more: both are right.
        let _ = consumer.close().await;
    }
}

/// Polls until both are members and have partitions.
async fn until_stable(admin: &Admin, group: &str, consumers: &[Consumer]) -> GroupDescription {
    let until = Instant::now() + PATIENCE;
    loop {
        for consumer in consumers {
            assert!(consumer.poll(Duration::from_millis(100)).await.expect("readable").is_none());
        }
        let described = admin.describe_group(group).await;
        if let Ok(described) = &described
            && described.state == GroupState::Stable
            && described.members.len() == 2
            && described.members.iter().all(|member| member.assignment.len() == 2)
        {
            return described.clone();
        }
        assert!(Instant::now() < until, "{described:?}");
    }
}
