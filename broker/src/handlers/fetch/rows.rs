//! The rows of one fetch response as they are read, under the limits of the request.
//!
//! The first partition that has anything gives at least one whole batch, however small the limits are, so that a
//! consumer always gets on (KIP-74). A row whose reader has to go back is told where (KIP-595).

use bytes::Bytes;
use ottla_cluster::fetch_session::Interest;
use ottla_log::FileSlice;
use ottla_protocol::codec::FetchRecords;
use ottla_protocol::messages::fetch::{EpochEndOffset, PartitionData};
use ottla_protocol::{ErrorCode, LeaderEpoch, Offset};

use crate::error_code;
use crate::partition::{Partition, check_leader_epoch};

/// See the module.
pub(super) struct Rows {
    rows: Vec<PartitionData>,
    slices: Vec<FileSlice>,
    bytes: usize,
    bytes_max: usize,
    read_committed: bool,
    /// A row that the reader must see at once: an error, or a log that diverges from its own.
    urgent: bool,
}

impl Rows {
    /// No rows yet, with room for `row_count`.
    pub(super) fn new(bytes_max: usize, read_committed: bool, row_count: usize) -> Rows {
        let (rows, slices) = (Vec::with_capacity(row_count), Vec::new());
        Rows { rows, slices, bytes: 0, bytes_max, read_committed, urgent: false }
    }

    /// Record bytes so far.
    pub(super) fn bytes(&self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }

    /// Whether the reader should not have to wait for more.
    pub(super) fn is_enough(&self, bytes_min: i64) -> bool {
        self.urgent || self.bytes() >= bytes_min
    }

    /// The rows, and the region of each row that has one, in the same order.
    pub(super) fn finish(self) -> (Vec<PartitionData>, Vec<FileSlice>) {
        (self.rows, self.slices)
    }

    /// Adds the row of a partition that cannot be read.
    pub(super) fn refuse(&mut self, partition_index: i32, error_code: ErrorCode) {
        self.urgent = true;
        self.rows.push(PartitionData {
            error_code,
            high_watermark: -1,
            aborted_transactions: self.aborted_transactions(),
            ..empty_row(partition_index)
        });
    }

    /// Reads a partition and adds its row.
    pub(super) fn read(
        &mut self,
        partition_index: i32,
        partition: &Partition,
        interest: &Interest,
        high_watermark: Offset,
    ) {
        if let Err(code) = self.try_read(partition_index, partition, interest, high_watermark) {
            self.refuse(partition_index, code);
        }
    }

    fn try_read(
        &mut self,
        partition_index: i32,
        partition: &Partition,
        interest: &Interest,
        high_watermark: Offset,
    ) -> Result<(), ErrorCode> {
        check_leader_epoch(interest.current_leader_epoch, partition.leader_epoch())?;
        let last_stable_offset = partition.log().last_stable_offset(high_watermark);
        let mut row = PartitionData {
            high_watermark: high_watermark.get(),
            last_stable_offset: last_stable_offset.get(),
            log_start_offset: partition.log().log_start_offset().get(),
            aborted_transactions: self.aborted_transactions(),
            ..empty_row(partition_index)
        };
        if let Some(last_fetched_epoch) = LeaderEpoch::known(interest.last_fetched_epoch) {
            let end = partition.epoch_end_offset(last_fetched_epoch).ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?;
            if end.0 < last_fetched_epoch || end.1 < interest.fetch_offset {
                row.diverging_epoch = EpochEndOffset { epoch: end.0.get(), end_offset: end.1.get() };
                self.urgent = true;
                self.rows.push(row);
                return Ok(());
            }
        }
        let ceiling = if self.read_committed { last_stable_offset } else { high_watermark };
        let room = self.bytes_max.saturating_sub(self.bytes);
        let bytes_max = u32::try_from(interest.partition_max_bytes).unwrap_or(0);
        let bytes_max = bytes_max.min(u32::try_from(room).unwrap_or(u32::MAX));
        let read = partition.log().read(interest.fetch_offset, ceiling, bytes_max, self.bytes == 0);
        let read = read.map_err(|error| error_code::of_read_error(&error))?;
        if let Some(slice) = read.slice.filter(|slice| !slice.is_empty()) {
            row.records = FetchRecords::Region { len: slice.len() };
            self.bytes += slice.len() as usize;
            self.slices.push(slice);
        }
        self.rows.push(row);
        Ok(())
    }

    /// The list is there for whoever reads committed, even while no transaction was ever aborted.
    fn aborted_transactions(&self) -> Option<Vec<ottla_protocol::messages::fetch::AbortedTransaction>> {
        self.read_committed.then(Vec::new)
    }
}

/// Kafka answers with empty records, never with null ones.
fn empty_row(partition_index: i32) -> PartitionData {
    PartitionData { partition_index, records: FetchRecords::Bytes(Bytes::new()), ..PartitionData::default() }
}
