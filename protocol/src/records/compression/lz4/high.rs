//! LZ4 blocks that are packed by a search, which the reference calls HC: smaller and slower than the fast way.
//!
//! A table leads from four bytes to the latest place where they may stand, and a chain from each place to the one before
//! it. The level says how many places are tried. A match gives way to a longer one that begins a byte later. It is *not*
//! the optimal parser of the highest levels: those search more places here, and no more.
//!
//! Source: the LZ4 Block Format Description, 2022-07-31.

/// The shortest match.
const MATCH_BYTES_MIN: usize = 4;
/// A block ends in this many literals at least.
const LAST_LITERALS: usize = 5;
/// No match begins in this many last bytes.
const MATCHLESS_END: usize = 12;
/// A length that does not fit its half of the token goes on in further bytes.
const TOKEN_LENGTH_MAX: usize = 15;

const HASH_BITS: u32 = 15;
const NOWHERE: u32 = u32::MAX;

/// The most places that are tried, at every level from 10 on. It bounds the time that a hostile block can take.
const PLACES_MAX_LOG: u32 = 9;

/// The tables of the search, for blocks of at most 64 KiB.
pub(super) struct HighPacker {
    /// How many places are tried for each match.
    places_max: usize,
    /// The latest place with each hash.
    latest: Vec<u32>,
    /// How far before each place the one with the same hash is; 0 for none.
    back: Vec<u16>,
    /// The places below this are in the tables.
    entered: usize,
}

#[derive(Clone, Copy)]
struct Match {
    start: usize,
    length: usize,
    distance: usize,
}

impl HighPacker {
    /// The tables for this level.
    pub(super) fn new(level: i32) -> HighPacker {
        let places_max = 1 << level.saturating_sub(1).clamp(0, PLACES_MAX_LOG as i32);
        HighPacker { places_max, latest: vec![NOWHERE; 1 << HASH_BITS], back: vec![0; 1 << 16], entered: 0 }
    }

    /// Appends the packed form of a block.
    pub(super) fn pack(&mut self, block: &[u8], into: &mut Vec<u8>) {
        assert!(block.len() <= self.back.len(), "a block of the frame is at most 64 KiB");
        self.latest.fill(NOWHERE);
        self.entered = 0;
        let mut literals_start = 0;
        let mut place = 0;
        while place + MATCHLESS_END <= block.len() {
            let Some(mut best) = self.longest_match(block, place, MATCH_BYTES_MIN - 1) else {
                place += 1;
                continue;
            };
            while best.start + 1 + MATCHLESS_END <= block.len() {
                match self.longest_match(block, best.start + 1, best.length) {
                    Some(longer) => best = longer,
                    None => break,
                }
            }
            put_sequence(&block[literals_start..best.start], Some(best), into);
            place = best.start + best.length;
            literals_start = place;
        }
        put_sequence(&block[literals_start..], None, into);
    }

    /// The longest match at `place` that is longer than `length_min`, the nearest of equals.
    fn longest_match(&mut self, block: &[u8], place: usize, length_min: usize) -> Option<Match> {
        self.enter_before(block, place);
        let end = block.len() - LAST_LITERALS;
        let mut best = None;
        let mut length = length_min;
        let mut candidate = self.latest[hash(block, place)];
        for _ in 0..self.places_max {
            if candidate == NOWHERE {
                break;
            }
            let earlier = candidate as usize;
            // The byte that would make it longer is looked at first.
            if place + length < end && block[earlier + length] == block[place + length] {
                let found = common_length(&block[earlier..], &block[place..end]);
                if found > length {
                    length = found;
                    best = Some(Match { start: place, length, distance: place - earlier });
                }
            }
            candidate = match self.back[earlier] {
                0 => NOWHERE,
                back => candidate - u32::from(back),
            };
        }
        best
    }

