//! The configs that Kafka does not have: ottla's own bounds, and the cluster's id.

use super::super::row::{Row, Support::Honour, rows};
use super::super::value::Rule::{Any, AtLeast};

pub(super) const OTTLA: &[Row] = rows! {
    "cluster.id" Text null [Any] ReadOnly Honour,
        "The id of the cluster; when it is not set, the first start makes one up and keeps it in the data directory.";
    "ottla.connection.inflight.requests.max" Int "100" [AtLeast(1)] ReadOnly Honour,
        "The requests of one connection that may be unanswered; beyond it the socket is not read.";
    "ottla.connection.queued.response.bytes.max" Int "1048576" [AtLeast(1)] ReadOnly Honour,
        "The response bytes that may wait for a client that does not read; records that are still on disk do not count.";
    "ottla.connection.buffer.idle.ms" Long "2000" [AtLeast(0)] ReadOnly Honour,
        "After how long without a byte a connection gives its large read buffer back.";
    "ottla.log.dir.free.bytes.min" Long "16777216" [AtLeast(0)] ReadOnly Honour,
        "The free space of a log directory below which producers are refused with a retriable error, so that everything else goes on.";
    "ottla.request.grace.ms" Long "30000" [AtLeast(0)] ReadOnly Honour,
        "How long a request may take to arrive before its pace matters.";
    "ottla.request.bytes.per.second.min" Long "16384" [AtLeast(0)] ReadOnly Honour,
        "The pace below which a request that is past its grace is given up, and its connection closed.";
};
