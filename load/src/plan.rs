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

    /// The smallest.
    pub fn smallest(self) -> usize {
        self.from
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
    /// A broker that says nothing for so long is dead.
    pub patience: Duration,
}

impl Target {
    /// How many brokers lead partitions. A raw client speaks to one of them: fewer clients leave some out.
    pub fn brokers_count(&self) -> usize {
        self.addresses().len()
    }

    /// The leaders' addresses, each once.
    fn addresses(&self) -> Vec<&str> {
        let mut addresses: Vec<&str> = Vec::new();
        for leader in &self.leaders {
            if !addresses.contains(&leader.address.as_str()) {
                addresses.push(&leader.address);
            }
        }
        addresses
    }

    /// Those of `clients` that read partitions which no other of them reads: all that is read is read once.
    pub(crate) fn only_readers(&self, clients: usize) -> impl Iterator<Item = usize> + '_ {
        let mut seen = std::collections::BTreeSet::new();
        (0..clients).filter(move |index| {
            let (_, own) = self.share(*index, clients);
            own.first().is_some_and(|leader| seen.insert(leader.partition))
        })
    }

    /// The partitions of client `index` of `clients`, all with one leader: a raw connection speaks to one broker. Brokers
    /// take turns, and so do the partitions of each; clients beyond the partitions share them.
    pub(crate) fn share(&self, index: usize, clients: usize) -> (&str, Vec<&Leader>) {
        let addresses = self.addresses();
        let turn = index % addresses.len();
        let led: Vec<&Leader> =
            self.leaders.iter().filter(|leader| leader.address == addresses[turn]).collect();
        let (place, of) =
            (index / addresses.len(), (clients.max(index + 1) - turn).div_ceil(addresses.len()));
        (addresses[turn], led.iter().skip(place % led.len()).step_by(of).copied().collect())
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
    /// Stop after so many bytes of batches, all clients together; only on raw connections.
    pub bytes_max: Option<u64>,
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
        for (partitions, brokers) in [(6, 2), (6, 1), (7, 3), (1, 1), (5, 5), (100, 3)] {
            let leader =
                |partition| Leader { partition, address: format!("b{}:9092", partition % brokers), from: 0 };
            let leaders = (0..partitions).map(leader).collect();
            let target = Target { topic: "t".to_owned(), leaders, patience: Duration::ZERO };
            assert_eq!(target.brokers_count(), brokers as usize);
            for clients in brokers as usize..20 {
                let mut seen = std::collections::BTreeMap::new();
                for client in 0..clients {
                    let (address, own) = target.share(client, clients);
                    assert!(!own.is_empty() && own.iter().all(|leader| leader.address == address));
                    own.iter().for_each(|leader| *seen.entry(leader.partition).or_insert(0) += 1);
                }
                assert_eq!(seen.len(), partitions as usize, "{clients} clients, {brokers} brokers");
                let once: Vec<i32> = target
                    .only_readers(clients)
                    .flat_map(|client| target.share(client, clients).1)
                    .map(|leader| leader.partition)
                    .collect();
                assert_eq!(once.len(), partitions as usize, "each is read once");
                let shared = seen.values().any(|times| *times > 1);
                assert!(!shared || clients > partitions as usize / brokers as usize, "{clients}: {seen:?}");
            }
        }
    }

    #[test]
    fn sizes_stay_within_their_bounds() {
        let size = RecordSize::between(12, 10);
        assert_eq!((0..6).map(|random| size.pick(random)).collect::<Vec<_>>(), [10, 11, 12, 10, 11, 12]);
    }
}
