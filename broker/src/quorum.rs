//! The host of the controller: it commits the records that [`Image`] decides on, and publishes what comes of them.
//!
//! One voter for now: a decision is committed when it is on this broker's disk. The consensus that comes with the
//! cluster takes the place of [`MetadataLog`] and nothing else, because no decision is made here.
//! Decisions are taken one at a time on the newest image; readers take the published image without a lock.
//! Invariant: an image is published only after its records are on disk.

mod metadata_log;

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ottla_cluster::controller::{Image, MetadataRecord, Outcome};
use ottla_log::storage::Storage;
use parking_lot::Mutex;

use self::metadata_log::MetadataLog;
pub use self::metadata_log::MetadataLogError;

/// What a committed decision changed, for the shell to act on, and the reply it may now send.
#[derive(Debug)]
pub(crate) struct Committed<Reply> {
    /// The image on which it was decided.
    pub(crate) before: Arc<Image>,
    /// The image that came of it; the same when nothing changed.
    pub(crate) after: Arc<Image>,
    /// The reply.
    pub(crate) reply: Reply,
}

/// A quorum of one.
#[derive(Debug)]
pub(crate) struct LocalQuorum {
    image: ArcSwap<Image>,
    log: Mutex<MetadataLog>,
}

impl LocalQuorum {
    /// Opens the metadata log in `directory` and rebuilds the image from it.
    pub(crate) fn open(storage: Arc<dyn Storage>, directory: &Path) -> Result<LocalQuorum, MetadataLogError> {
        let (log, replay) = MetadataLog::open(storage, directory)?;
        let mut image = Image::default();
        for payload in replay.snapshot.iter().chain(&replay.entries) {
            let records: Vec<MetadataRecord> = postcard::from_bytes(payload)
                .map_err(|_| MetadataLogError::Foreign { path: directory.to_owned() })?;
            records.iter().for_each(|record| image.apply(record));
        }
        Ok(LocalQuorum { image: ArcSwap::from_pointee(image), log: Mutex::new(log) })
    }

    /// The newest committed image.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// Takes a decision and commits it: blocks for one fsync when it changes something. On an error nothing changed
    /// that anybody may see; whether the records come back after a restart is unknown, as with any failed fsync.
    pub(crate) fn commit<Reply>(
        &self,
        decide: impl FnOnce(&Image) -> Outcome<MetadataRecord, Reply>,
    ) -> Result<Committed<Reply>, MetadataLogError> {
        let mut log = self.log.lock();
        let before = self.image();
        let Outcome { records, reply } = decide(&before);
        if records.is_empty() {
            return Ok(Committed { after: before.clone(), before, reply });
        }
        log.append(&encode(&records))?;
        let mut after = Image::clone(&before);
        records.iter().for_each(|record| after.apply(record));
        let after = Arc::new(after);
        self.image.store(after.clone());
        if log.wants_snapshot() {
            // The entries stay where they are if this fails, and the next commit tries again.
            if let Err(error) = log.install_snapshot(&encode(&after.to_records())) {
                tracing::warn!(%error, "the metadata snapshot could not be written");
            }
        }
        Ok(Committed { before, after, reply })
    }
}

fn encode(records: &[MetadataRecord]) -> Vec<u8> {
    postcard::to_allocvec(records).expect("metadata records have a serde form")
}

#[cfg(test)]
mod tests {
    use ottla_log::storage::{FaultyStorage, MemoryStorage, Operation};
    use ottla_protocol::{BrokerId, ProducerId};

    use super::*;

    fn allocate(quorum: &LocalQuorum) -> Result<(), MetadataLogError> {
        quorum.commit(|image| image.allocate_producer_ids().unwrap()).map(drop)
    }

    #[test]
    fn what_was_committed_is_there_after_a_restart_and_past_snapshots() {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let open = || LocalQuorum::open(storage.clone(), Path::new("/metadata")).unwrap();
        let quorum = open();
        let rack = Some("r".repeat(metadata_log::LOG_BYTES_MAX as usize / 4));
        for id in 0..6 {
            let record = MetadataRecord::RegisterBroker { broker: BrokerId::new(id), rack: rack.clone() };
            quorum.commit(|_| Outcome { records: vec![record], reply: () }).unwrap();
            allocate(&quorum).unwrap();
        }
        let before = quorum.image();
        drop(quorum);
        assert_eq!(open().image(), before);
        assert_eq!(before.next_producer_id(), ProducerId::new(6_000));
    }

    #[test]
    fn a_failed_fsync_publishes_nothing_and_refuses_what_follows() {
        let faulty = FaultyStorage::new();
        let quorum = LocalQuorum::open(Arc::new(faulty.clone()), Path::new("/metadata")).unwrap();
        allocate(&quorum).unwrap();
        faulty.fail_next(Operation::SyncData, std::io::ErrorKind::Other);
        assert!(allocate(&quorum).is_err());
        assert!(allocate(&quorum).is_err(), "the log is not written past an unknown end");
        assert_eq!(quorum.image().next_producer_id(), ProducerId::new(1_000));
    }
}
