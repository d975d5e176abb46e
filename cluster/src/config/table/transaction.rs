//! The configs of producer ids and transactions.

use super::super::row::{
    Row,
    Support::{Accept, Honour, Internal},
    rows,
};
use super::super::value::Rule::{Any, AtLeast};
use super::notes;

pub(super) const TRANSACTION: &[Row] = rows! {
    "transaction.state.log.min.isr" Int "2" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "The in-sync replicas that a write to `__transaction_state` needs.";
    "transaction.state.log.load.buffer.size" Int "5242880" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "The bytes read at once when transaction state is loaded.";
    "transaction.state.log.replication.factor" Short "3" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "The replicas of `__transaction_state`; never more than there are brokers when it is created.";
    "transaction.state.log.num.partitions" Int "50" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "The partitions of `__transaction_state`.";
    "transaction.state.log.segment.bytes" Int "104857600" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "The segment size of `__transaction_state`.";
    "transaction.partition.verification.enable" Bool "true" [Any] ClusterWide Accept(notes::TRANSACTION),
        "Whether a partition checks that a transaction is open before it appends to it.";
    "producer.id.expiration.ms" Int "86400000" [AtLeast(1)] ClusterWide Honour,
        "How long an idle producer id is remembered by a partition.";
    "producer.id.expiration.check.interval.ms" Int "600000" [AtLeast(1)] ReadOnly Internal(notes::TRANSACTION),
        "How often expired producer ids are looked for.";
    "transactional.id.expiration.ms" Int "604800000" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "How long an idle transactional id is remembered.";
    "transaction.max.timeout.ms" Int "900000" [AtLeast(1)] ReadOnly Honour,
        "The longest timeout that a transaction may ask for.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" Int "10000" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "How often transactions past their timeout are aborted.";
    "transaction.remove.expired.transaction.cleanup.interval.ms" Int "3600000" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "How often expired transactional ids are removed.";
    "transaction.two.phase.commit.enable" Bool "false" [Any] ReadOnly Accept(notes::TRANSACTION),
        "Whether two-phase commit (KIP-939) is allowed.";
    "add.partitions.to.txn.retry.backoff.max.ms" Int "100" [AtLeast(0)] ReadOnly Accept(notes::TRANSACTION),
        "The longest time that adding a partition is tried again while the last transaction ends.";
    "add.partitions.to.txn.retry.backoff.ms" Int "20" [AtLeast(1)] ReadOnly Accept(notes::TRANSACTION),
        "The pause between two tries to add a partition.";
};
