//! Keys that older Kafka versions knew and newer ones do not, or that only the next Kafka knows.
//!
//! Files and tools still set them, so they are taken without a check, and the broker says that they have no effect.

use super::super::row::{Row, Support::Removed, rows};
use super::super::value::Rule::Any;
use super::notes;

pub(super) const REMOVED_TOPIC: &[Row] = rows! {
    "message.format.version" Text null [Any] ReadOnly Removed(notes::MESSAGE_FORMAT),
        "The record format of the topic.";
    "message.downconversion.enable" Text null [Any] ReadOnly Removed(notes::MESSAGE_FORMAT),
        "Whether batches were converted for consumers that only read older formats.";
    "message.timestamp.difference.max.ms" Text null [Any] ReadOnly Removed(notes::DROPPED),
        "How far a producer's timestamp could lie from the broker's clock; two configs say it now.";
    "errors.deadletterqueue.group.enable" Text null [Any] ReadOnly Removed(notes::DEAD_LETTERS),
        "Whether the topic may be the dead-letter queue of share groups.";
};

pub(super) const REMOVED_BROKER: &[Row] = rows! {
    "zookeeper.connect" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER), "The addresses of ZooKeeper.";
    "zookeeper.connection.timeout.ms" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER),
        "How long a connection to ZooKeeper could take.";
    "zookeeper.session.timeout.ms" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER), "The ZooKeeper session timeout.";
    "zookeeper.set.acl" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER), "Whether ZooKeeper nodes were protected.";
    "zookeeper.max.in.flight.requests" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER),
        "The requests to ZooKeeper that could be unanswered.";
    "zookeeper.metadata.migration.enable" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER),
        "Whether the cluster was leaving ZooKeeper.";
    "broker.id.generation.enable" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER),
        "Whether broker ids were handed out by ZooKeeper.";
    "reserved.broker.max.id" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER),
        "The greatest broker id that a user could choose.";
    "control.plane.listener.name" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER),
        "The listener on which the controller spoke to brokers.";
    "controlled.shutdown.max.retries" Text null [Any] ReadOnly Removed(notes::DROPPED),
        "How often a stopping broker asked to hand over its partitions.";
    "controlled.shutdown.retry.backoff.ms" Text null [Any] ReadOnly Removed(notes::DROPPED),
        "How long it rested in between.";
    "inter.broker.protocol.version" Text null [Any] ReadOnly Removed(notes::INTER_BROKER),
        "The protocol version between brokers.";
    "log.message.format.version" Text null [Any] ReadOnly Removed(notes::MESSAGE_FORMAT),
        "The record format of topics that did not say.";
    "log.message.downconversion.enable" Text null [Any] ReadOnly Removed(notes::MESSAGE_FORMAT),
        "Whether batches were converted for older consumers.";
    "log.message.timestamp.difference.max.ms" Text null [Any] ReadOnly Removed(notes::DROPPED),
        "How far a timestamp could lie from the broker's clock; two configs say it now.";
    "offsets.commit.required.acks" Text null [Any] ReadOnly Removed(notes::DROPPED),
        "The acknowledgements an offset commit waited for.";
    "auto.include.jmx.reporter" Text null [Any] ReadOnly Removed(notes::METRICS),
        "Whether the JMX reporter was always loaded.";
    "leader.imbalance.per.broker.percentage" Text null [Any] ReadOnly Removed(notes::REPLICATION),
        "The imbalance of leaders that was put up with.";
    "password.encoder.secret" Text null [Any] ReadOnly Removed(notes::ZOOKEEPER),
        "The secret that hid passwords in ZooKeeper.";
    "port" Text null [Any] ReadOnly Removed(notes::OLD_LISTENER), "The port of the only listener.";
    "host.name" Text null [Any] ReadOnly Removed(notes::OLD_LISTENER), "The host of the only listener.";
    "advertised.port" Text null [Any] ReadOnly Removed(notes::OLD_LISTENER), "The port that clients were told.";
    "advertised.host.name" Text null [Any] ReadOnly Removed(notes::OLD_LISTENER), "The host that clients were told.";
    "group.coordinator.new.enable" Text null [Any] ReadOnly Removed(notes::DROPPED),
        "Whether the newer group coordinator was used.";
};

/// Keys that belong to the authorizer and to nobody else: without one they would give a false feeling of safety.
pub(super) const AUTHORIZER: &[Row] = rows! {
    "super.users" Text null [Any] ReadOnly Removed(notes::AUTHORIZER), "The principals that every access rule allows.";
    "allow.everyone.if.no.acl.found" Text null [Any] ReadOnly Removed(notes::AUTHORIZER),
        "Whether a resource without access rules is open to everybody.";
};
