//! The configs of a node: its identity, listeners, limits and the defaults of topics.

use super::super::row::{
    Row,
    Support::{Accept, Honour, Internal, Refuse},
    rows,
};
use super::super::value::Rule::{AddressCounts, Any, AtLeast, Between, BetweenOr, OneOf};
use super::notes;

pub(super) const SERVER: &[Row] = rows! {
    "node.id" Int "1" [AtLeast(0)] ReadOnly Honour,
        "The number of this node; it is unique in the cluster.";
    "broker.id" Int "-1" [Any] ReadOnly Honour,
        "The older name of `node.id`; when both are given they must agree; -1 is as if it were not given.";
    "process.roles" List "broker,controller" [OneOf(&["broker", "controller"])] ReadOnly Accept(notes::ROLES),
        "The roles of this process. Every ottla node is broker and controller.";
    "broker.rack" Text null [Any] ReadOnly Honour,
        "The rack or zone of this broker, shown to clients so that they can read from a near replica.";
    "listeners" List "PLAINTEXT://:9092" [Any] PerBroker Honour,
        "Where the broker listens, as `NAME://host:port`; an empty host means every interface.";
    "advertised.listeners" List null [Any] ReadOnly Honour,
        "The addresses clients are told to use; when it is not set, each client is told the address that it dialled.";
    "listener.security.protocol.map" Text "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT" [Any] PerBroker Honour,
        "Which security protocol each listener name speaks.";
    "early.start.listeners" List null [Any] ReadOnly Accept(notes::ONESTART),
        "Listeners that open before the authorizer is ready.";
    "socket.send.buffer.bytes" Int "-1" [Any] ReadOnly Honour,
        "The send buffer asked of the kernel for each connection; -1 leaves the kernel's choice.";
    "socket.receive.buffer.bytes" Int "-1" [Any] ReadOnly Honour,
        "The receive buffer asked of the kernel for each connection; -1 leaves the kernel's choice.";
    "socket.request.max.bytes" Int "104857600" [AtLeast(1)] ReadOnly Honour,
        "The largest request frame; a larger one closes the connection.";
    "socket.listen.backlog.size" Int "50" [AtLeast(1)] ReadOnly Honour,
        "How many connections may wait in the kernel to be accepted.";
    "max.connections.per.ip" Int "2147483647" [AtLeast(0)] ClusterWide Honour,
        "The number of connections that one address may hold open.";
    "max.connections.per.ip.overrides" Text "" [AddressCounts] ClusterWide Honour,
        "Other limits for single addresses, as `address:count` pairs.";
    "max.connections" Int "2147483647" [AtLeast(0)] ClusterWide Honour,
        "The number of connections that the broker holds open; a listener can have its own, as `listener.name.NAME.max.connections`.";
    "max.connection.creation.rate" Int "2147483647" [AtLeast(0)] ClusterWide Honour,
        "The number of connections that the broker takes in a second, on average over the quota window; more are served later.";
    "connections.max.idle.ms" Long "600000" [Any] ReadOnly Honour,
        "How long a connection may be silent before it is closed.";
    "connection.failed.authentication.delay.ms" Int "100" [AtLeast(0)] ReadOnly Accept(notes::SECURITY),
        "How long the answer to a failed authentication is held back.";
    "queued.max.requests" Int "500" [AtLeast(1)] ReadOnly Accept(notes::QUEUED_REQUESTS),
        "The number of requests that may wait or run at once; beyond it the sockets are not read.";
    "queued.max.request.bytes" Long "-1" [Any] ReadOnly Honour,
        "The memory that waiting requests may take together; -1 leaves the choice to the broker.";
    "num.network.threads" Int "3" [AtLeast(1)] ClusterWide Accept(notes::RUNTIME),
        "Threads that serve sockets.";
    "num.io.threads" Int "8" [AtLeast(1)] ClusterWide Accept(notes::RUNTIME),
        "Threads that serve requests.";
    "background.threads" Int "10" [AtLeast(1)] ClusterWide Accept(notes::RUNTIME),
        "Threads that do background work.";
    "request.timeout.ms" Int "30000" [Any] ReadOnly Accept(notes::REPLICATION),
        "How long this broker waits for another one to answer.";
    "socket.connection.setup.timeout.ms" Long "10000" [Any] ReadOnly Accept(notes::REPLICATION),
        "How long this broker waits for a connection to another one.";
    "socket.connection.setup.timeout.max.ms" Long "30000" [Any] ReadOnly Accept(notes::REPLICATION),
        "The longest wait for a connection after repeated failures.";
    "controlled.shutdown.enable" Bool "true" [Any] ReadOnly Accept(notes::ORDERLY_STOP),
        "Whether a stopping broker finishes its work and marks its logs clean.";
    "delete.topic.enable" Bool "true" [Any] ReadOnly Honour,
        "Whether topics may be deleted.";
    "auto.create.topics.enable" Bool "true" [Any] ReadOnly Honour,
        "Whether a topic is created when a client asks for its metadata and allows it.";
    "num.partitions" Int "1" [AtLeast(1)] ReadOnly Honour,
        "The partitions of a topic that is created without saying how many.";
    "message.max.bytes" Int "1048588" [AtLeast(0)] ClusterWide Honour,
        "The largest record batch, after compression; topics override it with `max.message.bytes`.";
    "compression.type" Text "producer" [OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])] ClusterWide Honour,
        "How batches are stored, unless the topic says otherwise.";
    "compression.gzip.level" Int "-1" [BetweenOr(1, 9, -1)] ClusterWide Honour,
        "The gzip level, unless the topic says otherwise.";
    "compression.lz4.level" Int "9" [Between(1, 17)] ClusterWide Honour,
        "The lz4 level, unless the topic says otherwise.";
    "compression.zstd.level" Int "3" [Between(-131_072, 22)] ClusterWide Honour,
        "The zstd level, unless the topic says otherwise.";
    "max.incremental.fetch.session.cache.slots" Int "1000" [AtLeast(0)] ReadOnly Honour,
        "How many fetch sessions the broker remembers.";
    "fetch.max.bytes" Int "57671680" [AtLeast(1024)] ReadOnly Honour,
        "The most bytes of records in one fetch response.";
    "max.request.partition.size.limit" Int "2000" [AtLeast(1)] ReadOnly Honour,
        "The most partitions that one DescribeTopicPartitions response holds.";
    "num.recovery.threads.per.data.dir" Int "2" [AtLeast(1)] ClusterWide Accept(notes::RUNTIME),
        "Threads per log directory that recover logs at the start.";
    "fetch.purgatory.purge.interval.requests" Int "1000" [Any] ReadOnly Accept(notes::PURGATORY),
        "How often finished fetch waits are swept out.";
    "producer.purgatory.purge.interval.requests" Int "1000" [Any] ReadOnly Accept(notes::PURGATORY),
        "How often finished produce waits are swept out.";
    "delete.records.purgatory.purge.interval.requests" Int "1" [Any] ReadOnly Accept(notes::PURGATORY),
        "How often finished DeleteRecords waits are swept out.";
    "share.fetch.purgatory.purge.interval.requests" Int "1000" [Any] ReadOnly Accept(notes::PURGATORY),
        "How often finished share-fetch waits are swept out.";
    "config.providers" List "" [Any] ClusterWide Accept(notes::JVM),
        "Plug-ins that fetch config values from elsewhere.";
    "create.topic.policy.class.name" Class null [Any] ReadOnly Refuse(notes::PLUGIN_POLICY),
        "A Java class that may refuse new topics.";
    "alter.config.policy.class.name" Class null [Any] ReadOnly Refuse(notes::PLUGIN_POLICY),
        "A Java class that may refuse config changes.";
    "num.replica.alter.log.dirs.threads" Int null [Any] ReadOnly Accept(notes::MOVEDIRS),
        "Threads that move replicas between log directories.";
    "server.max.startup.time.ms" Long "9223372036854775807" [AtLeast(0)] ReadOnly Internal(notes::STARTUP),
        "How long the start may take.";
    "unstable.api.versions.enable" Bool "false" [Any] ReadOnly Internal(notes::UNSTABLE),
        "Whether API versions under development are offered.";
    "unstable.feature.versions.enable" Bool "false" [Any] ReadOnly Internal(notes::UNSTABLE),
        "Whether feature versions under development are offered.";
    "metrics.num.samples" Int "2" [AtLeast(1)] ReadOnly Accept(notes::METRICS),
        "Samples kept for each metric.";
    "metrics.sample.window.ms" Long "30000" [AtLeast(1)] ReadOnly Accept(notes::METRICS),
        "The time that one sample covers.";
    "metric.reporters" List "org.apache.kafka.common.metrics.JmxReporter" [Any] ClusterWide Accept(notes::METRICS),
        "Java classes that report metrics.";
    "metrics.recording.level" Text "INFO" [Any] ReadOnly Accept(notes::METRICS),
        "The lowest level of metrics that is recorded.";
    "kafka.metrics.reporters" List "" [Any] ReadOnly Accept(notes::METRICS),
        "Java classes that report the older metrics.";
    "kafka.metrics.polling.interval.secs" Int "10" [AtLeast(1)] ReadOnly Accept(notes::METRICS),
        "How often the older metrics are polled.";
    "telemetry.max.bytes" Int "1048576" [AtLeast(1)] ReadOnly Accept(notes::TELEMETRY),
        "The largest telemetry push that a client may send.";
};
