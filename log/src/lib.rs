//! One partition on disk: Kafka-compatible segments, indexes, recovery. No network, no async.
//!
//! A [`LogDir`] holds partitions, a [`Log`] is one of them. A producer's batch goes the way [`Log::append`] →
//! producer state → one `pwritev` → indexes → log end; a fetch goes [`Log::read`] → segment → [`FileSlice`], and no
//! record enters our memory. What is on disk, and what a crash may leave there, is drawn in docs/internals/log.md. All
//! file access goes through [`storage`]. What never happens here: waiting for the network, knowing a leader, trusting a
//! byte of the disk above the recovery point.

pub mod config;
pub mod error;
pub mod inspect;
pub mod storage;

mod append;
mod append_only;
mod checkpoint;
mod dir;
mod directory_state;
mod epoch_cache;
mod file_slice;
mod group;
mod last_stable;
mod log;
mod maintenance;
mod offset_index;
mod open;
mod open_files;
mod partition_files;
mod producer_snapshot;
mod producer_state;
mod published_pair;
mod read;
mod recovery;
mod retention;
mod roll;
mod scan;
mod sealed_index;
mod segment;
mod segments;
mod time_index;
mod truncation;
mod txn_index;
mod validate;
mod verify;
mod writer;

pub use append::{Appended, Stamp};
pub use config::{LogConfig, MessageTimestampType};
pub use dir::{DirectoryOwner, FoundPartition, LogDir};
pub use epoch_cache::EpochStart;
pub use error::{AppendError, LogError, ReadError};
pub use file_slice::FileSlice;
pub use log::Log;
pub use offset_index::OffsetPosition;
pub use producer_state::{AppendOrigin, ProducerBatch, ProducerEntry};
pub use read::{LogRead, TimestampedOffset};
pub use recovery::Recovery;
pub use retention::Retained;
pub use time_index::TimestampOffset;
pub use txn_index::AbortedTransaction;
pub use verify::{Finding, Verification, verify_partition};
