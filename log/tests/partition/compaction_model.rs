//! I16 by chance: random appends, tombstones, transactions, rolls, compactions and restarts beside a model, with a crash
//! before each change of the disk.
//!
//! The model knows every record that was appended and how far they were made durable. Whatever happens, of each key the
//! last committed record is there (a tombstone only until its time is over, and then nothing of the key), everything that
//! is there was appended at that offset, offsets grow, and who reads committed sees nothing of aborted transactions. After a kill everything written is found, after a power loss a random
//! part of what was not synced is lost or torn.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ottla_log::storage::{FaultyStorage, Storage};
use ottla_log::{AppendError, AppendOrigin, LogConfig, LogError, Stamp};
use ottla_protocol::LeaderEpoch;
use proptest::prelude::*;

use crate::compaction::{
    DATA, assert_no_leftovers, assert_sound, clean_at, compacted, end_transaction, keyed, read_committed,
    rows, transactional,
};
use crate::fixture::{NOW_MS, Partition, append_stamped};

const RETENTION_MS: i64 = 1000;

#[derive(Clone, Debug)]
enum Step {
    /// Records of these keys; a value of 0 is a tombstone.
    Append(Vec<(u8, u8)>),
    /// The same by a producer, as a transaction that is committed or aborted.
    Transact(i64, Vec<(u8, u8)>, bool),
    Roll,
    Sync,
    Checkpoint,
    /// Compacts after so many milliseconds.
    Clean(i64),
    Retain,
    CleanStop,
}

fn step() -> impl Strategy<Value = Step> {
    let records = || proptest::collection::vec((0u8..6, 0u8..4), 1..4);
    prop_oneof![
        6 => records().prop_map(Step::Append),
        3 => (1i64..3, records(), any::<bool>())
            .prop_map(|(producer, records, is_commit)| Step::Transact(producer, records, is_commit)),
        3 => Just(Step::Roll),
        1 => Just(Step::Sync),
        1 => Just(Step::Checkpoint),
        4 => (0i64..800).prop_map(Step::Clean),
        1 => Just(Step::Retain),
        1 => Just(Step::CleanStop),
    ]
}

/// What the outside knows.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Every record, by its offset.
    appended: BTreeMap<i64, (String, Option<String>)>,
    /// Those of transactions that were, or would have been, aborted.
    aborted: BTreeSet<i64>,
    end: i64,
    durable_end: i64,
    /// Below it no key may come twice.
    clean_end: i64,
    now_ms: i64,
    /// When each tombstone may first have met a compaction.
    met_at: BTreeMap<i64, i64>,
}

impl Model {
    /// The committed records below `end`, by key, the last of each.
    fn last_of_each_key(&self, end: i64) -> BTreeMap<&str, (i64, &Option<String>)> {
        let below = self.appended.range(..end).filter(|(offset, _)| !self.aborted.contains(offset));
        below.map(|(offset, (key, value))| (key.as_str(), (*offset, value))).collect()
    }

    fn check(&self, partition: &Partition) {
        let found = rows(&partition.log);
        let end = partition.log.log_end_offset().get();
        assert!(self.durable_end <= end, "durable records are there: {} <= {end}", self.durable_end);
        for (offset, key, value) in &found {
            let appended = self.appended.get(offset);
            assert_eq!(appended, Some(&(key.clone(), value.clone())), "offset {offset}");
        }
        let (stable_end, found) = read_committed(&partition.log);
        for (offset, ..) in &found {
            assert!(!self.aborted.contains(offset), "offset {offset} was aborted");
        }
        for (key, (offset, value)) in self.last_of_each_key(stable_end.get()) {
            if found.iter().any(|(found, ..)| *found == offset) {
                continue;
            }
            assert_eq!(*value, None, "the last value of {key} at {offset} is gone: {found:?}");
            let met_at = self.met_at.get(&offset).copied().unwrap_or_else(|| {
                panic!("the tombstone of {key} at {offset} is gone before a compaction, the end is {end}: {found:?}")
            });
            assert!(
                self.now_ms >= met_at + RETENTION_MS,
                "the tombstone of {key} at {offset} went too early"
            );
            assert!(found.iter().all(|(_, found, _)| found != key), "{key} came back: {found:?}");
        }
        let clean: Vec<_> = found.iter().filter(|(offset, ..)| *offset < self.clean_end).collect();
        for (place, (_, key, _)) in clean.iter().enumerate() {
            let again = clean[place + 1..].iter().any(|(_, other, _)| other == key);
            assert!(!again, "{key} comes twice below {}: {found:?}", self.clean_end);
        }
    }

    /// A log that ends earlier than what was appended: a crash before it was durable.
    fn forget_behind(&mut self, end: i64) {
        self.appended.split_off(&end);
        self.met_at.split_off(&end);
        self.aborted.split_off(&end);
        self.end = end;
        self.durable_end = self.durable_end.min(end);
        self.clean_end = 0;
    }
}

fn config() -> LogConfig {
    LogConfig { delete_retention_ms: RETENTION_MS as u64, ..compacted() }
}

fn open(faulty: &FaultyStorage) -> Result<Partition, LogError> {
    let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
    Partition::open(&storage, Path::new(DATA), config())
}

