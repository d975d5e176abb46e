//! Produce (key 0): appends record batches to partitions.
//!
//! Versions 3–10, flexible from 9. 3 carries record batches v2 (KIP-98), 7 may carry zstd (KIP-110), 8 brings
//! errors of single records (KIP-467), 10 names the new leader (KIP-951). With `acks` 0 there is no response.

use bytes::Bytes;

use crate::codec::{Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Appends record batches.
    pub struct ProduceRequest {
        /// The transactional id, or null outside transactions.
        pub transactional_id: Option<Str>,
        /// Who must have the batches before the response: 0 nobody, 1 the leader, -1 all in-sync replicas.
        pub acks: i16,
        /// How long to wait for the in-sync replicas, in ms.
        pub timeout_ms: i32,
        /// The topics.
        pub topic_data: Vec<TopicProduceData>,
    }

    /// What to append to one topic.
    pub struct TopicProduceData {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partition_data: Vec<PartitionProduceData>,
    }

    /// What to append to one partition.
    pub struct PartitionProduceData {
        /// The partition.
        pub index: i32,
        /// The batches, one after another.
        pub records: Option<Bytes>,
    }

    /// Where the batches went.
    pub struct ProduceResponse {
        /// The topics.
        pub responses: Vec<TopicProduceResponse>,
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The brokers that are named as leaders of partitions that the asker had wrong.
        pub node_endpoints: Vec<NodeEndpoint>; since(10) tag(0) ignorable(),
    }

    /// The result for one topic.
    pub struct TopicProduceResponse {
        /// The topic's name.
        pub name: Str,
        /// The partitions.
        pub partition_responses: Vec<PartitionProduceResponse>,
    }

    /// The result for one partition.
    pub struct PartitionProduceResponse {
        /// The partition.
        pub index: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The offset of the first record, or -1 after an error.
        pub base_offset: i64,
        /// When the broker appended, in ms since the epoch; -1 where records keep the producer's time.
        pub log_append_time_ms: i64 = -1,
        /// The first offset that can be read, or -1 when it is not known.
        pub log_start_offset: i64 = -1; since(5) ignorable(),
        /// The records that caused the batch to be rejected.
        pub record_errors: Vec<BatchIndexAndErrorMessage>; since(8) ignorable(),
        /// What went wrong, for people; null without an error.
        pub error_message: Option<Str>; since(8) ignorable(),
        /// The leader, if the asker had it wrong.
        pub current_leader: LeaderIdAndEpoch; since(10) tag(0) ignorable(),
    }

    /// A leader and its epoch.
    pub struct LeaderIdAndEpoch {
        /// The broker that leads the partition, or -1.
        pub leader_id: i32 = -1,
        /// The leader epoch, or -1 when it is not known.
        pub leader_epoch: i32 = -1,
    }

    /// Where a broker is reached.
    pub struct NodeEndpoint {
        /// The broker.
        pub node_id: i32,
        /// The host name or address that clients dial.
        pub host: Str,
        /// The port that clients dial.
        pub port: i32,
        /// The rack, if the broker is in one.
        pub rack: Option<Str>,
    }

    /// A record that caused its batch to be rejected.
    pub struct BatchIndexAndErrorMessage {
        /// The record's index in its batch.
        pub batch_index: i32,
        /// What is wrong with it, for people.
        pub batch_index_error_message: Option<Str>,
    }
}

impl Request for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
}
