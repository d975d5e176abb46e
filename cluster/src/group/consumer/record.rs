//! The records of consumer groups (KIP-848), in Kafka's own formats: keys are rigid, values are flexible and of version 0.
//!
//! ```text
//! key    3  group                                    the group's epoch
//!        4  group                                    the topics that it reads, up to Kafka 4.0: only its tombstone is written
//!        5  group, member                            what the member says of itself
//!        6  group                                    the epoch of the target assignment
//!        7  group, member                            the target assignment of the member
//!        8  group, member                            the member's epoch and what it owns
//!        16 group, regular expression                the topics that the expression matches
//! ```
//! A null value is a tombstone. Each value is the whole of what its key says, so the last record of a key is the truth.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_protocol::codec::Str;

use super::member::{ClassicMetadata, CurrentAssignment, MemberState, MemberSubscription};
use super::partitions::{Owned, Partitions};
use crate::group::fields::{Reader, Writer};
use crate::group::member::Protocol;
use crate::group::record::RecordError;

/// Some of the state of a consumer group. `None` as a value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerRecord {
    /// The group's epoch.
    Epoch(Option<GroupEpoch>),
    /// Whether there is a list of topics, as Kafka kept it up to 4.0.
    Topics(bool),
    /// What a member says of itself.
    Member {
        /// The member.
        member_id: Str,
        /// What it said last.
        value: Option<MemberSubscription>,
    },
    /// The epoch of the target assignment.
    TargetEpoch(Option<TargetEpoch>),
    /// The target assignment of a member.
    Target {
        /// The member.
        member_id: Str,
        /// What it is to own.
        value: Option<Partitions>,
    },
    /// The present assignment of a member.
    Current {
        /// The member.
        member_id: Str,
        /// Its epoch and what it owns.
        value: Option<CurrentAssignment>,
    },
    /// The topics that a regular expression matches.
    Regex {
        /// The expression.
        regex: Str,
        /// The topics.
        value: Option<ResolvedRegex>,
    },
}

/// The epoch of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// Grows with every change that asks for a new assignment.
    pub epoch: i32,
    /// What the topics that the group reads looked like then.
    pub metadata_hash: i64,
}

/// The epoch of a target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetEpoch {
    /// The group epoch that it was made for.
    pub epoch: i32,
    /// When it was made, in ms since 1970.
    pub timestamp_ms: i64,
}

/// The topics that a regular expression matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// The topics.
    pub topics: BTreeSet<Str>,
    /// The version of the cluster's metadata that was looked at.
    pub version: i64,
    /// When, in ms since 1970.
    pub timestamp_ms: i64,
}

const EPOCH: i16 = 3;
const TOPICS: i16 = 4;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const CURRENT: i16 = 8;
const REGEX: i16 = 16;

impl ConsumerRecord {
    /// Whether it says that something is no more.
    pub(crate) fn is_tombstone(&self) -> bool {
        match self {
            ConsumerRecord::Epoch(value) => value.is_none(),
            ConsumerRecord::Topics(is_there) => !is_there,
            ConsumerRecord::Member { value, .. } => value.is_none(),
            ConsumerRecord::TargetEpoch(value) => value.is_none(),
            ConsumerRecord::Target { value, .. } => value.is_none(),
            ConsumerRecord::Current { value, .. } => value.is_none(),
            ConsumerRecord::Regex { value, .. } => value.is_none(),
        }
    }

    /// The group of a key of this kind; `None` when the kind is no consumer group's.
    pub(crate) fn group_of(kind: i16, key: &mut Reader) -> Result<Option<Str>, RecordError> {
        match kind {
            EPOCH..=CURRENT | REGEX => key.text().map(Some),
            _ => Ok(None),
        }
    }

    /// The rest of a key of this kind, and its value.
    pub(crate) fn decode(
        kind: i16,
        key: &mut Reader,
        value: Option<&Bytes>,
    ) -> Result<Option<ConsumerRecord>, RecordError> {
        Ok(Some(match kind {
            EPOCH => ConsumerRecord::Epoch(read(value, GroupEpoch::decode)?),
            TOPICS => ConsumerRecord::Topics(value.is_some()),
            MEMBER => ConsumerRecord::Member {
                member_id: key.text()?,
                value: read(value, MemberSubscription::decode)?,
            },
            TARGET_EPOCH => ConsumerRecord::TargetEpoch(read(value, TargetEpoch::decode)?),
            TARGET => ConsumerRecord::Target { member_id: key.text()?, value: read(value, decode_target)? },
            CURRENT => ConsumerRecord::Current {
                member_id: key.text()?,
                value: read(value, CurrentAssignment::decode)?,
            },
            REGEX => ConsumerRecord::Regex { regex: key.text()?, value: read(value, ResolvedRegex::decode)? },
            _ => return Ok(None),
        }))
    }

