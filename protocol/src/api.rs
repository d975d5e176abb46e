//! Every API of the Kafka protocol by key and name, and one table of the versions that we speak.
//!
//! The table says what the codec can encode and decode and what an ApiVersions response advertises for it. Whether a
//! broker has a handler for an API is the broker's affair: it advertises only those.

use std::ops::RangeInclusive;

use crate::codec::{WireError, WireErrorKind};

/// One row of [`API_TABLE`]: an API that the codec speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRange {
    /// The API.
    pub key: ApiKey,
    /// The lowest version that the codec speaks.
    pub min: i16,
    /// The highest version that the codec speaks.
    pub max: i16,
    /// The first version whose body has compact lengths and tagged fields (KIP-482); above `max` when there is none.
    pub flexible_since: i16,
    /// The lowest version to advertise. It differs from `min` for Produce only: librdkafka takes a broker that does
    /// not advertise Produce 0 for one without compression (KAFKA-18659), so Kafka advertises what it rejects.
    pub advertised_min: i16,
}

impl ApiRange {
    /// The versions that the codec speaks.
    pub const fn versions(&self) -> RangeInclusive<i16> {
        self.min..=self.max
    }

    /// Whether the codec speaks this version.
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether this version's body has compact lengths and tagged fields.
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_since
    }

    /// The version of the request header: 2 with tagged fields, 1 without.
    pub const fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the response header: 1 with tagged fields, 0 without.
    ///
    /// The header of an ApiVersions response is always 0: a client that reads it does not know yet what the broker
    /// speaks (KIP-511).
    pub const fn response_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self.key, ApiKey::ApiVersions) { 1 } else { 0 }
    }
}

/// The row of an API, or `None` when the codec does not speak it.
pub fn served(key: ApiKey) -> Option<&'static ApiRange> {
    API_TABLE.binary_search_by_key(&key, |row| row.key).ok().map(|place| &API_TABLE[place])
}

/// The row of an API, or an error when the codec does not speak this version of it.
pub fn spoken(key: ApiKey, version: i16) -> Result<&'static ApiRange, WireError> {
    let unsupported = WireErrorKind::UnsupportedVersion { key: key.key(), version };
    served(key).filter(|row| row.serves(version)).ok_or(unsupported.into())
}

