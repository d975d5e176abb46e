//! The records of `__consumer_offsets`, in Kafka's own formats, so that Kafka's tools read our topic and we read Kafka's.
//!
//! ```text
//! key    version i16 | 0, 1:       group string, topic string, partition i32   an offset of a group
//!                    | 2:          group string                                a classic group
//!                    | 3 to 8, 16: see [`super::consumer::record`]             a consumer group (KIP-848)
//! value  OffsetCommitValue  3: offset i64, leader_epoch i32, metadata string, commit_timestamp i64
//!                           1: offset i64, metadata string, commit_timestamp i64, expire_timestamp i64
//!        GroupMetadataValue 3: protocol_type, generation i32, protocol?, leader?, state_timestamp i64, members[]
//! ```
//! We write version 3 of either value (1 where a client chose a retention of its own) and read 0 to 4, which is flexible.
//! A null value is a tombstone. Other key versions belong to protocols that this machine does not speak; they are passed
//! over, not refused.

use bytes::Bytes;
use ottla_protocol::codec::Str;

use super::consumer::record::ConsumerRecord;
use super::fields::{Reader, Writer};

/// One record, decoded. `None` as a value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// How far a group has read one partition.
    Offset {
        /// The group.
        group: Str,
        /// The topic.
        topic: Str,
        /// The partition of the topic.
        partition: i32,
        /// What was committed.
        value: Option<CommittedOffset>,
    },
    /// A generation of a classic group.
    Group {
        /// The group.
        group: Str,
        /// Its members and their assignments.
        value: Option<GroupMetadata>,
    },
    /// Some of the state of a consumer group.
    Consumer {
        /// The group.
        group: Str,
        /// What it says.
        record: ConsumerRecord,
    },
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset that the group will read.
    pub offset: i64,
    /// The leader epoch of the record before it, or -1.
    pub leader_epoch: i32,
    /// Whatever the client wanted to keep with it.
    pub metadata: Str,
    /// When it was committed, in ms since 1970.
    pub commit_timestamp_ms: i64,
    /// When it ends, in ms since 1970, if the client said so (OffsetCommit 2 to 4).
    pub expire_timestamp_ms: Option<i64>,
}

/// A generation of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `consumer`, `connect` and so on.
    pub protocol_type: Str,
    /// The generation.
    pub generation: i32,
    /// The protocol that the members agreed on.
    pub protocol: Option<Str>,
    /// The member that makes the assignments.
    pub leader: Option<Str>,
    /// When the group came into its state, in ms since 1970; -1 if unknown.
    pub state_timestamp_ms: i64,
    /// The members.
    pub members: Vec<MemberMetadata>,
}

/// A member of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMetadata {
    /// Its id.
    pub member_id: Str,
    /// Its own name, if it is a static member.
    pub group_instance_id: Option<Str>,
    /// What its client calls itself.
    pub client_id: Str,
    /// Where it connects from.
    pub client_host: Str,
    /// How long a rebalance waits for it, in ms.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in ms.
    pub session_timeout_ms: i32,
    /// What it told the leader.
    pub subscription: Bytes,
    /// What the leader told it.
    pub assignment: Bytes,
}

/// Why a record of `__consumer_offsets` cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It ends before its fields do.
    #[error("the record ends too early")]
    TooShort,
    /// A text is not UTF-8 or has a negative length.
    #[error("the record holds a text that is none")]
    BadText,
    /// A length is not a number.
    #[error("the record holds a length without an end")]
    BadLength,
    /// A value of a version that we do not know.
    #[error("version {0} of the value is not known")]
    UnknownVersion(i16),
    /// A key without content.
    #[error("the record has no key")]
    NoKey,
}

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
/// From this version on both values are flexible.
const FLEXIBLE_SINCE: i16 = 4;

