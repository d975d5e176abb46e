//! The codec: each message is declared once, and one walk over its fields is followed by an encoder or a decoder.
//!
//! `message!` declares a struct with the versions that carry each field (a [`Rule`]) and derives the walk. A
//! [`Follower`] is led along it: the [`Decoder`] fills the fields from bytes, the [`Encoder`] writes them. So the two
//! directions cannot disagree. It is *not* a framework for other formats: it knows Kafka's rigid and flexible
//! (KIP-482) encodings and nothing else.
//!
//! What the decoder holds to, whatever the bytes claim: it never panics; no array is allocated before its claimed count
//! fits the bytes that are left; all arrays of a message together stay within [`EXPANSION_MAX`] times its bytes (plus
//! [`EXPANSION_BYTES_FREE`]); strings and byte fields are views into the frame; left-over bytes are an error.

mod decoder;
mod encoder;
mod error;
mod message;
mod rule;
mod text;
mod types;

pub use decoder::{ARRAY_ELEMENTS_MAX, Decoder, EXPANSION_BYTES_FREE, EXPANSION_MAX, TAGS_MAX};
pub use encoder::{Encoded, Encoder, Hole};
pub use error::{WireError, WireErrorKind};
pub use message::{Message, Request, decode, decode_request, decode_response, encode};
pub(crate) use message::{message, struct_bytes_min, walk_field, walk_tagged};
pub use rule::Rule;
pub use text::Str;
pub use types::{FetchRecords, Float64, Wire};

/// What walks along a message's fields: the [`Decoder`] or the [`Encoder`].
pub trait Follower {
    /// The tagged fields of one struct, between [`tags_begin`](Follower::tags_begin) and
    /// [`tags_end`](Follower::tags_end).
    type Tags;

    /// The version of the message.
    fn version(&self) -> i16;

    /// A value of `N` bytes: every number, bool and UUID.
    fn fixed<const N: usize>(&mut self, bytes: &mut [u8; N]) -> Result<(), WireError>;

    /// Whether a struct that may be null is there.
    fn presence(&mut self, present: &mut bool) -> Result<(), WireError>;

    /// A string: at most 32767 bytes of UTF-8.
    fn string(&mut self, value: &mut Option<Str>, nullable: bool) -> Result<(), WireError>;

    /// A byte string.
    fn bytes(&mut self, value: &mut Option<bytes::Bytes>, nullable: bool) -> Result<(), WireError>;

    /// The record batches of a fetch response, which on the way out may be a hole for a region of a file.
    fn records(&mut self, value: &mut FetchRecords) -> Result<(), WireError>;

    /// An array.
    fn array<T: Wire>(&mut self, items: &mut Option<Vec<T>>, nullable: bool) -> Result<(), WireError>;

    /// A field that this version does not carry and whose loss Kafka does not allow: it must have its default.
    fn absent(&mut self, is_default: impl FnOnce() -> bool) -> Result<(), WireError>;

    /// The start of a struct's tagged fields; there are none in rigid versions.
    fn tags_begin(&mut self) -> Result<Self::Tags, WireError>;

    /// One tagged field that we know. It is left out when it has its default.
    fn tagged<T: Wire>(
        &mut self,
        tags: &mut Self::Tags,
        tag: u32,
        value: &mut T,
        nullable: bool,
        is_default: impl FnOnce(&T) -> bool,
    ) -> Result<(), WireError>;

    /// The end of a struct's tagged fields; tags that we do not know are skipped.
    fn tags_end(&mut self, tags: Self::Tags) -> Result<(), WireError>;
}
