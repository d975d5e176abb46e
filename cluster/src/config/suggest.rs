//! Which known key somebody may have meant by an unknown one.

/// The candidate nearest to `word`, unless all are too far away to be what was meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace(['_', '-'], ".");
    let distance_max = (word.len() / 4).clamp(1, 4);
    candidates
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= distance_max)
        .map(|candidate| (distance(word.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be added, taken away, changed or swapped with their neighbour (Damerau).
fn distance(from: &[u8], to: &[u8]) -> usize {
    let (mut before, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=to.len()).collect());
    for (i, left) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, right) in to.iter().enumerate() {
            let changed = row[j] + usize::from(left != right);
            let mut least = changed.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *left == to[j - 1] && from[i - 1] == *right {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_key_and_nonsense_finds_none() {
        let keys = ["log.retention.ms", "log.retention.hours", "log.dirs", "log.dir", "num.partitions"];
        for (word, meant) in [
            ("log.retension.ms", Some("log.retention.ms")),
            ("log.retentoin.ms", Some("log.retention.ms")),
            ("LOG_RETENTION_MS", Some("log.retention.ms")),
            ("num.partition", Some("num.partitions")),
            ("log.dris", Some("log.dirs")),
            ("log.dirs", Some("log.dirs")),
            ("entirely.different", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys.into_iter()), meant, "{word}");
        }
    }
}
