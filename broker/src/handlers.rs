//! From a request frame to the handler of its API: one file per API, named as in `ottla_protocol::messages`.
//!
//! This is the gateway: past it, a request is decoded, of a version that we serve, and has no left-over bytes. What
//! cannot be understood or is not served closes the connection, as on Kafka; only ApiVersions is answered in every
//! version, because a client that is newer than we are has to learn what we speak (KIP-511). The table below is also
//! what ApiVersions advertises, so an API cannot be advertised without a handler.

use std::sync::Arc;

pub(crate) use self::fetch::FetchKey;
use bytes::Bytes;
use ottla_protocol::codec::{Request, decode_request};
use ottla_protocol::frame::{self, RequestHeader};
use ottla_protocol::{ApiKey, ApiRange, api};
use tracing::error;

use crate::connection::{ConnectionHandle, Handled, Order};
use crate::core::Core;
use crate::response::{CloseReason, Reply, Response};

mod alter_configs;
mod api_versions;
mod authorized_operations;
mod broker_loggers;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_topic_partitions;
mod describe_user_scram_credentials;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;

/// What a handler knows beside the request's body.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// The broker.
    pub(crate) core: Arc<Core>,
    /// The connection that it came on.
    pub(crate) connection: Arc<ConnectionHandle>,
    /// Version, correlation id, client id.
    pub(crate) header: RequestHeader,
}

impl RequestContext {
    /// The version of the request and of its response.
    pub(crate) fn api_version(&self) -> i16 {
        self.header.api_version
    }

    /// Frames and encodes the response to this request, without regions.
    pub(crate) fn reply<R: Request>(&self, response: R::Response) -> Reply {
        match frame::encode_response(self.header.correlation_id, R::KEY, self.header.api_version, response) {
            Ok(encoded) => Reply::Send(Response::from_bytes(encoded.bytes)),
            Err(error) => not_encodable(R::KEY, error),
        }
    }
}

/// A response that we cannot put into bytes is a bug of ours; the client gets the end of the connection.
fn not_encodable(api: ApiKey, error: ottla_protocol::codec::WireError) -> Reply {
    error!(%api, %error, "a response cannot be encoded");
    Reply::Close(CloseReason::Malformed(error))
}

/// How a request of this frame may overlap with those before it.
pub(crate) fn order_of(frame: &[u8]) -> Order {
    const PRODUCE: [u8; 2] = ApiKey::Produce.key().to_be_bytes();
    const FETCH: [u8; 2] = ApiKey::Fetch.key().to_be_bytes();
    match frame.first_chunk::<2>() {
        Some(&PRODUCE) => Order::Produce,
        Some(&FETCH) => Order::Fetch,
        _ => Order::Alone,
    }
}

/// Decodes a request and starts its handler.
pub(crate) fn begin(
    core: &Arc<Core>,
    connection: &Arc<ConnectionHandle>,
    frame: Bytes,
) -> Result<Handled, CloseReason> {
    let (header, body) = frame::decode_request_header(frame)?;
    let unsupported =
        CloseReason::UnsupportedVersion { api_key: header.api_key, api_version: header.api_version };
    let Some(api) = header.api() else { return Err(unsupported) };
    let context = RequestContext { core: Arc::clone(core), connection: Arc::clone(connection), header };
    if !served_range(api).is_some_and(|row| row.serves(context.api_version())) {
        if api == ApiKey::ApiVersions {
            return Ok(Handled::Done(api_versions::refuse_version(&context)));
        }
        return Err(unsupported);
    }
    begin_served(api, context, body).unwrap_or(Err(unsupported))
}

macro_rules! served {
    ($($api:ident => $how:ident($module:ident)),* $(,)?) => {
        /// The APIs that have a handler, by ascending key.
        pub(crate) const SERVED: &[ApiKey] = &[$(ApiKey::$api),*];

        fn begin_served(
            api: ApiKey,
            context: RequestContext,
            body: Bytes,
        ) -> Option<Result<Handled, CloseReason>> {
            Some(match api {
                $(ApiKey::$api => $how(context, body, $module::handle),)*
                _ => return None,
            })
        }
    };
}

// `whole`: the handler decides what the request becomes. `now`: it answers at once and never waits.
// `later`: an async function that the connection drives.
served! {
    Produce => whole(produce),
    Fetch => whole(fetch),
    ListOffsets => whole(list_offsets),
    Metadata => later(metadata),
    OffsetCommit => later(offset_commit),
    OffsetFetch => later(offset_fetch),
    FindCoordinator => later(find_coordinator),
    JoinGroup => later(join_group),
    Heartbeat => later(heartbeat),
    LeaveGroup => later(leave_group),
    SyncGroup => later(sync_group),
    DescribeGroups => later(describe_groups),
    ListGroups => later(list_groups),
    ApiVersions => now(api_versions),
    CreateTopics => later(create_topics),
    DeleteTopics => later(delete_topics),
    DeleteRecords => now(delete_records),
    InitProducerId => later(init_producer_id),
    OffsetForLeaderEpoch => now(offset_for_leader_epoch),
    DescribeConfigs => now(describe_configs),
    AlterConfigs => later(alter_configs),
    DescribeLogDirs => now(describe_log_dirs),
    CreatePartitions => later(create_partitions),
    DeleteGroups => later(delete_groups),
    IncrementalAlterConfigs => later(incremental_alter_configs),
    OffsetDelete => later(offset_delete),
    DescribeClientQuotas => now(describe_client_quotas),
    DescribeUserScramCredentials => now(describe_user_scram_credentials),
    DescribeCluster => now(describe_cluster),
    ConsumerGroupHeartbeat => later(consumer_group_heartbeat),
    ConsumerGroupDescribe => later(consumer_group_describe),
    ListConfigResources => now(list_config_resources),
    DescribeTopicPartitions => now(describe_topic_partitions),
}

/// The highest version that a handler understands where the codec speaks more.
const fn handled_max(api: ApiKey) -> i16 {
    match api {
        // By name, and without the hints of KIP-951.
        ApiKey::Fetch => 12,
        ApiKey::Produce => 9,
        _ => i16::MAX,
    }
}

/// The versions of an API that are handled and so advertised.
pub(crate) fn served_range(api: ApiKey) -> Option<ApiRange> {
    let spoken = api::served(api)?;
    Some(ApiRange { max: spoken.max.min(handled_max(api)), ..*spoken })
}

fn whole<R: Request>(
    context: RequestContext,
    body: Bytes,
    handle: impl FnOnce(RequestContext, R) -> Handled,
) -> Result<Handled, CloseReason> {
    let request = decode_request::<R>(body, context.api_version())?;
    Ok(handle(context, request))
}

fn now<R: Request>(
    context: RequestContext,
    body: Bytes,
    handle: impl FnOnce(&RequestContext, R) -> R::Response,
) -> Result<Handled, CloseReason> {
    let request = decode_request::<R>(body, context.api_version())?;
    let response = handle(&context, request);
    Ok(Handled::Done(context.reply::<R>(response)))
}

fn later<R, F>(
    context: RequestContext,
    body: Bytes,
    handle: impl FnOnce(RequestContext, R) -> F,
) -> Result<Handled, CloseReason>
where
    R: Request + 'static,
    R::Response: Send,
    F: Future<Output = R::Response> + Send + 'static,
{
    let request = decode_request::<R>(body, context.api_version())?;
    let answering = handle(context.clone(), request);
    Ok(Handled::Future(Box::pin(async move { context.reply::<R>(answering.await) })))
}
