//! The subscribers of one topic sorted by load, and who is next to receive or to give.
//!
//! Two ranges of members with equal load: the low one grows to the right as each of its members got one partition more,
//! the high one to the left as each gave one away. A member with nothing to give is put behind the high range. Loads are
//! read as they are now; whoever asks moves the partition and changes them.
//!
//! ```text
//! load │              ##
//!      │         [####]#    high range; the last has nothing of this topic
//!      │ [#####]########    low range
//!      └────────────────► members
//! ```

/// The ranges. Places in `sorted` are signed because the one left of the first is a legal end of the walk.
pub(super) struct Load {
    sorted: Vec<usize>,
    low_end: usize,
    low_level: i64,
    low_next: usize,
    high_start: i64,
    high_end: i64,
    high_level: i64,
    high_next: i64,
}

impl Load {
    /// Sorts these members (at least one, in ascending order) by load.
    pub(super) fn of(members: &[usize], loads: &[u32]) -> Load {
        let mut sorted = members.to_vec();
        sorted.sort_by_key(|member| loads[*member]);
        let count = sorted.len() as i64;
        Load {
            low_end: 0,
            low_level: i64::from(loads[sorted[0]]) - 1,
            low_next: 0,
            high_start: count,
            high_end: count,
            high_level: i64::from(loads[sorted[sorted.len() - 1]]) + 1,
            high_next: count - 1,
            sorted,
        }
    }

    /// How much more the most loaded member has than the least loaded one.
    pub(super) fn spread(&self, loads: &[u32]) -> u32 {
        loads[self.sorted[self.sorted.len() - 1]] - loads[self.sorted[0]]
    }

    /// Whether moving one more partition from high to low would gain nothing.
    pub(super) fn is_even(&self) -> bool {
        self.high_level - self.low_level <= 1
    }

    /// Who gets the next partition.
    pub(super) fn receiver(&mut self, loads: &[u32]) -> usize {
        if self.low_next >= self.low_end {
            self.low_level += 1;
            while self.low_end < self.sorted.len()
                && i64::from(loads[self.sorted[self.low_end]]) == self.low_level
            {
                self.low_end += 1;
            }
            self.low_next = 0;
        }
        self.low_next += 1;
        self.sorted[self.low_next - 1]
    }

    /// Who gives the next partition away, of those that `can` give one; `None` if nobody is left.
    pub(super) fn giver(&mut self, loads: &[u32], can: impl Fn(usize) -> bool) -> Option<usize> {
        loop {
            if self.high_next < self.high_start {
                self.widen_high(loads);
            }
            let place = usize::try_from(self.high_next).ok()?;
            self.high_next -= 1;
            let member = self.sorted[place];
            if can(member) {
                return Some(member);
            }
            self.high_end -= 1;
            self.sorted.swap(place, self.high_end as usize);
        }
    }

    /// The high range gave all it can on its level: the next lower level joins it.
    fn widen_high(&mut self, loads: &[u32]) {
        let left = |start: i64| i64::from(loads[self.sorted[start as usize - 1]]);
        if self.high_end <= self.high_start && self.high_start > 0 {
            // Nobody in it had anything to give: go on wherever the next member stands.
            self.high_level = left(self.high_start);
        } else {
            self.high_level -= 1;
        }
        while self.high_start > 0 && left(self.high_start) == self.high_level {
            self.high_start -= 1;
        }
        self.high_next = self.high_end - 1;
    }
}
