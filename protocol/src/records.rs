//! Record batches of Kafka's format v2: read, check, patch, build, compress.
//!
//! A batch is the unit that a producer sends, the log stores and a consumer fetches, byte for byte the same on the
//! wire and on the disk. What arrives is a *claim*; [`ValidBatch::check`] verifies it once, and from then on the type
//! says so. This is *not* the place where offsets are assigned: the log does that, by patching the sixteen bytes
//! in front of the checksum ([`ValidBatch::stamped_prefix`]), so that no record is ever touched on the way to disk.
//!
//! ```text
//!  0          8         12        16     17    21      23         27          35         43       51     53     57    61
//!  ┌──────────┬─────────┬─────────┬──────┬─────┬───────┬──────────┬───────────┬──────────┬────────┬──────┬──────┬─────┬─────────┐
//!  │   base   │  batch  │partition│magic │ crc │attri- │   last   │   base    │   max    │producer│prod. │ base │count│ records │
//!  │  offset  │ length  │ leader  │ = 2  │ 32C │ butes │  offset  │ timestamp │timestamp │   id   │epoch │ seq. │     │ (maybe  │
//!  │          │         │ epoch   │      │     │       │  delta   │           │          │        │      │      │     │ packed) │
//!  └──────────┴─────────┴─────────┴──────┴─────┴───────┴──────────┴───────────┴──────────┴────────┴──────┴──────┴─────┴─────────┘
//!   └── the log's to patch ──┘             └─ covers ─► everything from the attributes to the end of the batch
//! ```
//!
//! Source: KIP-98, KIP-82 (headers), KIP-390 (levels), and `DefaultRecordBatch` of Apache Kafka.

mod batch;
mod builder;
mod compression;
mod control;
mod crc;
mod error;
mod filter;
mod header;
mod record;
mod rules;
mod unpack_budget;
mod varint;

pub use batch::{Batches, ValidBatch, batches};
pub use builder::{BatchBuilder, BatchFull};
pub use compression::{Codec, Compression, OutputLimit, UnknownCompression};
pub use control::{ControlRecord, ControlRecordType, end_transaction_marker};
pub use crc::{Crc32c, crc32c};
pub use error::{BatchError, RecordFault};
pub use filter::{Filtered, HorizonRule};
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, BatchProducer, MAGIC, NO_TIMESTAMP, STAMPED_PREFIX_BYTES,
    TimestampType,
};
pub use record::{Header, Headers, Record, RecordIter, RecordRef};
pub use rules::{Origin, Rules, TimestampBounds};
pub use unpack_budget::UnpackBudget;
