//! The timestamp of the first record that a group has not read, by a small fetch at its committed offset.
//!
//! One consumer reads all lagging partitions at once and pauses each after its first batch. What was read is remembered
//! as long as the place does not move, so that watching a group costs one small fetch per partition that moved.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ottla_client::{Client, Consumer, ConsumerConfig, Offset, StartAt, TopicPartition};

use crate::failure::Failure;

/// Who has not answered after so long is not known this time.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often it is looked whether a partition ended without a record, as behind a transaction's marker.
const LOOK: Duration = Duration::from_millis(200);

/// Partitions and the places in them that are asked for.
pub(super) type Places = Vec<(TopicPartition, Offset)>;

/// See the file's header.
#[derive(Debug)]
pub(super) struct Unread {
    consumer: Consumer,
    /// None where no record is left to read.
    known: BTreeMap<(TopicPartition, Offset), Option<i64>>,
}

impl Unread {
    /// Reads nothing yet.
    pub(super) fn new(client: &Client) -> Unread {
        let config = ConsumerConfig {
            // The first batch comes in any case, and no other is wanted.
            partition_bytes_max: 1,
            fetch_wait_max: Duration::from_millis(100),
            ..ConsumerConfig::default()
        };
        Unread { consumer: client.consumer(config), known: BTreeMap::new() }
    }

    /// The timestamp of the first record at or after this place, if it is known; known, too, may be that there is none.
    pub(super) fn timestamp(&self, partition: &TopicPartition, place: Offset) -> Option<Option<i64>> {
        self.known.get(&(partition.clone(), place)).copied()
    }

    /// Reads what is not known yet, and forgets the rest.
    ///
    /// # Errors
    /// When the cluster does not answer. A partition that does not is only not known.
    pub(super) async fn read(&mut self, places: Places) -> Result<(), Failure> {
        self.known.retain(|key, _| places.contains(key));
        let mut open: BTreeMap<TopicPartition, Vec<Offset>> = BTreeMap::new();
        for (partition, place) in places {
            if self.timestamp(&partition, place).is_none() {
                open.entry(partition).or_default().push(place);
            }
        }
        let until = Instant::now() + PATIENCE;
        // Two groups may stand at two places of one partition: one after the other.
        while !open.is_empty() && Instant::now() < until {
            let round: BTreeMap<TopicPartition, Offset> = open
                .iter_mut()
                .filter_map(|(partition, places)| Some((partition.clone(), places.pop()?)))
                .collect();
            open.retain(|_, places| !places.is_empty());
            self.read_round(round, until).await?;
        }
        Ok(())
    }

    async fn read_round(
        &mut self,
        mut round: BTreeMap<TopicPartition, Offset>,
        until: Instant,
    ) -> Result<(), Failure> {
        self.consumer.assign(round.iter().map(|(one, place)| (one.clone(), StartAt::Offset(*place))));
        while !round.is_empty() && Instant::now() < until {
            let batch = match self.consumer.poll(LOOK).await {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    let (consumer, known) = (&self.consumer, &mut self.known);
                    let ended = round.extract_if(.., |one, _| consumer.is_at_end(one));
                    known.extend(ended.map(|(one, place)| ((one, place), None)));
                    continue;
                }
                // One that cannot be read is only not known.
                Err(error) if error.partition().is_some() => {
                    let failed = |one: &TopicPartition| {
                        error.topic() == Some(&*one.topic) && error.partition() == Some(one.partition.get())
                    };
                    round.retain(|one, _| !failed(one));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let partition = batch.topic_partition();
            let Some(place) = round.get(partition).copied() else { continue };
            // A batch that only held records before the place, or none that are for people, is passed over.
            if let Some(record) = batch.records()?.next() {
                self.consumer.pause(partition, true);
                self.known.insert((partition.clone(), place), Some(record?.timestamp));
                round.remove(partition);
            }
        }
        self.consumer.assign([]);
        Ok(())
    }
}
