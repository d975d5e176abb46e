//! What is to be sent and read, for how long. Plain values: any is legal where a field is public.

use std::time::Duration;

use ottla_client::Acks;
use ottla_protocol::records::Compression;

use crate::pace::Pace;

/// Sizes of values: uniformly distributed over `[from, to]` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSize {
    from: usize,
    to: usize,
}

impl RecordSize {
    /// Sizes between these two, both included.
    pub const fn between(one: usize, other: usize) -> Self {
        if one < other { Self { from: one, to: other } } else { Self { from: other, to: one } }
    }

    /// The size that this random number stands for.
    pub(crate) fn pick(self, random: u64) -> usize {
        self.from + (random % (self.to - self.from + 1) as u64) as usize
    }

    /// The largest.
    pub fn largest(self) -> usize {
        self.to
    }
}

/// What records and batches look like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bytes of each value.
    pub record_bytes: RecordSize,
    /// How many different keys there are; none, and keys are null.
    pub keys: u64,
    /// A batch is closed before it exceeds this, or with `records_per_batch`.
    pub batch_bytes: usize,
    /// So many records in each batch at most.
    pub records_per_batch: usize,
    /// The codec of the batches.
    pub compression: Compression,
    /// The share of each value, in percent, that repeats and so can be compressed; the rest is noise.
    pub repeated_percent: u8,
}

/// Who leads a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// The partition.
    pub partition: i32,
    /// `host:port` of its leader.
    pub address: String,
    /// Where a consumer begins to read it.
    pub from: i64,
}

/// What the load is for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The topic.
    pub topic: String,
    /// Its partitions; at least one.
    pub leaders: Vec<Leader>,
}

impl Target {
    /// The partitions of client `index` of `clients`, all with one leader: a raw connection speaks to one broker. Clients
    /// beyond the partitions share them.
    pub(crate) fn share(&self, index: usize, clients: usize) -> (&str, Vec<&Leader>) {
        let first = &self.leaders[index % self.leaders.len()];
        let own = self.leaders.iter().skip(index % self.leaders.len()).step_by(clients.max(1));
        (&first.address, own.filter(|leader| leader.address == first.address).collect())
    }
}

/// When to measure.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// First so long without counting …
    pub warm_up: Duration,
    /// … then so long.
    pub measured: Duration,
}

/// A load of producers.
#[derive(Debug, Clone)]
pub struct ProducePlan {
    /// Where to.
    pub target: Target,
    /// What.
    pub shape: Shape,
    /// How many connections.
    pub clients: usize,
    /// Who must have a batch before it is acknowledged.
    pub acks: Acks,
    /// How fast, all clients together.
    pub pace: Pace,
    /// How long a batch may wait for more records; only through the client.
    pub linger: Duration,
}

/// A load of consumers.
#[derive(Debug, Clone)]
pub struct ConsumePlan {
    /// What to read.
    pub target: Target,
    /// How many connections.
    pub clients: usize,
    /// A response carries at most this much.
    pub fetch_bytes: usize,
    /// Whether each batch's checksum is computed.
    pub verify: bool,
    /// Whether to begin again at the start when the end is reached; otherwise to wait there for more.
    pub again: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_the_partitions_and_none_is_left_out() {
        let leader = |partition| Leader { partition, address: format!("b{}:9092", partition % 2), from: 0 };
        let target = Target { topic: "t".to_owned(), leaders: (0..6).map(leader).collect() };
        let share = |index, clients| {
            let (address, leaders) = target.share(index, clients);
            (address, leaders.iter().map(|leader| leader.partition).collect::<Vec<_>>())
        };
        assert_eq!(share(0, 2), ("b0:9092", vec![0, 2, 4]));
        assert_eq!(share(1, 2), ("b1:9092", vec![1, 3, 5]));
        assert_eq!(share(7, 8), ("b1:9092", vec![1]));
    }

    #[test]
    fn sizes_stay_within_their_bounds() {
        let size = RecordSize::between(12, 10);
        assert_eq!((0..6).map(|random| size.pick(random)).collect::<Vec<_>>(), [10, 11, 12, 10, 11, 12]);
    }
}
