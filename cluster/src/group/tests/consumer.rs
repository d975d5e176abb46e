//! Consumer groups (KIP-848) as their members see them, heartbeat by heartbeat.

use ottla_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ottla_protocol::messages::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};

use super::consumer_client::Client;
use super::*;

#[test]
fn a_member_alone_gets_all_partitions_with_its_first_heartbeat() {
    let mut world = World::with_topics(&[("t", 3)]);
    let mut a = Client::new("a");
    world.send(&a.first(), 1);
    assert!(world.answer("consumer").is_none(), "nothing is told that is not committed");
    world.commit(Ok(()));
    let response = world.heard();
    assert_eq!((response.member_epoch, response.heartbeat_interval_ms), (2, 5_000));
    assert_eq!(response.assignment.unwrap().topic_partitions[0].partitions, [0, 1, 2]);
    a.epoch = 2;
    let quiet = world.ask(&a.request());
    assert_eq!((quiet.error_code, quiet.assignment), (ErrorCode::NONE, None));
    let group = world.described();
    assert_eq!((group.group_state.as_str(), group.group_epoch, group.assignment_epoch), ("Stable", 2, 2));
    assert_eq!((group.assignor_name.as_str(), group.members.len()), ("uniform", 1));
    assert_eq!(group.members[0].member_type, 1);
}

#[test]
fn a_second_member_gets_a_partition_only_after_the_first_has_given_it_up() {
    let mut world = World::with_topics(&[("t", 4)]);
    let (mut a, mut b) = (Client::new("a"), Client::new("b"));
    world.beat_as(&mut a);
    world.beat_as(&mut b);
    assert_eq!((b.epoch, b.owned.len()), (3, 0));
    assert_eq!(world.described().group_state, "Reconciling");
    let told = world.ask(&ConsumerGroupHeartbeatRequest { topic_partitions: a.claims(), ..a.request() });
    assert_eq!(told.member_epoch, 2, "it stays in its epoch until it has given up");
    assert_eq!(told.assignment.unwrap().topic_partitions[0].partitions.len(), 2);
    world.beat_as(&mut b);
    assert_eq!(b.owned.len(), 0, "the first has not said that it gave anything up");
    let kept = a.owned.split_off(2);
    assert_eq!(world.beat_as(&mut a), ErrorCode::NONE);
    assert_eq!((a.epoch, a.owned.len()), (3, 2));
    world.beat_as(&mut b);
    assert_eq!(b.owned.len(), 2);
    assert!(b.owned.iter().all(|partition| kept.contains(partition)));
    assert_eq!(world.described().group_state, "Stable");
}

#[test]
fn who_leaves_is_gone_and_the_others_share_what_it_had() {
    let mut world = World::with_topics(&[("t", 4)]);
    let (mut a, mut b) = (Client::new("a"), Client::new("b"));
    world.beat_as(&mut a);
    world.beat_until_stable(&mut [&mut a, &mut b]);
    b.epoch = -1;
    assert_eq!(world.ask(&b.request()).member_epoch, -1);
    assert_eq!(world.error(&b.request()), ErrorCode::UNKNOWN_MEMBER_ID);
    world.beat_until_stable(&mut [&mut a]);
    assert_eq!(a.owned.len(), 4);
    a.epoch = -1;
    world.ask(&a.request());
    assert_eq!(world.described().group_state, "Empty");
}

#[test]
fn a_silent_member_is_removed_after_its_session_and_a_slow_one_after_its_rebalance_timeout() {
    let mut world = World::with_topics(&[("t", 4)]);
    let (mut a, mut b) = (Client::new("a"), Client::new("b"));
    world.beat_as(&mut a);
    world.pass(44_999);
    assert_eq!(world.described().members.len(), 1);
    world.pass(1);
    world.commit(Ok(()));
    assert_eq!(world.described().members.len(), 0);
    assert_eq!(world.error(&a.request()), ErrorCode::UNKNOWN_MEMBER_ID);
    a.epoch = 0;
    world.beat_as(&mut a);
    world.beat_as(&mut b);
    // It is told to give up two partitions and goes on to claim all.
    for _ in 0..5 {
        let stubborn = ConsumerGroupHeartbeatRequest { topic_partitions: a.claims(), ..a.request() };
        world.send(&stubborn, 1);
        world.commit(Ok(()));
        world.heard();
        world.pass(4_100);
        world.commit(Ok(()));
    }
    assert_eq!(world.described().members.len(), 1);
    world.beat_until_stable(&mut [&mut b]);
    assert_eq!(b.owned.len(), 4);
}

