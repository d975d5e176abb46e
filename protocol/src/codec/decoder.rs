//! The follower that fills a message from bytes that somebody else wrote.
//!
//! Every length is a claim. It is checked against the bytes that are left before anything is done with it, and what
//! arrays take in memory is charged to a budget that the size of the message sets.

use bytes::Bytes;

use super::{FetchRecords, Follower, Str, Wire, WireError, WireErrorKind};

/// The greatest number of elements that one array may have; Kafka 4.4 draws the line here too.
pub const ARRAY_ELEMENTS_MAX: usize = 1_000_000;

/// The greatest number of tagged fields that one struct may have; Kafka 4.4 draws the line here too.
pub const TAGS_MAX: u32 = 10_000;

/// The arrays of a message may take this many times its bytes in memory.
pub const EXPANSION_MAX: usize = 16;

/// What the arrays of a message may take in memory however small the message is.
pub const EXPANSION_BYTES_FREE: usize = 64 * 1024;

/// Fills a message from the bytes of its body.
#[derive(Debug)]
pub struct Decoder {
    bytes: Bytes,
    /// The next byte to read. Invariant: `position <= end <= bytes.len()`.
    position: usize,
    /// Where the message, or the tagged field that is being read, ends.
    end: usize,
    version: i16,
    flexible: bool,
    /// How many bytes arrays may still take in memory.
    expansion_left: usize,
}

/// The tagged fields of one struct, checked to lie within the message and to ascend.
#[derive(Debug)]
pub struct TagSection {
    /// Where the first tag begins.
    position: usize,
    /// How many tags there are.
    count: u32,
    /// Where the last tag's value ends.
    end: usize,
}

impl Decoder {
    /// A decoder of these bytes, at their beginning.
    pub fn new(bytes: Bytes, version: i16, flexible: bool) -> Self {
        let end = bytes.len();
        let expansion_left = end.saturating_mul(EXPANSION_MAX).saturating_add(EXPANSION_BYTES_FREE);
        Self { bytes, position: 0, end, version, flexible, expansion_left }
    }

    /// Nothing may be left over.
    pub fn finish(self) -> Result<(), WireError> {
        match self.left() {
            0 => Ok(()),
            left => Err(WireErrorKind::LeftOver(left).into()),
        }
    }

    /// The bytes that have not been read.
    pub fn into_rest(self) -> Bytes {
        self.bytes.slice(self.position..)
    }

    fn left(&self) -> usize {
        self.end - self.position
    }

    /// Steps over `length` bytes and says where they began.
    fn take(&mut self, length: usize) -> Result<usize, WireError> {
        let left = self.left();
        if length > left {
            return Err(WireErrorKind::Truncated { needed: length, left }.into());
        }
        let start = self.position;
        self.position += length;
        Ok(start)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let start = self.take(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[start..start + N]);
        Ok(bytes)
    }

    fn unsigned_varint(&mut self) -> Result<u32, WireError> {
        let mut number = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array_of()?;
            let bits = u32::from(byte & 0x7f);
            // The fifth byte has room for four bits only.
            if shift == 28 && bits > 0xf {
                return Err(WireErrorKind::Varint.into());
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireErrorKind::Varint.into())
    }

