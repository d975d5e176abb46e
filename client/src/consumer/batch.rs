//! A verified batch of records as a consumer hands it out.

use ottla_protocol::records::{OutputLimit, Record, ValidBatch};
use ottla_protocol::{LeaderEpoch, Offset, TopicPartition};

use crate::error::{ClientError, ErrorKind, Result};

/// The records of one batch of one partition. They are unpacked when asked for, and share the memory of the response.
#[derive(Debug, Clone)]
pub struct RecordBatch {
    topic_partition: TopicPartition,
    batch: ValidBatch,
    from: Offset,
    decompressed_bytes_max: usize,
}

impl RecordBatch {
    pub(crate) fn new(
        topic_partition: TopicPartition,
        batch: ValidBatch,
        from: Offset,
        decompressed_bytes_max: usize,
    ) -> Self {
        RecordBatch { topic_partition, batch, from, decompressed_bytes_max }
    }

    /// The partition it belongs to.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The offset of its first record, which may lie before the consumer's position.
    pub fn base_offset(&self) -> Offset {
        self.batch.header().base_offset
    }

    /// The epoch of the leader that wrote it, if it is known.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.batch.header().partition_leader_epoch
    }

    /// Whether it was written in a transaction.
    pub fn is_transactional(&self) -> bool {
        self.batch.header().attributes.is_transactional()
    }

    /// The consumer's position when it was handed out: no record comes from before it.
    pub fn first_offset(&self) -> Offset {
        self.from
    }

    /// The offset behind its last record.
    pub fn next_offset(&self) -> Offset {
        self.batch.header().next_offset()
    }

    /// Its size as fetched.
    pub fn size_in_bytes(&self) -> usize {
        self.batch.size_in_bytes()
    }

    /// Its records in order, from the consumer's position on (a batch may begin before it).
    ///
    /// # Errors
    /// `CorruptBatch` when it cannot be unpacked, and from the iterator when a record in it is broken.
    pub fn records(&self) -> Result<impl Iterator<Item = Result<Record>> + use<'_>> {
        let limit = OutputLimit::new(self.decompressed_bytes_max);
        let records = self.batch.records(limit).map_err(|error| self.corrupt(&error))?;
        let wanted = |record: &std::result::Result<Record, _>| {
            record.as_ref().map_or(true, |record: &Record| record.offset >= self.from)
        };
        Ok(records.filter(wanted).map(|record| record.map_err(|error| self.corrupt(&error))))
    }

    fn corrupt(&self, error: &impl std::fmt::Display) -> ClientError {
        corrupt_batch(&self.topic_partition, self.batch.header().base_offset, error)
    }
}

/// A batch of `partition` at `offset` is not what it claims.
pub(crate) fn corrupt_batch(
    partition: &TopicPartition,
    offset: Offset,
    error: &impl std::fmt::Display,
) -> ClientError {
    let kind = ErrorKind::CorruptBatch { reason: error.to_string() };
    ClientError::new("fetch", kind)
        .for_topic(&partition.topic)
        .for_partition(partition.partition.get())
        .at_offset(offset.get())
}
