//! The records of `__consumer_offsets`, in Kafka's own formats, so that Kafka's tools read our topic and we read Kafka's.
//!
//! ```text
//! key    version i16 | 0, 1: group string, topic string, partition i32      an offset of a group
//!                    | 2:    group string                                   a classic group
//! value  OffsetCommitValue  3: offset i64, leader_epoch i32, metadata string, commit_timestamp i64
//!                           1: offset i64, metadata string, commit_timestamp i64, expire_timestamp i64
//!        GroupMetadataValue 3: protocol_type, generation i32, protocol?, leader?, state_timestamp i64, members[]
//! ```
//! We write version 3 of either value (1 where a client chose a retention of its own) and read 0 to 3. A null value is a
//! tombstone. Other key versions belong to protocols that this machine does not speak; they are passed over, not refused.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ottla_protocol::codec::Str;

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
    /// A value of a version that we do not know.
    #[error("version {0} of the value is not known")]
    UnknownVersion(i16),
    /// A key without content.
    #[error("the record has no key")]
    NoKey,
}

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;

impl GroupRecord {
    /// The key and the value as they are appended; `None` is a tombstone.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        let mut key = BytesMut::with_capacity(64);
        match self {
            GroupRecord::Offset { group, topic, partition, value } => {
                key.put_i16(OFFSET_KEY_VERSION);
                put_text(&mut key, group);
                put_text(&mut key, topic);
                key.put_i32(*partition);
                (key.freeze(), value.as_ref().map(CommittedOffset::encode))
            }
            GroupRecord::Group { group, value } => {
                key.put_i16(GROUP_KEY_VERSION);
                put_text(&mut key, group);
                (key.freeze(), value.as_ref().map(GroupMetadata::encode))
            }
        }
    }

    /// Reads a record; `Ok(None)` when its kind is not ours to know.
    ///
    /// # Errors
    /// The record is of a kind that we know, but it cannot be read.
    pub fn decode(key: Option<&Bytes>, value: Option<&Bytes>) -> Result<Option<GroupRecord>, RecordError> {
        let mut key = Reader(key.ok_or(RecordError::NoKey)?.clone());
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
            _ => Ok(None),
        }
    }
}

impl CommittedOffset {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(40 + self.metadata.len());
        match self.expire_timestamp_ms {
            Some(expires) => {
                out.put_i16(1);
                out.put_i64(self.offset);
                put_text(&mut out, &self.metadata);
                out.put_i64(self.commit_timestamp_ms);
                out.put_i64(expires);
            }
            None => {
                out.put_i16(3);
                out.put_i64(self.offset);
                out.put_i32(self.leader_epoch);
                put_text(&mut out, &self.metadata);
                out.put_i64(self.commit_timestamp_ms);
            }
        }
        out.freeze()
    }

    fn decode(bytes: &Bytes) -> Result<CommittedOffset, RecordError> {
        let mut fields = Reader(bytes.clone());
        let version = fields.version(0..=3)?;
        Ok(CommittedOffset {
            offset: fields.i64()?,
            leader_epoch: if version >= 3 { fields.i32()? } else { -1 },
            metadata: fields.text()?,
            commit_timestamp_ms: fields.i64()?,
            expire_timestamp_ms: if version == 1 { Some(fields.i64()?).filter(|ms| *ms >= 0) } else { None },
        })
    }
}

impl GroupMetadata {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        out.put_i16(3);
        put_text(&mut out, &self.protocol_type);
        out.put_i32(self.generation);
        put_nullable_text(&mut out, self.protocol.as_ref());
        put_nullable_text(&mut out, self.leader.as_ref());
        out.put_i64(self.state_timestamp_ms);
        out.put_i32(self.members.len() as i32);
        for member in &self.members {
            put_text(&mut out, &member.member_id);
            put_nullable_text(&mut out, member.group_instance_id.as_ref());
            put_text(&mut out, &member.client_id);
            put_text(&mut out, &member.client_host);
            out.put_i32(member.rebalance_timeout_ms);
            out.put_i32(member.session_timeout_ms);
            put_bytes(&mut out, &member.subscription);
            put_bytes(&mut out, &member.assignment);
        }
        out.freeze()
    }

    fn decode(bytes: &Bytes) -> Result<GroupMetadata, RecordError> {
        let mut fields = Reader(bytes.clone());
        let version = fields.version(0..=3)?;
        let protocol_type = fields.text()?;
        let generation = fields.i32()?;
        let protocol = fields.nullable_text()?;
        let leader = fields.nullable_text()?;
        let state_timestamp_ms = if version >= 2 { fields.i64()? } else { -1 };
        let member_count = usize::try_from(fields.i32()?).unwrap_or(0);
        let mut members = Vec::new();
        for _ in 0..member_count {
            members.push(MemberMetadata::decode(&mut fields, version)?);
        }
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
        Ok(MemberMetadata {
            member_id,
            group_instance_id,
            client_id,
            client_host,
            // Before version 1 a rebalance waited for the session timeout.
            rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
            session_timeout_ms,
            subscription: fields.bytes()?,
            assignment: fields.bytes()?,
        })
    }
}

fn put_text(out: &mut BytesMut, text: &Str) {
    // The wire's strings that come here were themselves read with a length of 16 bits, or are bounded by a config.
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

fn put_nullable_text(out: &mut BytesMut, text: Option<&Str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &Bytes) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

/// Reads fields off the front of a key or value.
struct Reader(Bytes);

impl Reader {
    fn has(&self, bytes: usize) -> Result<(), RecordError> {
        if self.0.remaining() < bytes { Err(RecordError::TooShort) } else { Ok(()) }
    }

    fn version(&mut self, known: std::ops::RangeInclusive<i16>) -> Result<i16, RecordError> {
        let version = self.i16()?;
        if known.contains(&version) { Ok(version) } else { Err(RecordError::UnknownVersion(version)) }
    }

    fn i16(&mut self) -> Result<i16, RecordError> {
        self.has(2).map(|()| self.0.get_i16())
    }

    fn i32(&mut self) -> Result<i32, RecordError> {
        self.has(4).map(|()| self.0.get_i32())
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        self.has(8).map(|()| self.0.get_i64())
    }

    /// Copies, because what is replayed outlives the batch that it came in.
    fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = usize::try_from(self.i32()?).unwrap_or(0);
        self.has(length)?;
        Ok(Bytes::copy_from_slice(&self.0.split_to(length)))
    }

    fn nullable_text(&mut self) -> Result<Option<Str>, RecordError> {
        let Ok(length) = usize::try_from(self.i16()?) else { return Ok(None) };
        self.has(length)?;
        let bytes = Bytes::copy_from_slice(&self.0.split_to(length));
        Str::try_from(bytes).map(Some).map_err(|_| RecordError::BadText)
    }

    fn text(&mut self) -> Result<Str, RecordError> {
        self.nullable_text()?.ok_or(RecordError::BadText)
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
        let key = Bytes::from_static(b"\x00\x03\x00\x01g");
        assert_eq!(GroupRecord::decode(Some(&key), None), Ok(None));
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