#[test]
fn a_wrong_epoch_is_fenced_and_a_lost_answer_is_not() {
    let mut world = World::with_topics(&[("t", 2)]);
    let (mut a, mut b) = (Client::new("a"), Client::new("b"));
    world.beat_as(&mut a);
    for epoch in [1, 3, 7] {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..a.request() };
        assert_eq!(world.error(&request), ErrorCode::FENCED_MEMBER_EPOCH);
    }
    world.beat_as(&mut b);
    a.owned.truncate(1);
    let mut before = a.clone();
    world.beat_as(&mut a);
    a.owned.truncate(1);
    world.beat_as(&mut a);
    assert_eq!(a.epoch, 3);
    // The answer with epoch 3 was lost: the client still says 2, and owns no more than it may.
    before.owned = a.owned.clone();
    assert_eq!(world.beat_as(&mut before), ErrorCode::NONE);
    let greedy = ConsumerGroupHeartbeatRequest { member_epoch: 2, topic_partitions: None, ..a.request() };
    assert_eq!(world.error(&greedy), ErrorCode::FENCED_MEMBER_EPOCH);
    // Epoch 0 begins anew, at any time.
    assert_eq!(world.ask(&Client { epoch: 0, ..a }.first()).member_epoch, 3);
}

#[test]
fn a_static_member_leaves_for_a_while_and_comes_back_to_its_partitions_without_a_rebalance() {
    let mut world = World::with_topics(&[("t", 4)]);
    let mut a = Client { instance: Some("i"), ..Client::new("a") };
    let mut b = Client::new("b");
    world.beat_as(&mut a);
    world.beat_until_stable(&mut [&mut a, &mut b]);
    let epoch = world.described().group_epoch;
    let stranger = Client { instance: Some("i"), ..Client::new("c") };
    assert_eq!(world.error(&stranger.first()), ErrorCode::UNRELEASED_INSTANCE_ID);
    assert_eq!(
        world.error(&ConsumerGroupHeartbeatRequest { member_epoch: 3, ..stranger.request() }),
        ErrorCode::FENCED_INSTANCE_ID
    );
    let left = world.ask(&ConsumerGroupHeartbeatRequest { member_epoch: -2, ..a.request() });
    assert_eq!((left.error_code, left.member_epoch), (ErrorCode::NONE, -2));
    let mut back = stranger;
    assert_eq!(world.beat_as(&mut back), ErrorCode::NONE);
    let mut owned = a.owned.clone();
    owned.sort_unstable();
    assert_eq!((back.epoch, &back.owned), (epoch, &owned));
    assert_eq!(world.described().group_epoch, epoch);
    assert_eq!(world.error(&a.request()), ErrorCode::FENCED_INSTANCE_ID);
}

#[test]
fn a_static_member_that_does_not_come_back_is_removed_after_its_session() {
    let mut world = World::with_topics(&[("t", 4)]);
    let mut a = Client { instance: Some("i"), ..Client::new("a") };
    world.beat_as(&mut a);
    world.ask(&ConsumerGroupHeartbeatRequest { member_epoch: -2, ..a.request() });
    world.pass(45_000);
    world.commit(Ok(()));
    assert_eq!(world.described().members.len(), 0);
}

#[test]
fn bad_heartbeats_get_kafkas_errors() {
    let mut world = World::with_topics(&[("t", 2)]);
    let a = Client::new("a");
    let first = a.first();
    type Spoil = fn(&mut ConsumerGroupHeartbeatRequest);
    let cases: [(Spoil, ErrorCode); 12] = [
        (|it| it.group_id = Str::EMPTY, ErrorCode::INVALID_REQUEST),
        (|it| it.member_id = Str::EMPTY, ErrorCode::INVALID_REQUEST),
        (|it| it.instance_id = Some(Str::EMPTY), ErrorCode::INVALID_REQUEST),
        (|it| it.rack_id = Some(Str::EMPTY), ErrorCode::INVALID_REQUEST),
        (|it| it.rebalance_timeout_ms = -1, ErrorCode::INVALID_REQUEST),
        (|it| it.topic_partitions = None, ErrorCode::INVALID_REQUEST),
        (|it| it.subscribed_topic_names = None, ErrorCode::INVALID_REQUEST),
        (|it| it.member_epoch = -2, ErrorCode::INVALID_REQUEST),
        (|it| it.member_epoch = -3, ErrorCode::INVALID_REQUEST),
        (|it| it.server_assignor = Some("sticky".into()), ErrorCode::UNSUPPORTED_ASSIGNOR),
        (|it| it.subscribed_topic_regex = Some("(".into()), ErrorCode::INVALID_REGULAR_EXPRESSION),
        (|it| it.member_epoch = 5, ErrorCode::GROUP_ID_NOT_FOUND),
    ];
    for (spoil, expected) in cases {
        let mut request = first.clone();
        spoil(&mut request);
        assert_eq!(world.error(&request), expected, "{request:?}");
    }
    assert_eq!(
        world.described().error_code,
        ErrorCode::GROUP_ID_NOT_FOUND,
        "a refused member leaves no group"
    );
    world.ask(&first);
    let unknown = ConsumerGroupHeartbeatRequest { member_epoch: 5, ..Client::new("x").request() };
    assert_eq!(world.error(&unknown), ErrorCode::UNKNOWN_MEMBER_ID);
    for id in ["b", "c"] {
        world.ask(&Client::new(id).first());
    }
    assert_eq!(world.error(&Client::new("d").first()), ErrorCode::GROUP_MAX_SIZE_REACHED);
}

