#![doc = include_str!("../README.md")]
//! # How it is built
//!
//! Start with [`Client::connect`]; from it come a [`Producer`], a [`Consumer`] and an [`Admin`]. It speaks Kafka's
//! protocol to ottla and to Apache Kafka alike and is not tied to either. What to send, where to read, what an answer
//! means is decided by plain structures without I/O or clocks (`producer::partition_queue`, `consumer::assignment`, the
//! memberships of `consumer::group`, `metadata`); thin async shells around them do what they say. No call panics on what a broker sends, every wait has a
//! deadline, every buffer a bound, and any future may be dropped at any time.

mod admin;
mod backoff;
mod client;
mod cluster_view;
mod config;
mod connection;
mod consumer;
mod error;
#[cfg(test)]
mod fake_cluster;
mod metadata;
mod metrics;
mod partitioner;
mod pool;
mod producer;
mod transport;

pub use admin::{
    Admin, AlterOperation, BrokerLogDirs, ClusterDescription, ConfigEntry, ConfigResource, ConfigSource,
    ConfigSynonym, ConfigType, ConfigValue, CreatedTopic, GroupDescription, GroupFilter, GroupState,
    GroupType, ListedGroup, ListedOffset, LogDirDescription, MemberDescription, MemberToRemove, NewTopic,
    OffsetSpec, PerResource, ReplicaSize,
};
pub use backoff::Backoff;
pub use client::Client;
pub use config::ClientConfig;
pub use consumer::{
    BatchStream, Consumer, ConsumerConfig, GroupMetadata, GroupProtocol, IsolationLevel, OffsetAndMetadata,
    OffsetReset, PendingCommit, RebalanceListener, Rebalancing, RecordBatch, StartAt,
};
pub use error::{ClientError, ErrorKind, Result};
pub use metadata::{BrokerInfo, PartitionInfo, TopicInfo};
pub use metrics::{Counters, Observation, Observer, Totals};
pub use ottla_assignors::Assignor;
pub use ottla_protocol::records::{Compression, Header, Headers, Record};
pub use ottla_protocol::{
    BrokerId, ErrorCode, InvalidTopicName, LeaderEpoch, Offset, OffsetDelta, PartitionIndex, TopicId,
    TopicName, TopicPartition,
};
pub use partitioner::{Partitioner, murmur2, partition_for_key};
pub use producer::{
    Acks, Delivery, Producer, ProducerConfig, ProducerRecord, ProducerStats, RecordHeader, RecordMetadata,
};
pub use transport::{BrokerAddress, ByteStream, Connecting, Connector, TcpConnector};
