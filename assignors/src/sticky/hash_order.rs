//! The order in which a Java hash map is walked.
//!
//! Kafka's sticky assignor asks members in that order who may keep one partition more, and takes the first of a set of
//! partitions when several would do. A group whose leader changes from a Java client to ours would move partitions for
//! nothing if ours took another. It is a fixed order: by bucket, and within a bucket by insertion. What is left out: a
//! bucket of nine or more becomes a tree, which keys that hash as unevenly as that would have to ask for.

/// The indexes of these strings, inserted in the order given, in the order in which a `HashMap` yields them.
pub(super) fn of_strings(keys: &[&str]) -> Vec<usize> {
    let capacity = capacity(keys.len());
    let mut order: Vec<usize> = (0..keys.len()).collect();
    let buckets: Vec<u32> = keys.iter().map(|key| bucket(of_string(key), capacity)).collect();
    order.sort_by_key(|index| buckets[*index]);
    order
}

/// How many buckets a map has that grew to this many entries.
pub(super) fn capacity(entries: usize) -> u32 {
    let mut capacity = 16;
    while entries > capacity / 4 * 3 {
        capacity *= 2;
    }
    capacity as u32
}

/// Which bucket of a map of this capacity a hash code falls into.
pub(super) fn bucket(hash: i32, capacity: u32) -> u32 {
    let hash = hash as u32;
    (hash ^ (hash >> 16)) & (capacity - 1)
}

/// `String.hashCode`.
pub(super) fn of_string(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `TopicPartition.hashCode`, from that of the topic's name.
pub(super) fn of_partition(topic: i32, partition: u32) -> i32 {
    (31_i32.wrapping_add(partition as i32)).wrapping_mul(31).wrapping_add(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_codes_are_javas() {
        assert_eq!(of_string("hello"), 99_162_322);
        assert_eq!(of_string("polygenelubricants"), i32::MIN);
        assert_eq!(of_partition(of_string("t"), 0), 961 + 116);
    }

    #[test]
    fn a_map_grows_beyond_three_quarters() {
        assert_eq!([12, 13, 24, 25].map(capacity), [16, 32, 32, 64]);
    }

    #[test]
    fn within_a_bucket_the_first_inserted_is_first() {
        // "Aa" and "BB" have the same hash code, "C" the one of a later bucket.
        assert_eq!(of_strings(&["C", "BB", "Aa"]), [1, 2, 0]);
    }
}