    /// A length or count: compact (one more than it is, 0 for null), or a rigid one that `rigid` reads (-1 for null).
    fn length(
        &mut self,
        nullable: bool,
        rigid: impl FnOnce(&mut Self) -> Result<i64, WireError>,
    ) -> Result<Option<usize>, WireError> {
        let length = if self.flexible { i64::from(self.unsigned_varint()?) - 1 } else { rigid(self)? };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 && nullable => Ok(None),
            Err(_) if length == -1 => Err(WireErrorKind::Null.into()),
            Err(_) => Err(WireErrorKind::NegativeLength(length).into()),
        }
    }

    fn length_i16(&mut self) -> Result<i64, WireError> {
        self.array_of().map(|bytes| i64::from(i16::from_be_bytes(bytes)))
    }

    fn length_i32(&mut self) -> Result<i64, WireError> {
        self.array_of().map(|bytes| i64::from(i32::from_be_bytes(bytes)))
    }

    fn view(&mut self, length: usize) -> Result<Bytes, WireError> {
        let start = self.take(length)?;
        Ok(self.bytes.slice(start..start + length))
    }

    /// An empty vector for `count` elements, if so many can be there and may be held.
    ///
    /// Its first allocation is no larger than the bytes that are left (or one element): beyond that the vector grows
    /// only with elements that are really there, so that a claim alone never costs more memory than the frame did.
    fn room_for<T: Wire>(&mut self, count: usize) -> Result<Vec<T>, WireError> {
        let possible = (self.left() / T::BYTES_MIN).min(ARRAY_ELEMENTS_MAX);
        if count > possible {
            return Err(WireErrorKind::ArrayTooLong { claimed: count, possible }.into());
        }
        // Both factors are small by now, so the product does not overflow.
        let expansion_left = self.expansion_left.checked_sub(count * size_of::<T>());
        self.expansion_left = expansion_left.ok_or(WireErrorKind::Expansion)?;
        let affordable = (self.left() / size_of::<T>()).max(1);
        Ok(Vec::with_capacity(count.min(affordable)))
    }

    /// The next tag of a section and the length of its value, which is still to be read.
    fn tag_head(&mut self) -> Result<(u32, usize), WireError> {
        let tag = self.unsigned_varint()?;
        let length = self.unsigned_varint()? as usize;
        Ok((tag, length))
    }

    /// Goes to the value of `tag` in a section that has been checked, and says how long the value is.
    fn seek_tag(&mut self, tags: &TagSection, tag: u32) -> Result<Option<usize>, WireError> {
        self.position = tags.position;
        for _ in 0..tags.count {
            let (found, length) = self.tag_head()?;
            if found == tag {
                return Ok(Some(length));
            }
            self.take(length)?;
        }
        Ok(None)
    }
}

impl Follower for Decoder {
    type Tags = TagSection;

    fn version(&self) -> i16 {
        self.version
    }

    fn fixed<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError> {
        *bytes = self.array_of()?;
        Ok(())
    }

    /// A byte: -1 for null, 1 for a struct that follows.
    fn presence(&mut self, present: &mut bool) -> Result<(), WireError> {
        *present = match i8::from_be_bytes(self.array_of()?) {
            -1 => false,
            1 => true,
            other => return Err(WireErrorKind::Presence(other).into()),
        };
        Ok(())
    }

    fn string(&mut self, value: &mut Option<Str>, nullable: bool) -> Result<(), WireError> {
        *value = match self.length(nullable, Self::length_i16)? {
            None => None,
            Some(length) if length > i16::MAX as usize => return Err(WireErrorKind::TooLong(length).into()),
            Some(length) => Some(Str::try_from(self.view(length)?).map_err(|_| WireErrorKind::NotUtf8)?),
        };
        Ok(())
    }

    fn bytes(&mut self, value: &mut Option<Bytes>, nullable: bool) -> Result<(), WireError> {
        *value = match self.length(nullable, Self::length_i32)? {
            None => None,
            Some(length) => Some(self.view(length)?),
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
        let Some(count) = self.length(nullable, Self::length_i32)? else {
            *items = None;
            return Ok(());
        };
        let mut filled = self.room_for(count)?;
        for _ in 0..count {
            let mut item = T::default();
            item.walk(self, false)?;
            filled.push(item);
        }
        *items = Some(filled);
        Ok(())
    }

    fn absent(&mut self, _is_default: impl FnOnce() -> bool) -> Result<(), WireError> {
        Ok(())
    }

    fn tags_begin(&mut self) -> Result<TagSection, WireError> {
        let count = if self.flexible { self.unsigned_varint()? } else { 0 };
        if count > TAGS_MAX {
            return Err(WireErrorKind::TooManyTags(count).into());
        }
        let position = self.position;
        let mut tag_min = 0;
        for _ in 0..count {
            let (tag, length) = self.tag_head()?;
            if tag < tag_min {
                return Err(WireErrorKind::TagOutOfOrder(tag).into());
            }
            tag_min = tag.saturating_add(1);
            self.take(length)?;
        }
        Ok(TagSection { position, count, end: self.position })
    }

    fn tagged<T: Wire>(
        &mut self,
        tags: &mut TagSection,
        tag: u32,
        value: &mut T,
        nullable: bool,
        _is_default: impl FnOnce(&T) -> bool,
    ) -> Result<(), WireError> {
        if let Some(length) = self.seek_tag(tags, tag)? {
            // The value must fill its length exactly, so it is read as a message of its own.
            let outer_end = std::mem::replace(&mut self.end, self.position + length);
            value.walk(self, nullable)?;
            if self.left() > 0 {
                return Err(WireErrorKind::LeftOver(self.left()).into());
            }
            self.end = outer_end;
        }
        Ok(())
    }

    fn tags_end(&mut self, tags: TagSection) -> Result<(), WireError> {
        self.position = tags.end;
        Ok(())
    }
}
