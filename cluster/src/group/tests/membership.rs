//! Members that join, sync, beat, leave and vanish.

use super::*;

#[test]
fn a_member_joins_in_two_steps_and_a_first_rebalance_waits_for_its_delay() {
    let mut world = World::new(3_000);
    world.come("a");
    world.pass(2_999);
    assert_eq!(world.answer("a"), None);
    world.pass(3_001);
    let joined = world.joined("a");
    assert_eq!((joined.generation_id, joined.protocol_name), (1, Some("range".into())));
}

#[test]
fn a_member_that_comes_during_the_delay_prolongs_it() {
    let mut world = World::new(3_000);
    world.come("a");
    world.pass(2_000);
    world.come("b");
    world.pass(1_500);
    assert_eq!(world.answer("a"), None);
    world.pass(2_500);
    assert_eq!(world.joined("a").members.len(), 2);
}

#[test]
fn a_delay_of_nothing_is_over_at_once() {
    let mut world = World::new(0);
    world.come("a");
    assert_eq!(world.joined("a").generation_id, 1);
}

#[test]
fn a_member_before_version_4_joins_in_one_step() {
    let mut world = World::new(0);
    world.join_as("old", &request(""), 3);
    assert_eq!(world.joined("old").error_code, ErrorCode::NONE);
}

#[test]
fn assignments_leave_only_when_they_are_committed() {
    let mut world = World::new(0);
    let a = world.come("a");
    world.joined("a");
    world.sync("a", 1, &a, &[(&a, "all")]);
    assert_eq!(world.answer("a"), None);
    assert_eq!(world.state(), "CompletingRebalance");
    world.commit(Ok(()));
    assert_eq!(world.synced("a").assignment, "all");
    assert_eq!(world.state(), "Stable");
}

