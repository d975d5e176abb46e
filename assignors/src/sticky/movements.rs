//! Which partitions have changed hands while an assignment is evened out, so that none goes round for nothing.
//!
//! If a partition is to go from A to B and another of the same topic went from B to A before, that one goes back instead:
//! the same counts with one move less. It looks at pairs only, not at longer rings.

use super::hash_order::{bucket, capacity, of_partition, of_string};
use crate::input::{Partition, Topic, TopicIndex};
use std::collections::HashMap;

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Move {
    from: usize,
    to: usize,
}

/// The moves so far; each partition's first owner and its last.
pub(super) struct Movements {
    /// Hash codes of the topics' names.
    hashes: Vec<i32>,
    of_partition: HashMap<Partition, Move>,
    of_pair: HashMap<(TopicIndex, Move), Moved>,
}

impl Movements {
    pub(super) fn new(topics: &[Topic<'_>]) -> Movements {
        let hashes = topics.iter().map(|topic| of_string(topic.name)).collect();
        Movements { hashes, of_partition: HashMap::new(), of_pair: HashMap::new() }
    }

    /// The partition to move so that `to` gets one more and the owner of `one` one less.
    pub(super) fn instead_of(&self, one: Partition, owner: usize, to: usize) -> Partition {
        let from = self.of_partition.get(&one).map_or(owner, |moved| moved.from);
        let back = Move { from: to, to: from };
        self.of_pair.get(&(one.topic, back)).map_or(one, |moved| moved.first(self.hashes[one.topic.at()]))
    }

    /// Records that a partition went from one member to another.
    pub(super) fn record(&mut self, one: Partition, from: usize, to: usize) {
        let mut path = Move { from, to };
        if let Some(before) = self.of_partition.remove(&one) {
            let key = (one.topic, before);
            let set = self.of_pair.get_mut(&key).expect("both maps know each move");
            set.remove(one);
            if set.partitions.is_empty() {
                self.of_pair.remove(&key);
            }
            path.from = before.from;
        }
        if path.from != path.to {
            self.of_partition.insert(one, path);
            self.of_pair.entry((one.topic, path)).or_default().insert(one);
        }
    }
}

/// Partitions of one topic that went the same way. Yields first what a Java hash set would.
#[derive(Debug, Default)]
struct Moved {
    partitions: Vec<Partition>,
    /// A Java set never shrinks, and its capacity decides its order.
    count_max: usize,
}

impl Moved {
    fn insert(&mut self, one: Partition) {
        self.partitions.push(one);
        self.count_max = self.count_max.max(self.partitions.len());
    }

    fn remove(&mut self, one: Partition) {
        self.partitions.retain(|held| *held != one);
    }

    fn first(&self, topic_hash: i32) -> Partition {
        let capacity = capacity(self.count_max);
        let place = |one: &&Partition| bucket(of_partition(topic_hash, one.partition), capacity);
        *self.partitions.iter().min_by_key(place).expect("a set without partitions is removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_there_goes_back_first() {
        let mut movements = Movements::new(&[Topic::new("t", 9)]);
        movements.record(Partition::new(0, 3), 1, 0);
        assert_eq!(movements.instead_of(Partition::new(0, 5), 0, 1), Partition::new(0, 3));
        assert_eq!(movements.instead_of(Partition::new(0, 5), 0, 2), Partition::new(0, 5));
    }

    #[test]
    fn a_partition_that_is_back_home_did_not_move() {
        let mut movements = Movements::new(&[Topic::new("t", 9)]);
        movements.record(Partition::new(0, 3), 1, 0);
        movements.record(Partition::new(0, 3), 0, 1);
        assert!(movements.of_partition.is_empty() && movements.of_pair.is_empty());
    }

    #[test]
    fn a_partition_that_moved_twice_moved_once_from_its_first_owner() {
        let mut movements = Movements::new(&[Topic::new("t", 9)]);
        movements.record(Partition::new(0, 3), 1, 0);
        movements.record(Partition::new(0, 3), 0, 2);
        assert_eq!(movements.instead_of(Partition::new(0, 5), 2, 1), Partition::new(0, 3));
    }
}
