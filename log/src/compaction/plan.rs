//! Which part of a log is to be compacted, how urgently, and which segments become one.
//!
//! Pure: sizes, offsets and times go in, a decision comes out. It reads no record and holds no segment. The words are
//! Kafka's: *clean* was compacted before, *dirty* was not, *uncleanable* may not be yet. Invariant: nothing at or above
//! the stable end, which is the caller's, is ever cleanable, nor anything behind a segment that is not.

use std::ops::Range;

use ottla_protocol::Offset;

use crate::config::LogConfig;

/// Files that a swap keeps open for readers in flight are bounded by this.
const GROUP_SEGMENTS_MAX: usize = 256;

/// What a decision needs to know of a segment that is not appended to any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentFacts {
    pub(crate) base_offset: Offset,
    /// Where the next segment begins.
    pub(crate) end_offset: Offset,
    pub(crate) bytes: u64,
    pub(crate) offset_index_bytes: u64,
    pub(crate) time_index_bytes: u64,
    /// Only known if `min.compaction.lag.ms` asks for it.
    pub(crate) largest_timestamp: Option<i64>,
    /// Only known if `max.compaction.lag.ms` asks for it.
    pub(crate) first_timestamp: Option<i64>,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    /// All below was compacted, says the checkpoint.
    pub(crate) cleaned: Option<Offset>,
    /// Nothing at or above it may be touched: the last stable offset, or less.
    pub(crate) stable_end: Offset,
    pub(crate) now_ms: i64,
}

/// How dirty a log is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dirtiness {
    /// All below was compacted.
    pub first_dirty_offset: Offset,
    /// The base of the first segment that may not be compacted yet.
    pub first_uncleanable_offset: Offset,
    /// Bytes of segments that begin below the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes that a compaction would take up for the first time.
    pub dirty_bytes: u64,
    /// A record has been dirty for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// When time alone may change the answer.
    pub changes_at_ms: Option<i64>,
    /// A dirty segment waits for a transaction to end or for replicas.
    pub waits_for_stable_end: bool,
    min_ratio: f64,
}

impl Dirtiness {
    /// The dirty share of what a compaction would read.
    pub fn ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            total => self.dirty_bytes as f64 / total as f64,
        }
    }

    /// Whether the log is to be compacted now.
    pub fn is_due(&self) -> bool {
        self.dirty_bytes > 0 && (self.is_overdue || self.ratio() > self.min_ratio)
    }
}

/// Judges a log by its segments, the active one left out.
pub(crate) fn judge(segments: &[SegmentFacts], bounds: Bounds, config: &LogConfig) -> Dirtiness {
    let Bounds { log_start, log_end, cleaned, stable_end, now_ms } = bounds;
    let is_possible = |cleaned: &Offset| (log_start..=log_end).contains(cleaned);
    let first_dirty = cleaned.filter(is_possible).unwrap_or(log_start);
    let mut judged = Dirtiness {
        first_dirty_offset: first_dirty,
        first_uncleanable_offset: first_dirty,
        clean_bytes: segments.iter().filter(|one| one.base_offset < first_dirty).map(|one| one.bytes).sum(),
        dirty_bytes: 0,
        is_overdue: false,
        changes_at_ms: None,
        waits_for_stable_end: false,
        min_ratio: config.min_cleanable_dirty_ratio,
    };
    let dirty = || segments.iter().filter(|one| one.end_offset > first_dirty);
    for segment in dirty() {
        if segment.end_offset > stable_end {
            judged.waits_for_stable_end = true;
            break;
        }
        let ripe_at = segment.largest_timestamp.filter(|_| config.min_compaction_lag_ms > 0);
        let ripe_at = ripe_at.map(|newest| newest.saturating_add_unsigned(config.min_compaction_lag_ms));
        if ripe_at.is_some_and(|ripe_at| ripe_at > now_ms) {
            judged.changes_at_ms = ripe_at;
            break;
        }
        judged.dirty_bytes += segment.bytes;
        judged.first_uncleanable_offset = segment.end_offset;
    }
    let earliest = dirty().filter_map(|one| one.first_timestamp).filter(|timestamp| *timestamp > 0).min();
    let overdue_at = earliest.map(|earliest| earliest.saturating_add_unsigned(config.max_compaction_lag_ms));
    judged.is_overdue = overdue_at.is_some_and(|at| at < now_ms);
    let overdue_at = overdue_at.filter(|at| *at >= now_ms && *at < i64::MAX).map(|at| at + 1);
    judged.changes_at_ms = judged.changes_at_ms.into_iter().chain(overdue_at).min();
    judged
}