impl GroupRecord {
    /// The key and the value as they are appended; `None` is a tombstone.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            GroupRecord::Offset { group, topic, partition, value } => {
                let mut key = Writer::rigid(OFFSET_KEY_VERSION);
                key.text(group);
                key.text(topic);
                key.i32(*partition);
                (key.finish(), value.as_ref().map(CommittedOffset::encode))
            }
            GroupRecord::Group { group, value } => {
                let mut key = Writer::rigid(GROUP_KEY_VERSION);
                key.text(group);
                (key.finish(), value.as_ref().map(GroupMetadata::encode))
            }
            GroupRecord::Consumer { group, record } => record.encode(group),
        }
    }

    /// Reads a record; `Ok(None)` when its kind is not ours to know.
    ///
    /// # Errors
    /// The record is of a kind that we know, but it cannot be read.
    pub fn decode(key: Option<&Bytes>, value: Option<&Bytes>) -> Result<Option<GroupRecord>, RecordError> {
        let mut key = Reader::new(key.ok_or(RecordError::NoKey)?);
        match key.i16()? {
            0 | OFFSET_KEY_VERSION => {
                let (group, topic, partition) = (key.text()?, key.text()?, key.i32()?);
                let value = value.map(CommittedOffset::decode).transpose()?;
                Ok(Some(GroupRecord::Offset { group, topic, partition, value }))
            }
            GROUP_KEY_VERSION => {
                let group = key.text()?;
                let value = value.map(GroupMetadata::decode).transpose()?;
                Ok(Some(GroupRecord::Group { group, value }))
            }
            kind => {
                let Some(group) = ConsumerRecord::group_of(kind, &mut key)? else { return Ok(None) };
                let record = ConsumerRecord::decode(kind, &mut key, value)?;
                Ok(record.map(|record| GroupRecord::Consumer { group, record }))
            }
        }
    }
}

impl CommittedOffset {
    fn encode(&self) -> Bytes {
        let mut out = Writer::rigid(if self.expire_timestamp_ms.is_some() { 1 } else { 3 });
        out.i64(self.offset);
        if self.expire_timestamp_ms.is_none() {
            out.i32(self.leader_epoch);
        }
        out.text(&self.metadata);
        out.i64(self.commit_timestamp_ms);
        if let Some(expires) = self.expire_timestamp_ms {
            out.i64(expires);
        }
        out.finish()
    }

    fn decode(bytes: &Bytes) -> Result<CommittedOffset, RecordError> {
        let mut fields = Reader::new(bytes);
        let version = fields.version(0..=4)?;
        fields.set_flexible(version >= FLEXIBLE_SINCE);
        let committed = CommittedOffset {
            offset: fields.i64()?,
            leader_epoch: if version >= 3 { fields.i32()? } else { -1 },
            metadata: fields.text()?,
            commit_timestamp_ms: fields.i64()?,
            expire_timestamp_ms: if version == 1 { Some(fields.i64()?).filter(|ms| *ms >= 0) } else { None },
        };
        fields.end()?;
        Ok(committed)
    }
}

impl GroupMetadata {
    fn encode(&self) -> Bytes {
        let mut out = Writer::rigid(3);
        out.text(&self.protocol_type);
        out.i32(self.generation);
        out.nullable_text(self.protocol.as_ref());
        out.nullable_text(self.leader.as_ref());
        out.i64(self.state_timestamp_ms);
        out.count(self.members.len());
        for member in &self.members {
            out.text(&member.member_id);
            out.nullable_text(member.group_instance_id.as_ref());
            out.text(&member.client_id);
            out.text(&member.client_host);
            out.i32(member.rebalance_timeout_ms);
            out.i32(member.session_timeout_ms);
            out.bytes(&member.subscription);
            out.bytes(&member.assignment);
        }
        out.finish()
    }

    fn decode(bytes: &Bytes) -> Result<GroupMetadata, RecordError> {
        let mut fields = Reader::new(bytes);
        let version = fields.version(0..=4)?;
        fields.set_flexible(version >= FLEXIBLE_SINCE);
        let protocol_type = fields.text()?;
        let generation = fields.i32()?;
        let protocol = fields.nullable_text()?;
        let leader = fields.nullable_text()?;
        let state_timestamp_ms = if version >= 2 { fields.i64()? } else { -1 };
        let member_count = fields.count()?;
        let mut members = Vec::new();
        for _ in 0..member_count {
            members.push(MemberMetadata::decode(&mut fields, version)?);
        }
        fields.end()?;
        Ok(GroupMetadata { protocol_type, generation, protocol, leader, state_timestamp_ms, members })
    }
}

