//! What a topic's settings demand of a client's batch, as the rules that the protocol's check applies.
//!
//! The check itself, the checksum included, runs outside of the partition's lock in
//! [`ValidBatch::check`](ottla_protocol::records::ValidBatch::check). What depends on the log's state (sequences, epochs)
//! is not here but in the producer state.

use ottla_protocol::records::{Rules, TimestampBounds};

use crate::config::{LogConfig, MessageTimestampType};

impl LogConfig {
    /// The rules for a batch from a client that arrives at `now_ms`. Whether zstd may come depends on the request's
    /// version and is left allowed.
    pub fn client_rules(&self, now_ms: i64) -> Rules {
        let timestamps = match self.message_timestamp_type {
            MessageTimestampType::CreateTime => TimestampBounds::around(
                now_ms,
                self.message_timestamp_before_max_ms.try_into().unwrap_or(i64::MAX),
                self.message_timestamp_after_max_ms.try_into().unwrap_or(i64::MAX),
            ),
            MessageTimestampType::LogAppendTime => TimestampBounds::NONE,
        };
        Rules { keys_required: self.cleanup_compact, timestamps, ..Rules::client(self.max_message_bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_with_append_time_does_not_look_at_the_producers_clock() {
        let config =
            LogConfig { message_timestamp_type: MessageTimestampType::LogAppendTime, ..LogConfig::default() };
        assert_eq!(config.client_rules(1000).timestamps, TimestampBounds::NONE);
        let bounds = LogConfig::default().client_rules(1000).timestamps;
        assert_eq!((bounds.earliest, bounds.latest), (i64::MIN, 3_601_000));
    }
}
