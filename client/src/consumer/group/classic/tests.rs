//! Dialogues of a member of a classic group with an imaginary coordinator.

use std::time::Instant;

use bytes::Bytes;
use ottla_assignors::Assignor;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
};
use ottla_protocol::messages::heartbeat::HeartbeatResponse;
use ottla_protocol::messages::join_group::{JoinGroupResponse, JoinGroupResponseMember};
use ottla_protocol::messages::sync_group::SyncGroupResponse;

use super::Classic;
use crate::consumer::group::effect::Answer;
use crate::consumer::group::transcript::{Dialogue, parts, settings};
use crate::error::{ClientError, ErrorKind};

fn dialogue(assignors: &[Assignor]) -> Dialogue<Classic> {
    let now = Instant::now();
    Dialogue::new(Classic::new(settings(assignors), now), now)
}

fn joined(
    generation_id: i32,
    protocol: &str,
    leader: &str,
    members: &[(&str, &[&str], &str, i32)],
) -> Answer {
    let member = |(id, topics, owned, generation): &(&str, &[&str], &str, i32)| JoinGroupResponseMember {
        member_id: (*id).into(),
        group_instance_id: None,
        metadata: consumer_protocol::encode(
            ConsumerProtocolSubscription {
                topics: topics.iter().map(|topic| (*topic).into()).collect(),
                owned_partitions: parts(owned),
                generation_id: *generation,
                ..Default::default()
            },
            3,
        )
        .expect("fits"),
    };
    Answer::Join(JoinGroupResponse {
        generation_id,
        protocol_type: Some("consumer".into()),
        protocol_name: Some(protocol.into()),
        leader: leader.into(),
        member_id: "m1".into(),
        members: members.iter().map(member).collect(),
        ..Default::default()
    })
}

fn join_error(code: ErrorCode) -> Answer {
    Answer::Join(JoinGroupResponse { error_code: code, member_id: "m1".into(), ..Default::default() })
}

fn synced(assigned: &str) -> Answer {
    let assignment = ConsumerProtocolAssignment { assigned_partitions: parts(assigned), user_data: None };
    let assignment = consumer_protocol::encode(assignment, 0).expect("fits");
    Answer::Sync(SyncGroupResponse { assignment, ..Default::default() })
}

fn sync_error(code: ErrorCode) -> Answer {
    Answer::Sync(SyncGroupResponse { error_code: code, ..Default::default() })
}

fn beaten(code: ErrorCode) -> Answer {
    Answer::Heartbeat(HeartbeatResponse { error_code: code, ..Default::default() })
}

/// A follower that owns `flights 0,1` in generation 1.
fn follower(assignors: &[Assignor]) -> Dialogue<Classic> {
    let mut dialogue = dialogue(assignors);
    dialogue.subscribe(&["flights"]);
    dialogue.answer("joined", joined(1, assignors[0].name(), "m2", &[]));
    dialogue.answer("synced", synced("flights 0,1"));
    dialogue.done();
    dialogue.take();
    dialogue
}

#[test]
fn a_first_member_is_given_an_id_leads_assigns_and_beats() {
    let mut dialogue = dialogue(&[Assignor::Range]);
    dialogue.subscribe(&["flights"]);
    dialogue.answer("MEMBER_ID_REQUIRED, you are m1", join_error(ErrorCode::MEMBER_ID_REQUIRED));
    let members: [(&str, &[&str], &str, i32); 2] =
        [("m1", &["flights"], "", -1), ("m2", &["flights"], "", -1)];
    dialogue.answer("joined as the leader", joined(1, "range", "m1", &members));
    dialogue.learned(&[("flights", 3)]);
    dialogue.answer("synced", synced("flights 0,1"));
    dialogue.done();
    dialogue.after(2_999);
    dialogue.after(1);
    dialogue.answer("alive", beaten(ErrorCode::NONE));
    dialogue.expect(
        r#"
        subscribe flights
          JoinGroup member="" range(wants flights; owns nothing @-1)
        MEMBER_ID_REQUIRED, you are m1
          JoinGroup member="m1" range(wants flights; owns nothing @-1)
        joined as the leader
          learn flights
        learned [("flights", 3)]
          SyncGroup m1 @1 m1=(flights 0,1) m2=(flights 2)
        synced
          assigned: flights 0,1
        done
        2999 ms later
        1 ms later
          Heartbeat m1 @1
        alive
        "#,
    );
}

