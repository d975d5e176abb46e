//! A topic, its producers and its live readers: the load of one run, and the check of all that it left.

use crate::broker::Home;
use crate::check;
use crate::check_compacted;
use crate::finding::Finding;
use crate::producer::{Amount, Producer};
use crate::reader::Reader;
use crate::topic;
use crate::wire::Wire;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

const PARTITION_COUNT: i32 = 3;
const PRODUCERS_PER_PARTITION: u64 = 2;

/// The load on one topic.
pub(crate) struct Load {
    topic: String,
    configs: Vec<(&'static str, &'static str)>,
    producers: Vec<Producer>,
    readers: Vec<Reader>,
    /// How many keys each producer has, if the topic is compacted.
    key_count: Option<u64>,
}

impl Load {
    /// Two producers, of different codecs, and one reader on each of three partitions.
    pub(crate) fn new(topic: &str, seed: u64) -> Self {
        let producers = (0..PARTITION_COUNT as u64 * PRODUCERS_PER_PARTITION)
            .map(|client| Producer::new(client, topic, client as i32 % PARTITION_COUNT, seed))
            .collect();
        let readers = (0..PARTITION_COUNT).map(|partition| Reader::new(topic, partition)).collect();
        Self { topic: topic.to_owned(), configs: Vec::new(), producers, readers, key_count: None }
    }

    /// With a config of the topic.
    pub(crate) fn with_config(mut self, key: &'static str, value: &'static str) -> Self {
        self.configs.push((key, value));
        self
    }

    /// With so many keys of each producer only: for a compacted topic.
    pub(crate) fn with_keys(mut self, key_count: u64) -> Self {
        self.key_count = Some(key_count);
        self.producers = self.producers.into_iter().map(|producer| producer.with_keys(key_count)).collect();
        self.readers = (0..PARTITION_COUNT).map(|partition| self.reader(partition)).collect();
        self
    }

    /// A reader that has read nothing.
    fn reader(&self, partition: i32) -> Reader {
        match self.key_count {
            Some(_) => Reader::of_compacted(&self.topic, partition),
            None => Reader::new(&self.topic, partition),
        }
    }

    /// Creates the topic, unless it is there.
    pub(crate) fn create_topic(&self, home: &Home) -> Result<(), Finding> {
        topic::create(&mut Wire::connect(home.address)?, &self.topic, PARTITION_COUNT, &self.configs)
    }

    /// Runs everything until the broker goes away, or the amount is reached. `meanwhile` runs beside it.
    pub(crate) fn run<T>(
        &mut self,
        home: &Home,
        amount: Amount,
        progress: &AtomicU64,
        meanwhile: impl FnOnce() -> Result<T, Finding>,
    ) -> Result<T, Finding> {
        let address = home.address;
        let readers = if amount == Amount::Endless { self.readers.as_mut_slice() } else { &mut [] };
        let (result, ends) = std::thread::scope(|scope| {
            let mut handles = Vec::new();
            for producer in &mut self.producers {
                handles.push(scope.spawn(move || producer.run(address, amount, progress)));
            }
            for reader in readers {
                handles.push(scope.spawn(move || reader.follow(address)));
            }
            let result = meanwhile();
            let panicked = || Err(Finding::Void("a thread of the load panicked".to_owned()));
            let ends: Vec<_> =
                handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| panicked())).collect();
            (result, ends)
        });
        let result = result?;
        match ends.into_iter().filter_map(Result::err).find(|finding| !finding.is_disconnection()) {
            Some(finding) => Err(finding),
            None => Ok(result),
        }
    }

    /// Reads every partition from its beginning and compares. Returns how many records there are.
    pub(crate) fn check(&self, home: &Home) -> Result<usize, Finding> {
        self.check_by(home, |producer| producer.acknowledged.len())
    }

    /// The same where the end of each log may be lost: all that was acknowledged since `instant`.
    pub(crate) fn check_until(&self, home: &Home, instant: Instant) -> Result<usize, Finding> {
        self.check_by(home, |producer| producer.acknowledged_before(instant))
    }

    /// The same where everything may be lost from any place on.
    pub(crate) fn check_prefix(&self, home: &Home) -> Result<usize, Finding> {
        self.check_by(home, |_| 0)
    }

    fn check_by(&self, home: &Home, certain: impl Fn(&Producer) -> usize) -> Result<usize, Finding> {
        let mut count = 0;
        for (partition, live) in (0..).zip(&self.readers) {
            let mut reader = self.reader(partition);
            reader.read_to_end(&mut Wire::connect(home.address)?)?;
            let sent: Vec<check::Sent<'_>> = self
                .producers
                .iter()
                .filter(|producer| producer.partition == partition)
                .map(|producer| check::Sent {
                    producer: producer.client,
                    next_number: producer.next_number,
                    acknowledged: &producer.acknowledged,
                    certain: certain(producer),
                })
                .collect();
            let place = |finding| match finding {
                Finding::Broken(what) => Finding::Broken(format!("{}-{partition}: {what}", self.topic)),
                finding => finding,
            };
            count += reader.records.len();
            if let Some(key_count) = self.key_count {
                let log = reader.placed();
                check_compacted::partition(&log, &sent, key_count).map_err(place)?;
                check_compacted::seen(&log, &live.placed()).map_err(place)?;
                continue;
            }
            check::partition(&reader.records, &sent).map_err(place)?;
            if sent.iter().all(|sent| sent.certain == sent.acknowledged.len()) {
                check::seen(&reader.records, &live.records).map_err(place)?;
            }
        }
        Ok(count)
    }

    /// How many records were acknowledged so far.
    pub(crate) fn acknowledged_count(&self) -> u64 {
        self.producers.iter().flat_map(|producer| &producer.acknowledged).map(|batch| batch.count).sum()
    }
}
