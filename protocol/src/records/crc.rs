//! CRC-32C (Castagnoli), the checksum of a record batch.
//!
//! Not the CRC-32 (IEEE) that guards our own files. The whole-slice form is the hot one; [`Crc32c`] is for a reader
//! that sees a batch piece by piece, as recovery does.

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC-32C of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC-32C of bytes that arrive in pieces.
///
/// ```
/// use ottla_protocol::records::{Crc32c, crc32c};
/// let mut crc = Crc32c::new();
/// crc.update(b"1234");
/// crc.update(b"56789");
/// assert_eq!(crc.finish(), crc32c(b"123456789"));
/// ```
#[derive(Debug, Clone)]
pub struct Crc32c {
    digest: Digest,
}

impl Crc32c {
    /// Over no bytes yet.
    pub fn new() -> Self {
        Crc32c { digest: Digest::new(CrcAlgorithm::Crc32Iscsi) }
    }

    /// Takes the next piece in.
    pub fn update(&mut self, piece: &[u8]) {
        self.digest.update(piece);
    }

    /// The checksum of all pieces so far.
    pub fn finish(&self) -> u32 {
        self.digest.finalize() as u32
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Crc32c::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_is_met() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn pieces_of_every_size_give_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
        for piece in [1, 3, 16, 63, 64, 65, 255, 999, 1000] {
            let mut crc = Crc32c::new();
            bytes.chunks(piece).for_each(|chunk| crc.update(chunk));
            assert_eq!(crc.finish(), crc32c(&bytes), "pieces of {piece}");
        }
    }
}
