//! The configs of tiered storage.

use super::super::row::{
    Row,
    Support::{Accept, Internal},
    rows,
};
use super::super::value::Rule::{Any, AtLeast, NonEmpty, RealBetween};
use super::notes;

pub(super) const TIERED: &[Row] = rows! {
    "remote.log.storage.system.enable" Bool "false" [Any] ReadOnly Accept(notes::TIERED),
        "Whether tiered storage is available on this broker.";
    "remote.log.storage.manager.impl.prefix" Text "rsm.config." [NonEmpty] ReadOnly Accept(notes::TIERED),
        "The prefix of the settings of the remote storage manager.";
    "remote.log.metadata.manager.impl.prefix" Text "rlmm.config." [NonEmpty] ReadOnly Accept(notes::TIERED),
        "The prefix of the settings of the remote log metadata manager.";
    "remote.log.storage.manager.class.name" Text null [NonEmpty] ReadOnly Accept(notes::TIERED),
        "The Java class that stores segments remotely.";
    "remote.log.storage.manager.class.path" Text null [Any] ReadOnly Accept(notes::TIERED),
        "Where that class is found.";
    "remote.log.metadata.manager.class.name" Text "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager" [NonEmpty] ReadOnly Accept(notes::TIERED),
        "The Java class that keeps the metadata of remote segments.";
    "remote.log.metadata.manager.class.path" Text null [Any] ReadOnly Accept(notes::TIERED),
        "Where that class is found.";
    "remote.log.metadata.manager.listener.name" Text null [NonEmpty] ReadOnly Accept(notes::TIERED),
        "The listener by which the metadata manager reaches the brokers.";
    "remote.log.metadata.custom.metadata.max.bytes" Int "128" [AtLeast(0)] ReadOnly Accept(notes::TIERED),
        "The most custom metadata kept per remote segment.";
    "remote.log.index.file.cache.total.size.bytes" Long "1073741824" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "The disk space for cached remote indexes.";
    "remote.log.index.file.cache.ttl.ms" Long "900000" [AtLeast(-1)] ReadOnly Internal(notes::TIERED),
        "How long a cached remote index is kept unused.";
    "remote.log.manager.thread.pool.size" Int "2" [AtLeast(1)] ReadOnly Accept(notes::TIERED),
        "Threads for remote storage.";
    "remote.log.manager.copier.thread.pool.size" Int "10" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "Threads that copy segments to remote storage.";
    "remote.log.manager.expiration.thread.pool.size" Int "10" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "Threads that delete expired remote segments.";
    "remote.log.manager.follower.thread.pool.size" Int "2" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "Threads that follow the remote state of partitions led elsewhere.";
    "remote.log.manager.task.interval.ms" Long "30000" [AtLeast(1)] ReadOnly Accept(notes::TIERED),
        "How often each partition's remote work is looked at.";
    "remote.log.manager.task.retry.backoff.ms" Long "500" [AtLeast(1)] ReadOnly Internal(notes::TIERED),
        "The first pause after failed remote work.";
    "remote.log.manager.task.retry.backoff.max.ms" Long "30000" [AtLeast(1)] ReadOnly Internal(notes::TIERED),
        "The longest pause after failed remote work.";
    "remote.log.manager.task.retry.jitter" Double "0.2" [RealBetween(0.0, 0.5)] ReadOnly Internal(notes::TIERED),
        "The random share added to those pauses.";
    "remote.log.reader.threads" Int "10" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "Threads that read remote segments for consumers.";
    "remote.log.reader.max.pending.tasks" Int "100" [AtLeast(1)] ReadOnly Accept(notes::TIERED),
        "Remote reads that may wait at once.";
    "log.local.retention.ms" Long "-2" [AtLeast(-2)] ClusterWide Accept(notes::TIERED),
        "How long tiered segments stay on local disk, unless the topic says otherwise.";
    "log.local.retention.bytes" Long "-2" [AtLeast(-2)] ClusterWide Accept(notes::TIERED),
        "How many bytes of tiered segments stay on local disk, unless the topic says otherwise.";
    "remote.log.manager.copy.max.bytes.per.second" Long "9223372036854775807" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "The bytes per second copied to remote storage.";
    "remote.log.manager.copy.quota.window.num" Int "11" [AtLeast(1)] ReadOnly Accept(notes::TIERED),
        "Samples by which that rate is measured.";
    "remote.log.manager.copy.quota.window.size.seconds" Int "1" [AtLeast(1)] ReadOnly Accept(notes::TIERED),
        "The time that each of those samples covers.";
    "remote.log.manager.fetch.max.bytes.per.second" Long "9223372036854775807" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "The bytes per second read from remote storage.";
    "remote.log.manager.fetch.quota.window.num" Int "11" [AtLeast(1)] ReadOnly Accept(notes::TIERED),
        "Samples by which that rate is measured.";
    "remote.log.manager.fetch.quota.window.size.seconds" Int "1" [AtLeast(1)] ReadOnly Accept(notes::TIERED),
        "The time that each of those samples covers.";
    "remote.fetch.max.wait.ms" Int "500" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "How long a fetch waits for remote storage.";
    "remote.list.offsets.request.timeout.ms" Long "30000" [AtLeast(1)] ClusterWide Accept(notes::TIERED),
        "How long a ListOffsets request waits for remote storage.";
};
