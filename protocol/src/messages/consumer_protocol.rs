//! What the members of a classic group of consumers tell each other: subscriptions and assignments, the opaque bytes of
//! JoinGroup and SyncGroup. Not an API: the broker passes them on, and reads them only to know which topics are wanted
//! and to turn a classic group into a consumer group while it runs (KIP-848).
//!
//! Versions 0–3, never flexible. 1 adds what a member owns (KIP-429), 2 since when (KIP-792), 3 the rack (KIP-881).
//! The version stands in front. A later version may only add fields at the end, so what is newer than we are is read as
//! our newest, and bytes that are left over are somebody's new fields and no error.

use bytes::Bytes;

use crate::codec::{Decoder, Encoder, Message, Str, Wire, WireError, WireErrorKind, message};

/// The newest version that is known.
pub const VERSION_MAX: i16 = 3;

message! {
    /// What a member wants to read.
    pub struct ConsumerProtocolSubscription {
        /// The topics.
        pub topics: Vec<Str>,
        /// What the member's assignor has to say.
        pub user_data: Option<Bytes>,
        /// What the member owns.
        pub owned_partitions: Vec<TopicPartition>; since(1) ignorable(),
        /// The generation in which it came to own that, or -1.
        pub generation_id: i32 = -1; since(2) ignorable(),
        /// The member's rack.
        pub rack_id: Option<Str>; since(3) ignorable(),
    }

    /// What a member is to read.
    pub struct ConsumerProtocolAssignment {
        /// The partitions.
        pub assigned_partitions: Vec<TopicPartition>,
        /// What the leader's assignor has to say.
        pub user_data: Option<Bytes>,
    }

    /// Partitions of one topic.
    pub struct TopicPartition {
        /// The topic's name.
        pub topic: Str,
        /// The partitions.
        pub partitions: Vec<i32>,
    }
}

/// Reads a subscription or an assignment, and the version that it claims.
pub fn decode<M: Message>(blob: Bytes) -> Result<(i16, M), WireError> {
    let mut version = 0i16;
    let mut rigid = Decoder::new(blob, 0, false);
    version.walk(&mut rigid, false)?;
    if version < 0 {
        return Err(WireErrorKind::NegativeVersion(version).into());
    }
    let mut message = M::default();
    message.walk(&mut Decoder::new(rigid.into_rest(), version.min(VERSION_MAX), false), false)?;
    Ok((version, message))
}

/// Writes a subscription or an assignment in this version, without the fields that it does not carry.
pub fn encode<M: Message>(mut message: M, mut version: i16) -> Result<Bytes, WireError> {
    let mut encoder = Encoder::new(version, false);
    version.walk(&mut encoder, false)?;
    message.walk(&mut encoder, false)?;
    Ok(encoder.finish().bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> ConsumerProtocolSubscription {
        ConsumerProtocolSubscription {
            topics: vec!["flights".into(), "weather".into()],
            user_data: Some(Bytes::from_static(b"sticky")),
            owned_partitions: vec![TopicPartition { topic: "flights".into(), partitions: vec![0, 7] }],
            generation_id: 41,
            rack_id: Some("eu".into()),
        }
    }

    #[test]
    fn a_version_carries_what_it_knows_and_drops_the_rest() {
        let (version, read) = decode(encode(subscription(), 3).unwrap()).unwrap();
        assert_eq!((version, read), (3, subscription()));
        let (version, read) = decode(encode(subscription(), 1).unwrap()).unwrap();
        let expected = ConsumerProtocolSubscription { generation_id: -1, rack_id: None, ..subscription() };
        assert_eq!((version, read), (1, expected));
    }

    #[test]
    fn a_newer_version_is_read_as_our_newest_and_its_new_fields_are_left_alone() {
        let mut blob = encode(subscription(), 3).unwrap().to_vec();
        blob[..2].copy_from_slice(&9i16.to_be_bytes());
        blob.extend_from_slice(b"new fields");
        let (version, read) = decode(Bytes::from(blob)).unwrap();
        assert_eq!((version, read), (9, subscription()));
    }

    #[test]
    fn a_lie_is_an_error_and_costs_nothing() {
        for lie in [&b""[..], b"\x00", b"\xff\xff\x00\x00\x00\x00", b"\x00\x01\x7f\xff\xff\xff\x00\x01d"] {
            assert!(decode::<ConsumerProtocolSubscription>(Bytes::from_static(lie)).is_err(), "{lie:?}");
            assert!(decode::<ConsumerProtocolAssignment>(Bytes::from_static(lie)).is_err(), "{lie:?}");
        }
        let whole = encode(subscription(), 3).unwrap();
        for cut in 0..whole.len() {
            assert!(decode::<ConsumerProtocolSubscription>(whole.slice(..cut)).is_err(), "cut to {cut}");
        }
    }
}
