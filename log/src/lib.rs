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

mod dir;
mod directory_state;
mod home;
mod open_files;

mod log;

mod append;
mod group;
mod roll;
mod writer;

mod file_slice;
mod read;

mod compaction;
mod maintenance;
mod retention;
mod room;
mod truncation;

mod open;
mod partition_files;
mod recovery;
mod walked;

mod scan;
mod segment;
mod segments;

mod append_only;
mod offset_index;
mod published_pair;
mod recent_batches;
mod sealed_index;
mod time_index;
mod txn_index;

mod epoch_cache;
mod last_stable;
mod producer_snapshot;
mod producer_state;

mod checkpoint;
mod validate;
mod verify;

pub use append::{Appended, Stamp, WriteDuty};
pub use compaction::{CleanSettings, Cleaned, Dirtiness};
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
