//! The configs of one group (the resource type GROUP of DescribeConfigs, KIP-848 and KIP-932).

use super::super::row::{
    Row,
    Support::{Accept, Honour},
    rows,
};
use super::super::value::Rule::{Any, AtLeast, OneOf, ShareOffsetReset};
use super::notes;

pub(super) const GROUP: &[Row] = rows! {
    "consumer.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Honour,
        from [Same "group.consumer.session.timeout.ms"]
        "How long a silent member of this consumer group counts as alive.";
    "consumer.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Honour,
        from [Same "group.consumer.heartbeat.interval.ms"]
        "How often the members of this consumer group send heartbeats.";
    "consumer.assignment.interval.ms" Int "1000" [AtLeast(0)] ReadOnly Accept(notes::ASSIGNMENT),
        from [Same "group.consumer.assignment.interval.ms"]
        "The least time between two assignments of this consumer group.";
    "share.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        from [Same "group.share.session.timeout.ms"]
        "How long a silent member of this share group counts as alive.";
    "share.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Accept(notes::SHARE),
        from [Same "group.share.heartbeat.interval.ms"]
        "How often the members of this share group send heartbeats.";
    "share.record.lock.duration.ms" Int "30000" [AtLeast(1000)] ReadOnly Accept(notes::SHARE),
        from [Same "group.share.record.lock.duration.ms"]
        "How long a record is locked for the member that acquired it.";
    "share.delivery.count.limit" Int "5" [AtLeast(2)] ReadOnly Accept(notes::SHARE),
        from [Same "group.share.delivery.count.limit"]
        "How often a record is delivered before it is given up.";
    "share.partition.max.record.locks" Int "2000" [AtLeast(100)] ReadOnly Accept(notes::SHARE),
        from [Same "group.share.partition.max.record.locks"]
        "The records of one partition that may be locked at once.";
    "share.auto.offset.reset" Text "latest" [ShareOffsetReset] ReadOnly Accept(notes::SHARE),
        "Where a new share group begins: `earliest`, `latest` or `by_duration:` and an ISO 8601 duration.";
    "share.isolation.level" Text "read_uncommitted" [OneOf(&["read_committed", "read_uncommitted"])] ReadOnly Accept(notes::SHARE),
        "Whether records of open transactions are delivered.";
    "share.renew.acknowledge.enable" Bool "true" [Any] ReadOnly Accept(notes::SHARE),
        "Whether members may renew the lock of a record.";
    "share.assignment.interval.ms" Int "1000" [AtLeast(0)] ReadOnly Accept(notes::SHARE),
        from [Same "group.share.assignment.interval.ms"]
        "The least time between two assignments of this share group.";
    "streams.session.timeout.ms" Int "45000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        from [Same "group.streams.session.timeout.ms"]
        "How long a silent member of this streams group counts as alive.";
    "streams.heartbeat.interval.ms" Int "5000" [AtLeast(1)] ReadOnly Accept(notes::STREAMS),
        from [Same "group.streams.heartbeat.interval.ms"]
        "How often the members of this streams group send heartbeats.";
    "streams.num.standby.replicas" Int "0" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        from [Same "group.streams.num.standby.replicas"]
        "The standby replicas of each stateful task of this streams group.";
    "streams.initial.rebalance.delay.ms" Int "3000" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        from [Same "group.streams.initial.rebalance.delay.ms"]
        "How long this streams group waits for more members before its first assignment.";
    "streams.assignment.interval.ms" Int "1000" [AtLeast(0)] ReadOnly Accept(notes::STREAMS),
        from [Same "group.streams.assignment.interval.ms"]
        "The least time between two assignments of this streams group.";
};

/// The configs of a telemetry subscription (the resource type CLIENT_METRICS, KIP-714), as far as they are shown.
pub(super) const CLIENT_METRICS: &[Row] = rows! {
    "interval.ms" Int "300000" [Any] ReadOnly Accept(notes::TELEMETRY), "How often a client is to send its metrics.";
    "match" List "" [Any] ReadOnly Accept(notes::TELEMETRY), "Which clients the subscription is for.";
    "metrics" List "" [Any] ReadOnly Accept(notes::TELEMETRY), "Which metrics a client is to send, by prefix.";
};
