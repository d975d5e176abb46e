//! A record as a program hands it to a producer: borrowed, because it is copied straight into its batch.

use ottla_protocol::PartitionIndex;

/// What a record's framing takes at most: lengths, deltas, attributes.
const OVERHEAD_BYTES_MAX: usize = 36;
/// What one header's framing takes at most.
const HEADER_OVERHEAD_BYTES_MAX: usize = 10;

/// Name and value of a header.
pub type RecordHeader<'a> = (&'a str, Option<&'a [u8]>);

/// A record to send. Everything but the topic; all parts are optional.
///
/// ```
/// use ottla_client::ProducerRecord;
/// let record = ProducerRecord::key_value(b"N14228", b"{\"origin\":\"EWR\"}").at(1_357_016_400_000);
/// assert_eq!(record.timestamp_ms, Some(1_357_016_400_000));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProducerRecord<'a> {
    /// The partition, or the partitioner's choice.
    pub partition: Option<PartitionIndex>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none deletes the key in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [RecordHeader<'a>],
    /// Milliseconds since 1970, or now.
    pub timestamp_ms: Option<i64>,
}

impl<'a> ProducerRecord<'a> {
    /// A record without a key.
    pub fn value(value: &'a [u8]) -> Self {
        ProducerRecord { value: Some(value), ..Default::default() }
    }

    /// A record with a key.
    pub fn key_value(key: &'a [u8], value: &'a [u8]) -> Self {
        ProducerRecord { key: Some(key), value: Some(value), ..Default::default() }
    }

    /// The same record for this partition.
    pub fn to_partition(self, partition: PartitionIndex) -> Self {
        ProducerRecord { partition: Some(partition), ..self }
    }

    /// The same record with this timestamp, in milliseconds since 1970.
    pub fn at(self, timestamp_ms: i64) -> Self {
        ProducerRecord { timestamp_ms: Some(timestamp_ms), ..self }
    }

    /// The same record with these headers.
    pub fn with_headers(self, headers: &'a [RecordHeader<'a>]) -> Self {
        ProducerRecord { headers, ..self }
    }

    /// What it takes in a batch, at most.
    pub(crate) fn bytes_max(&self) -> usize {
        let header = |(key, value): &RecordHeader<'_>| {
            key.len() + value.map_or(0, <[u8]>::len) + HEADER_OVERHEAD_BYTES_MAX
        };
        let headers: usize = self.headers.iter().map(header).sum();
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers + OVERHEAD_BYTES_MAX
    }
}
