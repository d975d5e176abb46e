//! Every error that Kafka's protocol knows: one row each, with its code, its name, whether trying again can help, and
//! a sentence for people.
//!
//! An [`ErrorCode`] is what travels on the wire; a code that is not in the table survives a round trip and counts as
//! not retriable, as Kafka's clients treat it. No Rust error lives here: each crate has its own, and the broker maps
//! them to these.

use std::fmt;

/// A Kafka error code; [`ErrorCode::NONE`] (0) is success.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ErrorCode(i16);

/// One row of [`ERROR_TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorRow {
    /// The code on the wire.
    pub code: ErrorCode,
    /// Kafka's name of the error.
    pub name: &'static str,
    /// Whether the same request may succeed when it is sent again, perhaps after a metadata refresh.
    pub retriable: bool,
    /// What happened, as one sentence.
    pub sentence: &'static str,
}

impl ErrorCode {
    /// The error with this code, whether or not it is in the table.
    pub const fn new(code: i16) -> Self {
        Self(code)
    }

    /// The code on the wire.
    pub const fn get(self) -> i16 {
        self.0
    }

    /// Whether this is [`ErrorCode::NONE`].
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this is anything but [`ErrorCode::NONE`].
    pub const fn is_error(self) -> bool {
        self.0 != 0
    }

    /// `Ok` for [`ErrorCode::NONE`], otherwise the error itself.
    pub const fn ok(self) -> Result<(), ErrorCode> {
        if self.is_none() { Ok(()) } else { Err(self) }
    }

    /// The row of this error, or `None` for a code that Kafka had not given out when the table was written.
    pub fn row(self) -> Option<&'static ErrorRow> {
        // The table has every code from -1 on without a gap, which a test keeps true.
        usize::try_from(i32::from(self.0) + 1).ok().and_then(|place| ERROR_TABLE.get(place))
    }

    /// Kafka's name of the error, `UNKNOWN_ERROR_CODE` for a code outside the table.
    pub fn name(self) -> &'static str {
        self.row().map_or("UNKNOWN_ERROR_CODE", |row| row.name)
    }

    /// Whether the same request may succeed when it is sent again.
    pub fn is_retriable(self) -> bool {
        self.row().is_some_and(|row| row.retriable)
    }

    /// What happened, as one sentence.
    pub fn sentence(self) -> &'static str {
        self.row()
            .map_or("The other side reported an error that this version does not know.", |row| row.sentence)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name(), self.0, self.sentence())
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

impl std::error::Error for ErrorCode {}

impl From<i16> for ErrorCode {
    fn from(code: i16) -> Self {
        Self(code)
    }
}

