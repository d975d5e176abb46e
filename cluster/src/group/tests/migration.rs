//! Groups that change their protocol while they run (KIP-848).

use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use ottla_protocol::messages::join_group::JoinGroupRequest;

use super::consumer_client::Client;
use super::*;

/// A member of the classic protocol that reads `t` and owns these partitions.
fn joining(member_id: &str, owned: &[i32]) -> JoinGroupRequest {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        owned_partitions: vec![TopicPartition { topic: "t".into(), partitions: owned.to_vec() }],
        ..ConsumerProtocolSubscription::default()
    };
    let metadata = consumer_protocol::encode(subscription, 1).unwrap();
    let protocol = JoinGroupRequestProtocol { name: "range".into(), metadata };
    JoinGroupRequest { protocols: vec![protocol], ..request(member_id) }
}

fn blob(partitions: &[i32]) -> Bytes {
    let assigned = vec![TopicPartition { topic: "t".into(), partitions: partitions.to_vec() }];
    let assignment = ConsumerProtocolAssignment { assigned_partitions: assigned, user_data: None };
    consumer_protocol::encode(assignment, 1).unwrap()
}

fn partitions(blob: &Bytes) -> Vec<i32> {
    let (_, read) = consumer_protocol::decode::<ConsumerProtocolAssignment>(blob.clone()).unwrap();
    read.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

impl World {
    fn sync_blob(&mut self, generation: i32, member: &Str, assignment: Option<Bytes>) -> SyncGroupResponse {
        let part = |assignment| SyncGroupRequestAssignment { member_id: member.clone(), assignment };
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: generation,
            member_id: member.clone(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assignment.into_iter().map(part).collect(),
            ..SyncGroupRequest::default()
        };
        let now = self.now();
        self.shard.handle_sync(now, &request, "sync");
        self.commit(Ok(()));
        self.synced("sync")
    }

    /// A stable classic group of one member that has all four partitions of `t`.
    fn classic_group() -> (World, Str) {
        let mut world = World::with_topics(&[("t", 4)]);
        world.join("c", &joining("", &[]));
        let id = world.joined("c").member_id;
        world.join("c", &joining(&id, &[]));
        assert_eq!(world.joined("c").generation_id, 1);
        assert!(!world.sync_blob(1, &id, Some(blob(&[0, 1, 2, 3]))).assignment.is_empty());
        (world, id)
    }

    fn rejoin(&mut self, id: &Str, owned: &[i32]) -> JoinGroupResponse {
        self.join("c", &joining(id, owned));
        self.commit(Ok(()));
        self.joined("c")
    }
}

#[test]
fn a_consumer_member_makes_a_classic_group_a_consumer_group_whose_classic_members_go_on() {
    let (mut world, classic) = World::classic_group();
    let mut b = Client::new("b");
    assert_eq!(world.beat_as(&mut b), ErrorCode::NONE);
    assert_eq!((b.epoch, b.owned.len()), (2, 0), "all is still the classic member's");
    let group = world.described();
    assert_eq!((group.group_state.as_str(), group.members.len()), ("Reconciling", 2));
    let types: Vec<i8> = group.members.iter().map(|member| member.member_type).collect();
    assert_eq!(types, [1, 0], "b sorts before client-1");

    assert_eq!(world.beat(1, &classic), ErrorCode::REBALANCE_IN_PROGRESS);
    let told = world.rejoin(&classic, &[0, 1, 2, 3]);
    assert_eq!((told.error_code, told.generation_id), (ErrorCode::NONE, 1));
    assert_eq!((told.leader.as_str(), told.members.len()), ("", 0));
    let kept = partitions(&world.sync_blob(1, &classic, None).assignment);
    assert_eq!(kept.len(), 2);
    world.beat_as(&mut b);
    assert_eq!(b.owned.len(), 0, "nothing is given up before it is said");
    assert_eq!(world.beat(1, &classic), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.rejoin(&classic, &kept).generation_id, 2);
    assert_eq!(partitions(&world.sync_blob(2, &classic, None).assignment), kept);
    assert_eq!(world.beat(2, &classic), ErrorCode::NONE);
    world.beat_as(&mut b);
    assert_eq!(b.owned.len(), 2);
    assert!(b.owned.iter().all(|(_, partition)| !kept.contains(partition)));
    assert_eq!(world.described().group_state, "Stable");
    assert_eq!(world.sync_blob(1, &classic, None).error_code, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(world.beat(7, &classic), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(
        world.beat(2, &"b".into()),
        ErrorCode::UNKNOWN_MEMBER_ID,
        "b does not speak the classic protocol"
    );
}

#[test]
fn the_last_consumer_member_that_leaves_makes_it_a_classic_group_again() {
    let (mut world, classic) = World::classic_group();
    let mut b = Client::new("b");
    world.beat_as(&mut b);
    b.epoch = -1;
    world.beat_leaving(&b);
    assert_eq!(world.described().error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(world.state(), "PreparingRebalance");
    // It is told to join again, and not that its generation is over, upon which it would drop what it owns.
    assert_eq!(world.beat(1, &classic), ErrorCode::REBALANCE_IN_PROGRESS);
    let joined = world.rejoin(&classic, &[0, 1, 2, 3]);
    assert_eq!((joined.generation_id, joined.leader == classic, joined.members.len()), (2, true, 1));
    world.sync_blob(2, &classic, Some(blob(&[0, 1, 2, 3])));
    assert_eq!(world.restarted().state(), "Stable");
}

#[test]
fn a_converted_group_survives_a_restart_as_what_it_is() {
    let (mut world, classic) = World::classic_group();
    let mut b = Client::new("b");
    world.beat_as(&mut b);
    let after = world.restarted();
    let group = |world: &World| world.shard.consumer(&"g".into()).unwrap().group.clone();
    assert_eq!(group(&after), group(&world));
    assert_eq!(after.state(), "Dead", "it is no classic group any more");
    assert!(after.shard.consumer(&"g".into()).unwrap().group.members.contains_key(&classic));
}

#[test]
fn a_group_that_may_not_change_stays_classic_and_the_consumer_is_told_so() {
    let (mut world, classic) = World::classic_group();
    world.shard.config.consumer.migration = MigrationPolicy::Downgrade;
    assert_eq!(world.beat_as(&mut Client::new("b")), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(world.beat(1, &classic), ErrorCode::NONE);
    assert_eq!(world.state(), "Stable");
}

#[test]
fn a_group_whose_members_are_no_consumers_stays_classic() {
    let mut world = World::with_topics(&[("t", 4)]);
    let connect = JoinGroupRequest { protocol_type: "connect".into(), ..request("") };
    world.join("c", &connect);
    let id = world.joined("c").member_id;
    world.join("c", &JoinGroupRequest { member_id: id, ..connect });
    assert_eq!(world.beat_as(&mut Client::new("b")), ErrorCode::GROUP_ID_NOT_FOUND);
}

#[test]
fn user_data_keeps_a_group_classic_only_if_an_unknown_assignor_made_it() {
    for (assignor, expected) in [("range", ErrorCode::NONE), ("my-own", ErrorCode::GROUP_ID_NOT_FOUND)] {
        let (mut world, classic) = World::classic_group();
        let now = world.now();
        let assignment = ConsumerProtocolAssignment {
            assigned_partitions: Vec::new(),
            user_data: Some(Bytes::from_static(b"mine")),
        };
        world.shard.with_classic(&"g".into(), now, |group, _| {
            group.protocol = Some(assignor.into());
            let member = group.members.get_mut(&classic).unwrap();
            member.protocols[0].name = assignor.into();
            member.assignment = consumer_protocol::encode(assignment, 1).unwrap();
        });
        assert_eq!(world.beat_as(&mut Client::new("b")), expected, "{assignor}");
    }
}

#[test]
fn an_upgrade_that_cannot_be_written_is_taken_back() {
    let (mut world, classic) = World::classic_group();
    world.send_first(&Client::new("b"));
    world.commit(Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(world.state(), "PreparingRebalance");
    assert_eq!(world.rejoin(&classic, &[]).generation_id, 2);
}

#[test]
fn a_classic_member_that_does_not_join_again_is_removed_after_its_rebalance_timeout() {
    let (mut world, classic) = World::classic_group();
    let mut b = Client::new("b");
    world.beat_as(&mut b);
    for _ in 0..4 {
        assert_eq!(world.beat(1, &classic), ErrorCode::REBALANCE_IN_PROGRESS);
        world.pass(5_100);
        world.commit(Ok(()));
    }
    assert_eq!(world.described().members.len(), 1);
    world.beat_until_stable(&mut [&mut b]);
    assert_eq!(b.owned.len(), 4);
}

#[test]
fn empty_groups_change_without_a_trace() {
    let (mut world, classic) = World::classic_group();
    world.leave(&classic);
    world.commit(Ok(()));
    assert_eq!(world.state(), "Empty");
    let mut b = Client::new("b");
    assert_eq!(world.beat_as(&mut b), ErrorCode::NONE);
    assert_eq!((b.epoch, b.owned.len()), (2, 4));
    b.epoch = -1;
    world.beat_leaving(&b);
    world.join("c", &joining("", &[]));
    world.commit(Ok(()));
    let id = world.joined("c").member_id;
    assert_eq!(world.rejoin(&id, &[]).generation_id, 1);
}

#[test]
fn a_classic_member_joins_a_consumer_group_in_two_steps_and_must_be_a_consumer() {
    let mut world = World::with_topics(&[("t", 4)]);
    let mut b = Client::new("b");
    world.beat_as(&mut b);
    world.join("c", &joining("", &[]));
    let first = world.joined("c");
    assert_eq!(first.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    world.join("c", &JoinGroupRequest { protocol_type: "connect".into(), ..joining("", &[]) });
    assert_eq!(world.joined("c").error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(world.rejoin(&first.member_id, &[]).generation_id, 3);
    assert_eq!(world.described().members.len(), 2);
    // It joined and never fetches its assignment.
    for _ in 0..5 {
        world.beat_as(&mut b);
        world.pass(5_000);
        world.commit(Ok(()));
    }
    assert_eq!(world.described().members.len(), 1);
}
