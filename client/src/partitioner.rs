//! Which partition a record goes to: the rules of Java's default partitioner, as plain functions and counters.
//!
//! A record with a key goes to `murmur2(key) mod partitions`, bit for bit as the Java client does, so programs in both
//! languages agree on where a key lives. A record without a key sticks to one partition until a batch worth of bytes
//! went there, then moves on (KIP-794): batches fill, and the load stays even. This file knows no broker and keeps no
//! clock; its invariant is that every answer is below the partition count it was given.

use std::sync::atomic::{AtomicU32, Ordering};

/// How a producer picks the partition of a record that names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Partitioner {
    /// Java's default: murmur2 of the key; without a key, sticky.
    #[default]
    Murmur2,
    /// Sticky for every record, the key is ignored.
    Sticky,
    /// One after another for every record, the key is ignored.
    RoundRobin,
}

/// The murmur2 hash of the Java client (`Utils.murmur2`), seed `0x9747b28c`.
///
/// ```
/// assert_eq!(ottla_client::murmur2(b"foobar") as i32, -790332482);
/// ```
pub fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MIX) ^ k.wrapping_mul(MIX);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

/// The partition of a key among `partition_count` partitions, as Java's `BuiltInPartitioner.partitionForKey`.
///
/// # Panics
/// When `partition_count` is zero: a topic always has a partition.
pub fn partition_for_key(key: &[u8], partition_count: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partition_count
}

/// The keyless half: which partition of one topic is filled at the moment.
///
/// Shared by all threads that send to the topic. Races between them only shift the moment of the switch.
#[derive(Debug)]
pub(crate) struct StickyChoice {
    current: AtomicU32,
    bytes: AtomicU32,
    switch_after_bytes: u32,
}

impl StickyChoice {
    /// Starts at any partition (`seed`), switching after `switch_after_bytes`.
    pub(crate) fn new(seed: u32, switch_after_bytes: usize) -> Self {
        let switch_after_bytes =
            u32::try_from(switch_after_bytes).unwrap_or(u32::MAX / 2).clamp(1, u32::MAX / 2);
        StickyChoice { current: AtomicU32::new(seed), bytes: AtomicU32::new(0), switch_after_bytes }
    }

    /// The partition for a record of `record_bytes`: the current one, or the next with a leader if it has none.
    pub(crate) fn choose(
        &self,
        record_bytes: usize,
        partition_count: u32,
        is_led: impl Fn(u32) -> bool,
    ) -> u32 {
        let record_bytes = u32::try_from(record_bytes).unwrap_or(u32::MAX / 2);
        let bytes = self.bytes.fetch_add(record_bytes, Ordering::Relaxed).saturating_add(record_bytes);
        let current = self.current.load(Ordering::Relaxed);
        let mut candidates = (0..partition_count).map(|step| current.wrapping_add(step));
        let chosen = candidates.find(|candidate| is_led(candidate % partition_count)).unwrap_or(current);
        if chosen != current {
            self.current.store(chosen, Ordering::Relaxed);
        }
        if bytes >= self.switch_after_bytes {
            self.bytes.store(0, Ordering::Relaxed);
            self.current.store(chosen.wrapping_add(1), Ordering::Relaxed);
        }
        chosen % partition_count
    }

    /// The next partition in turn, for the round-robin rule.
    pub(crate) fn next(&self, partition_count: u32) -> u32 {
        self.current.fetch_add(1, Ordering::Relaxed) % partition_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn murmur2_equals_the_vectors_of_the_java_client() {
        let vectors: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key) as i32, hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn the_sticky_choice_stays_until_a_batch_worth_of_bytes_went_out() {
        let sticky = StickyChoice::new(0, 100);
        let chosen: Vec<u32> = (0..8).map(|_| sticky.choose(50, 3, |_| true)).collect();
        assert_eq!(chosen, [0, 0, 1, 1, 2, 2, 0, 0]);
    }

    #[test]
    fn the_sticky_choice_leaves_out_partitions_without_a_leader_unless_all_are() {
        let sticky = StickyChoice::new(0, 100);
        let chosen: Vec<u32> = (0..6).map(|_| sticky.choose(100, 3, |index| index != 1)).collect();
        assert_eq!(chosen, [0, 2, 0, 2, 0, 2]);
        assert!(sticky.choose(100, 3, |_| false) < 3);
    }

    #[test]
    fn round_robin_visits_every_partition_in_turn() {
        let choice = StickyChoice::new(u32::MAX, 1);
        assert_eq!([choice.next(3), choice.next(3), choice.next(3)], [0, 0, 1]);
    }

    proptest! {
        #[test]
        fn every_choice_is_a_partition_of_the_topic(key in prop::collection::vec(any::<u8>(), 0..64), count in 1_u32..100_000, seed: u32) {
            prop_assert!(partition_for_key(&key, count) < count);
            prop_assert!(StickyChoice::new(seed, 16).choose(key.len(), count, |index| index % 2 == 0) < count);
        }
    }
}
