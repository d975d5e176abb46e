//! The follower that writes a message's bytes, leaving holes for what is sent straight from a file.

use bytes::{BufMut, Bytes, BytesMut};

use super::{FetchRecords, Follower, Str, Wire, WireError, WireErrorKind};

/// Writes a message.
#[derive(Debug)]
pub struct Encoder {
    bytes: BytesMut,
    holes: Vec<Hole>,
    version: i16,
    flexible: bool,
}

/// A place in [`Encoded::bytes`] where `len` bytes from elsewhere belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The bytes go before `bytes[position]`.
    pub position: usize,
    /// How many bytes are missing there.
    pub len: u32,
}

/// An encoded message or frame: bytes, and the holes that somebody else fills, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Everything except the holes' contents.
    pub bytes: Bytes,
    /// The holes by ascending position; two may share a position.
    pub holes: Vec<Hole>,
}

/// The tagged fields of one struct, written aside until their number is known.
#[derive(Debug, Default)]
pub struct TagBuffer {
    count: u32,
    bytes: BytesMut,
}

impl Encoded {
    /// The number of bytes on the wire, holes included.
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len() + self.holes.iter().map(|hole| hole.len as usize).sum::<usize>()
    }
}

impl Encoder {
    /// An encoder that has written nothing.
    pub fn new(version: i16, flexible: bool) -> Self {
        Self { bytes: BytesMut::with_capacity(128), holes: Vec::new(), version, flexible }
    }

    /// Everything that was written.
    pub fn finish(self) -> Encoded {
        Encoded { bytes: self.bytes.freeze(), holes: self.holes }
    }

    /// The same encoder, from here on writing a message of this version and flavour (a body follows its header).
    pub(crate) fn then(mut self, version: i16, flexible: bool) -> Self {
        self.version = version;
        self.flexible = flexible;
        self
    }

    /// Everything that was written, with the number of bytes that follow it in the first four.
    pub(crate) fn finish_frame(mut self) -> Result<Encoded, WireError> {
        let holes = self.holes.iter().map(|hole| hole.len as usize).sum::<usize>();
        let length = self.bytes.len() - 4 + holes;
        let prefix = i32::try_from(length).map_err(|_| WireErrorKind::TooLong(length))?;
        self.bytes[..4].copy_from_slice(&prefix.to_be_bytes());
        Ok(self.finish())
    }

    fn unsigned_varint(&mut self, number: u32) {
        put_unsigned_varint(&mut self.bytes, number);
    }

    /// A length or count; `rigid_bytes` is the width of the rigid form.
    fn length(&mut self, length: Option<usize>, nullable: bool, rigid_bytes: usize) -> Result<(), WireError> {
        if length.is_none() && !nullable {
            return Err(WireErrorKind::Null.into());
        }
        let length_max = if rigid_bytes == 2 { i16::MAX as usize } else { i32::MAX as usize };
        if let Some(length) = length.filter(|length| *length > length_max) {
            return Err(WireErrorKind::TooLong(length).into());
        }
        match length {
            // Below i32::MAX, so one more is still a u32.
            Some(length) if self.flexible => self.unsigned_varint(length as u32 + 1),
            None if self.flexible => self.unsigned_varint(0),
            Some(length) => self.bytes.put_uint(length as u64, rigid_bytes),
            None => self.bytes.put_int(-1, rigid_bytes),
        }
        Ok(())
    }
}

impl Follower for Encoder {
    type Tags = TagBuffer;

    fn version(&self) -> i16 {
        self.version
    }

    fn fixed<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError> {
        self.bytes.put_slice(bytes);
        Ok(())
    }

    fn presence(&mut self, present: &mut bool) -> Result<(), WireError> {
        self.bytes.put_i8(if *present { 1 } else { -1 });
        Ok(())
    }

    fn string(&mut self, value: &mut Option<Str>, nullable: bool) -> Result<(), WireError> {
        let text = value.as_ref().map(|text| text.as_bytes());
        self.length(text.map(<[u8]>::len), nullable, 2)?;
        self.bytes.put_slice(text.unwrap_or_default());
        Ok(())
    }

    fn bytes(&mut self, value: &mut Option<Bytes>, nullable: bool) -> Result<(), WireError> {
        self.length(value.as_ref().map(Bytes::len), nullable, 4)?;
        self.bytes.put_slice(value.as_deref().unwrap_or_default());
        Ok(())
    }

    fn records(&mut self, value: &mut FetchRecords) -> Result<(), WireError> {
        match value {
            FetchRecords::Null => self.length(None, true, 4)?,
            FetchRecords::Bytes(bytes) => {
                self.length(Some(bytes.len()), true, 4)?;
                self.bytes.put_slice(bytes);
            }
            FetchRecords::Region { len } => {
                self.length(Some(*len as usize), true, 4)?;
                self.holes.push(Hole { position: self.bytes.len(), len: *len });
            }
        }
        Ok(())
    }

    fn array<T: Wire>(&mut self, items: &mut Option<Vec<T>>, nullable: bool) -> Result<(), WireError> {
        self.length(items.as_ref().map(Vec::len), nullable, 4)?;
        for item in items.iter_mut().flatten() {
            item.walk(self, false)?;
        }
        Ok(())
    }

    fn absent(&mut self, is_default: impl FnOnce() -> bool) -> Result<(), WireError> {
        if is_default() { Ok(()) } else { Err(WireErrorKind::NotInVersion(self.version).into()) }
    }

    fn tags_begin(&mut self) -> Result<TagBuffer, WireError> {
        Ok(TagBuffer::default())
    }

    fn tagged<T: Wire>(
        &mut self,
        tags: &mut TagBuffer,
        tag: u32,
        value: &mut T,
        nullable: bool,
        is_default: impl FnOnce(&T) -> bool,
    ) -> Result<(), WireError> {
        if is_default(value) {
            return Ok(());
        }
        let holes = self.holes.len();
        let outer = std::mem::take(&mut self.bytes);
        value.walk(self, nullable)?;
        let encoded = std::mem::replace(&mut self.bytes, outer);
        assert_eq!(
            self.holes.len(),
            holes,
            "records are never a tagged field, so a hole's position is final"
        );
        tags.count += 1;
        put_unsigned_varint(&mut tags.bytes, tag);
        let length = u32::try_from(encoded.len()).map_err(|_| WireErrorKind::TooLong(encoded.len()))?;
        put_unsigned_varint(&mut tags.bytes, length);
        tags.bytes.put_slice(&encoded);
        Ok(())
    }

    fn tags_end(&mut self, tags: TagBuffer) -> Result<(), WireError> {
        if self.flexible {
            self.unsigned_varint(tags.count);
            self.bytes.put_slice(&tags.bytes);
        }
        Ok(())
    }
}

fn put_unsigned_varint(bytes: &mut BytesMut, mut number: u32) {
    while number >= 0x80 {
        bytes.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.put_u8(number as u8);
}
