//! What the coordinator's answers mean to a member of a classic group.
//!
//! The tables of errors are Kafka's: what is worth another try, what costs the generation, what costs the member id, and
//! what ends it. An answer that comes when nobody waits for it any more changes nothing.

use std::collections::BTreeSet;
use std::time::Instant;

use ottla_assignors::Assignor;
use ottla_protocol::messages::consumer_protocol::{self, ConsumerProtocolAssignment};
use ottla_protocol::messages::join_group::JoinGroupResponse;
use ottla_protocol::messages::sync_group::SyncGroupResponse;
use ottla_protocol::{ErrorCode, TopicPartition};

use super::super::effect::{Effect, Taking};
use super::super::partitions::{by_topic, listed};
use super::super::sticky::Memory;
use super::{Classic, State};
use crate::error::{ClientError, ErrorKind};

const JOIN: &str = "join group";
const SYNC: &str = "sync group";
const HEARTBEAT: &str = "heartbeat";

impl Classic {
    pub(super) fn joined(&mut self, now: Instant, response: JoinGroupResponse) {
        if self.state != State::Joining {
            // Whoever is leaving tells the coordinator who that is.
            if response.error_code.is_none() {
                self.remember(&response);
            }
            return;
        }
        self.state = State::Preparing;
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED => return self.remember(&response),
            ErrorCode::UNKNOWN_MEMBER_ID => return self.lose_generation(true),
            ErrorCode::ILLEGAL_GENERATION => return self.lose_generation(false),
            code => return self.refused(now, JOIN, code),
        }
        self.attempts = 0;
        self.remember(&response);
        self.generation = Some(response.generation_id);
        self.session_ends = now + self.settings.session_timeout;
        self.heartbeat_at = now + self.settings.heartbeat_interval;
        self.assigned_from = None;
        if response.leader == self.member_id {
            self.lead(now, response);
        } else {
            self.sync(&response, Vec::new());
        }
    }

    /// Takes a copy of the id, so as not to keep the whole answer.
    fn remember(&mut self, response: &JoinGroupResponse) {
        self.member_id = response.member_id.as_str().into();
    }

    pub(super) fn synced(&mut self, now: Instant, response: SyncGroupResponse) {
        if self.state != State::Syncing {
            return;
        }
        self.state = State::Preparing;
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::REBALANCE_IN_PROGRESS => return,
            ErrorCode::UNKNOWN_MEMBER_ID => return self.lose_generation(true),
            ErrorCode::ILLEGAL_GENERATION => return self.lose_generation(false),
            code => return self.refused(now, SYNC, code),
        }
        let assigned = if response.assignment.is_empty() {
            Ok(BTreeSet::new())
        } else {
            consumer_protocol::decode::<ConsumerProtocolAssignment>(response.assignment)
                .map_err(|error| error.to_string())
                .and_then(|(_, assignment)| listed(&assignment.assigned_partitions))
        };
        match assigned {
            Ok(assigned) => self.assigned(now, assigned),
            Err(reason) => self.fail(ClientError::new(SYNC, ErrorKind::Malformed { reason })),
        }
    }

    fn assigned(&mut self, now: Instant, assigned: BTreeSet<TopicPartition>) {
        self.state = State::Stable;
        self.attempts = 0;
        self.heartbeat_at = now + self.settings.heartbeat_interval;
        self.session_ends = now + self.settings.session_timeout;
        self.memory = Some(Memory { owned: by_topic(&assigned), generation: self.generation });
        self.must_rejoin = self.wanted.as_ref() != Some(&self.joined_for);
        let added = assigned.difference(&self.owned).cloned().collect();
        let revoked: BTreeSet<TopicPartition> = self.owned.difference(&assigned).cloned().collect();
        // Its next owner gets a partition only in a generation that this one comes to without it.
        self.must_rejoin |= !revoked.is_empty();
        self.take(revoked, Taking::Revoked);
        self.give(added);
    }

    pub(super) fn heartbeat_answered(&mut self, now: Instant, code: ErrorCode) {
        match code {
            ErrorCode::NONE => {
                self.attempts = 0;
                self.session_ends = now + self.settings.session_timeout;
            }
            ErrorCode::REBALANCE_IN_PROGRESS => {
                self.session_ends = now + self.settings.session_timeout;
                self.must_rejoin |= self.state == State::Stable;
            }
            _ if !matches!(self.state, State::Stable | State::Preparing) => {}
            ErrorCode::UNKNOWN_MEMBER_ID => self.lose_generation(true),
            ErrorCode::ILLEGAL_GENERATION => self.lose_generation(false),
            ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => {
                self.effects.push(Effect::ForgetCoordinator);
                self.heartbeat_again(now);
            }
            code if code.is_retriable() => self.heartbeat_again(now),
            code => self.fail(ClientError::broker(HEARTBEAT, code, None)),
        }
    }

    fn heartbeat_again(&mut self, now: Instant) {
        let delay = self.settings.backoff.delay(self.attempts, 0.5);
        self.attempts = self.attempts.saturating_add(1);
        self.heartbeat_at = now + delay.min(self.settings.heartbeat_interval);
    }

    /// An error of JoinGroup or SyncGroup that costs no identity: try again, or give up.
    fn refused(&mut self, now: Instant, operation: &'static str, code: ErrorCode) {
        match code {
            ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => {
                self.effects.push(Effect::ForgetCoordinator);
                self.retry_later(now);
            }
            ErrorCode::REBALANCE_IN_PROGRESS => self.retry_later(now),
            code if code.is_retriable() => self.retry_later(now),
            code => self.fail(ClientError::broker(operation, code, None)),
        }
    }

    pub(super) fn left(&mut self) {
        if self.state == State::Leaving {
            self.departed();
        }
    }

    /// No answer came: the coordinator cannot be found or reached, or speaks no version that we do.
    pub(super) fn unanswered(&mut self, now: Instant, error: ClientError) {
        tracing::debug!(%error, group = self.settings.group_id, "the coordinator did not answer");
        if self.state == State::Leaving {
            return self.departed();
        }
        if !error.is_retriable() {
            if !matches!(self.state, State::Departing(_)) {
                self.fail(error);
            }
            return;
        }
        self.effects.push(Effect::ForgetCoordinator);
        match self.state {
            State::Joining | State::Syncing => {
                self.state = State::Preparing;
                self.retry_later(now);
            }
            _ => self.heartbeat_again(now),
        }
    }

    /// The assignor that the group has chosen, if it is one of ours.
    pub(super) fn chosen(&mut self, name: &str) -> Option<Assignor> {
        let chosen = self.settings.assignors.iter().find(|assignor| assignor.name() == name).copied();
        if chosen.is_none() {
            let words = format!("the group chose {name:?}, which was not offered");
            self.fail(ClientError::broker(JOIN, ErrorCode::INCONSISTENT_GROUP_PROTOCOL, Some(&words)));
        }
        chosen
    }

    pub(super) fn malformed(&mut self, reason: String) {
        self.fail(ClientError::new(JOIN, ErrorKind::Malformed { reason }));
    }
}
