//! The Kafka wire protocol: frames, messages, record batches. No files, sockets or clocks.
//!
//! A frame is a length, a header and one message ([`frame`]). A message is a plain struct under [`messages`], one API
//! per file, whose fields are declared once with the versions that carry them; [`codec`] walks over that declaration to
//! encode and to decode. [`api`] says which versions are spoken and [`error`] what an error code means.
//! What never happens here: a panic or an allocation that a claimed length alone has caused.
//!
//! ```
//! use ottla_protocol::codec::{Str, decode_request};
//! use ottla_protocol::frame::{decode_request_header, encode_request};
//! use ottla_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
//!
//! # fn main() -> Result<(), ottla_protocol::codec::WireError> {
//! let flights = MetadataRequestTopic { name: Some(Str::from("flights")), ..Default::default() };
//! let request = MetadataRequest { topics: Some(vec![flights]), ..Default::default() };
//! let frame = encode_request(1, Some(Str::from("me")), 12, request.clone())?;
//!
//! let (header, body) = decode_request_header(frame.slice(4..))?;
//! assert_eq!((header.correlation_id, header.api_version), (1, 12));
//! assert_eq!(decode_request::<MetadataRequest>(body, 12)?, request);
//! # Ok(())
//! # }
//! ```

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
    BrokerId, DirectoryId, InvalidDirectoryId, InvalidTopicId, InvalidTopicName, PartitionIndex,
    ProducerEpoch, ProducerId, TopicId, TopicName, TopicPartition,
};
pub use offset::{LeaderEpoch, Offset, OffsetDelta, Sequence};