#[test]
fn before_version_1_the_coordinator_makes_the_member_id() {
    let mut world = World::with_topics(&[("t", 2)]);
    let request = ConsumerGroupHeartbeatRequest { member_id: Str::EMPTY, ..Client::new("a").first() };
    world.send(&request, 0);
    world.commit(Ok(()));
    assert_eq!(world.heard().member_id.as_deref(), Some("made-1"));
}

#[test]
fn an_expression_is_resolved_here_and_follows_the_topics() {
    let mut world = World::with_topics(&[("t", 2), ("v", 9)]);
    let mut a = Client::new("a");
    let request = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("t|u".into()),
        ..a.first()
    };
    let response = world.ask(&request);
    assert_eq!(response.assignment.unwrap().topic_partitions.len(), 1);
    (a.epoch, a.owned) = (2, vec![("t", 0), ("t", 1)]);
    world.show_topics(&[("t", 2), ("u", 1), ("v", 9)]);
    assert_eq!(world.described().group_epoch, 3);
    world.beat_until_stable(&mut [&mut a]);
    assert_eq!(a.owned, [("t", 0), ("t", 1), ("u", 0)]);
    let mut names = ConsumerGroupHeartbeatRequest { subscribed_topic_regex: Some(Str::EMPTY), ..a.request() };
    names.subscribed_topic_names = Some(vec!["u".into()]);
    assert_eq!(world.ask(&names).assignment.unwrap().topic_partitions.len(), 1);
    a.owned = vec![("u", 0)];
    world.beat_until_stable(&mut [&mut a]);
    assert_eq!(a.owned, [("u", 0)]);
    assert_eq!(world.described().members[0].subscribed_topic_regex, None);
}

#[test]
fn new_partitions_and_deleted_topics_bump_the_epoch_and_other_topics_do_not() {
    let mut world = World::with_topics(&[("t", 2)]);
    let mut a = Client::new("a");
    world.beat_as(&mut a);
    world.show_topics(&[("t", 2), ("other", 5)]);
    assert_eq!(world.described().group_epoch, 2);
    world.show_topics(&[("t", 5), ("other", 5)]);
    assert_eq!(world.described().group_epoch, 3);
    world.beat_until_stable(&mut [&mut a]);
    assert_eq!(a.owned.len(), 5);
    world.show_topics(&[("other", 5)]);
    world.beat_until_stable(&mut [&mut a]);
    assert_eq!(a.owned.len(), 0);
}

#[test]
fn a_group_survives_a_restart_to_the_letter() {
    let topics = [("t", 5), ("u", 2)];
    let mut world = World::with_topics(&topics);
    let mut a = Client { instance: Some("i"), ..Client::new("a") };
    let mut b = Client::new("b");
    world.beat_as(&mut a);
    world.beat_until_stable(&mut [&mut a, &mut b]);
    let expression = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some("u.*".into()),
        server_assignor: Some("range".into()),
        ..Client::new("c").first()
    };
    world.ask(&expression);
    let mut after = world.restarted_with(&topics);
    let group = |world: &World| world.shard.consumer(&"g".into()).unwrap().group.clone();
    assert_eq!(group(&after), group(&world));
    assert_eq!(after.described(), world.described());
    let epoch = a.epoch;
    assert_eq!(after.beat_as(&mut a), ErrorCode::NONE);
    assert!(a.epoch >= epoch);
    // A member that did not notice the restart and one that died in it differ only by time.
    after.pass(45_000);
    after.commit(Ok(()));
    assert_eq!(after.described().members.len(), 0);
}

#[test]
fn topics_that_changed_while_nobody_looked_are_noticed_at_the_restart() {
    let mut world = World::with_topics(&[("t", 2)]);
    let mut a = Client::new("a");
    world.beat_as(&mut a);
    let mut after = world.restarted_with(&[("t", 3)]);
    assert_eq!(after.described().group_epoch, 3);
    after.beat_until_stable(&mut [&mut a]);
    assert_eq!(a.owned.len(), 3);
}

