//! The promises of a compacted topic, checked on what a partition holds after a restart.
//!
//! Pure, as `check`, and of the same stories; but records may be gone. The key of a record is its number modulo a count, so a
//! later record of the same key is all that excuses a missing one. What is there lies where it always lay.

use crate::check::Sent;
use crate::finding::Finding;
use crate::payload::Identity;
use crate::producer::Acknowledged;

/// A record at its offset.
pub(crate) type Placed = (i64, Identity);

/// Every record at most once, in order, none invented, each at the offset that was told, and of each key the newest that was
/// acknowledged, or a newer one.
pub(crate) fn partition(log: &[Placed], sent: &[Sent<'_>], key_count: u64) -> Result<(), Finding> {
    if let Some((offset, record)) =
        log.iter().find(|(_, record)| sent.iter().all(|sender| sender.producer != record.producer))
    {
        return Err(Finding::Broken(format!("at offset {offset} is {record:?}, which nobody sent")));
    }
    for sender in sent {
        let own = log.iter().filter(|(_, record)| record.producer == sender.producer);
        let own: Vec<(i64, u64)> = own.map(|(offset, record)| (*offset, record.number)).collect();
        in_order(sender, &own)?;
        own.iter().try_for_each(|(offset, number)| in_place(sender, *offset, *number))?;
        newest_of_each_key(sender, &own, key_count)?;
    }
    Ok(())
}

fn in_order(sender: &Sent<'_>, own: &[(i64, u64)]) -> Result<(), Finding> {
    let producer = sender.producer;
    if let Some(pair) = own.windows(2).find(|pair| pair[0].1 >= pair[1].1) {
        let ((_, before), (offset, number)) = (pair[0], pair[1]);
        return Err(Finding::Broken(format!(
            "a duplicate or a step back: at offset {offset} producer {producer} has record {number} after {before}"
        )));
    }
    match own.last() {
        Some((offset, number)) if *number >= sender.next_number => {
            Err(Finding::Broken(format!("record {number} of producer {producer} at {offset} was never sent")))
        }
        _ => Ok(()),
    }
}

/// A record of an acknowledged batch lies where its producer was told.
fn in_place(sender: &Sent<'_>, offset: i64, number: u64) -> Result<(), Finding> {
    let end = |batch: &Acknowledged| batch.first_number + batch.count;
    let at = sender.acknowledged.partition_point(|batch| end(batch) <= number);
    let Some(batch) = sender.acknowledged.get(at) else { return Ok(()) };
    let told = batch.base_offset.map(|base| base + (number - batch.first_number) as i64);
    if told.is_none_or(|told| told == offset) {
        return Ok(());
    }
    let producer = sender.producer;
    Err(Finding::Broken(format!(
        "moved: record {number} of producer {producer} is at {offset}, its producer was told {told:?}"
    )))
}

/// What was acknowledged is one stretch of numbers from zero, so the last `key_count` of them are the newest of their keys.
fn newest_of_each_key(sender: &Sent<'_>, own: &[(i64, u64)], key_count: u64) -> Result<(), Finding> {
    let end = sender.acknowledged.last().map_or(0, |batch| batch.first_number + batch.count);
    let mut newest = vec![None; key_count as usize];
    for (_, number) in own {
        newest[(number % key_count) as usize] = Some(*number);
    }
    for number in end.saturating_sub(key_count)..end {
        let there = newest[(number % key_count) as usize];
        if there < Some(number) {
            let producer = sender.producer;
            return Err(Finding::Broken(format!(
                "lost: record {number} of producer {producer} is the newest acknowledged of its key; the log has {there:?}"
            )));
        }
    }
    Ok(())
}

/// What a reader once saw at an offset lies there, or nothing does.
pub(crate) fn seen(log: &[Placed], seen: &[Placed]) -> Result<(), Finding> {
    for (offset, then) in seen {
        let now = log.binary_search_by_key(offset, |(offset, _)| *offset).ok().map(|at| log[at].1);
        if now.is_some_and(|now| now != *then) {
            return Err(Finding::Broken(format!(
                "offset {offset} held {then:?} when it was read, and now holds {now:?}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records 0 to 5 were acknowledged from offset 10 on, 6 was sent; there are three keys.
    fn check(log: &[(i64, u64)]) -> Result<(), Finding> {
        let acknowledged = [
            Acknowledged { first_number: 0, count: 4, base_offset: Some(10) },
            Acknowledged { first_number: 4, count: 2, base_offset: Some(14) },
        ];
        let sent = [Sent { producer: 1, next_number: 7, acknowledged: &acknowledged, certain: 2 }];
        partition(&placed(log), &sent, 3)
    }

    fn placed(log: &[(i64, u64)]) -> Vec<Placed> {
        log.iter().map(|(offset, number)| (*offset, Identity { producer: 1, number: *number })).collect()
    }

    #[test]
    fn what_is_older_than_its_key_may_be_gone() {
        check(&[(13, 3), (14, 4), (15, 5)]).expect("the newest of each key");
        check(&[(10, 0), (12, 2), (13, 3), (14, 4), (15, 5)]).expect("and some that are older");
        check(&[(14, 4), (15, 5), (16, 6)]).expect("and one that is newer and was not acknowledged");
    }

    #[test]
    fn the_newest_of_a_key_may_not_be_gone() {
        assert!(check(&[(13, 3), (15, 5)]).is_err());
        assert!(check(&[(10, 0), (11, 1), (12, 2)]).is_err(), "an old one comes back");
        assert!(check(&[]).is_err());
    }

    #[test]
    fn what_is_there_is_there_once_in_order_and_in_its_place() {
        assert!(check(&[(13, 3), (14, 4), (15, 5), (16, 5)]).is_err(), "twice");
        assert!(check(&[(12, 4), (13, 3), (15, 5)]).is_err(), "swapped");
        assert!(check(&[(12, 3), (14, 4), (15, 5)]).is_err(), "moved");
        assert!(check(&[(13, 3), (14, 4), (15, 5), (17, 7)]).is_err(), "never sent");
    }

    #[test]
    fn what_was_read_stays_or_goes_but_does_not_change() {
        seen(&placed(&[(13, 3)]), &placed(&[(10, 0), (13, 3)])).expect("one is gone");
        assert!(seen(&placed(&[(13, 3)]), &placed(&[(13, 2)])).is_err());
    }
}
