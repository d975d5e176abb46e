//! Control records: what brokers write into a log for brokers, in batches that applications never see.
//!
//! ```text
//! key:   version i16 = 0 │ type i16        value of a transaction marker: version i16 = 0 │ coordinator epoch i32
//! ```
//! Later versions append fields; a reader of version 0 takes what it knows. The values of the quorum's records (KIP-595,
//! 630, 853) are kept as bytes: no part of ours writes them, and `log dump` names them.
//!
//! Source: KIP-98, `ControlRecordType` and `EndTransactionMarker` of Apache Kafka.

use bytes::Bytes;

use super::{BatchBuilder, BatchProducer, Record};

/// Which kind of control record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlRecordType {
    /// The transaction of this producer was aborted.
    Abort,
    /// The transaction of this producer was committed.
    Commit,
    /// A quorum elected a leader (KIP-595).
    LeaderChange,
    /// A snapshot begins (KIP-630).
    SnapshotHeader,
    /// A snapshot ends (KIP-630).
    SnapshotFooter,
    /// The version of the quorum's protocol (KIP-853).
    KraftVersion,
    /// The voters of the quorum (KIP-853).
    KraftVoters,
    /// One that this program does not know; readers pass over it.
    Unknown(i16),
}

impl ControlRecordType {
    /// The type with this number.
    pub fn from_id(id: i16) -> Self {
        match id {
            0 => ControlRecordType::Abort,
            1 => ControlRecordType::Commit,
            2 => ControlRecordType::LeaderChange,
            3 => ControlRecordType::SnapshotHeader,
            4 => ControlRecordType::SnapshotFooter,
            5 => ControlRecordType::KraftVersion,
            6 => ControlRecordType::KraftVoters,
            unknown => ControlRecordType::Unknown(unknown),
        }
    }

    /// Its number in the key.
    pub fn id(self) -> i16 {
        match self {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::LeaderChange => 2,
            ControlRecordType::SnapshotHeader => 3,
            ControlRecordType::SnapshotFooter => 4,
            ControlRecordType::KraftVersion => 5,
            ControlRecordType::KraftVoters => 6,
            ControlRecordType::Unknown(id) => id,
        }
    }
}

/// A record of a control batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlRecord {
    /// The end of a transaction.
    EndTransaction {
        /// Committed, or else aborted.
        committed: bool,
        /// The epoch of the transaction coordinator that decided it.
        coordinator_epoch: i32,
    },
    /// Any other, with its value as it stands.
    Other {
        /// Its type.
        record_type: ControlRecordType,
        /// Its value.
        value: Option<Bytes>,
    },
}

impl ControlRecord {
    /// Reads a record of a batch whose attributes say control; `None` if it is damaged.
    pub fn parse(record: &Record) -> Option<ControlRecord> {
        let key = record.key.as_deref()?;
        let version = i16::from_be_bytes(*key.first_chunk()?);
        let id = i16::from_be_bytes(*key.get(2..)?.first_chunk()?);
        if version < 0 {
            return None;
        }
        match ControlRecordType::from_id(id) {
            ended @ (ControlRecordType::Abort | ControlRecordType::Commit) => {
                let value = record.value.as_deref()?;
                let version = i16::from_be_bytes(*value.first_chunk()?);
                let coordinator_epoch = i32::from_be_bytes(*value.get(2..)?.first_chunk()?);
                let committed = ended == ControlRecordType::Commit;
                (version >= 0).then_some(ControlRecord::EndTransaction { committed, coordinator_epoch })
            }
            record_type => Some(ControlRecord::Other { record_type, value: record.value.clone() }),
        }
    }
}

/// The batch that ends a transaction in a partition: one control record, no sequence.
pub fn end_transaction_marker(
    producer: BatchProducer,
    committed: bool,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Bytes {
    let record_type = if committed { ControlRecordType::Commit } else { ControlRecordType::Abort };
    let mut key = [0; 4];
    key[2..].copy_from_slice(&record_type.id().to_be_bytes());
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder = BatchBuilder::new(super::Compression::None)
        .with_producer(BatchProducer { base_sequence: None, ..producer })
        .transactional()
        .control();
    builder.push(timestamp, Some(&key), Some(&value), &[]).expect("one small record fits a batch");
    builder.build()
}
