//! The names and numbers by which brokers, topics, partitions and producers are known.
//!
//! These are identities only: no arithmetic except an epoch's successor. A [`TopicName`] owns its text, so keeping one
//! does not keep the request frame alive that it came from, and it is legal by construction.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The number of a node (`node.id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrokerId(i32);

/// The index of a partition within its topic; partitions are numbered from 0 without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionIndex(i32);

/// The number of an idempotent or transactional producer (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProducerId(i64);

/// Counts the incarnations of a producer id; a greater one fences the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProducerEpoch(i16);

/// The identity of a topic for as long as it lives (KIP-516); a topic that is created again gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(Uuid);

/// The identity of a log directory for as long as it lives (KIP-858); one that is emptied gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DirectoryId(Uuid);

/// A legal topic name: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(Arc<str>);

/// One partition of one topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's index in the topic.
    pub partition: PartitionIndex,
}

/// Why a text is not a topic name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    /// The text is empty.
    #[error("a topic name cannot be empty")]
    Empty,
    /// The text is longer than [`TopicName::BYTES_MAX`].
    #[error("a topic name of {0} characters is longer than 249")]
    TooLong(usize),
    /// The text is `.` or `..`, which would be a path.
    #[error("a topic cannot be named {0:?}")]
    Path(String),
    /// The text holds something other than ASCII letters, digits, `.`, `_` and `-`.
    #[error("the topic name {0:?} holds a character other than letters, digits, '.', '_' and '-'")]
    Character(String),
}

impl TopicName {
    /// The longest name that a topic may have, in bytes.
    pub const BYTES_MAX: usize = 249;

    /// Checks the name and takes a copy of it.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        if name.is_empty() {
            return Err(InvalidTopicName::Empty);
        }
        if name.len() > Self::BYTES_MAX {
            return Err(InvalidTopicName::TooLong(name.chars().count()));
        }
        if name == "." || name == ".." {
            return Err(InvalidTopicName::Path(name.to_owned()));
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
            return Err(InvalidTopicName::Character(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two names are the same to a metrics system that shows `.` as `_`; Kafka refuses to create the second.
    pub fn collides_with(&self, other: &TopicName) -> bool {
        let shown = |byte: u8| if byte == b'.' { b'_' } else { byte };
        self.0.bytes().map(shown).eq(other.0.bytes().map(shown))
    }
}

impl TopicId {
    /// The all-zero id, which on the wire means "no id given".
    pub const ZERO: TopicId = TopicId(Uuid::nil());

    /// The topic id with these 128 bits.
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The 128 bits.
    pub const fn get(self) -> Uuid {
        self.0
    }

    /// Whether this is the all-zero id.
    pub const fn is_zero(self) -> bool {
        self.0.is_nil()
    }
}

impl DirectoryId {
    /// The directory id with these 128 bits.
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The 128 bits.
    pub const fn get(self) -> Uuid {
        self.0
    }
}

impl ProducerEpoch {
    /// The epoch of a producer id's first incarnation.
    pub const ZERO: ProducerEpoch = ProducerEpoch(0);

    /// The epoch of the next incarnation, or `None` when this producer id has used up its epochs.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(epoch) => Some(Self(epoch)),
            None => None,
        }
    }
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: TopicName, partition: PartitionIndex) -> Self {
        Self { topic, partition }
    }
}

macro_rules! number {
    ($($name:ident($raw:ty)),* $(,)?) => {$(
        impl $name {
            /// The identity with this raw number.
            pub const fn new(number: $raw) -> Self {
                Self(number)
            }

            /// The raw number.
            pub const fn get(self) -> $raw {
                self.0
            }

            /// The identity, unless the number is the wire's -1 for "none".
            pub const fn known(number: $raw) -> Option<Self> {
                if number >= 0 { Some(Self(number)) } else { None }
            }
        }

        impl From<$raw> for $name {
            fn from(number: $raw) -> Self {
                Self(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

number!(BrokerId(i32), PartitionIndex(i32), ProducerId(i64), ProducerEpoch(i16));

impl From<Uuid> for TopicId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_url(self.0.as_bytes()))
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_url(self.0.as_bytes()))
    }
}

/// Kafka shows a topic id as 22 characters of base64 in the URL alphabet without padding.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// Why a text is not a topic id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic id of 22 base64 characters")]
pub struct InvalidTopicId(String);

impl std::str::FromStr for TopicId {
    type Err = InvalidTopicId;

    fn from_str(text: &str) -> Result<Self, InvalidTopicId> {
        from_base64_url(text).map(Self).ok_or_else(|| InvalidTopicId(text.to_owned()))
    }
}

/// Why a text is not a directory id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a directory id of 22 base64 characters")]
pub struct InvalidDirectoryId(String);

impl std::str::FromStr for DirectoryId {
    type Err = InvalidDirectoryId;

    fn from_str(text: &str) -> Result<Self, InvalidDirectoryId> {
        from_base64_url(text).map(Self).ok_or_else(|| InvalidDirectoryId(text.to_owned()))
    }
}

fn from_base64_url(text: &str) -> Option<Uuid> {
    if text.len() != 22 {
        return None;
    }
    let mut bits = 0u128;
    for (place, character) in text.bytes().enumerate() {
        let digit = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        // 21 digits carry 126 bits; only the upper two bits of the last digit are used.
        bits = if place < 21 { bits << 6 | u128::from(digit) } else { bits << 2 | u128::from(digit >> 4) };
    }
    Some(Uuid::from_u128(bits))
}

impl Deref for TopicName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for TopicName {
    type Error = InvalidTopicName;
    fn try_from(name: &str) -> Result<Self, InvalidTopicName> {
        Self::new(name)
    }
}

impl TryFrom<String> for TopicName {
    type Error = InvalidTopicName;
    fn try_from(name: String) -> Result<Self, InvalidTopicName> {
        Self::new(&name)
    }
}

impl std::str::FromStr for TopicName {
    type Err = InvalidTopicName;
    fn from_str(name: &str) -> Result<Self, InvalidTopicName> {
        Self::new(name)
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> String {
        name.as_str().to_owned()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_is_checked_once_and_then_legal() {
        assert!(TopicName::new("flights.2013_raw-1").is_ok());
        assert_eq!(TopicName::new(""), Err(InvalidTopicName::Empty));
        assert_eq!(TopicName::new(".."), Err(InvalidTopicName::Path("..".to_owned())));
        assert_eq!(TopicName::new("a/b"), Err(InvalidTopicName::Character("a/b".to_owned())));
        assert!(TopicName::new(&"x".repeat(249)).is_ok());
        assert_eq!(TopicName::new(&"x".repeat(250)), Err(InvalidTopicName::TooLong(250)));
    }

    #[test]
    fn names_that_differ_only_in_dot_and_underscore_collide() {
        let (dotted, underscored) = (TopicName::new("a.b").unwrap(), TopicName::new("a_b").unwrap());
        assert!(dotted.collides_with(&underscored));
        assert!(!dotted.collides_with(&TopicName::new("a-b").unwrap()));
    }

    #[test]
    fn a_topic_id_is_shown_as_kafka_shows_it_and_read_back() {
        let id = TopicId::new(Uuid::from_u128(1));
        assert_eq!(id.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(id.to_string().parse(), Ok(id));
        let id = TopicId::new(Uuid::from_u128(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("short".parse::<TopicId>().is_err());
    }

    #[test]
    fn a_producer_id_runs_out_of_epochs() {
        assert_eq!(ProducerEpoch::ZERO.next(), Some(ProducerEpoch::new(1)));
        assert_eq!(ProducerEpoch::new(i16::MAX).next(), None);
    }
}
