//! A batch that is closed to new records, on its way to the broker.
//!
//! It is built (compressed and signed) when first sent, outside of any lock, and kept as bytes for retries. An
//! idempotent producer stamps it with its identity and the sequence of its first record (KIP-98); a batch whose outcome
//! is unknown keeps that stamp until the outcome is known, because the stamp is what lets the broker see a duplicate.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use ottla_protocol::records::{
    BatchBuilder, BatchProducer, Codec, OutputLimit, Record, Rules, ValidBatch, crc32c,
};
use ottla_protocol::{ProducerEpoch, ProducerId, Sequence};

use super::delivery::BatchOutcome;
use super::record::RecordHeader;

/// Who the producer is to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl Identity {
    /// The same producer in its next epoch, unless it has used up its epochs.
    pub(crate) fn bumped(self) -> Option<Identity> {
        self.epoch.next().map(|epoch| Identity { epoch, ..self })
    }
}

/// Identity and place of a batch among the records of its producer in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    pub(crate) base_sequence: Sequence,
}

#[derive(Debug)]
enum Payload {
    Building(BatchBuilder),
    Built { bytes: Bytes, stamp: Option<Stamp> },
}

/// Ids per batch: it can be halved as often as this can.
pub(crate) const ID_SPAN: u64 = 1 << 20;

/// See the file's header.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    /// Grows by [`ID_SPAN`] per batch of the partition: the order records were appended in.
    pub(crate) id: u64,
    /// How many ids from its own on are the batch's, for its parts if it is split.
    id_span: u64,
    pub(crate) created: Instant,
    pub(crate) records_count: i32,
    /// What it holds of the producer's memory.
    pub(crate) reserved_bytes: usize,
    pub(crate) stamp: Option<Stamp>,
    /// An earlier attempt ended without an answer.
    pub(crate) may_be_appended: bool,
    pub(crate) attempts: u32,
    pub(crate) outcome: Arc<BatchOutcome>,
    payload: Payload,
    estimated_bytes: usize,
}

impl SealedBatch {
    pub(crate) fn new(
        id: u64,
        created: Instant,
        builder: BatchBuilder,
        reserved_bytes: usize,
        outcome: Arc<BatchOutcome>,
    ) -> Self {
        SealedBatch {
            id,
            id_span: ID_SPAN,
            created,
            records_count: builder.records_count(),
            reserved_bytes,
            stamp: None,
            may_be_appended: false,
            attempts: 0,
            outcome,
            estimated_bytes: builder.size_estimate(),
            payload: Payload::Building(builder),
        }
    }

    /// Two batches with half of the records each, unsent and without a stamp; `None` if it cannot be split.
    pub(crate) fn halves(&mut self, codec: Codec) -> Option<[SealedBatch; 2]> {
        let at = self.records_count / 2;
        let id_span = self.id_span / 2;
        if at == 0 || id_span == 0 {
            return None;
        }
        let batch = ValidBatch::check(self.bytes(), &Rules::stored()).ok()?;
        let mut builders = [BatchBuilder::new(codec), BatchBuilder::new(codec)];
        for (place, record) in (0..).zip(batch.records(OutputLimit::new(usize::MAX)).ok()?) {
            let builder = &mut builders[usize::from(place >= at)];
            push(builder, &record.ok()?)?;
        }
        let reserved_bytes = self.reserved_bytes / 2;
        let reserved = [reserved_bytes, self.reserved_bytes - reserved_bytes];
        let mut outcomes = self.outcome.split(at.unsigned_abs()).into_iter();
        let mut half = |place: usize, builder: BatchBuilder| {
            let outcome = outcomes.next()?;
            let id = self.id + place as u64 * id_span;
            let half = SealedBatch::new(id, self.created, builder, reserved[place], outcome);
            Some(SealedBatch { id_span, attempts: self.attempts, ..half })
        };
        let [left, right] = builders;
        Some([half(0, left)?, half(1, right)?])
    }

    /// Size before compression.
    pub(crate) fn unpacked_bytes(&self) -> usize {
        self.estimated_bytes
    }

    /// Size on the wire, an upper bound until it is built.
    pub(crate) fn wire_bytes(&self) -> usize {
        match &self.payload {
            Payload::Building(_) => self.estimated_bytes,
            Payload::Built { bytes, .. } => bytes.len(),
        }
    }

    /// The batch as it goes on the wire, under its present stamp. Compresses the first time.
    pub(crate) fn bytes(&mut self) -> Bytes {
        let payload =
            std::mem::replace(&mut self.payload, Payload::Built { bytes: Bytes::new(), stamp: None });
        let bytes = match payload {
            Payload::Building(builder) => match self.stamp {
                Some(stamp) => builder.with_producer(batch_producer(stamp)).build(),
                None => builder.build(),
            },
            Payload::Built { bytes, stamp } if stamp == self.stamp => bytes,
            Payload::Built { bytes, .. } => restamped(&bytes, self.stamp),
        };
        self.payload = Payload::Built { bytes: bytes.clone(), stamp: self.stamp };
        bytes
    }
}

/// Appends a record that came out of a batch of ours.
fn push(builder: &mut BatchBuilder, record: &Record) -> Option<()> {
    let headers: Vec<_> = record.headers.iter().collect();
    let headers: Option<Vec<RecordHeader<'_>>> = headers
        .iter()
        .map(|header| Some((std::str::from_utf8(&header.key).ok()?, header.value.as_deref())))
        .collect();
    let pushed = builder.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers?);
    pushed.ok().map(drop)
}

fn batch_producer(stamp: Stamp) -> BatchProducer {
    BatchProducer {
        id: stamp.identity.id,
        epoch: stamp.identity.epoch,
        base_sequence: Some(stamp.base_sequence),
    }
}

/// The same batch under another stamp: producer id, epoch and base sequence lie together at bytes 43 to 57, under the
/// checksum at 17 to 21.
fn restamped(batch: &[u8], stamp: Option<Stamp>) -> Bytes {
    let (id, epoch, sequence) = match stamp {
        Some(Stamp { identity, base_sequence }) => {
            (identity.id.get(), identity.epoch.get(), base_sequence.get())
        }
        None => (-1, -1, -1),
    };
    let mut bytes = BytesMut::from(batch);
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::records::{Compression, Rules, ValidBatch};
    use ottla_protocol::{PartitionIndex, TopicName, TopicPartition};

    fn stamp(id: i64, sequence: i32) -> Stamp {
        let identity = Identity { id: ProducerId::new(id), epoch: ProducerEpoch::ZERO };
        Stamp { identity, base_sequence: Sequence::new(sequence) }
    }

    #[test]
    fn a_batch_given_another_stamp_is_still_a_valid_batch() {
        let topic = TopicName::new("flights").expect("a legal name");
        let outcome = BatchOutcome::new(TopicPartition::new(topic, PartitionIndex::new(0)));
        for compression in Compression::ALL {
            let mut builder = BatchBuilder::new(compression);
            builder.push(1, Some(b"key"), Some(b"value"), &[]).expect("room");
            let mut batch = SealedBatch::new(0, Instant::now(), builder, 0, Arc::clone(&outcome));
            for (id, sequence) in [(7, 40), (8, 0)] {
                batch.stamp = Some(stamp(id, sequence));
                let valid = ValidBatch::check(batch.bytes(), &Rules::client(1 << 20)).expect("valid");
                let producer = valid.header().producer.expect("stamped");
                assert_eq!((producer.id.get(), producer.base_sequence), (id, Some(Sequence::new(sequence))));
            }
        }
    }
}