/// Divides neighbouring segments into groups, each of which fits one segment.
pub(crate) fn groups(segments: &[SegmentFacts], bytes_max: u64, index_bytes_max: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let (mut bytes, mut offset_index_bytes, mut time_index_bytes) = (0, 0, 0);
    for (place, segment) in segments.iter().enumerate() {
        let fits = groups.last().is_some_and(|group| {
            let offsets = (segment.end_offset - segments[group.start].base_offset).get() - 1;
            group.len() < GROUP_SEGMENTS_MAX
                && bytes + segment.bytes <= bytes_max
                && offset_index_bytes + segment.offset_index_bytes <= index_bytes_max
                && time_index_bytes + segment.time_index_bytes <= index_bytes_max
                && offsets <= i64::from(i32::MAX)
        });
        match groups.last_mut().filter(|_| fits) {
            Some(group) => group.end = place + 1,
            None => {
                groups.push(place..place + 1);
                (bytes, offset_index_bytes, time_index_bytes) = (0, 0, 0);
            }
        }
        bytes += segment.bytes;
        offset_index_bytes += segment.offset_index_bytes;
        time_index_bytes += segment.time_index_bytes;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(base: i64, end: i64, bytes: u64) -> SegmentFacts {
        SegmentFacts {
            base_offset: Offset::new(base),
            end_offset: Offset::new(end),
            bytes,
            offset_index_bytes: 8,
            time_index_bytes: 12,
            largest_timestamp: Some(end * 10),
            first_timestamp: Some(base * 10 + 1),
        }
    }

    fn four() -> Vec<SegmentFacts> {
        vec![segment(0, 10, 100), segment(10, 20, 100), segment(20, 30, 100), segment(30, 40, 100)]
    }

    fn bounds(cleaned: i64, stable_end: i64, now_ms: i64) -> Bounds {
        Bounds {
            log_start: Offset::new(0),
            log_end: Offset::new(45),
            cleaned: Some(Offset::new(cleaned)),
            stable_end: Offset::new(stable_end),
            now_ms,
        }
    }

    fn offsets(judged: &Dirtiness) -> (i64, i64) {
        (judged.first_dirty_offset.get(), judged.first_uncleanable_offset.get())
    }

    #[test]
    fn a_log_is_due_once_more_than_the_ratio_of_it_is_dirty() {
        let config = LogConfig { min_cleanable_dirty_ratio: 0.5, ..LogConfig::default() };
        for (cleaned, ratio, is_due) in
            [(0, 1.0, true), (10, 0.75, true), (20, 0.5, false), (30, 0.25, false), (40, 0.0, false)]
        {
            let judged = judge(&four(), bounds(cleaned, 45, 1000), &config);
            assert_eq!((judged.ratio(), judged.is_due()), (ratio, is_due), "cleaned {cleaned}");
            assert_eq!(offsets(&judged), (cleaned, 40));
        }
        assert!(!judge(&[], bounds(0, 45, 1000), &config).is_due());
        let always = LogConfig { min_cleanable_dirty_ratio: 0.0, ..config };
        assert!(judge(&four(), bounds(30, 45, 1000), &always).is_due());
        assert!(!judge(&four(), bounds(40, 45, 1000), &always).is_due(), "nothing is dirty");
    }

    #[test]
    fn a_checkpoint_that_cannot_be_true_counts_as_none() {
        let config = LogConfig::default();
        assert_eq!(offsets(&judge(&four(), bounds(46, 45, 1000), &config)), (0, 40));
        let deleted = Bounds { log_start: Offset::new(20), ..bounds(10, 45, 1000) };
        assert_eq!(offsets(&judge(&four()[2..], deleted, &config)), (20, 40));
    }

    #[test]
    fn nothing_behind_the_stable_end_is_cleanable() {
        let config = LogConfig::default();
        for (stable_end, uncleanable) in [(0, 0), (9, 0), (10, 10), (29, 20), (40, 40)] {
            let judged = judge(&four(), bounds(0, stable_end, 1000), &config);
            assert_eq!(offsets(&judged), (0, uncleanable), "stable end {stable_end}");
            assert_eq!(judged.waits_for_stable_end, uncleanable < 40);
        }
    }

    #[test]
    fn young_segments_wait_and_the_time_of_the_first_is_told() {
        let config = LogConfig { min_compaction_lag_ms: 50, ..LogConfig::default() };
        let judged = judge(&four(), bounds(0, 45, 340), &config);
        assert_eq!(offsets(&judged), (0, 20));
        assert_eq!(judged.changes_at_ms, Some(350));
        assert_eq!(offsets(&judge(&four(), bounds(0, 45, 350), &config)), (0, 30));
    }

    #[test]
    fn a_record_that_waited_too_long_makes_the_log_due_whatever_the_ratio() {
        let config =
            LogConfig { max_compaction_lag_ms: 100, min_cleanable_dirty_ratio: 1.0, ..LogConfig::default() };
        let judged = judge(&four(), bounds(20, 45, 301), &config);
        assert!(!judged.is_due());
        assert_eq!(judged.changes_at_ms, Some(302));
        assert!(judge(&four(), bounds(20, 45, 302), &config).is_due());
        let young = LogConfig { min_compaction_lag_ms: 1000, ..config };
        assert!(!judge(&four(), bounds(20, 45, 302), &young).is_due(), "nothing may be touched yet");
    }

    #[test]
    fn neighbours_are_grouped_as_long_as_one_segment_can_hold_them() {
        let groups = |segments: &[SegmentFacts], bytes_max, index_bytes_max| -> Vec<(usize, usize)> {
            let groups = groups(segments, bytes_max, index_bytes_max);
            groups.into_iter().map(|group| (group.start, group.end)).collect()
        };
        assert_eq!(groups(&four(), 250, 1000), [(0, 2), (2, 4)]);
        assert_eq!(groups(&four(), 1000, 1000), [(0, 4)]);
        assert_eq!(groups(&four(), 10, 1000), [(0, 1), (1, 2), (2, 3), (3, 4)]);
        assert_eq!(groups(&four(), 1000, 25), [(0, 2), (2, 4)], "the time indexes fill up first");
        let mut far = four();
        far[3].end_offset = Offset::new(1 << 31);
        assert_eq!(groups(&far, 1000, 1000), [(0, 4)]);
        far[3].end_offset = Offset::new((1 << 31) + 1);
        assert_eq!(groups(&far, 1000, 1000), [(0, 3), (3, 4)]);
        assert!(groups(&[], 1000, 1000).is_empty());
    }
}
