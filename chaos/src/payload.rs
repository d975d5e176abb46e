//! What a record says: who sent it, as which of its records, and enough bytes to notice if any of them is wrong.
//!
//! ```text
//! ┌──────────┬──────────┬───────────────────────────────┐
//! │ i64 BE   │ i64 BE   │ 16 to 400 bytes that follow   │
//! │ producer │ number   │ from the first two            │
//! └──────────┴──────────┴───────────────────────────────┘
//! ```

use crate::chance::Chance;

/// Which record of which producer: unique in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// The producer, numbered by this program; not Kafka's producer id.
    pub(crate) producer: u64,
    /// Counts that producer's records from zero.
    pub(crate) number: u64,
}

/// The bytes of a record.
pub(crate) fn value_of(identity: Identity) -> Vec<u8> {
    let mut chance = Chance::new(identity.producer.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ identity.number);
    let words = chance.between(2, 50) as usize;
    let mut value = Vec::with_capacity(16 + words * 8);
    value.extend_from_slice(&identity.producer.to_be_bytes());
    value.extend_from_slice(&identity.number.to_be_bytes());
    for _ in 0..words {
        value.extend_from_slice(&chance.number().to_be_bytes());
    }
    value
}

/// Who sent these bytes, if they are what was sent.
pub(crate) fn identity_of(value: &[u8]) -> Option<Identity> {
    let word = |at: usize| Some(u64::from_be_bytes(value.get(at..at + 8)?.try_into().ok()?));
    let identity = Identity { producer: word(0)?, number: word(8)? };
    (value_of(identity) == value).then_some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_who_sent_it() {
        let identity = Identity { producer: 3, number: 77 };
        assert_eq!(identity_of(&value_of(identity)), Some(identity));
    }

    #[test]
    fn one_wrong_byte_is_noticed() {
        let mut value = value_of(Identity { producer: 3, number: 77 });
        for at in 0..value.len() {
            value[at] ^= 1;
            assert_eq!(identity_of(&value), None, "byte {at}");
            value[at] ^= 1;
        }
        value.pop();
        assert_eq!(identity_of(&value), None);
    }
}