    /// The key and the value as they are appended.
    pub(crate) fn encode(&self, group: &Str) -> (Bytes, Option<Bytes>) {
        match self {
            ConsumerRecord::Epoch(value) => (key(EPOCH, group, None), write(value, GroupEpoch::encode)),
            // We never write such a list: the hash beside the epoch stands for it, as in Kafka since 4.1.
            ConsumerRecord::Topics(_) => (key(TOPICS, group, None), None),
            ConsumerRecord::Member { member_id, value } => {
                (key(MEMBER, group, Some(member_id)), write(value, MemberSubscription::encode))
            }
            ConsumerRecord::TargetEpoch(value) => {
                (key(TARGET_EPOCH, group, None), write(value, TargetEpoch::encode))
            }
            ConsumerRecord::Target { member_id, value } => {
                (key(TARGET, group, Some(member_id)), write(value, encode_target))
            }
            ConsumerRecord::Current { member_id, value } => {
                (key(CURRENT, group, Some(member_id)), write(value, CurrentAssignment::encode))
            }
            ConsumerRecord::Regex { regex, value } => {
                (key(REGEX, group, Some(regex)), write(value, ResolvedRegex::encode))
            }
        }
    }
}

fn key(kind: i16, group: &Str, part: Option<&Str>) -> Bytes {
    let mut key = Writer::rigid(kind);
    key.text(group);
    if let Some(part) = part {
        key.text(part);
    }
    key.finish()
}

fn write<T>(value: &Option<T>, fill: impl FnOnce(&T, &mut Writer)) -> Option<Bytes> {
    let mut out = Writer::flexible(0);
    fill(value.as_ref()?, &mut out);
    Some(out.finish())
}

fn read<T>(
    value: Option<&Bytes>,
    decode: impl FnOnce(&mut Reader) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    let Some(bytes) = value else { return Ok(None) };
    let mut fields = Reader::new(bytes);
    fields.version(0..=0)?;
    fields.set_flexible(true);
    decode(&mut fields).map(Some)
}

impl GroupEpoch {
    fn encode(&self, out: &mut Writer) {
        out.i32(self.epoch);
        out.tags(&[(0, Writer::tagged(|field| field.i64(self.metadata_hash)))]);
    }

    fn decode(fields: &mut Reader) -> Result<GroupEpoch, RecordError> {
        let mut read = GroupEpoch { epoch: fields.i32()?, metadata_hash: 0 };
        fields.tags(|tag, field| {
            if tag == 0 {
                read.metadata_hash = field.i64()?;
            }
            Ok(())
        })?;
        Ok(read)
    }
}

impl TargetEpoch {
    fn encode(&self, out: &mut Writer) {
        out.i32(self.epoch);
        out.tags(&[(0, Writer::tagged(|field| field.i64(self.timestamp_ms)))]);
    }

    fn decode(fields: &mut Reader) -> Result<TargetEpoch, RecordError> {
        let mut read = TargetEpoch { epoch: fields.i32()?, timestamp_ms: 0 };
        fields.tags(|tag, field| {
            if tag == 0 {
                read.timestamp_ms = field.i64()?;
            }
            Ok(())
        })?;
        Ok(read)
    }
}

impl ResolvedRegex {
    fn encode(&self, out: &mut Writer) {
        out.count(self.topics.len());
        self.topics.iter().for_each(|topic| out.text(topic));
        out.i64(self.version);
        out.i64(self.timestamp_ms);
        out.tags(&[]);
    }

    fn decode(fields: &mut Reader) -> Result<ResolvedRegex, RecordError> {
        let mut topics = BTreeSet::new();
        for _ in 0..fields.count()? {
            topics.insert(fields.text()?);
        }
        let read = ResolvedRegex { topics, version: fields.i64()?, timestamp_ms: fields.i64()? };
        fields.end()?;
        Ok(read)
    }
}

fn encode_target(target: &Partitions, out: &mut Writer) {
    out.count(target.len());
    for (id, partitions) in target {
        out.topic_id(*id);
        out.count(partitions.len());
        partitions.iter().for_each(|partition| out.i32(*partition));
        out.tags(&[]);
    }
    out.tags(&[]);
}

fn decode_target(fields: &mut Reader) -> Result<Partitions, RecordError> {
    let mut target = Partitions::new();
    for _ in 0..fields.count()? {
        let id = fields.topic_id()?;
        let partitions = target.entry(id).or_default();
        for _ in 0..fields.count()? {
            partitions.insert(fields.i32()?);
        }
        fields.end()?;
    }
    fields.end()?;
    Ok(target)
}

