//! The segments of a log in order of their offsets, as one immutable list that readers share.
//!
//! Whoever changes the list (roll, seal, retention, compaction, truncation) holds the partition's lock and swaps in a new one.
//! Invariant: there is at least one segment, base offsets strictly grow, and only the last one is appended to.

use std::sync::Arc;

use ottla_protocol::Offset;

use crate::segment::Segment;

#[derive(Clone, Debug)]
pub(crate) struct Segments(Vec<Arc<Segment>>);

impl Segments {
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        assert!(!segments.is_empty(), "a log has a segment");
        assert!(
            segments.windows(2).all(|pair| pair[0].base_offset() < pair[1].base_offset()),
            "base offsets strictly grow"
        );
        Self(segments)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Arc<Segment>> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> &Arc<Segment> {
        &self.0[0]
    }

    /// The one that is appended to.
    pub(crate) fn active(&self) -> &Arc<Segment> {
        &self.0[self.0.len() - 1]
    }

    /// The segments from the one that holds `offset` on, or all if they begin behind it; never none.
    pub(crate) fn from(&self, offset: Offset) -> &[Arc<Segment>] {
        let behind = self.0.partition_point(|segment| segment.base_offset() <= offset);
        &self.0[behind.saturating_sub(1)..]
    }

    pub(crate) fn with_appended(&self, segment: Arc<Segment>) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self::new(segments)
    }

    /// The list with the segment of the same base offset replaced, if it is there.
    pub(crate) fn with_replaced(&self, segment: Arc<Segment>) -> Self {
        let mut segments = self.0.clone();
        if let Some(place) = segments.iter_mut().find(|old| old.base_offset() == segment.base_offset()) {
            *place = segment;
        }
        Self::new(segments)
    }

    /// Whether these very segments are neighbours in the list, in this order.
    pub(crate) fn holds_run(&self, run: &[Arc<Segment>]) -> bool {
        let first = run.first().and_then(|first| self.0.iter().position(|one| Arc::ptr_eq(one, first)));
        first.is_some_and(|first| {
            let rest = &self.0[first..];
            rest.len() >= run.len() && rest.iter().zip(run).all(|(one, other)| Arc::ptr_eq(one, other))
        })
    }

    /// The list with one segment in the place of a run of neighbours that it holds.
    pub(crate) fn with_run_replaced(&self, run: &[Arc<Segment>], segment: Arc<Segment>) -> Self {
        assert!(self.holds_run(run), "the segments to replace are in the list");
        let is_first = |one: &Arc<Segment>| Arc::ptr_eq(one, &run[0]);
        let mut segments = self.0.clone();
        let first = segments.iter().position(is_first).expect("the first of the run is in the list");
        segments.splice(first..first + run.len(), [segment]);
        Self::new(segments)
    }

    /// The list without its first `count` segments.
    pub(crate) fn without_first(&self, count: usize) -> Self {
        Self::new(self.0[count..].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory_state::DirectoryState;
    use crate::segment::LogFile;
    use crate::storage::MemoryStorage;

    #[test]
    fn the_segments_from_an_offset_begin_with_the_one_that_holds_it_or_the_first() {
        let storage = Arc::new(MemoryStorage::new());
        let shared = DirectoryState::new(
            storage,
            "/d".as_ref(),
            Default::default(),
            Default::default(),
            Default::default(),
        );
        let shared = crate::home::Home::new(Arc::new(shared));
        let segment = |base| {
            let log = LogFile::existing(shared.clone(), "x".into(), None);
            Arc::new(Segment::empty(Offset::new(base), log, 0))
        };
        let segments = Segments::new(vec![segment(10), segment(20), segment(30)]);
        for (offset, first) in [(0, 10), (10, 10), (19, 10), (20, 20), (99, 30)] {
            assert_eq!(
                segments.from(Offset::new(offset))[0].base_offset(),
                Offset::new(first),
                "offset {offset}"
            );
        }
    }
}
