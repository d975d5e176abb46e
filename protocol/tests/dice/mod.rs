//! A third follower of the walk: it fills a message of some version with random values, the same ones for a seed.
//!
//! Only what the version carries is filled, so every message it makes can be encoded.

use bytes::Bytes;
use ottla_protocol::codec::{FetchRecords, Follower, Message, Str, Wire, WireError};

/// A message whose fields are all random, as far as `version` carries them.
pub(crate) fn random<M: Message>(version: i16, seed: u64) -> M {
    let mut message = M::default();
    let mut dice = Dice { version, state: seed };
    message.walk(&mut dice, false).expect("rolling the dice cannot fail");
    message
}

struct Dice {
    version: i16,
    state: u64,
}

impl Dice {
    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// Mostly short, sometimes long enough for a length of two bytes.
    fn length(&mut self) -> u64 {
        if self.below(16) == 0 { self.below(400) } else { self.below(12) }
    }
}

impl Follower for Dice {
    type Tags = ();

    fn version(&self) -> i16 {
        self.version
    }

    fn fixed<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError> {
        // Small and negative numbers matter as much as any others.
        let fill = [0x00, 0xff, self.roll() as u8][self.below(3) as usize];
        bytes.fill(fill);
        if self.below(2) == 0 {
            bytes.fill_with(|| self.roll() as u8);
        }
        Ok(())
    }

    fn presence(&mut self, present: &mut bool) -> Result<(), WireError> {
        *present = self.below(2) == 0;
        Ok(())
    }

    fn string(&mut self, value: &mut Option<Str>, nullable: bool) -> Result<(), WireError> {
        const LETTERS: [char; 8] = ['a', 'Z', '7', '.', '_', 'ß', '界', '🦦'];
        *value = match nullable && self.below(3) == 0 {
            true => None,
            false => {
                let length = self.length();
                let text: String = (0..length).map(|_| LETTERS[self.below(8) as usize]).collect();
                Some(Str::from(text))
            }
        };
        Ok(())
    }

    fn bytes(&mut self, value: &mut Option<Bytes>, nullable: bool) -> Result<(), WireError> {
        *value = match nullable && self.below(3) == 0 {
            true => None,
            false => {
                let length = self.length();
                Some((0..length).map(|_| self.roll() as u8).collect())
            }
        };
        Ok(())
    }

    fn records(&mut self, value: &mut FetchRecords) -> Result<(), WireError> {
        let mut bytes = None;
        self.bytes(&mut bytes, true)?;
        *value = bytes.map_or(FetchRecords::Null, FetchRecords::Bytes);
        Ok(())
    }

    fn array<T: Wire>(&mut self, items: &mut Option<Vec<T>>, nullable: bool) -> Result<(), WireError> {
        *items = match nullable && self.below(4) == 0 {
            true => None,
            false => {
                let mut filled = vec![T::default(); self.below(4) as usize];
                filled.iter_mut().try_for_each(|item| item.walk(self, false))?;
                Some(filled)
            }
        };
        Ok(())
    }

    fn absent(&mut self, _is_default: impl FnOnce() -> bool) -> Result<(), WireError> {
        Ok(())
    }

    fn tags_begin(&mut self) -> Result<(), WireError> {
        Ok(())
    }

    fn tagged<T: Wire>(
        &mut self,
        _tags: &mut (),
        _tag: u32,
        value: &mut T,
        nullable: bool,
        _is_default: impl FnOnce(&T) -> bool,
    ) -> Result<(), WireError> {
        if self.below(2) == 0 { value.walk(self, nullable) } else { Ok(()) }
    }

    fn tags_end(&mut self, _tags: ()) -> Result<(), WireError> {
        Ok(())
    }
}
