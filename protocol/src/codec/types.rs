//! The types that a field of a message can have.
//!
//! Each says how a follower walks it, and how few bytes it can take on the wire; the latter bounds how many elements an
//! array can truthfully claim.

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use super::{Follower, Message, Str, WireError};
use crate::ErrorCode;

/// A type that has a wire form.
pub trait Wire: Clone + Default + PartialEq {
    /// The fewest bytes that a value takes in any version; at least 1.
    const BYTES_MIN: usize;

    /// Leads a follower along the value. `nullable` says whether an `Option` may be null in this version.
    fn walk<F: Follower>(&mut self, f: &mut F, nullable: bool) -> Result<(), WireError>;
}

/// The record batches of one partition in a fetch response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FetchRecords {
    /// No records field, as some brokers answer for a partition with an error.
    #[default]
    Null,
    /// Batches in memory. Decoding yields these; encoding copies them into the response.
    Bytes(Bytes),
    /// A hole of this many bytes, which whoever writes the response fills with a region of a log file.
    Region {
        /// The length of the region in bytes.
        len: u32,
    },
}

impl FetchRecords {
    /// The number of bytes that the batches take.
    pub fn len(&self) -> usize {
        match self {
            FetchRecords::Null => 0,
            FetchRecords::Bytes(bytes) => bytes.len(),
            FetchRecords::Region { len } => *len as usize,
        }
    }

    /// Whether there are no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Wire for FetchRecords {
    const BYTES_MIN: usize = 1;

    fn walk<F: Follower>(&mut self, f: &mut F, _nullable: bool) -> Result<(), WireError> {
        f.records(self)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            const BYTES_MIN: usize = size_of::<$number>();

            fn walk<F: Follower>(&mut self, f: &mut F, _nullable: bool) -> Result<(), WireError> {
                let mut bytes = self.to_be_bytes();
                f.fixed(&mut bytes)?;
                *self = <$number>::from_be_bytes(bytes);
                Ok(())
            }
        }
    )*};
}

numbers!(i8, i16, u16, i32, i64);

impl Wire for bool {
    const BYTES_MIN: usize = 1;

    fn walk<F: Follower>(&mut self, f: &mut F, _nullable: bool) -> Result<(), WireError> {
        let mut byte = [u8::from(*self)];
        f.fixed(&mut byte)?;
        *self = byte != [0];
        Ok(())
    }
}

/// A number of 64 bits with a fraction. It is compared by its bits, so that every value equals itself.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Float64(u64);

impl Float64 {
    /// The number.
    pub const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl From<f64> for Float64 {
    fn from(number: f64) -> Self {
        Self(number.to_bits())
    }
}

impl fmt::Debug for Float64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

impl Wire for Float64 {
    const BYTES_MIN: usize = 8;

    fn walk<F: Follower>(&mut self, f: &mut F, _nullable: bool) -> Result<(), WireError> {
        let mut bytes = self.0.to_be_bytes();
        f.fixed(&mut bytes)?;
        self.0 = u64::from_be_bytes(bytes);
        Ok(())
    }
}

impl Wire for Uuid {
    const BYTES_MIN: usize = 16;

    fn walk<F: Follower>(&mut self, f: &mut F, _nullable: bool) -> Result<(), WireError> {
        let mut bytes = self.into_bytes();
        f.fixed(&mut bytes)?;
        *self = Uuid::from_bytes(bytes);
        Ok(())
    }
}

impl Wire for ErrorCode {
    const BYTES_MIN: usize = 2;

    fn walk<F: Follower>(&mut self, f: &mut F, nullable: bool) -> Result<(), WireError> {
        let mut code = self.get();
        code.walk(f, nullable)?;
        *self = ErrorCode::new(code);
        Ok(())
    }
}

macro_rules! with_length {
    ($($type:ty => $follow:ident $(of $item:ident)?;)*) => {$(
        impl$(<$item: Wire>)? Wire for $type {
            const BYTES_MIN: usize = 1;

            fn walk<F: Follower>(&mut self, f: &mut F, _nullable: bool) -> Result<(), WireError> {
                let mut value = Some(std::mem::take(self));
                f.$follow(&mut value, false)?;
                *self = value.unwrap_or_default();
                Ok(())
            }
        }

        impl$(<$item: Wire>)? Wire for Option<$type> {
            const BYTES_MIN: usize = 1;

            fn walk<F: Follower>(&mut self, f: &mut F, nullable: bool) -> Result<(), WireError> {
                f.$follow(self, nullable)
            }
        }
    )*};
}

with_length! {
    Str => string;
    Bytes => bytes;
    Vec<T> => array of T;
}

/// A struct that may be null says first whether it is there.
impl<M: Message> Wire for Option<M> {
    const BYTES_MIN: usize = 1;

    fn walk<F: Follower>(&mut self, f: &mut F, nullable: bool) -> Result<(), WireError> {
        if !nullable {
            let message = self.get_or_insert_default();
            return message.walk(f, nullable);
        }
        let mut present = self.is_some();
        f.presence(&mut present)?;
        match present {
            false => *self = None,
            true => self.get_or_insert_default().walk(f, nullable)?,
        }
        Ok(())
    }
}
