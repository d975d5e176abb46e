//! The configs of a topic.
//!
//! `from` names the broker keys that a topic without a value of its own takes it from, the strongest first.

use super::super::row::{
    Row,
    Support::{Accept, Hidden, Honour},
    rows,
};
use super::super::value::Rule::{Any, AtLeast, Between, BetweenOr, OneOf, RealBetween, ThrottledReplicas};
use super::notes;

pub(super) const TOPIC: &[Row] = rows! {
    "segment.bytes" Int "1073741824" [AtLeast(1_048_576)] ReadOnly Honour,
        from [Same "log.segment.bytes"]
        "The size at which a segment file is closed and the next one begun; retention and compaction work on closed segments only.";
    "segment.ms" Long "604800000" [AtLeast(1)] ReadOnly Honour,
        from [Same "log.roll.ms", Hours "log.roll.hours"]
        "The age at which a segment is closed even if it is not full, so that retention and compaction can reach its records.";
    "segment.jitter.ms" Long "0" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.roll.jitter.ms", Hours "log.roll.jitter.hours"]
        "The greatest random time taken off `segment.ms`, so that many partitions do not roll at once.";
    "segment.index.bytes" Int "10485760" [AtLeast(4)] ReadOnly Honour,
        from [Same "log.index.size.max.bytes"]
        "The size of a segment's offset index; when the index is full, the segment is closed.";
    "flush.messages" Long "9223372036854775807" [AtLeast(1)] ReadOnly Honour,
        from [Same "log.flush.interval.messages"]
        "After this many records an fsync is forced; 1 makes every acknowledgement wait for a group-commit fsync.";
    "flush.ms" Long "9223372036854775807" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.flush.interval.ms", Same "log.flush.scheduler.interval.ms"]
        "The longest time a record stays in the page cache without an fsync.";
    "retention.bytes" Long "-1" [Any] ReadOnly Honour,
        from [Same "log.retention.bytes"]
        "The size a partition may reach before its oldest segments are deleted; -1 means no limit.";
    "retention.ms" Long "604800000" [AtLeast(-1)] ReadOnly Honour,
        from [Same "log.retention.ms", Minutes "log.retention.minutes", Hours "log.retention.hours"]
        "How long a record is kept before its segment may be deleted; -1 means for ever.";
    "max.message.bytes" Int "1048588" [AtLeast(0)] ReadOnly Honour,
        from [Same "message.max.bytes"]
        "The largest record batch, after compression, that the topic takes.";
    "index.interval.bytes" Int "4096" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.index.interval.bytes"]
        "How many bytes of log lie between two entries of the offset index.";
    "delete.retention.ms" Long "86400000" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.cleaner.delete.retention.ms"]
        "How long a tombstone outlives the compaction that first met it.";
    "min.compaction.lag.ms" Long "0" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.cleaner.min.compaction.lag.ms"]
        "How long a record is safe from compaction.";
    "max.compaction.lag.ms" Long "9223372036854775807" [AtLeast(1)] ReadOnly Honour,
        from [Same "log.cleaner.max.compaction.lag.ms"]
        "The longest time a record may stay out of reach of compaction.";
    "file.delete.delay.ms" Long "60000" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.segment.delete.delay.ms"]
        "How long a deleted segment's files stay on disk before they are unlinked.";
    "min.cleanable.dirty.ratio" Double "0.5" [RealBetween(0.0, 1.0)] ReadOnly Honour,
        from [Same "log.cleaner.min.cleanable.ratio"]
        "The share of a log that must be uncompacted before the cleaner takes it up.";
    "cleanup.policy" List "delete" [OneOf(&["compact", "delete"])] ReadOnly Honour,
        from [Same "log.cleanup.policy"]
        "What happens to old records: `delete` drops segments past retention, `compact` keeps the last value of each key; both may be given.";
    "unclean.leader.election.enable" Bool "false" [Any] ReadOnly Accept(notes::UNCLEAN),
        from [Same "unclean.leader.election.enable"]
        "Whether a replica outside the in-sync set may become the leader as a last resort, at the price of lost records.";
    "min.insync.replicas" Int "1" [AtLeast(1)] ReadOnly Honour,
        from [Same "min.insync.replicas"]
        "The number of in-sync replicas, the leader included, below which a write with `acks=all` is refused.";
    "compression.type" Text "producer" [OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])] ReadOnly Honour,
        from [Same "compression.type"]
        "How batches are stored: `producer` keeps what the producer chose; any other value makes the broker compress again.";
    "compression.gzip.level" Int "-1" [BetweenOr(1, 9, -1)] ReadOnly Honour,
        from [Same "compression.gzip.level"]
        "The gzip level when the broker compresses with gzip.";
    "compression.lz4.level" Int "9" [Between(1, 17)] ReadOnly Honour,
        from [Same "compression.lz4.level"]
        "The lz4 level when the broker compresses with lz4.";
    "compression.zstd.level" Int "3" [Between(-131_072, 22)] ReadOnly Honour,
        from [Same "compression.zstd.level"]
        "The zstd level when the broker compresses with zstd.";
    "preallocate" Bool "false" [Any] ReadOnly Honour,
        from [Same "log.preallocate"]
        "Whether a segment file gets its full size when it is created.";
    "message.timestamp.type" Text "CreateTime" [OneOf(&["CreateTime", "LogAppendTime"])] ReadOnly Honour,
        from [Same "log.message.timestamp.type"]
        "Which time a record carries: `CreateTime`, the producer's, or `LogAppendTime`, the broker's.";
    "message.timestamp.before.max.ms" Long "9223372036854775807" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.message.timestamp.before.max.ms"]
        "How far a producer's timestamp may lie behind the broker's clock.";
    "message.timestamp.after.max.ms" Long "3600000" [AtLeast(0)] ReadOnly Honour,
        from [Same "log.message.timestamp.after.max.ms"]
        "How far a producer's timestamp may lie ahead of the broker's clock.";
    "leader.replication.throttled.replicas" List "" [ThrottledReplicas] ReadOnly Accept(notes::THROTTLE),
        "The replicas whose traffic is throttled on the leader's side, as `partition:broker` pairs or `*`.";
    "follower.replication.throttled.replicas" List "" [ThrottledReplicas] ReadOnly Accept(notes::THROTTLE),
        "The replicas whose traffic is throttled on the follower's side, as `partition:broker` pairs or `*`.";
    "remote.storage.enable" Bool "false" [Any] ReadOnly Accept(notes::TIERED),
        "Whether closed segments are copied to tiered storage.";
    "local.retention.ms" Long "-2" [AtLeast(-2)] ReadOnly Accept(notes::TIERED),
        from [Same "log.local.retention.ms"]
        "How long segments stay on local disk when they are tiered; -2 means as long as `retention.ms`.";
    "local.retention.bytes" Long "-2" [AtLeast(-2)] ReadOnly Accept(notes::TIERED),
        from [Same "log.local.retention.bytes"]
        "How many bytes stay on local disk when segments are tiered; -2 means as many as `retention.bytes`.";
    "remote.log.copy.disable" Bool "false" [Any] ReadOnly Accept(notes::TIERED),
        "Whether copying to tiered storage is paused while what is there stays readable.";
    "remote.log.delete.on.disable" Bool "false" [Any] ReadOnly Accept(notes::TIERED),
        "Whether the tiered data is deleted when tiering is switched off.";
    "internal.segment.bytes" Int null [Any] ReadOnly Hidden,
        "The segment size without the lower bound of `segment.bytes`, for tests.";
};
