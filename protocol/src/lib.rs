//! The Kafka wire protocol: frames, messages, record batches. No files, sockets or clocks.
//!
//! A frame is a length, a header and one message ([`frame`]). A message is a plain struct under [`messages`], one API
//! per file, whose fields are declared once with the versions that carry them; [`codec`] walks over that declaration to
//! encode and to decode. [`api`] says which versions are spoken and [`error`] what an error code means.
//! What never happens here: a panic or an allocation that a claimed length alone has caused.

pub mod api;
pub mod codec;
pub mod error;
pub mod frame;
pub mod ids;
pub mod messages;
pub mod offset;
pub mod records;

pub use api::{API_TABLE, ApiKey, ApiRange};
pub use error::ErrorCode;
pub use ids::{
    BrokerId, InvalidTopicId, InvalidTopicName, PartitionIndex, ProducerEpoch, ProducerId, TopicId,
    TopicName, TopicPartition,
};
pub use offset::{LeaderEpoch, Offset, OffsetDelta, Sequence};
