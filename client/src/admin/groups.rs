//! Groups: list, describe, their committed offsets, members and end.
//!
//! Only a group's coordinator can answer for it, and each group may have another; [`coordinators`] finds them, asks each
//! once for all of its groups, and asks again where a coordinator moved or was still loading. Not here: being a member of
//! a group, which is the consumer's.

mod coordinators;
mod describe;
mod members;
mod offsets;

use std::fmt;

use ottla_protocol::codec::Str;
use ottla_protocol::messages::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use ottla_protocol::messages::list_groups::ListGroupsRequest;
use ottla_protocol::{BrokerId, ErrorCode};

pub(super) use coordinators::Coordinators;
use coordinators::GroupCall;
pub use describe::{GroupDescription, MemberDescription};
pub use members::MemberToRemove;

use super::{Admin, PerResource};
use crate::error::{ClientError, Result};

/// What a group is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GroupType {
    /// Its leader, a member, assigns (JoinGroup); also what only committed offsets.
    Classic,
    /// Its coordinator assigns (KIP-848).
    Consumer,
    /// Another, by Kafka's name: `share`, `streams`.
    Other(String),
}

impl GroupType {
    /// Kafka's name.
    pub fn name(&self) -> &str {
        match self {
            GroupType::Classic => "classic",
            GroupType::Consumer => "consumer",
            GroupType::Other(name) => name,
        }
    }

    /// The type of this name, in whatever case; any other is [`GroupType::Other`].
    pub fn named(name: &str) -> GroupType {
        match name.to_ascii_lowercase().as_str() {
            "classic" => GroupType::Classic,
            "consumer" => GroupType::Consumer,
            _ => GroupType::Other(name.to_owned()),
        }
    }
}

impl fmt::Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a group is with dividing its partitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// No members; offsets may be kept.
    Empty,
    /// Everybody has what they should.
    Stable,
    /// Classic: waits for members to join.
    PreparingRebalance,
    /// Classic: waits for the leader's assignment.
    CompletingRebalance,
    /// Consumer: the coordinator computes an assignment.
    Assigning,
    /// Consumer: members give up and take over partitions.
    Reconciling,
    /// There is no such group, or soon not any more.
    Dead,
    /// Another, by Kafka's name.
    Other(String),
}

impl GroupState {
    /// The states that a filter can name, in the order of a group's life.
    pub const ALL: &[GroupState] = &[
        GroupState::Empty,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Assigning,
        GroupState::Reconciling,
        GroupState::Stable,
        GroupState::Dead,
    ];

    /// Kafka's name.
    pub fn name(&self) -> &str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::Stable => "Stable",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Assigning => "Assigning",
            GroupState::Reconciling => "Reconciling",
            GroupState::Dead => "Dead",
            GroupState::Other(name) => name,
        }
    }

    /// The state of this name, in whatever case; any other is [`GroupState::Other`].
    pub fn named(name: &str) -> GroupState {
        let known = Self::ALL.iter().find(|state| state.name().eq_ignore_ascii_case(name));
        known.cloned().unwrap_or_else(|| GroupState::Other(name.to_owned()))
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which groups to list; an empty list lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Only groups in one of these states (Kafka 2.6 and newer).
    pub states: Vec<GroupState>,
    /// Only groups of one of these types (Kafka 3.8 and newer).
    pub types: Vec<GroupType>,
}

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// What its members use it for: `consumer`, `connect`; empty if it only holds offsets.
    pub protocol_type: String,
    /// How far it is, if the broker tells.
    pub state: Option<GroupState>,
    /// What it is, if the broker tells.
    pub group_type: Option<GroupType>,
    /// The broker that listed it.
    pub coordinator: BrokerId,
}

