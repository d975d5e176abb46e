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
}

/// Every record once, in order, none invented, none acknowledged one missing, and each at the offset that was told.
pub(crate) fn partition(log: &[Identity], sent: &[Sent<'_>]) -> Result<(), Finding> {
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
    for sender in sent {
        let present = next.get(&sender.producer).copied().unwrap_or(0);
        acknowledged(log, sender, present)?;
    }
    Ok(())
}

fn acknowledged(log: &[Identity], sender: &Sent<'_>, present: u64) -> Result<(), Finding> {
    for batch in sender.acknowledged {
        let end = batch.first_number + batch.count;
        if end > present {
            return Err(Finding::Broken(format!(
                "lost: producer {} had records [{}, {end}) acknowledged, the log has {present}",
                sender.producer, batch.first_number
            )));
        }
        let Some(base_offset) = batch.base_offset else { continue };
        let first = Identity { producer: sender.producer, number: batch.first_number };
        let last = Identity { producer: sender.producer, number: end - 1 };
        let at = |offset: i64| usize::try_from(offset).ok().and_then(|offset| log.get(offset)).copied();
        if at(base_offset) != Some(first) || at(base_offset + batch.count as i64 - 1) != Some(last) {
            return Err(Finding::Broken(format!(
                "moved: producer {} was told offset {base_offset} for record {}, where now {:?} lies",
                sender.producer,
                batch.first_number,
                at(base_offset)
            )));
        }
    }
    Ok(())
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
        partition(&records(log), &[Sent { producer: 1, next_number: 4, acknowledged }])
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
