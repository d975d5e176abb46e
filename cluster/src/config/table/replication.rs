//! The configs of replication, of the controllers and of the metadata log.

use super::super::row::{
    Row,
    Support::{Accept, Honour, Internal},
    rows,
};
use super::super::value::Rule::{Any, AtLeast, OneOf};
use super::notes;

pub(super) const REPLICATION: &[Row] = rows! {
    "default.replication.factor" Int "1" [Any] ReadOnly Honour,
        "The replicas of a topic that is created without saying how many.";
    "min.insync.replicas" Int "1" [AtLeast(1)] ClusterWide Honour,
        "The in-sync replicas that a write with `acks=all` needs, unless the topic says otherwise.";
    "unclean.leader.election.enable" Bool "false" [Any] ClusterWide Accept(notes::UNCLEAN),
        "Whether an out-of-sync replica may become the leader, unless the topic says otherwise.";
    "replica.lag.time.max.ms" Long "30000" [Any] ReadOnly Honour,
        "How long a follower may lag before it leaves the in-sync set.";
    "replica.fetch.max.bytes" Int "1048576" [AtLeast(0)] ReadOnly Accept(notes::REPLICATION),
        "The bytes a follower asks for per partition.";
    "replica.fetch.wait.max.ms" Int "500" [Any] ReadOnly Accept(notes::REPLICATION),
        "How long a follower's fetch waits for records.";
    "replica.fetch.backoff.ms" Int "1000" [AtLeast(0)] ReadOnly Accept(notes::REPLICATION),
        "How long a follower rests after a failed fetch.";
    "replica.fetch.min.bytes" Int "1" [Any] ReadOnly Accept(notes::REPLICATION),
        "The bytes a follower's fetch waits for.";
    "replica.fetch.response.max.bytes" Int "10485760" [AtLeast(0)] ReadOnly Accept(notes::REPLICATION),
        "The bytes a follower asks for in one response.";
    "replica.socket.timeout.ms" Int "30000" [Any] ReadOnly Accept(notes::REPLICATION),
        "How long a follower waits for its leader to answer.";
    "replica.socket.receive.buffer.bytes" Int "65536" [Any] ReadOnly Accept(notes::REPLICATION),
        "The receive buffer of a follower's connection.";
    "num.replica.fetchers" Int "1" [AtLeast(1)] ClusterWide Accept(notes::REPLICATION),
        "Connections over which a broker fetches from each leader.";
    "replica.high.watermark.checkpoint.interval.ms" Long "5000" [Any] ReadOnly Accept(notes::WATERMARK),
        "How often the high watermarks are written to their checkpoint.";
    "replica.selector.class" Text null [Any] ReadOnly Accept(notes::SELECTOR),
        "The Java class that picks the replica a consumer should read from.";
    "auto.leader.rebalance.enable" Bool "true" [Any] ReadOnly Accept(notes::REPLICATION),
        "Whether leadership goes back to the preferred replicas by itself.";
    "leader.imbalance.check.interval.seconds" Long "300" [AtLeast(1)] ReadOnly Accept(notes::REPLICATION),
        "How often the balance of leaders is checked.";
    "unclean.leader.election.interval.ms" Long "300000" [AtLeast(1)] ReadOnly Internal(notes::REPLICATION),
        "How often partitions without a leader are looked at for an unclean election.";
    "follower.fetch.last.tiered.offset.enable" Bool "false" [Any] ClusterWide Accept(notes::TIERED),
        "Whether a new follower begins at the last tiered offset.";
    "security.inter.broker.protocol" Text "PLAINTEXT" [OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])] ReadOnly Accept(notes::REPLICATION),
        "The security protocol between brokers; the listener that speaks it is theirs.";
    "inter.broker.listener.name" Text null [Any] ReadOnly Honour,
        "The listener that brokers use among themselves.";
    "controller.listener.names" List "CONTROLLER" [Any] ReadOnly Accept(notes::QUORUM),
        "The listeners of the controllers. A single ottla node needs none and does not open them.";
    "controller.quorum.voters" List "" [Any] ReadOnly Accept(notes::QUORUM),
        "The controllers, as `id@host:port`.";
    "controller.quorum.bootstrap.servers" List "" [Any] ReadOnly Accept(notes::QUORUM),
        "Addresses where the controllers can be found.";
    "controller.quorum.election.timeout.ms" Int "1000" [AtLeast(0)] ReadOnly Accept(notes::QUORUM),
        "How long a candidate waits for votes.";
    "controller.quorum.fetch.timeout.ms" Int "2000" [AtLeast(0)] ReadOnly Accept(notes::QUORUM),
        "How long a controller goes without its leader before it stands for election.";
    "controller.quorum.election.backoff.max.ms" Int "1000" [AtLeast(0)] ReadOnly Accept(notes::QUORUM),
        "The longest pause between two elections.";
    "controller.quorum.append.linger.ms" Int "25" [AtLeast(0)] ReadOnly Accept(notes::QUORUM),
        "How long the controller gathers records before it writes them.";
    "controller.quorum.request.timeout.ms" Int "2000" [AtLeast(0)] ReadOnly Accept(notes::QUORUM),
        "How long a controller waits for another to answer.";
    "controller.quorum.retry.backoff.ms" Int "20" [AtLeast(0)] ReadOnly Accept(notes::QUORUM),
        "How long a controller rests before it asks again.";
    "controller.quorum.auto.join.enable" Bool "false" [Any] ReadOnly Accept(notes::QUORUM),
        "Whether a new controller joins the voters by itself.";
    "controller.quorum.fetch.snapshot.max.bytes" Int "1048576" [AtLeast(1)] ReadOnly Accept(notes::QUORUM),
        "The bytes of a snapshot fetched at once.";
    "controller.quorum.fetch.max.bytes" Int "1048576" [AtLeast(1)] ReadOnly Accept(notes::QUORUM),
        "The bytes of metadata log fetched at once.";
    "controller.socket.timeout.ms" Int "30000" [Any] ReadOnly Accept(notes::QUORUM),
        "How long a broker waits for the controller to answer.";
    "sasl.mechanism.controller.protocol" Text "GSSAPI" [Any] ReadOnly Accept(notes::SECURITY),
        "The SASL mechanism towards the controllers.";
    "controller.performance.sample.period.ms" Long "60000" [AtLeast(100)] ReadOnly Internal(notes::QUORUM),
        "How often the controller's event times are summed up.";
    "controller.performance.always.log.threshold.ms" Long "2000" [AtLeast(0)] ReadOnly Internal(notes::QUORUM),
        "The time beyond which a controller event is always logged.";
    "initial.broker.registration.timeout.ms" Int "60000" [Any] ReadOnly Accept(notes::QUORUM),
        "How long a broker tries to register at the start.";
    "broker.heartbeat.interval.ms" Int "2000" [Any] ReadOnly Accept(notes::QUORUM),
        "How often a broker tells the controller that it is alive.";
    "broker.session.timeout.ms" Int "9000" [Any] ReadOnly Accept(notes::QUORUM),
        "How long a silent broker counts as alive.";
    "metadata.log.dir" Text null [Any] ReadOnly Honour,
        "The directory of the metadata log; when it is not set, the first of `log.dirs`.";
    "metadata.log.max.record.bytes.between.snapshots" Long "20971520" [AtLeast(1)] ReadOnly Honour,
        "The bytes of metadata log after which a snapshot is taken.";
    "metadata.log.max.snapshot.interval.ms" Long "3600000" [AtLeast(0)] ReadOnly Accept(notes::SNAPSHOT),
        "The longest time between two snapshots.";
    "metadata.log.segment.bytes" Int "1073741824" [AtLeast(8_388_608)] ReadOnly Accept(notes::SNAPSHOT),
        "The size of a metadata log segment.";
    "metadata.log.segment.ms" Long "604800000" [Any] ReadOnly Accept(notes::SNAPSHOT),
        "The age at which a metadata log segment is closed.";
    "metadata.max.retention.bytes" Long "104857600" [Any] ReadOnly Accept(notes::SNAPSHOT),
        "The size of metadata log and snapshots that is kept.";
    "metadata.max.retention.ms" Long "604800000" [Any] ReadOnly Accept(notes::SNAPSHOT),
        "How long metadata log and snapshots are kept.";
    "metadata.max.idle.interval.ms" Int "500" [AtLeast(0)] ReadOnly Accept(notes::SNAPSHOT),
        "How often an idle controller writes a no-op record.";
};
