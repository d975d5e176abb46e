//! Positions in a partition's log: offsets, the distances between them, leader epochs and producer sequences.
//!
//! Each is a newtype that offers only the arithmetic that means something: two offsets cannot be added, a sequence
//! wraps, an epoch only has a successor. `-1` for "unknown" lives in the messages; past the codec it is an `Option`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// The position of a record in a partition's log; the first record has offset 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(i64);

/// A distance between two offsets, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OffsetDelta(i64);

/// Counts the leaders that a partition has had (KIP-101); it grows by one with each of them and never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaderEpoch(i32);

/// Numbers the records of one producer epoch in one partition (KIP-98); after `i32::MAX` comes 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(i32);

impl Offset {
    /// The offset of a partition's first record.
    pub const ZERO: Offset = Offset(0);
    /// The greatest offset there is.
    pub const MAX: Offset = Offset(i64::MAX);

    /// The offset with this raw number.
    pub const fn new(offset: i64) -> Self {
        Self(offset)
    }

    /// The offset, unless the number is one of the wire's negative marks (such as -1, "unknown").
    pub const fn known(offset: i64) -> Option<Self> {
        if offset >= 0 { Some(Self(offset)) } else { None }
    }

    /// The raw number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The offset right after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The offset `delta` further on, or `None` when that leaves the range of offsets.
    pub const fn checked_add(self, delta: OffsetDelta) -> Option<Self> {
        match self.0.checked_add(delta.0) {
            Some(offset) => Some(Self(offset)),
            None => None,
        }
    }
}

impl OffsetDelta {
    /// No distance.
    pub const ZERO: OffsetDelta = OffsetDelta(0);

    /// The distance of this many records.
    pub const fn new(delta: i64) -> Self {
        Self(delta)
    }

    /// The raw number of records.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl LeaderEpoch {
    /// The epoch of a partition's first leader.
    pub const ZERO: LeaderEpoch = LeaderEpoch(0);

    /// The epoch with this raw number.
    pub const fn new(epoch: i32) -> Self {
        Self(epoch)
    }

    /// The epoch, unless the number is the wire's -1 for "unknown".
    pub const fn known(epoch: i32) -> Option<Self> {
        if epoch >= 0 { Some(Self(epoch)) } else { None }
    }

    /// The raw number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The epoch of the next leader.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Sequence {
    /// The sequence of a producer epoch's first record.
    pub const ZERO: Sequence = Sequence(0);

    /// The sequence with this raw number.
    pub const fn new(sequence: i32) -> Self {
        Self(sequence)
    }

    /// The sequence, unless the number is the wire's -1 for a producer that is not idempotent.
    pub const fn known(sequence: i32) -> Option<Self> {
        if sequence >= 0 { Some(Self(sequence)) } else { None }
    }

    /// The raw number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The sequence `records` later; after `i32::MAX` the count begins again at 0. A negative count is taken as 0.
    pub const fn plus(self, records: i32) -> Self {
        let records = if records < 0 { 0 } else { records };
        Self(self.0.wrapping_add(records) & i32::MAX)
    }

    /// The sequence right after this one.
    pub const fn next(self) -> Self {
        self.plus(1)
    }
}

impl Add<OffsetDelta> for Offset {
    type Output = Offset;
    fn add(self, delta: OffsetDelta) -> Offset {
        Offset(self.0 + delta.0)
    }
}

impl AddAssign<OffsetDelta> for Offset {
    fn add_assign(&mut self, delta: OffsetDelta) {
        self.0 += delta.0;
    }
}

impl Sub<OffsetDelta> for Offset {
    type Output = Offset;
    fn sub(self, delta: OffsetDelta) -> Offset {
        Offset(self.0 - delta.0)
    }
}

impl Sub for Offset {
    type Output = OffsetDelta;
    fn sub(self, earlier: Offset) -> OffsetDelta {
        OffsetDelta(self.0 - earlier.0)
    }
}

impl Add for OffsetDelta {
    type Output = OffsetDelta;
    fn add(self, other: OffsetDelta) -> OffsetDelta {
        OffsetDelta(self.0 + other.0)
    }
}

macro_rules! raw_number {
    ($($name:ident($raw:ty)),* $(,)?) => {$(
        impl From<$raw> for $name {
            fn from(raw: $raw) -> Self {
                Self(raw)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

raw_number!(Offset(i64), OffsetDelta(i64), LeaderEpoch(i32), Sequence(i32));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_moves_by_a_delta_and_two_offsets_are_a_delta_apart() {
        let base = Offset::new(40);
        assert_eq!(base + OffsetDelta::new(2), Offset::new(42));
        assert_eq!(Offset::new(42) - base, OffsetDelta::new(2));
        assert_eq!(base.next(), Offset::new(41));
        assert_eq!(Offset::MAX.checked_add(OffsetDelta::new(1)), None);
    }

    #[test]
    fn a_sequence_begins_again_at_zero_after_the_greatest() {
        assert_eq!(Sequence::new(i32::MAX).next(), Sequence::ZERO);
        assert_eq!(Sequence::new(i32::MAX - 1).plus(5), Sequence::new(3));
        assert_eq!(Sequence::new(7).plus(3), Sequence::new(10));
    }

    #[test]
    fn negative_marks_of_the_wire_are_none() {
        assert_eq!(Offset::known(-1), None);
        assert_eq!(LeaderEpoch::known(-1), None);
        assert_eq!(Sequence::known(-1), None);
        assert_eq!(LeaderEpoch::known(3), Some(LeaderEpoch::new(3)));
    }
}
