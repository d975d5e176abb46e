//! Producer ids are given to brokers in blocks, so that a new producer costs no metadata record (KIP-730).

use std::ops::Range;

use ottla_protocol::{ErrorCode, ProducerId};

use super::image::Image;
use super::outcome::Outcome;
use super::record::MetadataRecord;

/// How many ids a block holds.
pub const PRODUCER_ID_BLOCK: i64 = 1_000;

/// Ids that belong to one broker alone, to hand out one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerIdBlock {
    free: Range<i64>,
}

impl ProducerIdBlock {
    /// The next id, or `None` when another block is needed.
    pub fn take(&mut self) -> Option<ProducerId> {
        self.free.next().map(ProducerId::new)
    }
}

impl Image {
    /// Sets aside the next block of producer ids.
    pub fn allocate_producer_ids(&self) -> Result<Outcome<MetadataRecord, ProducerIdBlock>, ErrorCode> {
        let first = self.next_producer_id().get();
        let next = first.checked_add(PRODUCER_ID_BLOCK).ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)?;
        let record = MetadataRecord::ProducerIds { next: ProducerId::new(next) };
        Ok(Outcome { records: vec![record], reply: ProducerIdBlock { free: first..next } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_given_twice() {
        let mut image = Image::default();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let Outcome { records, reply: mut block } = image.allocate_producer_ids().unwrap();
            records.iter().for_each(|record| image.apply(record));
            ids.extend(std::iter::from_fn(|| block.take()).map(ProducerId::get));
        }
        assert_eq!(ids, (0..2 * PRODUCER_ID_BLOCK).collect::<Vec<_>>());
    }
}
