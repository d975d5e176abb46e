//! ConsumerGroupDescribe: what an administrator sees of a consumer group.

use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_describe::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};

use super::heartbeat::Scene;
use super::member::ConsumerMember;
use super::partitions::{Partitions, without_epochs};
use super::state::ConsumerGroup;
use super::target::Roster;
use super::topics::TopicDirectory;

/// The type of a member that speaks the classic protocol.
const CLASSIC: i8 = 0;
/// The type of a member that speaks the consumer protocol.
const CONSUMER: i8 = 1;

impl ConsumerGroup {
    /// The group, with its members by id.
    pub(crate) fn describe(&self, scene: &Scene<'_>) -> DescribedGroup {
        let roster = Roster { group: self, changed: None, replaced: None, regexes: &self.regexes };
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: Str::from_static(self.state().name()),
            group_epoch: self.epoch,
            assignment_epoch: self.target_epoch,
            assignor_name: Str::from_static(roster.assignor(&scene.config.assignors).name()),
            members: self.members.values().map(|member| self.describe_member(member, scene.topics)).collect(),
            ..DescribedGroup::default()
        }
    }

    fn describe_member(&self, member: &ConsumerMember, topics: &dyn TopicDirectory) -> Member {
        let said = &member.subscription;
        Member {
            member_id: member.id.clone(),
            instance_id: said.instance_id.clone(),
            rack_id: said.rack_id.clone(),
            member_epoch: member.current.member_epoch,
            client_id: said.client_id.clone(),
            client_host: said.client_host.clone(),
            subscribed_topic_names: said.topic_names.iter().cloned().collect(),
            subscribed_topic_regex: said.topic_regex.clone(),
            assignment: named(&without_epochs(&member.current.assigned), topics),
            target_assignment: self
                .target_of(member)
                .map_or_else(Assignment::default, |target| named(target, topics)),
            member_type: if member.is_classic() { CLASSIC } else { CONSUMER },
        }
    }
}

/// Partitions with the names of their topics; those of topics that are no more are left out.
fn named(partitions: &Partitions, topics: &dyn TopicDirectory) -> Assignment {
    let with_name = |(id, partitions): (&ottla_protocol::TopicId, &std::collections::BTreeSet<i32>)| {
        Some(TopicPartitions {
            topic_id: id.get(),
            topic_name: topics.name(*id)?,
            partitions: partitions.iter().copied().collect(),
        })
    };
    Assignment { topic_partitions: partitions.iter().filter_map(with_name).collect() }
}
