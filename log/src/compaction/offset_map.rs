//! The greatest offset of each key, in bounded memory: 24 bytes a key, whatever its length.
//!
//! A key is known by a keyed 128-bit digest (SipHash-1-3), so two keys that meet are as likely as a broken disk, and nobody
//! who does not know the secret can make them meet. One table with linear probing, never resized: when it is as full as
//! allowed it says so, and the compaction ends there. It does not hold keys or values.

use std::hash::Hasher;

use ottla_protocol::Offset;
use siphasher::sip128::{Hasher128, SipHasher13};

const SLOT_BYTES: u64 = 24;

/// See the module.
pub(crate) struct OffsetMap {
    /// The digest in two halves, and the offset plus one; 0 is a free slot.
    slots: Vec<[u64; 3]>,
    len: usize,
    len_max: usize,
    secret: u128,
}

/// The map holds as many keys as it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MapFull;

impl OffsetMap {
    /// A map for at most `keys_max` keys in at most `bytes_max`, of which the share `load_factor` is used.
    pub(crate) fn new(bytes_max: u64, load_factor: f64, keys_max: u64, secret: u128) -> OffsetMap {
        let load_factor = load_factor.clamp(0.01, 0.99);
        let affordable = (bytes_max / SLOT_BYTES).max(2);
        let useful = (keys_max as f64 / load_factor).ceil() as u64 + 2;
        let slots = affordable.min(useful);
        let len_max = ((slots as f64 * load_factor) as usize).clamp(1, slots as usize - 1);
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        OffsetMap { slots: vec![[0; 3]; slots], len: 0, len_max, secret }
    }

    /// How many keys it knows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Notes that `key` has a record at `offset`, which is greater than those noted before.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> Result<(), MapFull> {
        let digest = self.digest(key);
        let place = self.place(digest);
        let is_new = self.slots[place][2] == 0;
        if is_new && self.len >= self.len_max {
            return Err(MapFull);
        }
        self.len += usize::from(is_new);
        self.slots[place] = [digest.0, digest.1, offset.get().cast_unsigned() + 1];
        Ok(())
    }

    /// The greatest offset of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Offset> {
        let digest = self.digest(key);
        let noted = self.slots[self.place(digest)][2];
        noted.checked_sub(1).map(|offset| Offset::new(offset.cast_signed()))
    }

    fn digest(&self, key: &[u8]) -> (u64, u64) {
        let mut hasher = SipHasher13::new_with_key(&self.secret.to_le_bytes());
        hasher.write(key);
        let digest = hasher.finish128();
        (digest.h1, digest.h2)
    }

    /// The slot of the digest, or the free one where it belongs. There always is a free one.
    fn place(&self, (first, second): (u64, u64)) -> usize {
        let count = self.slots.len();
        let mut place = ((u128::from(first) * count as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[place];
            if slot[2] == 0 || (slot[0] == first && slot[1] == second) {
                return place;
            }
            place = if place + 1 == count { 0 } else { place + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_map_gives_what_a_map_of_whole_keys_gives(
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3), 0..400),
            secret in any::<u128>(),
        ) {
            let mut expected = HashMap::new();
            let mut map = OffsetMap::new(1 << 20, 0.9, keys.len() as u64, secret);
            for (offset, key) in keys.iter().enumerate() {
                let offset = Offset::new(offset as i64);
                expected.insert(key.clone(), offset);
                prop_assert_eq!(map.put(key, offset), Ok(()));
            }
            prop_assert_eq!(map.len(), expected.len());
            for (key, offset) in expected {
                prop_assert_eq!(map.get(&key), Some(offset));
            }
            prop_assert_eq!(map.get(b"a key of none"), None);
        }
    }

    #[test]
    fn a_full_map_takes_what_it_knows_and_nothing_else() {
        let mut map = OffsetMap::new(10 * SLOT_BYTES, 0.5, 1000, 7);
        for key in 0..5u8 {
            assert_eq!(map.put(&[key], Offset::new(i64::from(key))), Ok(()));
        }
        assert_eq!(map.put(b"one too many", Offset::new(9)), Err(MapFull));
        assert_eq!(map.put(&[3], Offset::new(10)), Ok(()));
        assert_eq!(map.get(&[3]), Some(Offset::new(10)));
        assert_eq!(map.get(b"one too many"), None);
    }

    #[test]
    fn memory_is_taken_for_the_keys_that_can_come_and_no_more_than_allowed() {
        assert!(OffsetMap::new(128 << 20, 0.9, 100, 7).slots.len() < 120);
        assert_eq!(OffsetMap::new(2400, 0.9, 1 << 40, 7).slots.len(), 100);
        let mut smallest = OffsetMap::new(0, 0.9, 1 << 40, 7);
        assert_eq!(smallest.put(b"k", Offset::ZERO), Ok(()));
        assert_eq!(smallest.put(b"l", Offset::ZERO), Err(MapFull));
        assert_eq!(smallest.get(b"l"), None);
    }
}