impl MemberMetadata {
    fn decode(fields: &mut Reader, version: i16) -> Result<MemberMetadata, RecordError> {
        let member_id = fields.text()?;
        let group_instance_id = if version >= 3 { fields.nullable_text()? } else { None };
        let (client_id, client_host) = (fields.text()?, fields.text()?);
        let rebalance_timeout_ms = if version >= 1 { Some(fields.i32()?) } else { None };
        let session_timeout_ms = fields.i32()?;
        let member = MemberMetadata {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            // Before version 1 a rebalance waited for the session timeout.
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: fields.bytes()?,
            assignment: fields.bytes()?,
        };
        fields.end()?;
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(record: &GroupRecord) -> GroupRecord {
        let (key, value) = record.encode();
        GroupRecord::decode(Some(&key), value.as_ref()).unwrap().unwrap()
    }

    fn offset(expire_timestamp_ms: Option<i64>) -> GroupRecord {
        GroupRecord::Offset {
            group: "g".into(),
            topic: "flights".into(),
            partition: 7,
            value: Some(CommittedOffset {
                offset: 42,
                leader_epoch: if expire_timestamp_ms.is_some() { -1 } else { 3 },
                metadata: "note".into(),
                commit_timestamp_ms: 1_000,
                expire_timestamp_ms,
            }),
        }
    }

    #[test]
    fn a_committed_offset_comes_back() {
        for record in [offset(None), offset(Some(9_000))] {
            assert_eq!(back(&record), record);
        }
    }

    #[test]
    fn a_generation_comes_back() {
        let member = MemberMetadata {
            member_id: "m-1".into(),
            group_instance_id: Some("static".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: Bytes::from_static(b"sub"),
            assignment: Bytes::from_static(b"assign"),
        };
        let record = GroupRecord::Group {
            group: "g".into(),
            value: Some(GroupMetadata {
                protocol_type: "consumer".into(),
                generation: 5,
                protocol: Some("range".into()),
                leader: Some("m-1".into()),
                state_timestamp_ms: 77,
                members: vec![member],
            }),
        };
        assert_eq!(back(&record), record);
    }

    #[test]
    fn the_bytes_of_an_offset_commit_are_kafkas() {
        let (key, value) = offset(None).encode();
        assert_eq!(&key[..], b"\x00\x01\x00\x01g\x00\x07flights\x00\x00\x00\x07");
        assert_eq!(
            &value.unwrap()[..],
            b"\x00\x03\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x03\x00\x04note\x00\x00\x00\x00\x00\x00\x03\xe8"
        );
    }

    #[test]
    fn a_tombstone_has_a_key_and_no_value() {
        let record = GroupRecord::Group { group: "g".into(), value: None };
        let (key, value) = record.encode();
        assert_eq!(value, None);
        assert_eq!(GroupRecord::decode(Some(&key), None), Ok(Some(record)));
    }

    #[test]
    fn a_kind_that_belongs_to_another_protocol_is_passed_over() {
        // A share group's.
        let key = Bytes::from_static(b"\x00\x0b\x00\x01g");
        assert_eq!(GroupRecord::decode(Some(&key), None), Ok(None));
    }

    #[test]
    fn the_flexible_versions_that_newer_kafkas_may_write_are_read() {
        let (key, _) = offset(None).encode();
        let value = Bytes::from_static(
            b"\x00\x04\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x03\x05note\x00\x00\x00\x00\x00\x00\x03\xe8\x01\x00\x10\
              aaaaaaaaaaaaaaaa",
        );
        assert_eq!(GroupRecord::decode(Some(&key), Some(&value)).unwrap().unwrap(), offset(None));
        let key = Bytes::from_static(b"\x00\x02\x00\x01g");
        let value = Bytes::from_static(
            b"\x00\x04\x09consumer\x00\x00\x00\x05\x06range\x00\x00\x00\x00\x00\x00\x00\x00\x4d\x02\x02m\x00\x02c\x02h\
              \x00\x00\x00\x01\x00\x00\x00\x02\x03su\x02a\x00\x00",
        );
        let Ok(Some(GroupRecord::Group { value: Some(read), .. })) =
            GroupRecord::decode(Some(&key), Some(&value))
        else {
            panic!("the value cannot be read")
        };
        assert_eq!((read.generation, read.state_timestamp_ms, read.members.len()), (5, 77, 1));
        let member = &read.members[0];
        assert_eq!((member.rebalance_timeout_ms, member.session_timeout_ms), (1, 2));
        assert_eq!((&member.subscription[..], &member.assignment[..]), (&b"su"[..], &b"a"[..]));
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let (key, value) = offset(None).encode();
        let value = value.unwrap();
        for end in 0..value.len() {
            let cut = value.slice(..end);
            assert!(GroupRecord::decode(Some(&key), Some(&cut)).is_err());
        }
    }
}
