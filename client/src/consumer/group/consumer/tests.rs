//! Dialogues of a member of a consumer group with an imaginary coordinator.

use std::collections::BTreeSet;
use std::time::Instant;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

use super::ConsumerMembership;
use crate::consumer::group::effect::{Answer, Membership, Settings};
use crate::consumer::group::transcript::{Dialogue, id, parts, settings};
use crate::error::{ClientError, ErrorKind};

fn with(settings: Settings) -> Dialogue<ConsumerMembership> {
    let now = Instant::now();
    Dialogue::new(ConsumerMembership::new(settings, "m1", now), now)
}

/// The coordinator's answer: the epoch, and what may be owned if that changed.
fn alive(member_epoch: i32, assigned: Option<&str>) -> Answer {
    let topic = |part: ottla_protocol::messages::consumer_protocol::TopicPartition| TopicPartitions {
        topic_id: id(&part.topic).get(),
        partitions: part.partitions,
    };
    let assignment =
        assigned.map(|text| Assignment { topic_partitions: parts(text).into_iter().map(topic).collect() });
    Answer::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse {
        member_epoch,
        heartbeat_interval_ms: 5_000,
        assignment,
        ..Default::default()
    })
}

fn refused(code: ErrorCode) -> Answer {
    Answer::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse { error_code: code, ..Default::default() })
}

/// A member in epoch 1 that owns `flights 0,1` and has said so.
fn member() -> Dialogue<ConsumerMembership> {
    member_of(settings(&[]))
}

fn member_of(settings: Settings) -> Dialogue<ConsumerMembership> {
    let mut dialogue = with(settings);
    dialogue.learned(&[("flights", 8)]);
    dialogue.subscribe(&["flights"]);
    dialogue.answer("joined", alive(1, Some("flights 0,1")));
    dialogue.done();
    dialogue.answer("alive", alive(1, None));
    dialogue.take();
    dialogue
}