#[test]
fn an_assignment_that_cannot_be_committed_is_an_error_and_a_new_rebalance() {
    let mut world = World::new(0);
    let a = world.come("a");
    world.joined("a");
    world.sync("a", 1, &a, &[(&a, "all")]);
    world.commit(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!(world.synced("a").error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(world.beat(1, &a), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_third_member_makes_the_others_join_again() {
    let mut world = World::new(3_000);
    let (a, b) = world.stable_pair();
    world.come("c");
    assert_eq!(world.beat(1, &a), ErrorCode::REBALANCE_IN_PROGRESS);
    world.join("a", &request(&a));
    world.join("b", &request(&b));
    let leader = world.joined("a");
    assert_eq!((leader.generation_id, leader.members.len()), (2, 3));
    assert_eq!(world.joined("b").leader, a);
    assert_eq!(world.joined("c").leader, a);
}

#[test]
fn a_member_that_does_not_join_again_is_left_behind_after_the_rebalance_timeout() {
    let mut world = World::new(3_000);
    let (a, b) = world.stable_pair();
    world.come("c");
    world.join("a", &request(&a));
    // Its heartbeats keep the session of "b" alive, but it never joins.
    for _ in 0..4 {
        world.pass(4_999);
        assert_eq!(world.beat(1, &b), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    world.pass(10);
    assert_eq!(world.joined("a").members.len(), 2);
    assert_eq!(world.beat(2, &b), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_silent_member_is_dead_after_its_session_and_heartbeats_keep_it_alive() {
    let mut world = World::new(3_000);
    let (a, b) = world.stable_pair();
    for _ in 0..3 {
        world.pass(6_000);
        assert!(matches!(world.beat(1, &a), ErrorCode::NONE | ErrorCode::REBALANCE_IN_PROGRESS));
    }
    assert_eq!(world.beat(1, &a), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.beat(1, &b), ErrorCode::UNKNOWN_MEMBER_ID);
    world.join("a", &request(&a));
    assert_eq!(world.joined("a").members.len(), 1);
}

#[test]
fn a_member_that_joins_and_never_syncs_does_not_stall_the_group() {
    let mut world = World::new(3_000);
    let a = world.come("a");
    let b = world.come("b");
    world.pass(6_000);
    world.joined("a");
    world.joined("b");
    world.sync("a", 1, &a, &[(&a, "x"), (&b, "y")]);
    world.commit(Ok(()));
    assert_eq!(world.synced("a").assignment, "x");
    // The leader is done, so the group is stable; it is the silence that ends the membership of "b".
    assert_eq!(world.state(), "Stable");
    for _ in 0..3 {
        world.pass(5_000);
        world.beat(1, &a);
    }
    assert_eq!(world.beat(1, &b), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_leader_that_never_assigns_is_removed_and_the_others_go_on() {
    let mut world = World::new(3_000);
    let a = world.come("a");
    let b = world.come("b");
    world.pass(6_000);
    world.joined("a");
    world.joined("b");
    world.sync("b", 1, &b, &[]);
    for _ in 0..5 {
        world.pass(4_001);
        world.beat(1, &a);
    }
    assert_eq!(world.synced("b").error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.beat(1, &a), ErrorCode::UNKNOWN_MEMBER_ID);
    world.join("b", &request(&b));
    assert_eq!(world.joined("b").leader, b);
}

#[test]
fn the_last_to_leave_empties_the_group() {
    let mut world = World::new(3_000);
    let (a, b) = world.stable_pair();
    assert_eq!(world.leave(&a), ErrorCode::NONE);
    assert_eq!(world.leave(&a), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.beat(1, &b), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.leave(&b), ErrorCode::NONE);
    world.commit(Ok(()));
    assert_eq!(world.state(), "Empty");
    assert_eq!(world.restarted().state(), "Empty");
}

#[test]
fn the_protocol_that_most_like_best_among_those_that_all_speak_is_chosen() {
    let mut world = World::new(3_000);
    let offers = [["range", "sticky"], ["sticky", "range"], ["sticky", "range"]];
    for (waiter, names) in ["a", "b", "c"].into_iter().zip(offers) {
        let protocols = names.iter().map(|name| offer(name, "m")).collect();
        world.join_as(waiter, &JoinGroupRequest { protocols, ..request("") }, 3);
    }
    world.pass(20_000);
    assert_eq!(world.joined("a").protocol_name, Some("sticky".into()));
}

#[test]
fn a_stranger_to_the_protocols_of_a_group_is_refused() {
    let mut world = World::new(0);
    world.come("a");
    let other = JoinGroupRequest { protocols: vec![offer("mine", "")], ..request("") };
    world.join("b", &other);
    assert_eq!(world.joined("b").error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    world.join("c", &JoinGroupRequest { protocol_type: "connect".into(), ..request("") });
    assert_eq!(world.joined("c").error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    world.join("d", &JoinGroupRequest { protocols: Vec::new(), ..request("") });
    assert_eq!(world.joined("d").error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
}

#[test]
fn bad_requests_get_kafkas_errors() {
    let mut world = World::new(0);
    world.join("a", &JoinGroupRequest { group_id: "".into(), ..request("") });
    assert_eq!(world.joined("a").error_code, ErrorCode::INVALID_GROUP_ID);
    world.join("a", &JoinGroupRequest { session_timeout_ms: 5_999, ..request("") });
    assert_eq!(world.joined("a").error_code, ErrorCode::INVALID_SESSION_TIMEOUT);
    world.join("a", &request("ghost"));
    assert_eq!(world.joined("a").error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    let a = world.come("a");
    world.joined("a");
    world.sync("a", 7, &a, &[]);
    assert_eq!(world.synced("a").error_code, ErrorCode::ILLEGAL_GENERATION);
    world.sync("a", 1, &"ghost".into(), &[]);
    assert_eq!(world.synced("a").error_code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.beat(0, &a), ErrorCode::ILLEGAL_GENERATION);
}

#[test]
fn a_group_takes_no_more_members_than_it_may_have() {
    let mut world = World::new(3_000);
    for waiter in ["a", "b", "c"] {
        world.come(waiter);
    }
    world.join("d", &request(""));
    assert_eq!(world.joined("d").error_code, ErrorCode::GROUP_MAX_SIZE_REACHED);
}

#[test]
fn an_id_that_never_comes_back_does_not_hold_up_a_rebalance() {
    let mut world = World::new(0);
    let a = world.come("a");
    world.joined("a");
    world.sync("a", 1, &a, &[]);
    world.commit(Ok(()));
    world.synced("a");
    world.join("ghost", &request(""));
    world.joined("ghost");
    world.join("a", &request(&a));
    assert_eq!(world.answer("a"), None);
    world.pass(10_000);
    assert_eq!(world.joined("a").members.len(), 1);
}

#[test]
fn a_stable_group_survives_a_restart_and_its_members_do_not_notice() {
    let mut world = World::new(3_000);
    let (a, b) = world.stable_pair();
    let mut world = world.restarted();
    assert_eq!(world.state(), "Stable");
    assert_eq!(world.beat(1, &a), ErrorCode::NONE);
    world.sync("b", 1, &b, &[]);
    assert_eq!(world.synced("b").assignment, "two");
    // "b" shows no other sign of life in the new process.
    for _ in 0..3 {
        world.pass(5_000);
        world.beat(1, &a);
    }
    assert_eq!(world.beat(1, &b), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_cooperative_member_that_has_given_partitions_up_joins_again_and_the_others_with_it() {
    let mut world = World::new(3_000);
    let (a, b) = world.stable_pair();
    // What it owns is part of what it tells the leader, so it now offers something else than before.
    let without = JoinGroupRequest { protocols: vec![offer("range", "owns less")], ..request(&b) };
    world.join("b", &without);
    assert!(world.answer("b").is_none(), "it waits for the others");
    assert_eq!(world.beat(1, &a), ErrorCode::REBALANCE_IN_PROGRESS);
    world.join("a", &request(&a));
    let leader = world.joined("a");
    assert_eq!((leader.generation_id, world.joined("b").generation_id), (2, 2));
    assert!(leader.members.iter().any(|member| member.metadata == "owns less"));
    // Nobody lost its place: only the assignment is made anew.
    assert_eq!((leader.leader, leader.members.len()), (a, 2));
}
