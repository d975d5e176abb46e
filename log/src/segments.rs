//! The segments of a log in order of their offsets, as one immutable list that readers share.
//!
//! Whoever changes the list (roll, seal, retention, truncation) holds the partition's lock and swaps in a new one.
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

    /// The segments from the one that holds `offset` on; none if all begin behind it.
    pub(crate) fn from(&self, offset: Offset) -> &[Arc<Segment>] {
        match self.0.partition_point(|segment| segment.base_offset() <= offset) {
            0 => &[],
            behind => &self.0[behind - 1..],
        }
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

    /// The list without its first `count` segments.
    pub(crate) fn without_first(&self, count: usize) -> Self {
        Self::new(self.0[count..].to_vec())
    }
}
