//! DescribeGroups, ConsumerGroupDescribe and ListGroups: what an administrator sees of groups.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_describe;
use ottla_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use ottla_protocol::messages::list_groups::{ListGroupsRequest, ListedGroup};

use super::Now;
use super::classic::ClassicState;
use super::consumer::classic_member::CONSUMER;
use super::consumer::heartbeat::Scene;
use super::shard::{Group, GroupShard, Membership};

/// From this version of DescribeGroups on an unknown group is an error (KIP-1043).
const NOT_FOUND_SINCE: i16 = 6;

impl<W> Group<W> {
    /// Kafka's word for the protocol that the group is of.
    fn type_name(&self) -> &'static str {
        match &self.membership {
            Membership::Classic(_) => "classic",
            Membership::Consumer(_) => "consumer",
        }
    }

    /// Kafka's word for where the group stands.
    fn state_name(&self) -> &'static str {
        match &self.membership {
            Membership::Classic(classic) => classic.state.name(),
            Membership::Consumer(consumer) => consumer.group.state().name(),
        }
    }

    fn protocol_type(&self) -> Str {
        match &self.membership {
            Membership::Classic(classic) => classic.protocol_type.clone().unwrap_or_default(),
            Membership::Consumer(_) => Str::from_static(CONSUMER),
        }
    }
}

impl<W> GroupShard<W> {
    /// DescribeGroups, for one group of the classic protocol.
    pub fn describe(&self, group_id: &Str, api_version: i16) -> DescribedGroup {
        let Some(group) = self.groups.get(group_id) else {
            return unknown(group_id, api_version, format!("Group {group_id} not found."));
        };
        let Some(group) = group.classic() else {
            return unknown(group_id, api_version, format!("Group {group_id} is not a classic group."));
        };
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

    /// ConsumerGroupDescribe, for one group of the consumer protocol.
    pub fn describe_consumer(&self, now: Now, group_id: &Str) -> consumer_group_describe::DescribedGroup {
        let refuse = |error_code, why: String| consumer_group_describe::DescribedGroup {
            error_code,
            error_message: Some(Str::from(why)),
            group_id: group_id.clone(),
            ..consumer_group_describe::DescribedGroup::default()
        };
        if group_id.is_empty() {
            return refuse(ErrorCode::INVALID_GROUP_ID, "the group id is empty".to_owned());
        }
        let Some(group) = self.groups.get(group_id) else {
            return refuse(ErrorCode::GROUP_ID_NOT_FOUND, format!("Group {group_id} not found."));
        };
        let Some(consumer) = group.consumer() else {
            let why = format!("Group {group_id} is not a consumer group.");
            return refuse(ErrorCode::GROUP_ID_NOT_FOUND, why);
        };
        let scene = Scene { now, config: &self.config.consumer, topics: &*self.topics };
        consumer.group.describe(&scene)
    }

    /// ListGroups: the groups that pass the filters, which ignore case; an empty filter lets all pass.
    pub fn list(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let passes = |filter: &[Str], value: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        let listed = self.groups.iter().filter(|(_, group)| {
            group.is_known()
                && passes(&request.types_filter, group.type_name())
                && passes(&request.states_filter, group.state_name())
        });
        let mut listed: Vec<ListedGroup> = listed
            .map(|(id, group)| ListedGroup {
                group_id: id.clone(),
                protocol_type: group.protocol_type(),
                group_state: Str::from_static(group.state_name()),
                group_type: Str::from_static(group.type_name()),
            })
            .collect();
        listed.sort_by(|one, other| one.group_id.cmp(&other.group_id));
        listed
    }
}

/// What is said of a group that does not exist, or not as a classic one.
fn unknown(group_id: &Str, api_version: i16, why: String) -> DescribedGroup {
    let mut described = DescribedGroup {
        group_id: group_id.clone(),
        group_state: Str::from_static("Dead"),
        ..DescribedGroup::default()
    };
    if api_version >= NOT_FOUND_SINCE {
        described.error_code = ErrorCode::GROUP_ID_NOT_FOUND;
        described.error_message = Some(Str::from(why));
    }
    described
}
