//! The promises, checked on what a partition holds after a restart.
//!
//! Pure: what was sent, what was acknowledged, what a live reader saw, and the log that came back. Offsets give the
//! order, so every pass is linear.

use crate::finding::Finding;
use crate::payload::Identity;
use crate::producer::Acknowledged;
use std::collections::BTreeMap;

/// One producer's side of the story.
pub(crate) struct Sent<'a> {
    /// Its number.
    pub(crate) producer: u64,
    /// Below this, all may be in the log.
    pub(crate) next_number: u64,
    /// What was acknowledged, in order.
    pub(crate) acknowledged: &'a [Acknowledged],
    /// How many of those must be there, whatever happened: all of them as a rule.
    pub(crate) certain: usize,
}

/// Every record once, in order, none invented, none missing of which it is certain that it was kept, and each at the offset
/// that was told.
pub(crate) fn partition(log: &[Identity], sent: &[Sent<'_>]) -> Result<(), Finding> {
    let next = in_order(log, sent)?;
    for sender in sent {
        let present = next.get(&sender.producer).copied().unwrap_or(0);
        for (place, batch) in sender.acknowledged.iter().enumerate() {
            let end = batch.first_number + batch.count;
            if end <= present {
                in_place(log, sender.producer, batch)?;
            } else if place < sender.certain {
                return Err(Finding::Broken(format!(
                    "lost: producer {} had records [{}, {end}) acknowledged, the log has {present}",
                    sender.producer, batch.first_number
                )));
            }
        }
    }
    Ok(())
}

/// Every record once, in order, none invented; how many there are of each producer.
fn in_order(log: &[Identity], sent: &[Sent<'_>]) -> Result<BTreeMap<u64, u64>, Finding> {
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    for (offset, record) in log.iter().enumerate() {
        let due = next.entry(record.producer).or_insert(0);
        if record.number != *due {
            let kind = if record.number < *due { "a duplicate or a step back" } else { "a gap" };
            return Err(Finding::Broken(format!(
                "{kind}: at offset {offset} producer {} has record {} where {due} was due",
                record.producer, record.number
            )));
        }
        *due += 1;
    }
    for (producer, count) in &next {
        let sender = sent.iter().find(|sent| sent.producer == *producer);
        if sender.is_none_or(|sender| *count > sender.next_number) {
            return Err(Finding::Broken(format!(
                "{count} records of producer {producer}: more than it sent"
            )));
        }
    }
    Ok(next)
}

/// An acknowledged batch that is there lies where its producer was told.
fn in_place(log: &[Identity], producer: u64, batch: &Acknowledged) -> Result<(), Finding> {
    let Some(base_offset) = batch.base_offset else { return Ok(()) };
    let first = Identity { producer, number: batch.first_number };
    let last = Identity { producer, number: batch.first_number + batch.count - 1 };
    let at = |offset: i64| usize::try_from(offset).ok().and_then(|offset| log.get(offset)).copied();
    if at(base_offset) == Some(first) && at(base_offset + batch.count as i64 - 1) == Some(last) {
        return Ok(());
    }
    Err(Finding::Broken(format!(
        "moved: producer {producer} was told offset {base_offset} for record {}, where now {:?} lies",
        batch.first_number,
        at(base_offset)
    )))
}

/// What a reader once saw at an offset lies there for ever.
pub(crate) fn seen(log: &[Identity], seen: &[Identity]) -> Result<(), Finding> {
    if log.len() < seen.len() {
        let (log, seen) = (log.len(), seen.len());
        return Err(Finding::Broken(format!(
            "a reader saw {seen} records, the log has {log} after the restart"
        )));
    }
    match log.iter().zip(seen).position(|(now, then)| now != then) {
        None => Ok(()),
        Some(offset) => Err(Finding::Broken(format!(
            "offset {offset} held {:?} when it was read, and now holds {:?}",
            seen[offset], log[offset]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(pairs: &[(u64, u64)]) -> Vec<Identity> {
        pairs.iter().map(|(producer, number)| Identity { producer: *producer, number: *number }).collect()
    }

    fn check(log: &[(u64, u64)], acknowledged: &[Acknowledged]) -> Result<(), Finding> {
        partition(
            &records(log),
            &[Sent { producer: 1, next_number: 4, acknowledged, certain: acknowledged.len() }],
        )
    }

    const TWO: Acknowledged = Acknowledged { first_number: 0, count: 2, base_offset: Some(0) };

    #[test]
    fn a_sound_history_passes() {
        check(&[(1, 0), (1, 1)], &[TWO]).expect("all is there");
        check(&[(1, 0), (1, 1), (1, 2)], &[TWO]).expect("an unacknowledged record may be there");
        check(&[], &[]).expect("nothing was promised");
    }

    #[test]
    fn a_lost_record_is_found() {
        assert!(check(&[(1, 0)], &[TWO]).is_err());
    }

    #[test]
    fn an_end_that_may_be_lost_is_checked_as_far_as_it_is_there() {
        let check = |log: &[(u64, u64)], later, certain| {
            let acknowledged = &[TWO, later];
            partition(&records(log), &[Sent { producer: 1, next_number: 4, acknowledged, certain }])
        };
        let later = Acknowledged { first_number: 2, count: 1, base_offset: Some(2) };
        check(&[(1, 0), (1, 1)], later, 1).expect("the last one is gone");
        check(&[], later, 0).expect("all are gone");
        assert!(check(&[(1, 0)], later, 1).is_err(), "the first one is certain");
        assert!(check(&[(1, 0), (1, 2)], later, 0).is_err(), "a hole");
        let moved = Acknowledged { base_offset: Some(1), ..later };
        assert!(check(&[(1, 0), (1, 1), (1, 2)], moved, 1).is_err());
    }

    #[test]
    fn a_duplicate_is_found() {
        assert!(check(&[(1, 0), (1, 0), (1, 1)], &[]).is_err());
    }

    #[test]
    fn a_gap_and_a_swap_are_found() {
        assert!(check(&[(1, 0), (1, 2)], &[]).is_err());
        assert!(check(&[(1, 1), (1, 0)], &[]).is_err());
    }

    #[test]
    fn a_phantom_is_found() {
        assert!(check(&[(2, 0)], &[]).is_err());
        assert!(check(&[(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)], &[]).is_err());
    }

    #[test]
    fn a_moved_record_is_found() {
        let told = Acknowledged { base_offset: Some(1), ..TWO };
        assert!(check(&[(1, 0), (1, 1)], &[told]).is_err());
    }

    #[test]
    fn what_was_read_must_stay() {
        let then = records(&[(1, 0), (1, 1)]);
        seen(&records(&[(1, 0), (1, 1), (1, 2)]), &then).expect("growing is fine");
        assert!(seen(&records(&[(1, 0)]), &then).is_err());
        assert!(seen(&records(&[(1, 0), (2, 0)]), &then).is_err());
    }
}