    /// Enters all places below this one into the tables.
    fn enter_before(&mut self, block: &[u8], place: usize) {
        for entered in self.entered..place {
            let latest = &mut self.latest[hash(block, entered)];
            self.back[entered] = if *latest == NOWHERE { 0 } else { (entered as u32 - *latest) as u16 };
            *latest = entered as u32;
        }
        self.entered = self.entered.max(place);
    }
}

/// Four bytes, mixed by a multiplication (Knuth).
fn hash(block: &[u8], place: usize) -> usize {
    let four = u32::from_le_bytes([block[place], block[place + 1], block[place + 2], block[place + 3]]);
    (four.wrapping_mul(2_654_435_761) >> (32 - HASH_BITS)) as usize
}

/// How many bytes are equal from the start on. `earlier` is the longer one.
fn common_length(earlier: &[u8], later: &[u8]) -> usize {
    const WORD: usize = 8;
    let words = earlier.chunks_exact(WORD).zip(later.chunks_exact(WORD));
    let equal = words.take_while(|(one, other)| one == other).count() * WORD;
    let rest = earlier[equal..].iter().zip(&later[equal..]);
    equal + rest.take_while(|(one, other)| one == other).count()
}

/// Literals and the match behind them; the last sequence of a block has none.
fn put_sequence(literals: &[u8], matched: Option<Match>, into: &mut Vec<u8>) {
    let match_length = matched.map_or(0, |found| found.length - MATCH_BYTES_MIN);
    let token = literals.len().min(TOKEN_LENGTH_MAX) << 4 | match_length.min(TOKEN_LENGTH_MAX);
    into.push(token as u8);
    put_length(literals.len(), into);
    into.extend_from_slice(literals);
    if let Some(found) = matched {
        into.extend_from_slice(&(found.distance as u16).to_le_bytes());
        put_length(match_length, into);
    }
}

/// What of a length is beyond the token.
fn put_length(length: usize, into: &mut Vec<u8>) {
    let Some(beyond) = length.checked_sub(TOKEN_LENGTH_MAX) else { return };
    into.resize(into.len() + beyond / 255, 255);
    into.push((beyond % 255) as u8);
}

#[cfg(test)]
mod tests {
    use lz4_flex::block::decompress;
    use proptest::prelude::*;

    use super::*;

    fn packed(level: i32, block: &[u8]) -> Vec<u8> {
        let mut into = Vec::new();
        HighPacker::new(level).pack(block, &mut into);
        into
    }

    proptest! {
        #[test]
        fn a_block_comes_back_as_it_was(
            level in 1..=17i32,
            pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..20), 1..40usize), 0..40),
        ) {
            let mut block: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            block.truncate(1 << 16);
            let packed = packed(level, &block);
            prop_assert_eq!(decompress(&packed, block.len()).unwrap(), block);
        }
    }

    #[test]
    fn ends_and_lengths_of_every_kind_come_back() {
        for length in (0..40).chain([270, 271, 272, 65_535, 65_536]) {
            for block in [vec![0; length], (0..length).map(|place| place as u8).collect(), noise(length)] {
                assert_eq!(decompress(&packed(12, &block), length).unwrap(), block, "{length} bytes");
            }
        }
    }

    #[test]
    fn a_longer_search_packs_smaller_than_a_shorter_one_and_than_the_fast_way() {
        let words =
            ["flight", "departs", "from", "Newark", "at", "noon", "delayed", "minutes", "by", "weather"];
        let order = noise(12_000);
        let text: String = order.iter().map(|byte| words[usize::from(*byte) % words.len()]).collect();
        let block = &text.as_bytes()[..40_000];
        let sizes: Vec<usize> = [1, 4, 8, 12].iter().map(|level| packed(*level, block).len()).collect();
        assert!(sizes.is_sorted_by(|shorter, longer| shorter > longer), "{sizes:?}");
        assert!(sizes[2] < lz4_flex::block::compress(block).len(), "{sizes:?}");
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..length).map(|_| byte()).collect()
    }
}
