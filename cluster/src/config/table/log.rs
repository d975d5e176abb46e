//! The configs of the logs on a broker: directories, segments, retention, flushing, compaction.

use super::super::row::{
    Row,
    Support::{Accept, Honour, Internal},
    rows,
};
use super::super::value::Rule::{Any, AtLeast, OneOf, RealBetween};
use super::notes;

pub(super) const LOG: &[Row] = rows! {
    "log.dir" List "./ottla-data" [Any] ReadOnly Honour,
        "The directory of the data when `log.dirs` is not set. Kafka's default is `/tmp/kafka-logs`.";
    "log.dirs" List null [Any] ReadOnly Honour,
        "The directories of the data, one per disk, separated by commas.";
    "cordoned.log.dirs" List "" [Any] PerBroker Accept(notes::CORDON),
        "Log directories that get no new partitions.";
    "log.segment.bytes" Int "1073741824" [AtLeast(1_048_576)] ClusterWide Honour,
        "The size at which a segment is closed, unless the topic says otherwise.";
    "log.roll.ms" Long null [Any] ClusterWide Honour,
        "The age at which a segment is closed, unless the topic says otherwise; goes before `log.roll.hours`.";
    "log.roll.hours" Int "168" [AtLeast(1)] ReadOnly Honour,
        "The age in hours at which a segment is closed, when `log.roll.ms` is not set.";
    "log.roll.jitter.ms" Long null [Any] ClusterWide Honour,
        "The greatest random time taken off the roll time; goes before `log.roll.jitter.hours`.";
    "log.roll.jitter.hours" Int "0" [AtLeast(0)] ReadOnly Honour,
        "The greatest random time in hours taken off the roll time.";
    "log.retention.ms" Long null [Any] ClusterWide Honour,
        "How long records are kept, unless the topic says otherwise; goes before `log.retention.minutes`; -1 means for ever.";
    "log.retention.minutes" Int null [Any] ReadOnly Honour,
        "How many minutes records are kept, when `log.retention.ms` is not set.";
    "log.retention.hours" Int "168" [Any] ReadOnly Honour,
        "How many hours records are kept, when neither `log.retention.ms` nor `log.retention.minutes` is set.";
    "log.retention.bytes" Long "-1" [Any] ClusterWide Honour,
        "The size a partition may reach before its oldest segments are deleted, unless the topic says otherwise.";
    "log.retention.check.interval.ms" Long "300000" [AtLeast(1)] ReadOnly Honour,
        "How often the broker looks for segments past their retention.";
    "log.cleanup.policy" List "delete" [OneOf(&["compact", "delete"])] ClusterWide Honour,
        "What happens to old records, unless the topic says otherwise: `delete`, `compact` or both.";
    "log.index.size.max.bytes" Int "10485760" [AtLeast(4)] ClusterWide Honour,
        "The size of an offset index, unless the topic says otherwise.";
    "log.index.interval.bytes" Int "4096" [AtLeast(0)] ClusterWide Honour,
        "The bytes of log between two index entries, unless the topic says otherwise.";
    "log.flush.interval.messages" Long "9223372036854775807" [AtLeast(1)] ClusterWide Honour,
        "The records after which an fsync is forced, unless the topic says otherwise.";
    "log.flush.interval.ms" Long null [Any] ClusterWide Honour,
        "The longest time a record waits for its fsync, unless the topic says otherwise.";
    "log.flush.scheduler.interval.ms" Long "9223372036854775807" [Any] ReadOnly Honour,
        "How often the broker looks for logs that need an fsync; also the default of `log.flush.interval.ms`.";
    "log.flush.offset.checkpoint.interval.ms" Int "60000" [AtLeast(0)] ReadOnly Honour,
        "How often the recovery points are written to their checkpoint.";
    "log.flush.start.offset.checkpoint.interval.ms" Int "60000" [AtLeast(0)] ReadOnly Accept(notes::ONE_CHECKPOINT),
        "How often the log start offsets are written to their checkpoint.";
    "log.segment.delete.delay.ms" Long "60000" [AtLeast(0)] ClusterWide Honour,
        "How long a deleted segment's files stay on disk, unless the topic says otherwise.";
    "log.preallocate" Bool "false" [Any] ClusterWide Honour,
        "Whether segment files get their full size at once, unless the topic says otherwise.";
    "log.message.timestamp.type" Text "CreateTime" [OneOf(&["CreateTime", "LogAppendTime"])] ClusterWide Honour,
        "Which time a record carries, unless the topic says otherwise.";
    "log.message.timestamp.before.max.ms" Long "9223372036854775807" [AtLeast(0)] ClusterWide Honour,
        "How far a timestamp may lie behind the broker's clock, unless the topic says otherwise.";
    "log.message.timestamp.after.max.ms" Long "3600000" [AtLeast(0)] ClusterWide Honour,
        "How far a timestamp may lie ahead of the broker's clock, unless the topic says otherwise.";
    "log.dir.failure.timeout.ms" Long "30000" [AtLeast(1)] ReadOnly Accept(notes::REPLICATION),
        "How long a broker with a failed directory waits for the controller to hear of it.";
    "log.initial.task.delay.ms" Long "30000" [AtLeast(0)] ReadOnly Internal(notes::STARTUP_DELAY),
        "How long after the start the periodic work on logs begins.";
    "log.cleaner.enable" Bool "true" [Any] ReadOnly Honour,
        "Whether logs are compacted.";
    "log.cleaner.threads" Int "1" [AtLeast(0)] ClusterWide Honour,
        "Threads that compact logs.";
    "log.cleaner.io.max.bytes.per.second" Double "1.7976931348623157E308" [Any] ClusterWide Honour,
        "The bytes per second that compaction may read and write.";
    "log.cleaner.dedupe.buffer.size" Long "134217728" [Any] ClusterWide Honour,
        "The memory for the keys of the logs that are being compacted.";
    "log.cleaner.io.buffer.size" Int "524288" [AtLeast(0)] ClusterWide Honour,
        "The memory for reading and writing during compaction.";
    "log.cleaner.io.buffer.load.factor" Double "0.9" [Any] ClusterWide Honour,
        "How full the key table may become during compaction.";
    "log.cleaner.backoff.ms" Long "15000" [AtLeast(0)] ClusterWide Honour,
        "How long the cleaner rests when there is nothing to compact.";
    "log.cleaner.min.cleanable.ratio" Double "0.5" [RealBetween(0.0, 1.0)] ClusterWide Honour,
        "The share of a log that must be uncompacted before it is taken up, unless the topic says otherwise.";
    "log.cleaner.delete.retention.ms" Long "86400000" [AtLeast(0)] ClusterWide Honour,
        "How long tombstones are kept, unless the topic says otherwise.";
    "log.cleaner.min.compaction.lag.ms" Long "0" [AtLeast(0)] ClusterWide Honour,
        "How long a record is safe from compaction, unless the topic says otherwise.";
    "log.cleaner.max.compaction.lag.ms" Long "9223372036854775807" [AtLeast(1)] ClusterWide Honour,
        "The longest time a record stays uncompacted, unless the topic says otherwise.";
};
