//! A membership's question in the words of the version that the coordinator speaks, and the wait for its answer.
//!
//! Joining and heartbeats go over connections of their own, because a JoinGroup waits for other members; leaving does not,
//! so that it overtakes a JoinGroup that still waits. Deadlines are Kafka's: a JoinGroup may take a whole rebalance.

use std::time::Duration;

use ottla_protocol::codec::Str;
use ottla_protocol::messages::heartbeat::HeartbeatRequest;
use ottla_protocol::messages::join_group::JoinGroupRequest;
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::sync_group::SyncGroupRequest;

use super::effect::{Answer, Question, Settings};
use super::{Group, Inner};
use crate::client::Client;
use crate::error::Result;

/// What a JoinGroup may take longer than the rebalance that it waits for.
const JOIN_GRACE: Duration = Duration::from_secs(5);

/// The versions whose meaning is implemented here and in the machines.
const JOIN_VERSION_MAX: i16 = 9;
const SYNC_VERSION_MAX: i16 = 5;
const HEARTBEAT_VERSION_MAX: i16 = 4;
const LEAVE_VERSION_MAX: i16 = 5;
const CONSUMER_HEARTBEAT_VERSION_MAX: i16 = 1;

/// Asks the coordinator.
pub(super) async fn ask(inner: &Inner, group: &Group, question: Question) -> Result<Answer> {
    let (coordinator, settings) = (&group.coordinator, &group.settings);
    let (near, own): (&Client, &Client) = (&inner.client, &group.connections);
    let deadline = own.config().request_timeout;
    match question {
        Question::Join(request) => {
            let deadline = deadline.max(settings.rebalance_timeout + JOIN_GRACE);
            let join = |version| join_in(version, request);
            coordinator.call(own, JOIN_VERSION_MAX, join, deadline).await.map(Answer::Join)
        }
        Question::Sync(request) => {
            let deadline = deadline.max(settings.rebalance_timeout + JOIN_GRACE);
            let sync = |version| {
                let group_instance_id = request.group_instance_id.clone().filter(|_| version >= 3);
                SyncGroupRequest { group_instance_id, ..request }
            };
            coordinator.call(own, SYNC_VERSION_MAX, sync, deadline).await.map(Answer::Sync)
        }
        Question::Heartbeat(request) => {
            let beat = |version| {
                let group_instance_id = request.group_instance_id.clone().filter(|_| version >= 3);
                HeartbeatRequest { group_instance_id, ..request }
            };
            coordinator.call(own, HEARTBEAT_VERSION_MAX, beat, deadline).await.map(Answer::Heartbeat)
        }
        Question::Leave { member_id, reason } => {
            let leave = |version| leave_in(version, settings, member_id, reason);
            coordinator.call(near, LEAVE_VERSION_MAX, leave, deadline).await.map(|_| Answer::Leave)
        }
        Question::ConsumerHeartbeat(request) => {
            let beat = |_| request;
            let version_max = CONSUMER_HEARTBEAT_VERSION_MAX;
            coordinator.call(own, version_max, beat, deadline).await.map(Answer::ConsumerHeartbeat)
        }
    }
}

/// Brokers before version 5 know no static members.
fn join_in(version: i16, request: JoinGroupRequest) -> JoinGroupRequest {
    let group_instance_id = request.group_instance_id.clone().filter(|_| version >= 5);
    JoinGroupRequest { group_instance_id, ..request }
}

/// From version 3 on members are listed, and up to 2 there is one.
fn leave_in(version: i16, settings: &Settings, member_id: Str, reason: &str) -> LeaveGroupRequest {
    let group_id = settings.group_id.as_str().into();
    if version < 3 {
        return LeaveGroupRequest { group_id, member_id, ..Default::default() };
    }
    let group_instance_id = settings.group_instance_id.as_deref().map(Str::from);
    let member = MemberIdentity { member_id, group_instance_id, reason: Some(reason.into()) };
    LeaveGroupRequest { group_id, members: vec![member], ..Default::default() }
}
