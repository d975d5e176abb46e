//! Open, committed and aborted transactions as one partition sees them: last stable offset, aborted index, recovery.

use std::path::Path;
use std::sync::Arc;

use ottla_log::storage::{FaultyStorage, MemoryStorage, Storage};
use ottla_log::{AppendError, AppendOrigin, LogConfig, Stamp};
use ottla_protocol::records::{BatchProducer, Rules, ValidBatch, end_transaction_marker};
use ottla_protocol::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

use crate::fixture::{NOW_MS, Partition, append_stamped, batch, transactional_batch};

fn end(
    partition: &Partition,
    producer: i64,
    committed: bool,
    coordinator_epoch: i32,
) -> Result<Offset, AppendError> {
    let producer =
        BatchProducer { id: ProducerId::new(producer), epoch: ProducerEpoch::ZERO, base_sequence: None };
    let marker = end_transaction_marker(producer, committed, coordinator_epoch, NOW_MS);
    let marker = ValidBatch::check(marker, &Rules::stored()).unwrap();
    let stamp = Stamp { leader_epoch: LeaderEpoch::ZERO, now_ms: NOW_MS, origin: AppendOrigin::Coordinator };
    append_stamped(&partition.log, marker, stamp).map(|appended| appended.base_offset)
}

fn stable(partition: &Partition) -> i64 {
    partition.log.last_stable_offset(partition.log.log_end_offset()).get()
}

fn aborted(partition: &Partition) -> Vec<(i64, i64)> {
    let found = partition.log.aborted_transactions(Offset::ZERO, Offset::MAX);
    found.iter().map(|aborted| (aborted.first_offset.get(), aborted.last_offset.get())).collect()
}

#[test]
fn read_committed_waits_for_the_oldest_open_transaction() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let partition = Partition::open(&storage, Path::new("/data"), LogConfig::default()).unwrap();
    partition.append(batch("plain", 2)).unwrap();
    partition.append(transactional_batch(1, 0, 0, 3)).unwrap();
    partition.append(transactional_batch(2, 0, 0, 3)).unwrap();
    assert_eq!(stable(&partition), 2);
    assert_eq!(end(&partition, 1, false, 0).unwrap(), Offset::new(8));
    assert_eq!(stable(&partition), 5);
    partition.append(transactional_batch(2, 0, 3, 1)).unwrap();
    end(&partition, 2, true, 0).unwrap();
    assert_eq!(
        partition.log.last_stable_offset(Offset::new(10)),
        Offset::new(5),
        "its marker is not replicated"
    );
    assert_eq!(stable(&partition), 11);
    assert_eq!(aborted(&partition), [(2, 8)]);
    assert!(matches!(end(&partition, 1, true, -1), Err(AppendError::CoordinatorFenced { .. })));
}

#[test]
fn transactions_are_found_again_after_any_stop() {
    for clean in [true, false] {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let config = LogConfig { segment_bytes: 600, ..LogConfig::default() };
        let partition = Partition::open(&storage, Path::new("/data"), config.clone()).unwrap();
        for round in 0..6 {
            partition.append(transactional_batch(1, 0, round * 3, 3)).unwrap();
            end(&partition, 1, round % 2 == 0, 0).unwrap();
        }
        partition.append(transactional_batch(1, 0, 18, 3)).unwrap();
        let before = (stable(&partition), aborted(&partition));
        assert_eq!(before.0, 24);
        assert_eq!(before.1, [(4, 7), (12, 15), (20, 23)]);
        if clean {
            partition.dir.close().unwrap();
        }
        drop(partition);
        let again = Partition::open(&storage, Path::new("/data"), config.clone()).unwrap();
        assert_eq!((stable(&again), aborted(&again)), before, "clean {clean}");
        again.log.truncate_to(Offset::new(13)).unwrap();
        assert_eq!((stable(&again), aborted(&again)), (12, vec![(4, 7)]), "clean {clean}");
        drop(again);
        let third = Partition::open(&storage, Path::new("/data"), config).unwrap();
        assert_eq!((stable(&third), aborted(&third)), (12, vec![(4, 7)]), "clean {clean}");
    }
}

/// Found by the model of compaction: the file of aborted transactions was never synced, and the snapshot behind it was.
#[test]
fn an_abort_in_a_sealed_segment_outlives_a_power_loss() {
    for is_clean in [true, false] {
        let faulty = FaultyStorage::new();
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        let partition = Partition::open(&storage, Path::new("/data"), LogConfig::default()).unwrap();
        partition.append(transactional_batch(1, 0, 0, 3)).unwrap();
        end(&partition, 1, false, 0).unwrap();
        if is_clean {
            partition.dir.close().unwrap();
        } else {
            partition.log.roll(NOW_MS).unwrap();
            partition.log.prepare_next().unwrap();
        }
        let lost: Arc<dyn Storage> = Arc::new(faulty.after_power_loss(|| 0));
        let again = Partition::open(&lost, Path::new("/data"), LogConfig::default()).unwrap();
        assert_eq!(aborted(&again), [(0, 3)], "clean {is_clean}");
    }
}
