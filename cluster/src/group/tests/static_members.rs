//! Static members: their return, and the fencing of a second one (KIP-345).

use super::*;

fn named(member_id: &str, instance: &str) -> JoinGroupRequest {
    JoinGroupRequest { group_instance_id: Some(instance.into()), ..request(member_id) }
}

/// A stable group of the static members "one", which leads, and "two"; their ids.
fn stable(world: &mut World) -> (Str, Str) {
    world.join("a", &named("", "one"));
    world.join("b", &named("", "two"));
    world.pass(6_000);
    let (a, b) = (world.joined("a").member_id, world.joined("b").member_id);
    world.sync("a", 1, &a, &[(&a, "x"), (&b, "y")]);
    world.commit(Ok(()));
    assert_eq!(world.synced("a").assignment, "x");
    (a, b)
}

#[test]
fn a_static_member_joins_in_one_step_and_comes_back_without_a_rebalance() {
    let mut world = World::new(3_000);
    let (_, b) = stable(&mut world);
    world.join("b2", &named("", "two"));
    assert_eq!(world.answer("b2"), None, "its new id is not on record yet");
    world.commit(Ok(()));
    let again = world.joined("b2");
    assert_eq!((again.error_code, again.generation_id), (ErrorCode::NONE, 1));
    assert_ne!(again.member_id, b);
    world.sync("b2", 1, &again.member_id, &[]);
    assert_eq!(world.synced("b2").assignment, "y");
    assert_eq!(world.beat(1, &b), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn who_was_replaced_is_fenced() {
    let mut world = World::new(3_000);
    let (_, b) = stable(&mut world);
    world.join("b2", &named("", "two"));
    world.commit(Ok(()));
    let request = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: 1,
        member_id: b.clone(),
        group_instance_id: Some("two".into()),
    };
    let now = world.now();
    assert_eq!(world.shard.handle_heartbeat(now, &request), ErrorCode::FENCED_INSTANCE_ID);
    world.join("b", &named(&b, "two"));
    assert_eq!(world.joined("b").error_code, ErrorCode::FENCED_INSTANCE_ID);
}

#[test]
fn a_leader_that_comes_back_is_told_not_to_assign() {
    let mut world = World::new(3_000);
    let (a, _) = stable(&mut world);
    world.join("new", &named("", "one"));
    world.commit(Ok(()));
    let told = world.joined("new");
    assert!(told.skip_assignment);
    assert_eq!(told.leader, told.member_id);
    assert_eq!(told.members.len(), 2);
    world.join_as("older", &named("", "one"), 8);
    world.commit(Ok(()));
    let fooled = world.joined("older");
    assert_eq!((fooled.leader, fooled.members.len()), (told.member_id, 0));
    assert_ne!(a, fooled.member_id);
}

#[test]
fn a_static_member_that_speaks_otherwise_now_causes_a_rebalance() {
    let mut world = World::new(3_000);
    stable(&mut world);
    let both = |name: &str| JoinGroupRequest {
        protocols: vec![offer("sticky", "m"), offer("range", "m")],
        ..named("", name)
    };
    // The other still speaks only range, so the choice cannot change.
    world.join("b2", &both("two"));
    world.commit(Ok(()));
    assert_eq!(world.joined("b2").error_code, ErrorCode::NONE);
    world.join("a2", &both("one"));
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn an_administrator_removes_a_static_member_by_its_name() {
    let mut world = World::new(3_000);
    stable(&mut world);
    let identity = MemberIdentity { group_instance_id: Some("two".into()), ..MemberIdentity::default() };
    let request =
        LeaveGroupRequest { group_id: "g".into(), members: vec![identity], ..LeaveGroupRequest::default() };
    let now = world.now();
    for expected in [ErrorCode::NONE, ErrorCode::UNKNOWN_MEMBER_ID] {
        world.shard.handle_leave(now, &request, "leave");
        world.settle();
        let Some(Answer::Leave(responses)) = world.answer("leave") else { panic!("no answer to LeaveGroup") };
        assert_eq!(responses[0].error_code, expected);
    }
    assert_eq!(world.state(), "PreparingRebalance");
}

#[test]
fn a_static_member_survives_a_rebalance_that_it_misses() {
    let mut world = World::new(3_000);
    let (a, b) = stable(&mut world);
    let long = JoinGroupRequest { session_timeout_ms: 1_000_000, ..named(&a, "one") };
    world.join("a", &JoinGroupRequest { protocols: vec![offer("range", "new")], ..long });
    world.pass(5_000);
    // "two" beats but does not join within the rebalance timeout; it keeps its place.
    for _ in 0..4 {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: 1,
            member_id: b.clone(),
            group_instance_id: Some("two".into()),
        };
        let now = world.now();
        world.shard.handle_heartbeat(now, &request);
        world.pass(5_000);
    }
    let joined = world.joined("a");
    assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
}
