//! One member of a classic group: who it is, what it speaks, and the requests of its own that wait.

use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::join_group::{JoinGroupRequest, JoinGroupResponseMember};

use super::record::MemberMetadata;
use crate::time::Monotonic;

/// A protocol that a member speaks, with what it tells the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name.
    pub name: Str,
    /// What the leader is told.
    pub metadata: Bytes,
}

/// See the module. `W` is the shell's token for a request that waits.
#[derive(Debug)]
pub(crate) struct Member<W> {
    pub(crate) id: Str,
    pub(crate) instance_id: Option<Str>,
    pub(crate) client_id: Str,
    pub(crate) client_host: Str,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In the member's order of preference.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
    /// Its JoinGroup, while the group waits for others.
    pub(crate) joining: Option<W>,
    /// Its SyncGroup, while the leader assigns.
    pub(crate) syncing: Option<W>,
    /// It has not been part of a generation yet.
    pub(crate) is_new: bool,
    /// When its session ends.
    pub(crate) session_deadline: Monotonic,
    /// The deadline that is on record for it; never after `session_deadline`.
    pub(crate) timer_at: Monotonic,
}

/// Copies a text out of its request, because a member outlives it.
pub(crate) fn own(text: &Str) -> Str {
    Str::from(text.as_str())
}

/// The protocols of a request, copied out of it.
pub(crate) fn own_protocols(request: &JoinGroupRequest) -> Vec<Protocol> {
    let own_protocol = |offered: &ottla_protocol::messages::join_group::JoinGroupRequestProtocol| Protocol {
        name: own(&offered.name),
        metadata: Bytes::copy_from_slice(&offered.metadata),
    };
    request.protocols.iter().map(own_protocol).collect()
}

/// The rebalance timeout of a request; before version 1 the session timeout stands for it.
pub(crate) fn rebalance_timeout_ms(request: &JoinGroupRequest) -> i32 {
    if request.rebalance_timeout_ms >= 0 { request.rebalance_timeout_ms } else { request.session_timeout_ms }
}

/// Milliseconds of the wire as a duration; negative ones count as none.
pub(crate) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

impl<W> Member<W> {
    /// A member that a record speaks of; its protocol is the generation's.
    pub(crate) fn replayed(metadata: MemberMetadata, protocol: Option<&Str>, now: Monotonic) -> Member<W> {
        let session_deadline = now + millis(metadata.session_timeout_ms);
        Member {
            id: metadata.member_id,
            instance_id: metadata.group_instance_id,
            client_id: metadata.client_id,
            client_host: metadata.client_host,
            rebalance_timeout_ms: metadata.rebalance_timeout_ms,
            session_timeout_ms: metadata.session_timeout_ms,
            protocols: protocol
                .map(|name| Protocol { name: name.clone(), metadata: metadata.subscription })
                .into_iter()
                .collect(),
            assignment: metadata.assignment,
            joining: None,
            syncing: None,
            is_new: false,
            session_deadline,
            timer_at: session_deadline,
        }
    }

    /// It has been heard of: its session begins anew.
    pub(crate) fn heard(&mut self, now: Monotonic) {
        self.session_deadline = now + millis(self.session_timeout_ms);
    }

    /// Whether silence is no sign of death: we owe it an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.is_new && (self.joining.is_some() || self.syncing.is_some())
    }

    /// Whether it offers exactly these protocols, in this order.
    pub(crate) fn offers(&self, request: &JoinGroupRequest) -> bool {
        self.protocols.len() == request.protocols.len()
            && self
                .protocols
                .iter()
                .zip(&request.protocols)
                .all(|(ours, theirs)| ours.name == theirs.name && ours.metadata == theirs.metadata)
    }

    /// What it tells the leader in this protocol.
    pub(crate) fn metadata(&self, protocol: Option<&Str>) -> Bytes {
        let spoken = self.protocols.iter().find(|offered| Some(&offered.name) == protocol);
        spoken.map(|offered| offered.metadata.clone()).unwrap_or_default()
    }

    /// The first of its protocols that is among the candidates.
    pub(crate) fn vote(&self, candidates: &[Str]) -> Option<&Str> {
        self.protocols.iter().map(|offered| &offered.name).find(|name| candidates.contains(name))
    }

    /// How the leader sees it.
    pub(crate) fn for_leader(&self, protocol: Option<&Str>) -> JoinGroupResponseMember {
        JoinGroupResponseMember {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// How it is kept.
    pub(crate) fn for_record(&self, protocol: Option<&Str>, assignment: Bytes) -> MemberMetadata {
        MemberMetadata {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }
}