macro_rules! error_table {
    ($($code:literal $name:ident $retriable:ident $sentence:literal)*) => {
        impl ErrorCode {
            $(#[doc = $sentence] pub const $name: ErrorCode = ErrorCode($code);)*
        }

        /// Every Kafka error, by ascending code from -1 without a gap.
        pub static ERROR_TABLE: &[ErrorRow] = &[$(ErrorRow {
            code: ErrorCode($code),
            name: stringify!($name),
            retriable: error_table!(@$retriable),
            sentence: $sentence,
        }),*];
    };
    (@retriable) => { true };
    (@final) => { false };
}

error_table! {
     -1 UNKNOWN_SERVER_ERROR final "The broker met an error that it did not expect while it served the request."
      0 NONE final "There was no error."
      1 OFFSET_OUT_OF_RANGE final "The offset is not within the range of offsets that the partition holds."
      2 CORRUPT_MESSAGE retriable "A record batch failed its checksum, has an impossible size or is damaged in another way."
      3 UNKNOWN_TOPIC_OR_PARTITION retriable "The broker does not know this topic or partition."
      4 INVALID_FETCH_SIZE final "The number of bytes that the fetch asks for is not legal."
      5 LEADER_NOT_AVAILABLE retriable "The partition has no leader at the moment."
      6 NOT_LEADER_OR_FOLLOWER retriable "The broker is not the leader of the partition, or not even one of its replicas."
      7 REQUEST_TIMED_OUT retriable "The request could not be finished within its time limit."
      8 BROKER_NOT_AVAILABLE final "The broker is not available."
      9 REPLICA_NOT_AVAILABLE retriable "The replica is not available for this partition."
     10 MESSAGE_TOO_LARGE final "A record batch is larger than the broker or the topic accepts."
     11 STALE_CONTROLLER_EPOCH final "The controller has moved to another node."
     12 OFFSET_METADATA_TOO_LARGE final "The metadata text of a committed offset is too long."
     13 NETWORK_EXCEPTION retriable "The connection broke before the response arrived."
     14 COORDINATOR_LOAD_IN_PROGRESS retriable "The coordinator is still loading its state."
     15 COORDINATOR_NOT_AVAILABLE retriable "The coordinator is not available."
     16 NOT_COORDINATOR retriable "The broker does not coordinate this group or transactional id."
     17 INVALID_TOPIC_EXCEPTION final "The topic name is not legal, or the operation is not allowed on this topic."
     18 RECORD_LIST_TOO_LARGE final "A record batch is larger than a segment of the log."
     19 NOT_ENOUGH_REPLICAS retriable "Fewer replicas are in sync than the topic requires, so nothing was written."
     20 NOT_ENOUGH_REPLICAS_AFTER_APPEND retriable "The records were written, but to fewer in-sync replicas than the topic requires."
     21 INVALID_REQUIRED_ACKS final "The number of acknowledgements must be -1, 0 or 1."
     22 ILLEGAL_GENERATION final "The generation is not the group's current one."
     23 INCONSISTENT_GROUP_PROTOCOL final "The member shares no protocol with the group, or it offers none at all."
     24 INVALID_GROUP_ID final "The group id is not legal."
     25 UNKNOWN_MEMBER_ID final "The coordinator does not know this member."
     26 INVALID_SESSION_TIMEOUT final "The session timeout lies outside the range that the broker allows."
     27 REBALANCE_IN_PROGRESS final "The group is rebalancing; the member has to join again."
     28 INVALID_COMMIT_OFFSET_SIZE final "The committed offset is too large to be stored."
     29 TOPIC_AUTHORIZATION_FAILED final "The client is not allowed to do this with the topic."
     30 GROUP_AUTHORIZATION_FAILED final "The client is not allowed to do this with the group."
     31 CLUSTER_AUTHORIZATION_FAILED final "The client is not allowed to do this with the cluster."
     32 INVALID_TIMESTAMP final "A record's timestamp lies outside the range that the topic accepts."
     33 UNSUPPORTED_SASL_MECHANISM final "The broker does not support this SASL mechanism."
     34 ILLEGAL_SASL_STATE final "The request does not fit the current step of the SASL exchange."
     35 UNSUPPORTED_VERSION final "The broker does not support this version of the API."
     36 TOPIC_ALREADY_EXISTS final "A topic of this name exists already."
     37 INVALID_PARTITIONS final "The number of partitions is not legal."
     38 INVALID_REPLICATION_FACTOR final "The replication factor is below 1 or above the number of available brokers."
     39 INVALID_REPLICA_ASSIGNMENT final "The assignment of replicas to brokers is not legal."
     40 INVALID_CONFIG final "A configuration key or value is not legal."
     41 NOT_CONTROLLER retriable "The node is not the cluster's active controller."
     42 INVALID_REQUEST final "The request contradicts itself or the protocol."
     43 UNSUPPORTED_FOR_MESSAGE_FORMAT final "The format of the stored records does not support the request."
     44 POLICY_VIOLATION final "The request violates a policy of the cluster."
     45 OUT_OF_ORDER_SEQUENCE_NUMBER final "The batch's sequence does not follow the last one of its producer."
     46 DUPLICATE_SEQUENCE_NUMBER final "The batch's sequence was written before."
     47 INVALID_PRODUCER_EPOCH final "The producer's epoch is older than the one that the broker knows."
     48 INVALID_TXN_STATE final "The transaction is not in a state that allows the operation."
     49 INVALID_PRODUCER_ID_MAPPING final "The producer id does not belong to the transactional id."
     50 INVALID_TRANSACTION_TIMEOUT final "The transaction timeout is longer than the broker allows."
     51 CONCURRENT_TRANSACTIONS retriable "Another operation on the same transaction is still running."
     52 TRANSACTION_COORDINATOR_FENCED final "The coordinator that sent the transaction marker has been replaced."
     53 TRANSACTIONAL_ID_AUTHORIZATION_FAILED final "The client is not allowed to use this transactional id."
     54 SECURITY_DISABLED final "No authorizer is configured, so there are no access rules."
     55 OPERATION_NOT_ATTEMPTED final "The operation was not tried because another one in the same request failed."
     56 KAFKA_STORAGE_ERROR retriable "A disk failed while the log was read or written."
     57 LOG_DIR_NOT_FOUND final "The log directory is not one of the broker's."
     58 SASL_AUTHENTICATION_FAILED final "SASL authentication failed."
     59 UNKNOWN_PRODUCER_ID final "The broker keeps no state for this producer id in the partition."
     60 REASSIGNMENT_IN_PROGRESS final "The partition is being moved to other replicas."
     61 DELEGATION_TOKEN_AUTH_DISABLED final "Delegation tokens are not enabled."
     62 DELEGATION_TOKEN_NOT_FOUND final "The delegation token does not exist."
     63 DELEGATION_TOKEN_OWNER_MISMATCH final "The principal may neither own nor renew the delegation token."
     64 DELEGATION_TOKEN_REQUEST_NOT_ALLOWED final "Delegation tokens cannot be requested over this kind of connection."
     65 DELEGATION_TOKEN_AUTHORIZATION_FAILED final "The client is not allowed to use this delegation token."
     66 DELEGATION_TOKEN_EXPIRED final "The delegation token has expired."
     67 INVALID_PRINCIPAL_TYPE final "The type of the principal is not supported."
     68 NON_EMPTY_GROUP final "The group still has members."
     69 GROUP_ID_NOT_FOUND final "The group does not exist."
     70 FETCH_SESSION_ID_NOT_FOUND retriable "The broker does not know this fetch session."
     71 INVALID_FETCH_SESSION_EPOCH retriable "The epoch of the fetch session is not the expected one."
     72 LISTENER_NOT_FOUND retriable "The leader has no listener of the name on which the request came in."
     73 TOPIC_DELETION_DISABLED final "Topics cannot be deleted on this cluster."
     74 FENCED_LEADER_EPOCH retriable "The leader epoch of the request is older than the partition's."
     75 UNKNOWN_LEADER_EPOCH retriable "The leader epoch of the request is newer than the one that the broker knows."
     76 UNSUPPORTED_COMPRESSION_TYPE final "The client cannot read the compression of this partition's records."
     77 STALE_BROKER_EPOCH final "The broker has registered anew since the request was made."
     78 OFFSET_NOT_AVAILABLE retriable "The new leader cannot yet tell which offsets are safe to report."
     79 MEMBER_ID_REQUIRED final "The member has to join again with the member id that it was just given."
     80 PREFERRED_LEADER_NOT_AVAILABLE retriable "The preferred leader is not available."
     81 GROUP_MAX_SIZE_REACHED final "The group has as many members as it may have."
     82 FENCED_INSTANCE_ID final "Another member has taken over this group instance id."
     83 ELIGIBLE_LEADERS_NOT_AVAILABLE retriable "No replica that may become the leader is available."
     84 ELECTION_NOT_NEEDED retriable "The partition needs no election."
     85 NO_REASSIGNMENT_IN_PROGRESS final "The partition is not being moved."
     86 GROUP_SUBSCRIBED_TO_TOPIC final "The group is subscribed to the topic, so its offsets cannot be deleted."
     87 INVALID_RECORD final "The broker rejected a record as not valid."
     88 UNSTABLE_OFFSET_COMMIT retriable "Some offsets belong to a transaction that is still open."
     89 THROTTLING_QUOTA_EXCEEDED retriable "The client has exceeded its quota."
     90 PRODUCER_FENCED final "A newer producer uses the same transactional id."
     91 RESOURCE_NOT_FOUND final "The request names something that does not exist."
     92 DUPLICATE_RESOURCE final "The request names the same thing twice."
     93 UNACCEPTABLE_CREDENTIAL final "The credential does not meet the requirements."
     94 INCONSISTENT_VOTER_SET final "The sender or the receiver is not one of the expected voters."
     95 INVALID_UPDATE_VERSION final "The version given for the update is not legal."
     96 FEATURE_UPDATE_FAILED final "The features could not be updated."
     97 PRINCIPAL_DESERIALIZATION_FAILURE final "The principal of a forwarded request could not be read."
     98 SNAPSHOT_NOT_FOUND final "The snapshot does not exist."
     99 POSITION_OUT_OF_RANGE final "The position lies outside the snapshot."
    100 UNKNOWN_TOPIC_ID retriable "The broker does not know this topic id."
    101 DUPLICATE_BROKER_REGISTRATION final "Another running broker uses this node id."
    102 BROKER_ID_NOT_REGISTERED final "No broker of this node id is registered."
    103 INCONSISTENT_TOPIC_ID retriable "The topic id does not belong to the topic that the broker holds."
    104 INCONSISTENT_CLUSTER_ID final "The request belongs to another cluster."
    105 TRANSACTIONAL_ID_NOT_FOUND final "The transactional id does not exist."
    106 FETCH_SESSION_TOPIC_ID_ERROR retriable "The fetch session mixes topics by name with topics by id."
    107 INELIGIBLE_REPLICA final "The new set of in-sync replicas has a member that may not be in it."
    108 NEW_LEADER_ELECTED final "The change was made, and with it the partition got another leader."
    109 OFFSET_MOVED_TO_TIERED_STORAGE final "The offset is no longer held locally but in tiered storage."
    110 FENCED_MEMBER_EPOCH final "The member's epoch is fenced; it has to give up its partitions and join again."
    111 UNRELEASED_INSTANCE_ID final "Another member still uses this group instance id."
    112 UNSUPPORTED_ASSIGNOR final "The group does not support this assignor."
    113 STALE_MEMBER_EPOCH final "The member's epoch is out of date; the next heartbeat brings the current one."
    114 MISMATCHED_ENDPOINT_TYPE final "The request was sent to the wrong kind of endpoint."
    115 UNSUPPORTED_ENDPOINT_TYPE final "This kind of endpoint is not supported."
    116 UNKNOWN_CONTROLLER_ID final "The controller id is not known."
    117 UNKNOWN_SUBSCRIPTION_ID final "The telemetry subscription is not known or out of date."
    118 TELEMETRY_TOO_LARGE final "The telemetry is larger than the broker accepts."
    119 INVALID_REGISTRATION final "The controller does not accept the broker's registration."
    120 TRANSACTION_ABORTABLE final "The transaction met an error and has to be aborted."
    121 INVALID_RECORD_STATE final "The record is not in a state that can be acknowledged this way."
    122 SHARE_SESSION_NOT_FOUND retriable "The broker does not know this share session."
    123 INVALID_SHARE_SESSION_EPOCH retriable "The epoch of the share session is not the expected one."
    124 FENCED_STATE_EPOCH final "The state epoch of the share group is not the expected one."
    125 INVALID_VOTER_KEY final "The voter's key is not the one of the replica that got the request."
    126 DUPLICATE_VOTER final "The voter is in the set of voters already."
    127 VOTER_NOT_FOUND final "The voter is not in the set of voters."
    128 INVALID_REGULAR_EXPRESSION final "The regular expression is not legal."
    129 REBOOTSTRAP_REQUIRED final "The client's metadata is too old; it has to start again from its bootstrap addresses."
    130 STREAMS_INVALID_TOPOLOGY final "The topology is not legal."
    131 STREAMS_INVALID_TOPOLOGY_EPOCH final "The topology epoch is not legal."
    132 STREAMS_TOPOLOGY_FENCED final "The topology epoch is out of date."
    133 SHARE_SESSION_LIMIT_REACHED retriable "The broker holds as many share sessions as it may hold."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_code_from_minus_one_without_a_gap() {
        for (row, code) in ERROR_TABLE.iter().zip(-1..) {
            assert_eq!(row.code, ErrorCode(code));
            assert_eq!(row.code.row(), Some(row));
        }
    }

    #[test]
    fn every_row_has_its_own_name_and_a_whole_sentence() {
        let names: std::collections::HashSet<_> = ERROR_TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ERROR_TABLE.len());
        for row in ERROR_TABLE {
            assert!(row.sentence.ends_with('.') && row.sentence.len() > 15, "{row:?}");
        }
    }

    #[test]
    fn a_code_outside_the_table_survives_and_is_not_retriable() {
        for code in [i16::MIN, -2, 134, i16::MAX] {
            let error = ErrorCode::new(code);
            assert_eq!((error.get(), error.row(), error.is_retriable()), (code, None, false));
        }
    }

    #[test]
    fn an_error_is_shown_with_name_code_and_sentence() {
        let shown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.to_string();
        assert_eq!(
            shown,
            "UNKNOWN_TOPIC_OR_PARTITION (3): The broker does not know this topic or partition."
        );
        assert_eq!(format!("{:?}", ErrorCode::NONE), "NONE(0)");
    }
}