#[test]
fn what_cannot_be_written_has_not_happened() {
    let mut world = World::with_topics(&[("t", 2)]);
    let a = Client::new("a");
    world.send(&a.first(), 1);
    world.send(&Client::new("b").first(), 1);
    world.commit(Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(world.heard().error_code, ErrorCode::NOT_COORDINATOR);
    assert!(world.answer("consumer").is_none(), "the second has its turn now");
    world.commit(Ok(()));
    assert_eq!(world.heard().member_epoch, 2);
    assert_eq!(world.described().members.len(), 1);
}

#[test]
fn commits_and_fetches_are_for_members_in_their_epoch_or_since_they_own() {
    let mut world = World::with_topics(&[("t", 1)]);
    let (mut a, mut b) = (Client::new("a"), Client::new("b"));
    world.beat_as(&mut a);
    let commit = |world: &mut World, epoch: i32, member: &str, version: i16| {
        let request = offsets::commit_of(epoch, member, 5, "");
        let now = world.now();
        world.shard.handle_commit(now, &request, version, |topic, _| topic == "t", "commit");
        world.commit(Ok(()));
        world.committed()
    };
    assert_eq!(commit(&mut world, 2, "a", 9), ErrorCode::NONE);
    assert_eq!(commit(&mut world, 2, "a", 8), ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(commit(&mut world, 3, "a", 9), ErrorCode::STALE_MEMBER_EPOCH);
    assert_eq!(commit(&mut world, 1, "x", 9), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(commit(&mut world, -1, "", 9), ErrorCode::UNKNOWN_MEMBER_ID);
    world.beat_as(&mut b);
    world.beat_until_stable(&mut [&mut a, &mut b]);
    assert_eq!(a.epoch, 3);
    // It has had the partition since epoch 2, and may not know yet that it is in epoch 3.
    assert_eq!(commit(&mut world, 2, "a", 9), ErrorCode::NONE);
    assert_eq!(commit(&mut world, 1, "a", 9), ErrorCode::STALE_MEMBER_EPOCH);
    assert_eq!(commit(&mut world, 2, "b", 9), ErrorCode::STALE_MEMBER_EPOCH);

    let fetch = |world: &World, member: Option<&str>, epoch: i32| {
        let topic = OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..OffsetFetchRequestTopics::default()
        };
        world.shard.fetch_offsets(&OffsetFetchRequestGroup {
            group_id: "g".into(),
            member_id: member.map(Str::from),
            member_epoch: epoch,
            topics: Some(vec![topic]),
        })
    };
    assert_eq!(fetch(&world, None, -1).topics[0].partitions[0].committed_offset, 5);
    assert_eq!(fetch(&world, Some("a"), 3).error_code, ErrorCode::NONE);
    assert_eq!(fetch(&world, Some("a"), 2).error_code, ErrorCode::STALE_MEMBER_EPOCH);
    assert_eq!(fetch(&world, Some("x"), 1).error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_consumer_group_is_listed_and_deleted_as_one() {
    let mut world = World::with_topics(&[("t", 2)]);
    let mut a = Client::new("a");
    world.beat_as(&mut a);
    let list = |world: &World, state: &str, kind: &str| {
        let filter = |text: &str| if text.is_empty() { Vec::new() } else { vec![Str::from(text)] };
        let request = ottla_protocol::messages::list_groups::ListGroupsRequest {
            states_filter: filter(state),
            types_filter: filter(kind),
        };
        world.shard.list(&request).len()
    };
    assert_eq!((list(&world, "", ""), list(&world, "stable", "CONSUMER")), (1, 1));
    assert_eq!((list(&world, "", "classic"), list(&world, "empty", "")), (0, 0));
    assert_eq!(world.shard.describe(&"g".into(), 6).error_code, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(world.state(), "Dead");
    let delete = |world: &mut World| {
        let now = world.now();
        world.shard.handle_delete_group(now, &"g".into(), "delete");
        world.commit(Ok(()));
        match world.answer("delete") {
            Some(Answer::DeleteGroup(code)) => code,
            other => panic!("{other:?} is no DeleteGroups response"),
        }
    };
    assert_eq!(delete(&mut world), ErrorCode::NON_EMPTY_GROUP);
    a.epoch = -1;
    world.ask(&a.request());
    assert_eq!(delete(&mut world), ErrorCode::NONE);
    assert_eq!(delete(&mut world), ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(list(&world.restarted(), "", ""), 0);
}