#[test]
fn an_eager_member_gives_everything_back_before_it_joins_again() {
    let mut dialogue = follower(&[Assignor::Range]);
    dialogue.after(3_000);
    dialogue.answer("rebalance", beaten(ErrorCode::REBALANCE_IN_PROGRESS));
    dialogue.after(3_000);
    dialogue.answer("still rebalancing", beaten(ErrorCode::REBALANCE_IN_PROGRESS));
    dialogue.done();
    dialogue.answer("joined", joined(2, "range", "m2", &[]));
    dialogue.answer("synced", synced("flights 1"));
    dialogue.expect(
        r#"
        3000 ms later
          Heartbeat m1 @1
        rebalance
          revoked: flights 0,1
        3000 ms later
          Heartbeat m1 @1
        still rebalancing
        done
          JoinGroup member="m1" range(wants flights; owns nothing @1)
        joined
          SyncGroup m1 @2
        synced
          assigned: flights 1
        "#,
    );
}

#[test]
fn a_cooperative_member_keeps_what_it_owns_and_joins_once_more_after_giving_back() {
    let mut dialogue = follower(&[Assignor::CooperativeSticky]);
    dialogue.after(3_000);
    dialogue.answer("rebalance", beaten(ErrorCode::REBALANCE_IN_PROGRESS));
    dialogue.answer("joined", joined(2, "cooperative-sticky", "m2", &[]));
    dialogue.answer("synced", synced("flights 0,4"));
    dialogue.done();
    dialogue.done();
    dialogue.answer("joined", joined(3, "cooperative-sticky", "m2", &[]));
    dialogue.answer("synced", synced("flights 0,4"));
    dialogue.expect(
        r#"
        3000 ms later
          Heartbeat m1 @1
        rebalance
          JoinGroup member="m1" cooperative-sticky(wants flights; owns flights 0,1 @1)
        joined
          SyncGroup m1 @2
        synced
          revoked: flights 1
          assigned: flights 4
        done
        done
          JoinGroup member="m1" cooperative-sticky(wants flights; owns flights 0,4 @2)
        joined
          SyncGroup m1 @3
        synced
          assigned: nothing
        "#,
    );
}

#[test]
fn a_generation_that_the_coordinator_forgot_takes_everything_away_as_lost() {
    for (code, member) in [(ErrorCode::UNKNOWN_MEMBER_ID, ""), (ErrorCode::ILLEGAL_GENERATION, "m1")] {
        for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
            let mut dialogue = follower(&[assignor]);
            dialogue.after(3_000);
            dialogue.answer("forgotten", beaten(code));
            dialogue.done();
            dialogue.expect(&format!(
                "
                3000 ms later
                  Heartbeat m1 @1
                forgotten
                  lost: flights 0,1
                done
                  JoinGroup member={member:?} {}(wants flights; owns nothing @-1)
                ",
                assignor.name()
            ));
        }
    }
}

