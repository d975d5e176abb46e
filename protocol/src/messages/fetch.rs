//! Fetch (key 1): reads record batches, and for a follower also acknowledges what it has.
//!
//! Versions 4–16, flexible from 12. 4 brings isolation levels (KIP-98), 5 the log start offset (KIP-107), 7
//! fetch sessions (KIP-227), 9 leader epochs (KIP-320), 10 zstd (KIP-110), 11 fetching from the closest
//! replica (KIP-392), 12 the detection of diverging logs (KIP-595), 13 topic ids (KIP-516), 15 a follower's incarnation
//! (KIP-903), 16 where new leaders are reached (KIP-951).

use uuid::Uuid;

use crate::codec::{FetchRecords, Request, Str, message};
use crate::{ApiKey, ErrorCode};

message! {
    /// Asks for record batches.
    pub struct FetchRequest {
        /// The cluster that the asker believes to be in.
        pub cluster_id: Option<Str>; since(12) tag(0) ignorable(),
        /// The follower that asks, or -1 for a client.
        pub replica_id: i32 = -1; until(14),
        /// The same with the follower's incarnation.
        pub replica_state: ReplicaState; since(15) tag(1),
        /// How long to wait for `min_bytes`, in ms.
        pub max_wait_ms: i32,
        /// How many bytes are worth an answer before the wait is over.
        pub min_bytes: i32,
        /// How many bytes to answer with at most; the first batch may be larger (KIP-74).
        pub max_bytes: i32 = i32::MAX,
        /// 0 reads everything, 1 only what is committed.
        pub isolation_level: i8,
        /// The fetch session, or 0.
        pub session_id: i32; since(7) ignorable(),
        /// The request's number in its session: 0 opens one, -1 closes it or does without.
        pub session_epoch: i32 = -1; since(7) ignorable(),
        /// The topics; in a session those that have changed.
        pub topics: Vec<FetchTopic>,
        /// The partitions that leave the session.
        pub forgotten_topics_data: Vec<ForgottenTopic>; since(7),
        /// The rack of the client, or empty.
        pub rack_id: Str; since(11) ignorable(),
    }

    /// Which follower asks.
    pub struct ReplicaState {
        /// The follower, or -1 for a client.
        pub replica_id: i32 = -1,
        /// Its incarnation, or -1.
        pub replica_epoch: i64 = -1,
    }

    /// What to fetch from one topic.
    pub struct FetchTopic {
        /// The topic's name.
        pub topic: Str; until(12) ignorable(),
        /// The topic's id.
        pub topic_id: Uuid; since(13) ignorable(),
        /// The partitions.
        pub partitions: Vec<FetchPartition>,
    }

    /// What to fetch from one partition.
    pub struct FetchPartition {
        /// The partition.
        pub partition: i32,
        /// The leader epoch that the client knows, to be checked by the leader; -1 to skip the check.
        pub current_leader_epoch: i32 = -1; since(9) ignorable(),
        /// The offset to read from.
        pub fetch_offset: i64,
        /// The leader epoch of the last record that the asker has, or -1.
        pub last_fetched_epoch: i32 = -1; since(12),
        /// The first offset of the follower's log, or -1 for a client.
        pub log_start_offset: i64 = -1; since(5) ignorable(),
        /// How many bytes to read from the partition at most; the first batch may be larger.
        pub partition_max_bytes: i32,
    }

    /// Partitions that leave the fetch session.
    pub struct ForgottenTopic {
        /// The topic's name.
        pub topic: Str; until(12) ignorable(),
        /// The topic's id.
        pub topic_id: Uuid; since(13) ignorable(),
        /// The partitions.
        pub partitions: Vec<i32>,
    }

    /// Record batches.
    pub struct FetchResponse {
        /// How long the client is asked to wait, in ms.
        pub throttle_time_ms: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode; since(7) ignorable(),
        /// The fetch session, or 0 without one.
        pub session_id: i32; since(7),
        /// The topics.
        pub responses: Vec<FetchableTopicResponse>,
        /// The brokers that are named as leaders of partitions that the asker had wrong.
        pub node_endpoints: Vec<NodeEndpoint>; since(16) tag(0),
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

    /// The batches of one topic.
    pub struct FetchableTopicResponse {
        /// The topic's name.
        pub topic: Str; until(12) ignorable(),
        /// The topic's id.
        pub topic_id: Uuid; since(13) ignorable(),
        /// The partitions.
        pub partitions: Vec<PartitionData>,
    }

    /// The batches of one partition.
    pub struct PartitionData {
        /// The partition.
        pub partition_index: i32,
        /// The error, or NONE.
        pub error_code: ErrorCode,
        /// The offset below which records are replicated, or -1 after an error.
        pub high_watermark: i64,
        /// The offset below which every transaction is decided, or -1.
        pub last_stable_offset: i64 = -1,
        /// The first offset that can be read, or -1 when it is not known.
        pub log_start_offset: i64 = -1; since(5) ignorable(),
        /// Where the asker's log diverges from the leader's.
        pub diverging_epoch: EpochEndOffset; since(12) tag(0),
        /// The leader, if the asker had it wrong.
        pub current_leader: LeaderIdAndEpoch; since(12) tag(1),
        /// The snapshot to fetch instead.
        pub snapshot_id: SnapshotId; since(12) tag(2),
        /// The aborted transactions among the records; null when everything is read.
        pub aborted_transactions: Option<Vec<AbortedTransaction>>,
        /// The replica to read from instead, or -1.
        pub preferred_read_replica: i32 = -1; since(11),
        /// The batches, one after another; the last may be cut off.
        pub records: FetchRecords,
    }

    /// A leader epoch and where it ends.
    pub struct EpochEndOffset {
        /// The leader epoch, or -1.
        pub epoch: i32 = -1,
        /// Where the epoch ends, exclusive, or -1.
        pub end_offset: i64 = -1,
    }

    /// A leader and its epoch.
    pub struct LeaderIdAndEpoch {
        /// The broker that leads the partition, or -1.
        pub leader_id: i32 = -1,
        /// The leader epoch, or -1 when it is not known.
        pub leader_epoch: i32 = -1,
    }

    /// A snapshot of the metadata log.
    pub struct SnapshotId {
        /// The offset that follows the snapshot, or -1.
        pub end_offset: i64 = -1,
        /// The leader epoch, or -1.
        pub epoch: i32 = -1,
    }

    /// A transaction whose records a committed reader must skip.
    pub struct AbortedTransaction {
        /// The producer.
        pub producer_id: i64,
        /// The offset of the transaction's first record.
        pub first_offset: i64,
    }
}

impl Request for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    type Response = FetchResponse;
}
