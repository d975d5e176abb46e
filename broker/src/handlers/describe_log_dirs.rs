//! DescribeLogDirs (35), versions 1 to 4: where replicas lie and how large they are (KIP-113, KIP-827).
//!
//! Nothing is ever moved between directories here, so no replica is a future one, and a leader lags by nothing.

use std::collections::BTreeMap;

use ottla_cluster::controller::Directory;
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::RequestContext;
use crate::log_directory::LogDirectory;
use crate::topics::TopicMap;

/// One row a directory: those in use, dead ones included, and those that are not here although replicas live in them.
pub(super) fn handle(context: &RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let topics = context.core.topics.load();
    let row = |directory: &_| describe(directory, &topics, request.topics.as_deref());
    let results = context.core.directories.iter().map(|directory| row(directory.as_ref()));
    let results = results.chain(absent(context)).collect();
    DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }
}

fn absent(context: &RequestContext) -> impl Iterator<Item = DescribeLogDirsResult> {
    let core = &context.core;
    let here = |path: &str| core.directories.iter().any(|here| here.dir().path().to_string_lossy() == path);
    let present = core.directories.iter().map(|directory| Directory {
        id: directory.dir().directory_id(),
        path: directory.dir().path().to_string_lossy().into_owned(),
    });
    let absent = core.quorum.image().absent_directories(core.node_id, &present.collect::<Vec<_>>());
    // Clients know a directory by its path alone: one that was replaced is the one that has taken its place.
    let gone = absent.into_iter().filter_map(|absent| absent.path).filter(move |path| !here(path));
    gone.map(|path| DescribeLogDirsResult {
        error_code: ErrorCode::KAFKA_STORAGE_ERROR,
        log_dir: Str::from(path),
        ..DescribeLogDirsResult::default()
    })
}

fn describe(
    directory: &LogDirectory,
    topics: &TopicMap,
    asked: Option<&[DescribableLogDirTopic]>,
) -> DescribeLogDirsResult {
    let log_dir = Str::from(directory.dir().path().to_string_lossy().as_ref());
    if directory.is_offline() {
        let error_code = ErrorCode::KAFKA_STORAGE_ERROR;
        return DescribeLogDirsResult { error_code, log_dir, ..DescribeLogDirsResult::default() };
    }
    let is_asked = |topic: &str, index: i32| {
        asked.is_none_or(|asked| {
            asked.iter().any(|wanted| *wanted.topic == *topic && wanted.partitions.contains(&index))
        })
    };
    let mut by_topic: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in topics.topics().flat_map(|topic| topic.leaders()) {
        let name = partition.topic_partition.topic.as_str();
        let partition_index = partition.topic_partition.partition.get();
        if std::ptr::eq(partition.directory().as_ref(), directory) && is_asked(name, partition_index) {
            by_topic.entry(name).or_default().push(DescribeLogDirsPartition {
                partition_index,
                partition_size: partition.log().size_bytes() as i64,
                ..DescribeLogDirsPartition::default()
            });
        }
    }
    let topic = |(name, partitions)| DescribeLogDirsTopic { name: Str::from(name), partitions };
    let bytes = |bytes: Result<u64, ottla_log::LogError>| {
        bytes.ok().and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1)
    };
    DescribeLogDirsResult {
        log_dir,
        topics: by_topic.into_iter().map(topic).collect(),
        total_bytes: bytes(directory.dir().total_bytes()),
        usable_bytes: bytes(directory.dir().free_bytes()),
        ..DescribeLogDirsResult::default()
    }
}
