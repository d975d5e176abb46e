//! The zigzag variable-length integers of records: up to five bytes for an `i32`, ten for an `i64`.
//!
//! Records alone use the signed form; the unsigned one of flexible messages lives in the codec. A reader never reads
//! past its slice, and refuses an encoding whose last byte carries bits that the type cannot hold.

/// The longest encoding of an `i32`.
pub(super) const VARINT_BYTES_MAX: usize = 5;
/// The longest encoding of an `i64`.
pub(super) const VARLONG_BYTES_MAX: usize = 10;

/// A position in borrowed bytes that only moves forward.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is left, without moving.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// Lengths and deltas of small records fit one or two bytes, so those two are read without a loop.
    #[inline]
    pub(super) fn varint(&mut self) -> Option<i32> {
        match *self.rest {
            [first, ref rest @ ..] if first < 0x80 => {
                self.rest = rest;
                Some(unzigzag_32(u32::from(first)))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.rest = rest;
                Some(unzigzag_32(u32::from(first & 0x7f) | u32::from(second) << 7))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Option<i32> {
        let mut raw = 0u32;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            if index == VARINT_BYTES_MAX - 1 && byte > 0x0f {
                return None;
            }
            raw |= u32::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Some(unzigzag_32(raw));
            }
        }
        None
    }

    #[inline]
    pub(super) fn varlong(&mut self) -> Option<i64> {
        match *self.rest {
            [first, ref rest @ ..] if first < 0x80 => {
                self.rest = rest;
                Some(unzigzag_64(u64::from(first)))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.rest = rest;
                Some(unzigzag_64(u64::from(first & 0x7f) | u64::from(second) << 7))
            }
            _ => self.long_varlong(),
        }
    }

    #[inline(never)]
    fn long_varlong(&mut self) -> Option<i64> {
        let mut raw = 0u64;
        for index in 0..VARLONG_BYTES_MAX {
            let byte = self.byte()?;
            if index == VARLONG_BYTES_MAX - 1 && byte > 0x01 {
                return None;
            }
            raw |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Some(unzigzag_64(raw));
            }
        }
        None
    }
}

#[inline]
fn unzigzag_32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline]
fn unzigzag_64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[inline]
fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// How many bytes `value` takes; an `i32` takes as many as the same number in an `i64`.
#[inline]
pub(super) fn size_of_varlong(value: i64) -> usize {
    let significant_bits = 64 - (zigzag_64(value) | 1).leading_zeros() as usize;
    significant_bits.div_ceil(7)
}

/// Writes `value` at `at` and gives the position behind it. The caller has made room.
#[inline]
pub(super) fn put_varlong(into: &mut [u8], mut at: usize, value: i64) -> usize {
    let mut raw = zigzag_64(value);
    while raw >= 0x80 {
        into[at] = raw as u8 | 0x80;
        raw >>= 7;
        at += 1;
    }
    into[at] = raw as u8;
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut bytes = [0; VARLONG_BYTES_MAX];
        let end = put_varlong(&mut bytes, 0, value);
        bytes[..end].to_vec()
    }

    #[test]
    fn every_width_of_a_varlong_comes_back_and_its_size_is_foretold() {
        for shift in 0..64 {
            for value in [1i64 << shift, (1i64 << shift).wrapping_sub(1), (1i64 << shift).wrapping_neg()] {
                let bytes = encoded(value);
                assert_eq!(bytes.len(), size_of_varlong(value), "{value}");
                let mut cursor = Cursor::new(&bytes);
                assert_eq!((cursor.varlong(), cursor.remaining()), (Some(value), 0), "{value}");
                if let Ok(narrow) = i32::try_from(value) {
                    assert_eq!(Cursor::new(&bytes).varint(), Some(narrow));
                }
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_java() {
        for (value, bytes) in [
            (0, &[0x00u8][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert_eq!(encoded(value), bytes, "{value}");
        }
    }

    #[test]
    fn bits_beyond_the_type_and_endless_continuations_are_refused() {
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).varint(), None);
        assert_eq!(Cursor::new(&[0xff; 16]).varint(), None);
        assert_eq!(Cursor::new(&[0xff; 16]).varlong(), None);
        assert_eq!(
            Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).varlong(),
            None
        );
        for cut in 0..5 {
            assert_eq!(Cursor::new(&[0xfe, 0xff, 0xff, 0xff, 0x0f][..cut]).varint(), None, "{cut}");
        }
    }
}