macro_rules! api_keys {
    ($($name:ident = $key:literal),* $(,)?) => {
        /// An API of the Kafka protocol; the discriminant is its key on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("`", stringify!($name), "`, key ", $key, ".")] $name = $key,)*
        }

        impl ApiKey {
            /// Every API, by ascending key.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$name),*];

            /// The API with this key, or `None` for a key that Kafka had not given out when the list was written.
            pub const fn from_key(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The key on the wire.
            pub const fn key(self) -> i16 {
                self as i16
            }

            /// Kafka's name of the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }

        impl std::fmt::Display for ApiKey {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

api_keys! {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    LeaderAndIsr = 4,
    StopReplica = 5,
    UpdateMetadata = 6,
    ControlledShutdown = 7,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    SaslHandshake = 17,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    WriteTxnMarkers = 27,
    TxnOffsetCommit = 28,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    AlterReplicaLogDirs = 34,
    DescribeLogDirs = 35,
    SaslAuthenticate = 36,
    CreatePartitions = 37,
    CreateDelegationToken = 38,
    RenewDelegationToken = 39,
    ExpireDelegationToken = 40,
    DescribeDelegationToken = 41,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeClientQuotas = 48,
    AlterClientQuotas = 49,
    DescribeUserScramCredentials = 50,
    AlterUserScramCredentials = 51,
    Vote = 52,
    BeginQuorumEpoch = 53,
    EndQuorumEpoch = 54,
    DescribeQuorum = 55,
    AlterPartition = 56,
    UpdateFeatures = 57,
    Envelope = 58,
    FetchSnapshot = 59,
    DescribeCluster = 60,
    DescribeProducers = 61,
    BrokerRegistration = 62,
    BrokerHeartbeat = 63,
    UnregisterBroker = 64,
    DescribeTransactions = 65,
    ListTransactions = 66,
    AllocateProducerIds = 67,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    ControllerRegistration = 70,
    GetTelemetrySubscriptions = 71,
    PushTelemetry = 72,
    AssignReplicasToDirs = 73,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
    ShareGroupHeartbeat = 76,
    ShareGroupDescribe = 77,
    ShareFetch = 78,
    ShareAcknowledge = 79,
    AddRaftVoter = 80,
    RemoveRaftVoter = 81,
    UpdateRaftVoter = 82,
    InitializeShareGroupState = 83,
    ReadShareGroupState = 84,
    WriteShareGroupState = 85,
    DeleteShareGroupState = 86,
    ReadShareGroupStateSummary = 87,
    StreamsGroupHeartbeat = 88,
    StreamsGroupDescribe = 89,
    DescribeShareGroupOffsets = 90,
    AlterShareGroupOffsets = 91,
    DeleteShareGroupOffsets = 92,
    StreamsGroupTopologyDescriptionUpdate = 93,
}

const NEVER: i16 = i16::MAX;

const fn row(key: ApiKey, min: i16, max: i16, flexible_since: i16) -> ApiRange {
    let advertised_min = if matches!(key, ApiKey::Produce) { 0 } else { min };
    ApiRange { key, min, max, flexible_since, advertised_min }
}

/// Every API that the codec speaks, by ascending key.
#[rustfmt::skip]
pub static API_TABLE: &[ApiRange] = &[
    //                                   min max flexible since
    row(ApiKey::Produce,                  3, 10,  9),
    row(ApiKey::Fetch,                    4, 16, 12),
    row(ApiKey::ListOffsets,              1,  7,  6),
    row(ApiKey::Metadata,                 0, 12,  9),
    row(ApiKey::OffsetCommit,             2, 10,  8),
    row(ApiKey::OffsetFetch,              1, 10,  6),
    row(ApiKey::FindCoordinator,          0,  6,  3),
    row(ApiKey::JoinGroup,                0,  9,  6),
    row(ApiKey::Heartbeat,                0,  4,  4),
    row(ApiKey::LeaveGroup,               0,  5,  4),
    row(ApiKey::SyncGroup,                0,  5,  4),
    row(ApiKey::DescribeGroups,           0,  6,  5),
    row(ApiKey::ListGroups,               0,  5,  3),
    row(ApiKey::ApiVersions,              0,  4,  3),
    row(ApiKey::CreateTopics,             2,  7,  5),
    row(ApiKey::DeleteTopics,             1,  6,  4),
    row(ApiKey::DeleteRecords,            0,  2,  2),
    row(ApiKey::InitProducerId,           0,  4,  2),
    row(ApiKey::OffsetForLeaderEpoch,     2,  4,  4),
    row(ApiKey::DescribeConfigs,          1,  4,  4),
    row(ApiKey::AlterConfigs,             0,  2,  2),
    row(ApiKey::DescribeLogDirs,          1,  4,  2),
    row(ApiKey::CreatePartitions,         0,  3,  2),
    row(ApiKey::DeleteGroups,             0,  2,  2),
    row(ApiKey::IncrementalAlterConfigs,  0,  1,  1),
    row(ApiKey::OffsetDelete,             0,  0, NEVER),
    row(ApiKey::DescribeClientQuotas,     0,  1,  1),
    row(ApiKey::AlterClientQuotas,        0,  1,  1),
    row(ApiKey::DescribeUserScramCredentials, 0, 0, 0),
    row(ApiKey::DescribeCluster,          0,  2,  0),
    row(ApiKey::ConsumerGroupHeartbeat,   0,  1,  0),
    row(ApiKey::ConsumerGroupDescribe,    0,  1,  0),
    row(ApiKey::ListConfigResources,      0,  1,  0),
    row(ApiKey::DescribeTopicPartitions,  0,  0,  0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_a_row_is_found() {
        assert!(API_TABLE.is_sorted_by(|one, next| one.key < next.key));
        for row in API_TABLE {
            assert_eq!(served(row.key), Some(row));
            assert!(row.advertised_min <= row.min && row.min <= row.max, "{row:?}");
        }
        assert_eq!(served(ApiKey::Vote), None);
    }

    #[test]
    fn every_key_finds_its_name_and_an_unknown_key_none() {
        for (api, key) in ApiKey::ALL.iter().zip(0..) {
            assert_eq!((api.key(), ApiKey::from_key(key)), (key, Some(*api)));
        }
        assert_eq!(ApiKey::from_key(-1), None);
        assert_eq!(ApiKey::from_key(94), None);
        assert_eq!(ApiKey::Fetch.name(), "Fetch");
    }

    #[test]
    fn an_api_versions_response_header_never_has_tagged_fields() {
        let api_versions = served(ApiKey::ApiVersions).unwrap();
        assert_eq!((api_versions.request_header_version(4), api_versions.response_header_version(4)), (2, 0));
        let metadata = served(ApiKey::Metadata).unwrap();
        assert_eq!((metadata.request_header_version(9), metadata.response_header_version(9)), (2, 1));
        assert_eq!((metadata.request_header_version(8), metadata.response_header_version(8)), (1, 0));
    }
}