fn act(
    partition: &mut Partition,
    faulty: &FaultyStorage,
    model: &mut Model,
    step: &Step,
) -> Result<(), LogError> {
    match step {
        Step::Append(records) => append(partition, model, records, None),
        Step::Transact(producer, records, is_commit) => {
            let base = model.end;
            if !is_commit {
                model.aborted.extend(base..base + records.len() as i64);
            }
            append(partition, model, records, Some(*producer))?;
            end_transaction(&partition.log, *producer, *is_commit)?;
            model.end += 1;
            Ok(())
        }
        Step::Roll => partition.log.roll(NOW_MS),
        Step::Sync => partition.log.sync().map(|end| model.durable_end = end.get()),
        Step::Checkpoint => partition.dir.checkpoint(),
        Step::Clean(later_ms) => {
            model.now_ms += later_ms;
            // Even a round that fails may have met them.
            for (offset, (_, value)) in &model.appended {
                if value.is_none() {
                    model.met_at.entry(*offset).or_insert(model.now_ms);
                }
            }
            let cleaned = clean_at(&partition.log, NOW_MS + model.now_ms)?;
            model.clean_end = cleaned.clean_end.get();
            model.durable_end = model.durable_end.max(model.clean_end);
            Ok(())
        }
        Step::Retain => {
            let end = partition.log.log_end_offset();
            partition.log.retain(NOW_MS + model.now_ms, end).map(|_| ())
        }
        Step::CleanStop => {
            partition.dir.close()?;
            model.durable_end = model.end;
            *partition = reopen(partition, faulty)?;
            Ok(())
        }
    }
}

/// Lets go of the directory's lock first.
fn reopen(partition: &mut Partition, faulty: &FaultyStorage) -> Result<Partition, LogError> {
    let elsewhere = FaultyStorage::new();
    drop(std::mem::replace(partition, open(&elsewhere).expect("an empty storage has no faults")));
    open(faulty)
}

fn append(
    partition: &Partition,
    model: &mut Model,
    records: &[(u8, u8)],
    producer: Option<i64>,
) -> Result<(), LogError> {
    let text = |(key, value): &(u8, u8)| {
        let value = (*value > 0).then(|| format!("{value}.{}", model.end));
        (format!("k{key}"), value)
    };
    let rows: Vec<(String, Option<String>)> = records.iter().map(text).collect();
    let borrowed: Vec<(&str, Option<&str>)> =
        rows.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
    let base = model.end;
    // Also if the append fails: half of it may be on the disk, and a whole batch of it may be found.
    model.appended.extend((base..).zip(rows.iter().cloned()));
    let batch = match producer {
        // A coordinator's sequences are not checked; those of a real producer would not survive a crash here.
        Some(producer) => transactional(producer, base as i32, &borrowed),
        None => keyed(&borrowed),
    };
    let stamp = Stamp { leader_epoch: LeaderEpoch::ZERO, now_ms: NOW_MS, origin: AppendOrigin::Coordinator };
    match append_stamped(&partition.log, batch, stamp) {
        Ok(appended) => {
            assert_eq!(appended.base_offset.get(), base);
            model.end += rows.len() as i64;
            Ok(())
        }
        Err(AppendError::Log(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// Works until the storage crashes or the steps are done.
fn work(faulty: &FaultyStorage, steps: &[Step]) -> Model {
    let mut model = Model::default();
    let Ok(mut partition) = open(faulty) else {
        assert!(faulty.has_crashed());
        return model;
    };
    for step in steps {
        if let Err(error) = act(&mut partition, faulty, &mut model, step) {
            assert!(faulty.has_crashed(), "{step:?}: {error}");
            return model;
        }
        if faulty.has_crashed() {
            // What failed then was nothing that the caller had to hear of.
            return model;
        }
        model.check(&partition);
    }
    model
}

/// What a crash has left is opened, checked, compacted and checked again.
fn check_after_crash(found: &FaultyStorage, model: &Model) {
    let mut model = model.clone();
    let mut partition = open(found).expect("what a crash has left can be opened");
    model.check_before_forgetting(&partition);
    model.forget_behind(partition.log.log_end_offset().get());
    model.check(&partition);
    assert_no_leftovers(found);
    for step in [Step::Append(vec![(0, 1), (1, 0)]), Step::Roll, Step::Clean(10), Step::CleanStop] {
        act(&mut partition, found, &mut model, &step).expect("nothing fails any more");
        model.check(&partition);
    }
    assert_sound(found);
}

impl Model {
    fn check_before_forgetting(&self, partition: &Partition) {
        let end = partition.log.log_end_offset().get();
        assert!(self.durable_end <= end, "durable up to {}, but it ends at {end}", self.durable_end);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) })]

    #[test]
    fn compaction_keeps_what_it_must_whenever_it_is_interrupted(
        steps in proptest::collection::vec(step(), 5..30),
        seed in any::<u64>(),
    ) {
        let faultless = FaultyStorage::new();
        faultless.crash_at(u64::MAX);
        work(&faultless, &steps);
        let operations = faultless.operation_count();
        let mut chance = seed | 1;
        let mut draw = move || {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            (chance >> 24) as u8
        };
        for at in 1..=operations {
            let faulty = FaultyStorage::new();
            faulty.crash_at(at);
            let model = work(&faulty, &steps);
            check_after_crash(&faulty.after_kill(), &model);
            check_after_crash(&faulty.after_power_loss(&mut draw), &model);
        }
    }
}
