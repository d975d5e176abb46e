//! What the leader of a generation does: read what everybody wants and has, divide the partitions, hand the parts in.
//!
//! What the members say are claims. A subscription that cannot be read ends the leader's membership, as in the Java
//! client; what a member claims to own of topics that nobody wants, or of partitions that cannot be, is passed over.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use bytes::Bytes;
use foldhash::fast::RandomState;
use ottla_assignors::{Assignor, Member, Partition, Topic, TopicIndex};
use ottla_protocol::TopicName;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_protocol::{
    self, ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use ottla_protocol::messages::join_group::{JoinGroupResponse, JoinGroupResponseMember};
use ottla_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::super::effect::{Effect, Question, Topics};
use super::super::sticky;
use super::{Classic, PROTOCOL_TYPE, State};

/// A member as it described itself.
struct Described {
    member_id: Str,
    instance_id: Option<Str>,
    subscription: ConsumerProtocolSubscription,
}

impl Classic {
    /// Divides the partitions, once the group's topics are known.
    pub(super) fn lead(&mut self, _now: Instant, joined: JoinGroupResponse) {
        let Some(assignor) = self.chosen(joined.protocol_name.as_deref().unwrap_or_default()) else { return };
        let members = match described(&joined.members) {
            Ok(members) => members,
            Err(reason) => return self.malformed(reason),
        };
        let topics: BTreeSet<TopicName> = members
            .iter()
            .flat_map(|member| &member.subscription.topics)
            .filter_map(|topic| TopicName::new(topic).ok())
            .collect();
        let unknown: BTreeSet<TopicName> =
            topics.iter().filter(|topic| !self.topics.contains_key(*topic)).cloned().collect();
        if !unknown.is_empty() {
            self.effects.push(Effect::LearnTopics(unknown));
            self.state = State::Describing(Box::new(joined));
            return;
        }
        let from: Topics =
            self.topics.iter().filter(|(name, _)| topics.contains(*name)).map(owned_entry).collect();
        let parts = if joined.skip_assignment { Vec::new() } else { divide(assignor, &from, &members) };
        self.assigned_from = Some(from);
        self.sync(&joined, parts);
    }

    /// Asks for this member's part; a leader hands in everybody's.
    pub(super) fn sync(&mut self, joined: &JoinGroupResponse, assignments: Vec<SyncGroupRequestAssignment>) {
        if self.chosen(joined.protocol_name.as_deref().unwrap_or_default()).is_none() {
            return;
        }
        let request = SyncGroupRequest {
            group_id: self.settings.group_id.as_str().into(),
            generation_id: joined.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id(),
            protocol_type: Some(PROTOCOL_TYPE.into()),
            protocol_name: joined.protocol_name.clone(),
            assignments,
        };
        self.state = State::Syncing;
        self.ask(Question::Sync(request));
    }
}

fn owned_entry<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn described(members: &[JoinGroupResponseMember]) -> Result<Vec<Described>, String> {
    let mut seen: HashSet<&str, RandomState> = HashSet::default();
    let mut described = Vec::with_capacity(members.len());
    for member in members {
        if !seen.insert(&member.member_id) {
            return Err(format!("member {:?} is listed twice", member.member_id.as_str()));
        }
        let (_, subscription) = consumer_protocol::decode(member.metadata.clone())
            .map_err(|error| format!("the subscription of {:?}: {error}", member.member_id.as_str()))?;
        described.push(Described {
            member_id: member.member_id.clone(),
            instance_id: member.group_instance_id.clone(),
            subscription,
        });
    }
    Ok(described)
}

/// Each member's part as SyncGroup carries it.
fn divide(assignor: Assignor, topics: &Topics, members: &[Described]) -> Vec<SyncGroupRequestAssignment> {
    let shapes: Vec<Topic<'_>> = topics
        .iter()
        .map(|(name, shape)| Topic {
            name,
            partitions: shape.partition_count,
            racks: shape.racks.iter().map(|racks| racks.iter().map(String::as_str).collect()).collect(),
        })
        .collect();
    let places: BTreeMap<&str, TopicIndex> =
        topics.keys().map(TopicName::as_str).zip((0..).map(TopicIndex)).collect();
    let asking: Vec<Member<'_>> = members.iter().map(|member| asking(assignor, member, &places)).collect();
    let rows = assignor.assign(&shapes, &asking);
    members
        .iter()
        .zip(rows)
        .map(|(member, row)| SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: part(&shapes, &row),
        })
        .collect()
}

/// A member as assignors see it.
fn asking<'a>(assignor: Assignor, member: &'a Described, places: &BTreeMap<&str, TopicIndex>) -> Member<'a> {
    let subscription = &member.subscription;
    let remembered = subscription.user_data.as_ref().map(sticky::decode).unwrap_or_default();
    let (owned, generation) = match assignor {
        // Eager members own nothing any more when they join: what they had stands in the user data alone.
        Assignor::Sticky => (remembered.owned, remembered.generation),
        _ => {
            let told = (subscription.generation_id >= 0).then_some(subscription.generation_id);
            (subscription.owned_partitions.clone(), told.or(remembered.generation))
        }
    };
    let place = |topic: &Str| places.get(topic.as_str()).copied();
    Member {
        member_id: &member.member_id,
        instance_id: member.instance_id.as_deref(),
        rack: subscription.rack_id.as_deref(),
        topics: subscription.topics.iter().filter_map(place).collect(),
        owned: owned.iter().flat_map(|topic| owned_of(topic, place(&topic.topic))).collect(),
        generation,
    }
}

fn owned_of(owned: &TopicPartition, topic: Option<TopicIndex>) -> Vec<Partition> {
    let Some(topic) = topic else { return Vec::new() };
    let indexes = owned.partitions.iter().filter_map(|index| u32::try_from(*index).ok());
    indexes.map(|partition| Partition { topic, partition }).collect()
}

/// A member's part in the words of ConsumerProtocolAssignment.
fn part(topics: &[Topic<'_>], row: &[Partition]) -> Bytes {
    let mut assigned: Vec<TopicPartition> = Vec::new();
    for partition in row {
        let name = topics[partition.topic.0 as usize].name;
        let Ok(index) = i32::try_from(partition.partition) else { continue };
        match assigned.last_mut().filter(|last| &*last.topic == name) {
            Some(last) => last.partitions.push(index),
            None => assigned.push(TopicPartition { topic: name.into(), partitions: vec![index] }),
        }
    }
    let assignment = ConsumerProtocolAssignment { assigned_partitions: assigned, user_data: None };
    // Only a name of more than 32 KiB could not be written, and topic names are checked.
    consumer_protocol::encode(assignment, consumer_protocol::VERSION_MAX).unwrap_or_default()
}
