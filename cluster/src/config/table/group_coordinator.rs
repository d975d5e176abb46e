//! The configs of the group coordinator and of committed offsets.

use super::super::row::{
    Row,
    Support::{Accept, Honour, Internal},
    rows,
};
use super::super::value::Rule::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use super::notes;

/// What `group.consumer.assignors` may name: ours, and Kafka's own two by their classes.
const ASSIGNORS: &[&str] = &[
    "uniform",
    "range",
    "roundrobin",
    "org.apache.kafka.coordinator.group.assignor.UniformAssignor",
    "org.apache.kafka.coordinator.group.assignor.RangeAssignor",
];

pub(super) const GROUP_COORDINATOR: &[Row] = rows! {
    "group.coordinator.rebalance.protocols" List "classic,consumer,streams" [OneOf(&["consumer", "classic", "share", "streams"])] ReadOnly Accept(notes::GROUPKINDS),
        "The kinds of groups that the broker coordinates.";
    "group.coordinator.threads" Int "4" [AtLeast(1)] ReadOnly Accept(notes::RUNTIME),
        "Threads that run group coordinators.";
    "group.coordinator.background.threads" Int "2" [AtLeast(1)] ReadOnly Accept(notes::RUNTIME),
        "Threads that compute assignments and resolve patterns.";
    "group.coordinator.append.linger.ms" Int "-1" [AtLeast(-1)] ReadOnly Accept(notes::COORDINATOR),
        "How long a coordinator gathers writes; -1 adapts to the load.";
    "group.coordinator.cached.buffer.max.bytes" Int "1048588" [AtLeast(524_288)] ClusterWide Accept(notes::COORDINATOR),
        "The largest write buffer that a coordinator keeps.";
    "offsets.commit.timeout.ms" Int "5000" [AtLeast(1)] ReadOnly Honour,
        "How long an offset commit waits for its replicas.";
    "offsets.load.buffer.size" Int "5242880" [AtLeast(1)] ReadOnly Accept(notes::COORDINATOR),
        "The bytes read at once when committed offsets are loaded.";
    "offsets.topic.replication.factor" Short "3" [AtLeast(1)] ReadOnly Honour,
        "The replicas of `__consumer_offsets`; never more than there are brokers when it is created.";
    "offsets.topic.num.partitions" Int "50" [AtLeast(1)] ReadOnly Honour,
        "The partitions of `__consumer_offsets`.";
    "offsets.topic.segment.bytes" Int "104857600" [AtLeast(1)] ReadOnly Honour,
        "The segment size of `__consumer_offsets`.";
    "offsets.topic.compression.codec" Int "0" [Any] ReadOnly Accept(notes::COORDINATOR),
        "The compression of `__consumer_offsets`, by number.";
    "offset.metadata.max.bytes" Int "4096" [Any] ReadOnly Honour,
        "The longest text that may be committed with an offset.";
    "offsets.retention.minutes" Int "10080" [AtLeast(1)] ReadOnly Honour,
        "How long the offsets of a group without members are kept.";
    "offsets.retention.check.interval.ms" Long "600000" [AtLeast(1)] ReadOnly Honour,
        "How often expired offsets are looked for.";
    "group.min.session.timeout.ms" Int "6000" [Any] ReadOnly Honour,
        "The shortest session timeout that a classic member may ask for.";
    "group.max.session.timeout.ms" Int "1800000" [Any] ReadOnly Honour,
        "The longest session timeout that a classic member may ask for.";
    "group.initial.rebalance.delay.ms" Int "0" [Any] ReadOnly Honour,
        "How long a new group waits for more members before its first rebalance. Kafka waits 3000.";
    "group.max.size" Int "2147483647" [AtLeast(1)] ReadOnly Honour,
        "The most members of a classic group.";
    "group.consumer.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Honour,
        "How long a silent member of a consumer group (KIP-848) counts as alive.";
    "group.consumer.min.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Honour,
        "The least value of a group's `consumer.session.timeout.ms`.";
    "group.consumer.max.session.timeout.ms" Int "60000" [AtLeast(1)] ReadOnly Honour,
        "The greatest value of a group's `consumer.session.timeout.ms`.";
    "group.consumer.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Honour,
        "How often the members of a consumer group send heartbeats.";
    "group.consumer.min.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Honour,
        "The least value of a group's `consumer.heartbeat.interval.ms`.";
    "group.consumer.max.heartbeat.interval.ms" Int "15000" [AtLeast(1)] ReadOnly Honour,
        "The greatest value of a group's `consumer.heartbeat.interval.ms`.";
    "group.consumer.max.size" Int "2147483647" [AtLeast(1)] ReadOnly Honour,
        "The most members of a consumer group.";
    "group.consumer.assignors" List "uniform,range" [OneOf(ASSIGNORS)] ReadOnly Honour,
        "The assignors of consumer groups, the default first.";
    "group.consumer.migration.policy" Text "bidirectional" [OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])] ReadOnly Honour,
        "Whether groups may change between the classic and the consumer protocol.";
    "group.consumer.assignment.interval.ms" Int "1000" [AtLeast(0)] ClusterWide Accept(notes::ASSIGNMENT),
        "The least time between two assignments of a consumer group.";
    "group.consumer.min.assignment.interval.ms" Int "0" [AtLeast(0)] ReadOnly Accept(notes::ASSIGNMENT),
        "The least value of a group's `consumer.assignment.interval.ms`.";
    "group.consumer.max.assignment.interval.ms" Int "15000" [AtLeast(0)] ReadOnly Accept(notes::ASSIGNMENT),
        "The greatest value of a group's `consumer.assignment.interval.ms`.";
    "group.consumer.regex.refresh.interval.ms" Int "600000" [AtLeast(10_000)] ReadOnly Internal(notes::REGEX),
        "How often subscription patterns are resolved anew.";
    "group.share.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "How long a silent member of a share group (KIP-932) counts as alive.";
    "group.share.min.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The least value of a group's `share.session.timeout.ms`.";
    "group.share.max.session.timeout.ms" Int "60000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The greatest value of a group's `share.session.timeout.ms`.";
    "group.share.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "How often the members of a share group send heartbeats.";
    "group.share.min.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The least value of a group's `share.heartbeat.interval.ms`.";
    "group.share.max.heartbeat.interval.ms" Int "15000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The greatest value of a group's `share.heartbeat.interval.ms`.";
    "group.share.max.size" Int "200" [Between(1, 1000)] ReadOnly Accept(notes::SHARE),
        "The most members of a share group.";
    "group.share.assignors" List "simple" [Any] ReadOnly Accept(notes::SHARE),
        "The assignors of share groups.";
    "group.share.assignment.interval.ms" Int "1000" [AtLeast(0)] ClusterWide Accept(notes::SHARE),
        "The least time between two assignments of a share group.";
    "group.share.min.assignment.interval.ms" Int "0" [AtLeast(0)] ReadOnly Accept(notes::SHARE),
        "The least value of a group's `share.assignment.interval.ms`.";
    "group.share.max.assignment.interval.ms" Int "15000" [AtLeast(0)] ReadOnly Accept(notes::SHARE),
        "The greatest value of a group's `share.assignment.interval.ms`.";
    "group.share.initialize.retry.interval.ms" Int "30000" [AtLeast(1)] ReadOnly Internal(notes::SHARE),
        "How long to wait before a share partition is initialised again.";
    "group.share.delivery.count.limit" Int "5" [Between(2, 10)] ReadOnly Accept(notes::SHARE),
        "How often a record is delivered to a share group before it is given up.";
    "group.share.max.delivery.count.limit" Int "10" [Between(5, 25)] ReadOnly Accept(notes::SHARE),
        "The greatest value of a group's `share.delivery.count.limit`.";
    "group.share.min.delivery.count.limit" Int "2" [Between(2, 5)] ReadOnly Accept(notes::SHARE),
        "The least value of a group's `share.delivery.count.limit`.";
    "group.share.record.lock.duration.ms" Int "30000" [Between(1000, 3_600_000)] ReadOnly Accept(notes::SHARE),
        "How long a record is locked for the member that acquired it.";
    "group.share.min.record.lock.duration.ms" Int "15000" [Between(1000, 30_000)] ReadOnly Accept(notes::SHARE),
        "The least value of a group's `share.record.lock.duration.ms`.";
    "group.share.max.record.lock.duration.ms" Int "60000" [Between(30_000, 3_600_000)] ReadOnly Accept(notes::SHARE),
        "The greatest value of a group's `share.record.lock.duration.ms`.";
    "group.share.partition.max.record.locks" Int "2000" [Between(100, 10_000)] ReadOnly Accept(notes::SHARE),
        "The records of one share partition that may be locked at once.";
    "group.share.max.partition.max.record.locks" Int "4000" [Between(2000, 10_000)] ReadOnly Accept(notes::SHARE),
        "The greatest value of a group's `share.partition.max.record.locks`.";
    "group.share.min.partition.max.record.locks" Int "100" [Between(100, 2000)] ReadOnly Accept(notes::SHARE),
        "The least value of a group's `share.partition.max.record.locks`.";
    "group.share.max.share.sessions" Int "2000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The share sessions that the broker remembers.";
    "group.share.persister.class.name" Text "org.apache.kafka.server.share.persister.DefaultStatePersister" [Any] ReadOnly Internal(notes::SHARE),
        "The Java class that keeps the state of share groups.";
    "share.coordinator.state.topic.num.partitions" Int "50" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The partitions of the topic that keeps the state of share groups.";
    "share.coordinator.state.topic.replication.factor" Short "3" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The replicas of the topic that keeps the state of share groups.";
    "share.coordinator.state.topic.min.isr" Short "2" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The in-sync replicas that a write to the share-group state needs.";
    "share.coordinator.state.topic.segment.bytes" Int "104857600" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The segment size of the topic that keeps the state of share groups.";
    "share.coordinator.threads" Int "1" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "Threads that run share coordinators.";
    "share.coordinator.snapshot.update.records.per.snapshot" Int "500" [Between(0, 500)] ReadOnly Accept(notes::SHARE),
        "The updates after which the share-group state is written whole.";
    "share.coordinator.load.buffer.size" Int "5242880" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "The bytes read at once when share-group state is loaded.";
    "share.coordinator.state.topic.compression.codec" Int "0" [Any] ReadOnly Accept(notes::SHARE),
        "The compression of the share-group state, by number.";
    "share.coordinator.append.linger.ms" Int "-1" [AtLeast(-1)] ReadOnly Accept(notes::SHARE),
        "How long a share coordinator gathers writes; -1 adapts to the load.";
    "share.coordinator.write.timeout.ms" Int "5000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        "How long a write of share-group state waits for its replicas.";
    "share.coordinator.state.topic.prune.interval.ms" Int "300000" [AtLeast(1)] ReadOnly Internal(notes::SHARE),
        "How often share-group state that is no longer needed is dropped.";
    "share.coordinator.cold.partition.snapshot.interval.ms" Int "300000" [AtLeast(1)] ReadOnly Internal(notes::SHARE),
        "How often the state of idle share partitions is written whole.";
    "share.coordinator.cached.buffer.max.bytes" Int "1048588" [AtLeast(524_288)] ClusterWide Accept(notes::SHARE),
        "The largest write buffer that a share coordinator keeps.";
    "group.streams.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        "How long a silent member of a streams group (KIP-1071) counts as alive.";
    "group.streams.min.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        "The least value of a group's `streams.session.timeout.ms`.";
    "group.streams.max.session.timeout.ms" Int "60000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        "The greatest value of a group's `streams.session.timeout.ms`.";
    "group.streams.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        "How often the members of a streams group send heartbeats.";
    "group.streams.min.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        "The least value of a group's `streams.heartbeat.interval.ms`.";
    "group.streams.max.heartbeat.interval.ms" Int "15000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        "The greatest value of a group's `streams.heartbeat.interval.ms`.";
    "group.streams.max.size" Int "2147483647" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        "The most members of a streams group.";
    "group.streams.num.standby.replicas" Int "0" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        "The standby replicas of each stateful task.";
    "group.streams.max.standby.replicas" Int "2" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        "The greatest value of a group's `streams.num.standby.replicas`.";
    "group.streams.initial.rebalance.delay.ms" Int "3000" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        "How long a new streams group waits for more members before its first assignment.";
    "group.streams.assignment.interval.ms" Int "1000" [AtLeast(0)] ClusterWide Accept(notes::STREAMS),
        "The least time between two assignments of a streams group.";
    "group.streams.min.assignment.interval.ms" Int "0" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        "The least value of a group's `streams.assignment.interval.ms`.";
    "group.streams.max.assignment.interval.ms" Int "15000" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        "The greatest value of a group's `streams.assignment.interval.ms`.";
};
