//! Seeded chance: one number decides a whole run, and the bytes of every record follow from its identity.
//!
//! SplitMix64, because it is ten lines, and because any state is a good seed.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[from, to)`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.number() % (to - from).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let take = |seed| {
            let mut chance = Chance::new(seed);
            [chance.number(), chance.number(), chance.between(10, 20)]
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        assert!((10..20).contains(&take(7)[2]));
    }
}
