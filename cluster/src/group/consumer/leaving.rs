//! Who goes: members that leave, for good or for a while, those that are removed because they were silent or slow, and
//! topics that are no more.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
};
use ottla_protocol::messages::leave_group::MemberIdentity;

use super::heartbeat::{Outcome, Scene};
use super::member::{ConsumerMember, LEFT_FOR_A_WHILE};
use super::partitions::Owned;
use super::record::{ConsumerRecord, GroupEpoch};
use super::state::ConsumerGroup;
use super::subscription::metadata_hash;
use super::target::Roster;
use crate::group::record::GroupRecord;
use crate::refusal::{Refused, refuse};

impl ConsumerGroup {
    /// The heartbeat of a member that leaves.
    pub(crate) fn handle_leave(
        &self,
        scene: &Scene<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Refused<Outcome<ConsumerGroupHeartbeatResponse>> {
        let member = self.leaver(&request.member_id, request.instance_id.as_ref())?;
        let for_a_while = request.member_epoch == LEFT_FOR_A_WHILE;
        let records = if for_a_while {
            // It keeps what it was assigned until its session ends; what it was to give up, it has given up.
            let mut current = member.current.clone();
            current.member_epoch = LEFT_FOR_A_WHILE;
            current.pending_revocation = Owned::new();
            let member_id = member.id.clone();
            vec![self.record(ConsumerRecord::Current { member_id, value: Some(current) })]
        } else {
            self.without(scene, std::slice::from_ref(&member.id))
        };
        let reply = ConsumerGroupHeartbeatResponse {
            member_id: Some(member.id.clone()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        };
        Ok(Outcome { records, reply })
    }

    fn leaver(&self, member_id: &Str, instance: Option<&Str>) -> Refused<&ConsumerMember> {
        let unknown = || refuse(ErrorCode::UNKNOWN_MEMBER_ID, "there is no such member to leave");
        match instance {
            None => self.members.get(member_id).map_or_else(unknown, Ok),
            Some(instance) => match self.static_member(instance) {
                None => unknown(),
                Some(holder) if holder.id != *member_id => {
                    let why = format!("the instance id {instance:?} belongs to the member {}", holder.id);
                    refuse(ErrorCode::FENCED_INSTANCE_ID, why)
                }
                Some(holder) => Ok(holder),
            },
        }
    }

    /// The member that a LeaveGroup speaks of, of either protocol. An administrator removes a static member by its own
    /// name alone.
    pub(crate) fn classic_leaver(&self, who: &MemberIdentity) -> Result<Str, ErrorCode> {
        let member = match &who.group_instance_id {
            Some(instance) if who.member_id.is_empty() => self.static_member(instance),
            Some(instance) => match self.static_member(instance) {
                Some(holder) if holder.id != who.member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                holder => holder,
            },
            None => self.members.get(&who.member_id),
        };
        member.map(|member| member.id.clone()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
    }

    /// The records of the group without these members. Those who stay get their new targets with their next heartbeat.
    pub(crate) fn without(&self, scene: &Scene<'_>, leaving: &[Str]) -> Vec<GroupRecord> {
        let mut records: Vec<GroupRecord> =
            leaving.iter().flat_map(|id| self.member_tombstones(id)).collect();
        let mut rest = self.clone();
        for id in leaving {
            rest.apply(&ConsumerRecord::Member { member_id: id.clone(), value: None });
        }
        for regex in self.regexes.keys() {
            if rest.regex_subscribers(regex) > 0 {
                continue;
            }
            records.push(self.record(ConsumerRecord::Regex { regex: regex.clone(), value: None }));
            rest.regexes.remove(regex);
        }
        let hash = metadata_hash(&rest.subscribed_topics(), scene.topics);
        let epoch = GroupEpoch { epoch: self.epoch + 1, metadata_hash: hash };
        records.push(self.record(ConsumerRecord::Epoch(Some(epoch))));
        records
    }

    /// The cluster's topics have changed: a group epoch if that concerns this group.
    pub(crate) fn follow_topics(&self, scene: &Scene<'_>) -> Vec<GroupRecord> {
        if self.members.is_empty() {
            return Vec::new();
        }
        let mut records = Vec::new();
        let mut regexes = self.regexes.clone();
        for (regex, resolved) in self.changed_regexes(scene.topics, scene.now) {
            let value = Some(resolved.clone());
            records.push(self.record(ConsumerRecord::Regex { regex: regex.clone(), value }));
            regexes.insert(regex, resolved);
        }
        let roster = Roster { group: self, changed: None, replaced: None, regexes: &regexes };
        let metadata_hash = metadata_hash(&roster.topics(), scene.topics);
        if metadata_hash != self.metadata_hash || !records.is_empty() {
            let epoch = GroupEpoch { epoch: self.epoch + 1, metadata_hash };
            records.push(self.record(ConsumerRecord::Epoch(Some(epoch))));
        }
        records
    }
}
