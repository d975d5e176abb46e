//! Which brokers get the replicas of new partitions.
//!
//! Round-robin over the brokers by id, as Kafka without racks does: partition `p` leads at broker `start + p`, and its
//! further replicas are the brokers that follow. It does *not* yet spread over racks.

use ottla_protocol::BrokerId;

/// The brokers that partitions can be placed on.
#[derive(Clone, Debug)]
pub struct Placement {
    brokers: Vec<BrokerId>,
}

impl Placement {
    /// Places on these brokers, in this order.
    pub fn new(brokers: impl IntoIterator<Item = BrokerId>) -> Self {
        Self { brokers: brokers.into_iter().collect() }
    }

    /// How many brokers there are, which bounds the replication factor.
    pub fn broker_count(&self) -> usize {
        self.brokers.len()
    }

    /// Whether `broker` is one of them.
    pub fn contains(&self, broker: BrokerId) -> bool {
        self.brokers.contains(&broker)
    }

    /// The replicas of partition `partition`, preferred leader first; `replication_factor` is at most
    /// [`broker_count`](Self::broker_count).
    pub fn replicas(&self, partition: usize, replication_factor: usize) -> Vec<BrokerId> {
        let from = partition % self.brokers.len();
        self.brokers.iter().cycle().skip(from).take(replication_factor).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaders_go_round_and_replicas_follow() {
        let placement = Placement::new([1, 2, 3].map(BrokerId::new));
        let replicas: Vec<Vec<i32>> =
            (0..4).map(|p| placement.replicas(p, 2).into_iter().map(BrokerId::get).collect()).collect();
        assert_eq!(replicas, [vec![1, 2], vec![2, 3], vec![3, 1], vec![1, 2]]);
    }
}