impl MemberSubscription {
    fn encode(&self, out: &mut Writer) {
        out.nullable_text(self.instance_id.as_ref());
        out.nullable_text(self.rack_id.as_ref());
        out.text(&self.client_id);
        out.text(&self.client_host);
        out.count(self.topic_names.len());
        self.topic_names.iter().for_each(|topic| out.text(topic));
        out.text(self.topic_regex.as_deref().unwrap_or_default());
        out.i32(self.rebalance_timeout_ms);
        out.nullable_text(self.server_assignor.as_ref());
        let tagged = self.classic.as_ref().map(|classic| (0, Writer::tagged(|field| classic.encode(field))));
        out.tags(tagged.as_slice());
    }

    fn decode(fields: &mut Reader) -> Result<MemberSubscription, RecordError> {
        let mut read = MemberSubscription {
            instance_id: fields.nullable_text()?,
            rack_id: fields.nullable_text()?,
            client_id: fields.text()?,
            client_host: fields.text()?,
            ..MemberSubscription::default()
        };
        for _ in 0..fields.count()? {
            read.topic_names.insert(fields.text()?);
        }
        read.topic_regex = fields.nullable_text()?.filter(|regex| !regex.is_empty());
        read.rebalance_timeout_ms = fields.i32()?;
        read.server_assignor = fields.nullable_text()?;
        fields.tags(|tag, field| {
            if tag == 0 {
                read.classic = ClassicMetadata::decode(field)?;
            }
            Ok(())
        })?;
        Ok(read)
    }
}

impl ClassicMetadata {
    /// A struct that may be null begins with a byte that says that it is not.
    fn encode(&self, out: &mut Writer) {
        out.i8(1);
        out.i32(self.session_timeout_ms);
        out.count(self.protocols.len());
        for protocol in &self.protocols {
            out.text(&protocol.name);
            out.bytes(&protocol.metadata);
            out.tags(&[]);
        }
        out.tags(&[]);
    }

    fn decode(fields: &mut Reader) -> Result<Option<ClassicMetadata>, RecordError> {
        if fields.i8()? < 0 {
            return Ok(None);
        }
        let mut read = ClassicMetadata { session_timeout_ms: fields.i32()?, protocols: Vec::new() };
        for _ in 0..fields.count()? {
            read.protocols.push(Protocol { name: fields.text()?, metadata: fields.bytes()? });
            fields.end()?;
        }
        fields.end()?;
        Ok(Some(read))
    }
}

impl CurrentAssignment {
    fn encode(&self, out: &mut Writer) {
        out.i32(self.member_epoch);
        out.i32(self.previous_member_epoch);
        out.i8(self.state.code());
        encode_owned(&self.assigned, out);
        encode_owned(&self.pending_revocation, out);
        out.tags(&[]);
    }

    fn decode(fields: &mut Reader) -> Result<CurrentAssignment, RecordError> {
        let member_epoch = fields.i32()?;
        let read = CurrentAssignment {
            member_epoch,
            previous_member_epoch: fields.i32()?,
            state: MemberState::of_code(fields.i8()?),
            assigned: decode_owned(fields, member_epoch)?,
            pending_revocation: decode_owned(fields, member_epoch)?,
        };
        fields.end()?;
        Ok(read)
    }
}

fn encode_owned(owned: &Owned, out: &mut Writer) {
    out.count(owned.len());
    for (id, partitions) in owned {
        out.topic_id(*id);
        out.count(partitions.len());
        partitions.keys().for_each(|partition| out.i32(*partition));
        let epochs = Writer::tagged(|field| {
            field.count(partitions.len());
            partitions.values().for_each(|epoch| field.i32(*epoch));
        });
        out.tags(&[(0, epochs)]);
    }
}

/// Before Kafka 4.3 nobody kept since when a partition was assigned: since the member's epoch at the latest.
fn decode_owned(fields: &mut Reader, member_epoch: i32) -> Result<Owned, RecordError> {
    let mut owned = Owned::new();
    for _ in 0..fields.count()? {
        let id = fields.topic_id()?;
        let mut partitions = Vec::new();
        for _ in 0..fields.count()? {
            partitions.push(fields.i32()?);
        }
        let mut epochs = Vec::new();
        fields.tags(|tag, field| {
            if tag == 0 {
                for _ in 0..field.count()? {
                    epochs.push(field.i32()?);
                }
            }
            Ok(())
        })?;
        let epochs = epochs.into_iter().chain(std::iter::repeat(member_epoch));
        let topic: &mut BTreeMap<i32, i32> = owned.entry(id).or_default();
        topic.extend(partitions.into_iter().zip(epochs));
    }
    Ok(owned)
}