#[test]
fn a_member_joins_takes_what_it_may_and_says_so_at_once() {
    let mut dialogue = with(settings(&[]));
    dialogue.subscribe(&["flights"]);
    dialogue.learned(&[("flights", 8)]);
    dialogue.answer("joined", alive(1, Some("flights 0,1")));
    dialogue.done();
    dialogue.answer("alive", alive(1, None));
    dialogue.after(4_999);
    dialogue.after(1);
    dialogue.expect(
        r#"
        subscribe flights
          Heartbeat m1 @0 wants [flights] owns []
        learned [("flights", 8)]
        joined
          assigned: flights 0,1
        done
          Heartbeat m1 @1 owns [#7 0,1]
        alive
        4999 ms later
        1 ms later
          Heartbeat m1 @1
        "#,
    );
}

#[test]
fn partitions_move_one_step_at_a_time_and_what_is_owned_is_told_only_in_between() {
    let mut dialogue = member();
    dialogue.after(5_000);
    dialogue.answer("give 0 back", alive(1, Some("flights 1")));
    dialogue.after(5_000);
    dialogue.answer("alive", alive(1, None));
    dialogue.done();
    dialogue.answer("take 2", alive(2, Some("flights 1,2")));
    dialogue.done();
    dialogue.expect(
        "
        5000 ms later
          Heartbeat m1 @1
        give 0 back
          revoked: flights 0
        5000 ms later
          Heartbeat m1 @1
        alive
        done
          Heartbeat m1 @1 owns [#7 1]
        take 2
          assigned: flights 2
        done
          Heartbeat m1 @2 owns [#7 1,2]
        ",
    );
}

#[test]
fn a_member_that_is_fenced_loses_everything_before_it_joins_again() {
    for code in [ErrorCode::FENCED_MEMBER_EPOCH, ErrorCode::UNKNOWN_MEMBER_ID] {
        let mut dialogue = member();
        dialogue.after(5_000);
        dialogue.answer("fenced", refused(code));
        dialogue.done();
        dialogue.answer("joined", alive(7, Some("flights 5")));
        dialogue.expect(
            "
            5000 ms later
              Heartbeat m1 @1
            fenced
              lost: flights 0,1
            done
              Heartbeat m1 @0 wants [flights] owns []
            joined
              assigned: flights 5
            ",
        );
    }
}

#[test]
fn after_an_error_everything_is_told_again() {
    let mut dialogue = member();
    dialogue.after(5_000);
    dialogue.answer("moved", refused(ErrorCode::NOT_COORDINATOR));
    dialogue.after(100);
    dialogue.answer("loading", refused(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS));
    dialogue.after(200);
    dialogue
        .unanswered(ClientError::new("heartbeat", ErrorKind::Disconnected { reason: "reset".to_owned() }));
    dialogue.after(400);
    dialogue.expect(
        "
        5000 ms later
          Heartbeat m1 @1
        moved
          forget the coordinator
        100 ms later
          Heartbeat m1 @1 wants [flights] owns [#7 0,1]
        loading
        200 ms later
          Heartbeat m1 @1 wants [flights] owns [#7 0,1]
        the connection was lost: reset
          forget the coordinator
        400 ms later
          Heartbeat m1 @1 wants [flights] owns [#7 0,1]
        ",
    );
}

#[test]
fn what_cannot_be_helped_is_told_and_ends_it() {
    for code in [
        ErrorCode::FENCED_INSTANCE_ID,
        ErrorCode::UNRELEASED_INSTANCE_ID,
        ErrorCode::GROUP_MAX_SIZE_REACHED,
        ErrorCode::UNSUPPORTED_ASSIGNOR,
        ErrorCode::INVALID_REGULAR_EXPRESSION,
        ErrorCode::GROUP_AUTHORIZATION_FAILED,
    ] {
        let mut dialogue = member();
        dialogue.after(5_000);
        dialogue.answer("refused", refused(code));
        dialogue.done();
        dialogue.after(60_000);
        dialogue.expect(&format!(
            "
            5000 ms later
              Heartbeat m1 @1
            refused
              lost: flights 0,1
              fail: {}
            done
            60000 ms later
            ",
            code.name()
        ));
    }
}

#[test]
fn leaving_says_so_once_everything_has_gone_back() {
    for (instance_id, epoch) in [(None, -1), (Some("till-1".to_owned()), -2)] {
        let mut dialogue = member_of(Settings { group_instance_id: instance_id, ..settings(&[]) });
        dialogue.unsubscribe();
        dialogue.done();
        dialogue.answer("left", alive(epoch, None));
        dialogue.expect(&format!(
            "
            unsubscribe
              revoked: flights 0,1
            done
              Heartbeat m1 @{epoch}
            left
              left
            "
        ));
    }
}

#[test]
fn a_program_that_does_not_poll_in_time_leaves_at_once_and_joins_with_its_next_poll() {
    let mut dialogue = member();
    dialogue.after_without_poll(300_000);
    dialogue.done();
    dialogue.answer("left", alive(-1, None));
    dialogue.after_without_poll(1_000);
    dialogue.after(0);
    dialogue.expect(
        "
        300000 ms later, without a poll
          lost: flights 0,1
          Heartbeat m1 @-1
        done
        left
        1000 ms later, without a poll
        0 ms later
          Heartbeat m1 @0 wants [flights] owns []
        ",
    );
}

#[test]
fn a_pattern_goes_to_the_broker_and_topics_are_named_by_their_ids() {
    let mut dialogue = with(settings(&[]));
    dialogue.when("subscribe to fli.*", |machine, now| {
        machine.subscribe(now, Some(BTreeSet::new()), Some("fli.*"));
    });
    dialogue.answer("joined", alive(1, Some("flights 0")));
    dialogue.learned(&[("flights", 8)]);
    dialogue.done();
    dialogue.answer("alive", alive(1, None));
    dialogue.subscribe(&["weather"]);
    dialogue.expect(
        r#"
        subscribe to fli.*
          Heartbeat m1 @0 wants [] matching "fli.*" owns []
        joined
          learn 1 ids
        learned [("flights", 8)]
          assigned: flights 0
        done
          Heartbeat m1 @1 owns [#7 0]
        alive
        subscribe weather
          Heartbeat m1 @1 wants [weather] matching ""
        "#,
    );
}