impl Admin {
    /// The groups of the cluster by id: every broker lists those that it coordinates.
    ///
    /// ```no_run
    /// # async fn f(admin: ottla_client::Admin) -> ottla_client::Result<()> {
    /// use ottla_client::{GroupFilter, GroupState};
    /// let empty = GroupFilter { states: vec![GroupState::Empty], ..GroupFilter::default() };
    /// for group in admin.list_groups(&empty).await? {
    ///     println!("{} has no members", group.group_id);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When a broker does not answer in time, or does not know the filter.
    pub async fn list_groups(&self, filter: &GroupFilter) -> Result<Vec<ListedGroup>> {
        self.learn_brokers().await?;
        let brokers: Vec<BrokerId> =
            self.client.metadata().brokers().into_iter().map(|broker| broker.id).collect();
        let mut groups = Vec::new();
        for broker in brokers {
            groups.extend(self.retrying("list groups", || self.list_groups_of(broker, filter)).await?);
        }
        groups.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        // A group may be listed twice while its coordinator moves.
        groups.dedup_by(|one, other| one.group_id == other.group_id);
        Ok(groups)
    }

    async fn list_groups_of(&self, broker: BrokerId, filter: &GroupFilter) -> Result<Vec<ListedGroup>> {
        let request = ListGroupsRequest {
            states_filter: filter.states.iter().map(|state| Str::from(state.name())).collect(),
            types_filter: filter.types.iter().map(|kind| Str::from(kind.name())).collect(),
        };
        let response = self.client.pool().call_broker(broker, request, self.request_timeout()).await?;
        response.error_code.ok().map_err(|code| ClientError::broker("list groups", code, None))?;
        let known = |name: &Str| (!name.is_empty()).then(|| name.to_string());
        let listed = |group: ottla_protocol::messages::list_groups::ListedGroup| ListedGroup {
            group_id: group.group_id.to_string(),
            protocol_type: group.protocol_type.to_string(),
            state: known(&group.group_state).as_deref().map(GroupState::named),
            group_type: known(&group.group_type).as_deref().map(GroupType::named),
            coordinator: broker,
        };
        Ok(response.groups.into_iter().map(listed).collect())
    }

    /// Deletes groups without members, with their offsets.
    ///
    /// # Errors
    /// When a coordinator does not answer in time. In a group's own result: `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`.
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<PerResource<()>> {
        self.ask_coordinators(groups, &DeleteGroups).await
    }
}

/// DeleteGroups.
struct DeleteGroups;

impl GroupCall for DeleteGroups {
    type Api = DeleteGroupsRequest;
    type Answer = ();
    const OPERATION: &'static str = "delete group";

    fn request(&self, groups: &[String], _version: i16) -> DeleteGroupsRequest {
        DeleteGroupsRequest { groups_names: groups.iter().map(|group| group.as_str().into()).collect() }
    }

    fn answers(&self, response: DeleteGroupsResponse, _: &[String], _: BrokerId) -> PerResource<()> {
        let result = |row: &ottla_protocol::messages::delete_groups::DeletableGroupResult| {
            (row.group_id.to_string(), group_verdict(Self::OPERATION, &row.group_id, row.error_code, None))
        };
        response.results.iter().map(result).collect()
    }
}

/// `Ok`, or the coordinator's error about a group.
fn group_verdict(operation: &'static str, group: &str, code: ErrorCode, message: Option<&str>) -> Result<()> {
    code.ok().map_err(|code| group_error(operation, group, code, message))
}

/// The coordinator's error about a group.
fn group_error(operation: &'static str, group: &str, code: ErrorCode, message: Option<&str>) -> ClientError {
    ClientError::broker(operation, code, message).for_group(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas_and_read_in_any_case() {
        for state in GroupState::ALL {
            assert_eq!(GroupState::named(&state.name().to_lowercase()), *state);
        }
        assert_eq!(GroupState::named("NotReady"), GroupState::Other("NotReady".to_owned()));
        assert_eq!(GroupType::named("Consumer"), GroupType::Consumer);
        assert_eq!(GroupType::named("share").name(), "share");
    }
}
