//! Removing members from a group, as if they had left (KIP-345, KIP-571).

use ottla_protocol::BrokerId;
use ottla_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};

use super::coordinators::GroupCall;
use super::{group_error, group_verdict};
use crate::admin::{Admin, PerResource, only};
use crate::error::Result;

/// Who is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberToRemove {
    /// The member with this id.
    Member(String),
    /// The static member of this name, whatever its id.
    Instance(String),
}

impl MemberToRemove {
    fn name(&self) -> &str {
        match self {
            MemberToRemove::Member(name) | MemberToRemove::Instance(name) => name,
        }
    }
}

impl Admin {
    /// Removes members from a group; the others share what they had. Results come in the order given, by id or name.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND` and the like; others when the coordinator does not answer in time. `UNKNOWN_MEMBER_ID` is in
    /// a member's own result.
    pub async fn remove_members(
        &self,
        group: &str,
        members: &[MemberToRemove],
        reason: &str,
    ) -> Result<PerResource<()>> {
        let call = RemoveMembers { members, reason };
        only(RemoveMembers::OPERATION, self.ask_coordinators(&[group], &call).await?)
    }
}

/// LeaveGroup from version 3 on, which names the members.
struct RemoveMembers<'a> {
    members: &'a [MemberToRemove],
    reason: &'a str,
}

impl GroupCall for RemoveMembers<'_> {
    type Api = LeaveGroupRequest;
    type Answer = PerResource<()>;
    const OPERATION: &'static str = "remove members";

    fn request(&self, groups: &[String], _version: i16) -> LeaveGroupRequest {
        let identity = |member: &MemberToRemove| {
            let (member_id, instance_id) = match member {
                MemberToRemove::Member(id) => (id.as_str(), None),
                MemberToRemove::Instance(name) => ("", Some(name.as_str().into())),
            };
            MemberIdentity {
                member_id: member_id.into(),
                group_instance_id: instance_id,
                reason: Some(self.reason.into()),
            }
        };
        LeaveGroupRequest {
            group_id: groups[0].as_str().into(),
            members: self.members.iter().map(identity).collect(),
            ..Default::default()
        }
    }

    fn groups_max(&self, _version: i16) -> usize {
        1
    }

    fn answers(
        &self,
        response: LeaveGroupResponse,
        groups: &[String],
        _: BrokerId,
    ) -> PerResource<PerResource<()>> {
        let group = groups[0].clone();
        if response.error_code.is_error() {
            let error = group_error(Self::OPERATION, &group, response.error_code, None);
            return vec![(group, Err(error))];
        }
        // The answer lists them in the order of the request.
        let result =
            |(member, row): (&MemberToRemove, &ottla_protocol::messages::leave_group::MemberResponse)| {
                let verdict = group_verdict(Self::OPERATION, &group, row.error_code, None);
                (member.name().to_owned(), verdict)
            };
        let results = self.members.iter().zip(&response.members).map(result).collect();
        vec![(group.clone(), Ok(results))]
    }
}