#[test]
fn a_coordinator_that_moves_loads_or_vanishes_is_found_again_and_nothing_is_given_back() {
    let mut dialogue = follower(&[Assignor::CooperativeSticky]);
    dialogue.after(3_000);
    dialogue.answer("moved", beaten(ErrorCode::NOT_COORDINATOR));
    dialogue.after(100);
    dialogue
        .unanswered(ClientError::new("heartbeat", ErrorKind::Disconnected { reason: "reset".to_owned() }));
    dialogue.after(200);
    dialogue.answer("loading", beaten(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    dialogue.after(400);
    dialogue.answer("alive", beaten(ErrorCode::NONE));
    dialogue.expect(
        "
        3000 ms later
          Heartbeat m1 @1
        moved
          forget the coordinator
        100 ms later
          Heartbeat m1 @1
        the connection was lost: reset
          forget the coordinator
        200 ms later
          Heartbeat m1 @1
        loading
        400 ms later
          Heartbeat m1 @1
        alive
        ",
    );
}

#[test]
fn joining_is_tried_again_as_long_as_that_can_help() {
    let mut dialogue = dialogue(&[Assignor::Range]);
    dialogue.subscribe(&["flights"]);
    dialogue.answer("loading", join_error(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    dialogue.after(99);
    dialogue.after(1);
    dialogue.answer("moved", join_error(ErrorCode::NOT_COORDINATOR));
    dialogue.after(200);
    dialogue.answer("joined", joined(1, "range", "m2", &[]));
    dialogue.answer("rebalance", sync_error(ErrorCode::REBALANCE_IN_PROGRESS));
    dialogue.answer("joined", joined(2, "range", "m2", &[]));
    dialogue.answer("forgotten", sync_error(ErrorCode::UNKNOWN_MEMBER_ID));
    dialogue.expect(
        r#"
        subscribe flights
          JoinGroup member="" range(wants flights; owns nothing @-1)
        loading
        99 ms later
        1 ms later
          JoinGroup member="" range(wants flights; owns nothing @-1)
        moved
          forget the coordinator
        200 ms later
          JoinGroup member="" range(wants flights; owns nothing @-1)
        joined
          SyncGroup m1 @1
        rebalance
          JoinGroup member="m1" range(wants flights; owns nothing @1)
        joined
          SyncGroup m1 @2
        forgotten
          JoinGroup member="" range(wants flights; owns nothing @-1)
        "#,
    );
}

#[test]
fn what_cannot_be_helped_is_told_once_and_ends_it_until_the_next_subscription() {
    for code in [
        ErrorCode::FENCED_INSTANCE_ID,
        ErrorCode::GROUP_MAX_SIZE_REACHED,
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ErrorCode::INVALID_SESSION_TIMEOUT,
        ErrorCode::GROUP_AUTHORIZATION_FAILED,
        ErrorCode::INVALID_GROUP_ID,
    ] {
        let mut dialogue = dialogue(&[Assignor::Range]);
        dialogue.subscribe(&["flights"]);
        dialogue.answer("refused", join_error(code));
        dialogue.after(10_000);
        dialogue.subscribe(&["flights"]);
        dialogue.expect(&format!(
            r#"
            subscribe flights
              JoinGroup member="" range(wants flights; owns nothing @-1)
            refused
              fail: {}
            10000 ms later
            subscribe flights
              JoinGroup member="" range(wants flights; owns nothing @-1)
            "#,
            code.name()
        ));
    }
}

#[test]
fn a_static_member_that_is_fenced_loses_everything_and_does_not_come_back() {
    let mut dialogue = follower(&[Assignor::Range]);
    dialogue.after(3_000);
    dialogue.answer("fenced", beaten(ErrorCode::FENCED_INSTANCE_ID));
    dialogue.done();
    dialogue.after(60_000);
    dialogue.expect(
        "
        3000 ms later
          Heartbeat m1 @1
        fenced
          lost: flights 0,1
          fail: FENCED_INSTANCE_ID
        done
        60000 ms later
        ",
    );
}

#[test]
fn a_program_that_does_not_poll_in_time_leaves_at_once_and_joins_with_its_next_poll() {
    let mut dialogue = follower(&[Assignor::Range]);
    dialogue.after(3_000);
    dialogue.answer("alive", beaten(ErrorCode::NONE));
    dialogue.after_without_poll(300_000);
    dialogue.done();
    dialogue.answer("left", Answer::Leave);
    dialogue.after_without_poll(1_000);
    dialogue.after(0);
    dialogue.expect(
        r#"
        3000 ms later
          Heartbeat m1 @1
        alive
        300000 ms later, without a poll
          lost: flights 0,1
          LeaveGroup m1
        done
        left
        1000 ms later, without a poll
        0 ms later
          JoinGroup member="" range(wants flights; owns nothing @-1)
        "#,
    );
}

#[test]
fn leaving_gives_everything_back_first_and_overtakes_a_join() {
    let mut dialogue = follower(&[Assignor::CooperativeSticky]);
    dialogue.after(3_000);
    dialogue.answer("rebalance", beaten(ErrorCode::REBALANCE_IN_PROGRESS));
    dialogue.unsubscribe();
    dialogue.done();
    dialogue.answer("left", Answer::Leave);
    dialogue.expect(
        r#"
        3000 ms later
          Heartbeat m1 @1
        rebalance
          JoinGroup member="m1" cooperative-sticky(wants flights; owns flights 0,1 @1)
        unsubscribe
          revoked: flights 0,1
        done
          LeaveGroup m1
        left
          left
        "#,
    );
}

#[test]
fn a_static_member_goes_without_leaving() {
    let mut settings = settings(&[Assignor::Range]);
    settings.group_instance_id = Some("till-1".to_owned());
    let now = Instant::now();
    let mut dialogue = Dialogue::new(Classic::new(settings, now), now);
    dialogue.subscribe(&["flights"]);
    dialogue.answer("joined", joined(1, "range", "m2", &[]));
    dialogue.answer("synced", synced("flights 0"));
    dialogue.done();
    dialogue.take();
    dialogue.unsubscribe();
    dialogue.done();
    dialogue.expect(
        "
        unsubscribe
          revoked: flights 0
        done
          left
        ",
    );
}

#[test]
fn a_leader_whose_topics_grow_asks_for_another_generation() {
    let mut dialogue = dialogue(&[Assignor::CooperativeSticky]);
    dialogue.subscribe(&["flights"]);
    let members: [(&str, &[&str], &str, i32); 1] = [("m1", &["flights"], "", -1)];
    dialogue.learned(&[("flights", 1)]);
    dialogue.answer("joined as the leader", joined(1, "cooperative-sticky", "m1", &members));
    dialogue.answer("synced", synced("flights 0"));
    dialogue.done();
    dialogue.learned(&[("flights", 1)]);
    dialogue.take();
    dialogue.learned(&[("flights", 2)]);
    let members: [(&str, &[&str], &str, i32); 1] = [("m1", &["flights"], "flights 0", 1)];
    dialogue.answer("joined as the leader", joined(2, "cooperative-sticky", "m1", &members));
    dialogue.expect(
        r#"
        learned [("flights", 2)]
          JoinGroup member="m1" cooperative-sticky(wants flights; owns flights 0 @1)
        joined as the leader
          SyncGroup m1 @2 m1=(flights 0,1)
        "#,
    );
}

#[test]
fn a_subscription_that_changes_asks_for_another_generation_and_unwanted_topics_go_first() {
    let mut dialogue = follower(&[Assignor::CooperativeSticky]);
    dialogue.subscribe(&["weather"]);
    dialogue.done();
    dialogue.expect(
        r#"
        subscribe weather
          revoked: flights 0,1
        done
          JoinGroup member="m1" cooperative-sticky(wants weather; owns nothing @1)
        "#,
    );
}

#[test]
fn a_whole_session_without_an_answer_looks_for_the_coordinator_again() {
    let mut dialogue = follower(&[Assignor::Range]);
    dialogue.after(3_000);
    dialogue.after(42_000);
    dialogue.expect(
        "
        3000 ms later
          Heartbeat m1 @1
        42000 ms later
          forget the coordinator
          Heartbeat m1 @1
        ",
    );
}

#[test]
fn claims_that_make_no_sense_end_it_without_a_panic() {
    let twice: [(&str, &[&str], &str, i32); 2] = [("m1", &["flights"], "", -1), ("m1", &["flights"], "", -1)];
    let mut garbage = joined(1, "range", "m1", &twice[..1]);
    if let Answer::Join(response) = &mut garbage {
        response.members[0].metadata = Bytes::from_static(b"\x00\x01\x7f");
    }
    for (what, answer) in [("listed twice", joined(1, "range", "m1", &twice)), ("garbage", garbage)] {
        let mut dialogue = dialogue(&[Assignor::Range]);
        dialogue.subscribe(&["flights"]);
        dialogue.take();
        dialogue.answer(what, answer);
        dialogue.expect(&format!("{what}\n  fail: malformed"));
    }
    let mut dialogue = follower(&[Assignor::Range]);
    dialogue.after(3_000);
    dialogue.answer("rebalance", beaten(ErrorCode::REBALANCE_IN_PROGRESS));
    dialogue.done();
    dialogue.take();
    dialogue.answer("a protocol that nobody offered", joined(2, "roundrobin", "m2", &[]));
    dialogue.expect("a protocol that nobody offered\n  fail: INCONSISTENT_GROUP_PROTOCOL");
}
