//! The fields of a record of `__consumer_offsets`: read from, and put to, the bytes of a key or a value.
//!
//! Kafka's *rigid* versions have lengths of fixed size; the *flexible* ones (KIP-482) have lengths as varints, one more
//! than they are, and tagged fields at the end of each struct. One reader and one writer know both. Everything read is
//! a claim of the disk: no length is trusted for an allocation, and what is read is copied, because it outlives the batch
//! that it came in.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ottla_protocol::TopicId;
use ottla_protocol::codec::Str;
use uuid::Uuid;

use super::record::RecordError;

/// Reads fields off the front of a key or value.
pub(crate) struct Reader {
    rest: Bytes,
    flexible: bool,
}

impl Reader {
    /// Reads rigid fields from `bytes`.
    pub(crate) fn new(bytes: &Bytes) -> Reader {
        Reader { rest: bytes.clone(), flexible: false }
    }

    /// From here on the fields are flexible, or not.
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    fn has(&self, bytes: usize) -> Result<(), RecordError> {
        if self.rest.remaining() < bytes { Err(RecordError::TooShort) } else { Ok(()) }
    }

    /// The version that a value begins with.
    pub(crate) fn version(&mut self, known: std::ops::RangeInclusive<i16>) -> Result<i16, RecordError> {
        let version = self.i16()?;
        if known.contains(&version) { Ok(version) } else { Err(RecordError::UnknownVersion(version)) }
    }

    pub(crate) fn i8(&mut self) -> Result<i8, RecordError> {
        self.has(1).map(|()| self.rest.get_i8())
    }

    pub(crate) fn i16(&mut self) -> Result<i16, RecordError> {
        self.has(2).map(|()| self.rest.get_i16())
    }

    pub(crate) fn i32(&mut self) -> Result<i32, RecordError> {
        self.has(4).map(|()| self.rest.get_i32())
    }

    pub(crate) fn i64(&mut self) -> Result<i64, RecordError> {
        self.has(8).map(|()| self.rest.get_i64())
    }

    pub(crate) fn topic_id(&mut self) -> Result<TopicId, RecordError> {
        self.has(16).map(|()| TopicId::new(Uuid::from_u128(self.rest.get_u128())))
    }

    fn varint(&mut self) -> Result<u32, RecordError> {
        let mut value = 0u32;
        for shift in (0..32).step_by(7) {
            self.has(1)?;
            let byte = self.rest.get_u8();
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(RecordError::BadLength)
    }

    /// The length of an array or of bytes, whose rigid form has 32 bits; `None` for null.
    pub(crate) fn nullable_count(&mut self) -> Result<Option<usize>, RecordError> {
        if self.flexible {
            let length = self.varint()?;
            return Ok(length.checked_sub(1).map(|length| length as usize));
        }
        Ok(usize::try_from(self.i32()?).ok())
    }

    /// The length of an array; null counts as empty.
    pub(crate) fn count(&mut self) -> Result<usize, RecordError> {
        Ok(self.nullable_count()?.unwrap_or(0))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = self.count()?;
        self.has(length)?;
        Ok(Bytes::copy_from_slice(&self.rest.split_to(length)))
    }

    pub(crate) fn nullable_text(&mut self) -> Result<Option<Str>, RecordError> {
        let length = if self.flexible { self.nullable_count()? } else { usize::try_from(self.i16()?).ok() };
        let Some(length) = length else { return Ok(None) };
        self.has(length)?;
        let bytes = Bytes::copy_from_slice(&self.rest.split_to(length));
        Str::try_from(bytes).map(Some).map_err(|_| RecordError::BadText)
    }

    pub(crate) fn text(&mut self) -> Result<Str, RecordError> {
        self.nullable_text()?.ok_or(RecordError::BadText)
    }

    /// The tagged fields at the end of a flexible struct: `each` sees those it knows, with a reader of their own bytes.
    pub(crate) fn tags(
        &mut self,
        mut each: impl FnMut(u32, &mut Reader) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            self.has(length)?;
            each(tag, &mut Reader { rest: self.rest.split_to(length), flexible: true })?;
        }
        Ok(())
    }

    /// The end of a struct that has no tagged field which we know.
    pub(crate) fn end(&mut self) -> Result<(), RecordError> {
        self.tags(|_, _| Ok(()))
    }
}

/// Puts fields to the end of a key or value.
pub(crate) struct Writer {
    out: BytesMut,
    flexible: bool,
}

impl Writer {
    /// A key or a rigid value, which begins with its version.
    pub(crate) fn rigid(version: i16) -> Writer {
        let mut out = BytesMut::with_capacity(64);
        out.put_i16(version);
        Writer { out, flexible: false }
    }

    /// A flexible value, which begins with its version.
    pub(crate) fn flexible(version: i16) -> Writer {
        Writer { flexible: true, ..Writer::rigid(version) }
    }

    pub(crate) fn finish(self) -> Bytes {
        self.out.freeze()
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    pub(crate) fn topic_id(&mut self, id: TopicId) {
        self.out.put_u128(id.get().as_u128());
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    pub(crate) fn count(&mut self, count: usize) {
        if self.flexible {
            self.varint(count as u32 + 1);
        } else {
            self.out.put_i32(count as i32);
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        if self.flexible {
            self.varint(text.len() as u32 + 1);
        } else {
            // The texts that come here were read with a length of 16 bits themselves, or are bounded by a config.
            self.out.put_i16(text.len() as i16);
        }
        self.out.put_slice(text.as_bytes());
    }

    pub(crate) fn nullable_text(&mut self, text: Option<&Str>) {
        match text {
            Some(text) => self.text(text),
            None if self.flexible => self.varint(0),
            None => self.out.put_i16(-1),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.put_slice(bytes);
    }

    /// The end of a flexible struct: its tagged fields, by ascending tag.
    pub(crate) fn tags(&mut self, tagged: &[(u32, Bytes)]) {
        if self.flexible {
            self.varint(tagged.len() as u32);
            for (tag, bytes) in tagged {
                self.varint(*tag);
                self.varint(bytes.len() as u32);
                self.out.put_slice(bytes);
            }
        }
    }

    /// The bytes of one tagged field.
    pub(crate) fn tagged(fill: impl FnOnce(&mut Writer)) -> Bytes {
        let mut field = Writer { out: BytesMut::new(), flexible: true };
        fill(&mut field);
        field.out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_of_any_size_comes_back_and_one_without_end_is_refused() {
        for value in [0, 1, 127, 128, 300, u32::MAX - 1] {
            let mut writer = Writer::flexible(0);
            writer.varint(value);
            let mut reader = Reader::new(&writer.finish());
            reader.i16().unwrap();
            assert_eq!(reader.varint(), Ok(value));
        }
        assert_eq!(
            Reader::new(&Bytes::from_static(b"\xff\xff\xff\xff\xff\x01")).varint(),
            Err(RecordError::BadLength)
        );
    }

    #[test]
    fn a_length_beyond_the_end_allocates_nothing_and_is_refused() {
        let mut reader = Reader::new(&Bytes::from_static(b"\x7f\xff\xff\xffabc"));
        assert_eq!(reader.bytes(), Err(RecordError::TooShort));
    }
}
