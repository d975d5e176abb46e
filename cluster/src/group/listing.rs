//! DescribeGroups and ListGroups: what an administrator sees of groups.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use ottla_protocol::messages::list_groups::{ListGroupsRequest, ListedGroup};

use super::classic::ClassicState;
use super::offsets::is_known;
use super::shard::GroupShard;

/// From this version of DescribeGroups on an unknown group is an error (KIP-1043).
const NOT_FOUND_SINCE: i16 = 6;
/// The type of the groups that are kept here.
const TYPE: &str = "Classic";

impl<W> GroupShard<W> {
    /// DescribeGroups, for one group.
    pub fn describe(&self, group_id: &Str, api_version: i16) -> DescribedGroup {
        let Some(group) = self.groups.get(group_id) else { return unknown(group_id, api_version) };
        let group = &group.classic;
        let is_stable = group.state == ClassicState::Stable;
        let protocol = group.protocol.as_ref().filter(|_| is_stable);
        let members = group.members.values().map(|member| DescribedGroupMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            member_metadata: member.metadata(protocol),
            member_assignment: if is_stable { member.assignment.clone() } else { Default::default() },
        });
        DescribedGroup {
            group_id: group_id.clone(),
            group_state: Str::from_static(group.state.name()),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.cloned().unwrap_or_default(),
            members: members.collect(),
            ..DescribedGroup::default()
        }
    }

    /// ListGroups: the groups that pass the filters, which ignore case; an empty filter lets all pass.
    pub fn list(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let passes = |filter: &[Str], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        if !passes(&request.types_filter, TYPE) {
            return Vec::new();
        }
        let mut listed: Vec<ListedGroup> = self
            .groups
            .values()
            .filter(|group| is_known(group) && passes(&request.states_filter, group.classic.state.name()))
            .map(|group| ListedGroup {
                group_id: group.classic.id.clone(),
                protocol_type: group.classic.protocol_type.clone().unwrap_or_default(),
                group_state: Str::from_static(group.classic.state.name()),
                group_type: Str::from_static(TYPE),
            })
            .collect();
        listed.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        listed
    }
}

/// What is said of a group that does not exist.
fn unknown(group_id: &Str, api_version: i16) -> DescribedGroup {
    let mut described = DescribedGroup {
        group_id: group_id.clone(),
        group_state: Str::from_static("Dead"),
        ..DescribedGroup::default()
    };
    if api_version >= NOT_FOUND_SINCE {
        described.error_code = ErrorCode::GROUP_ID_NOT_FOUND;
        described.error_message = Some(Str::from(format!("Group {group_id} not found.")));
    }
    described
}
