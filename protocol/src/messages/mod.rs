//! The messages of the protocol, one API per file: its request, its response, and the structs within them.
//!
//! Structs and fields have the names of Kafka's message schemas, and each field names the versions that carry it. These
//! are plain claims of the other side: `-1` for "none" is still `-1` here, and nothing but the encoding is checked.

use crate::ApiKey;
use crate::codec::Request;

/// What is to be done with the request type of an API that is known only at run time.
pub trait RequestVisitor {
    /// What comes of it.
    type Output;

    /// Called with the API's request type.
    fn visit<R: Request>(self) -> Self::Output;
}

macro_rules! apis {
    ($($module:ident::$request:ident,)*) => {
        $(pub mod $module;)*

        /// Calls the visitor with the request type of this API, or returns `None` when the codec does not speak it.
        pub fn visit<V: RequestVisitor>(key: ApiKey, visitor: V) -> Option<V::Output> {
            $(if key == <$module::$request as Request>::KEY {
                return Some(visitor.visit::<$module::$request>());
            })*
            None
        }
    };
}

pub mod consumer_protocol;

apis! {
    alter_client_quotas::AlterClientQuotasRequest,
    alter_configs::AlterConfigsRequest,
    api_versions::ApiVersionsRequest,
    consumer_group_describe::ConsumerGroupDescribeRequest,
    consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
    create_partitions::CreatePartitionsRequest,
    create_topics::CreateTopicsRequest,
    delete_groups::DeleteGroupsRequest,
    delete_records::DeleteRecordsRequest,
    delete_topics::DeleteTopicsRequest,
    describe_client_quotas::DescribeClientQuotasRequest,
    describe_cluster::DescribeClusterRequest,
    describe_configs::DescribeConfigsRequest,
    describe_groups::DescribeGroupsRequest,
    describe_log_dirs::DescribeLogDirsRequest,
    describe_topic_partitions::DescribeTopicPartitionsRequest,
    describe_user_scram_credentials::DescribeUserScramCredentialsRequest,
    fetch::FetchRequest,
    find_coordinator::FindCoordinatorRequest,
    heartbeat::HeartbeatRequest,
    incremental_alter_configs::IncrementalAlterConfigsRequest,
    init_producer_id::InitProducerIdRequest,
    join_group::JoinGroupRequest,
    leave_group::LeaveGroupRequest,
    list_config_resources::ListConfigResourcesRequest,
    list_groups::ListGroupsRequest,
    list_offsets::ListOffsetsRequest,
    metadata::MetadataRequest,
    offset_commit::OffsetCommitRequest,
    offset_delete::OffsetDeleteRequest,
    offset_fetch::OffsetFetchRequest,
    offset_for_leader_epoch::OffsetForLeaderEpochRequest,
    produce::ProduceRequest,
    sync_group::SyncGroupRequest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::API_TABLE;

    struct Key;

    impl RequestVisitor for Key {
        type Output = ApiKey;
        fn visit<R: Request>(self) -> ApiKey {
            R::KEY
        }
    }

    #[test]
    fn every_api_of_the_table_has_its_messages_and_no_other_has() {
        for key in ApiKey::ALL {
            let row = API_TABLE.iter().find(|row| row.key == *key);
            assert_eq!(visit(*key, Key), row.map(|row| row.key));
        }
    }
}
