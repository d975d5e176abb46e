//! What can be wrong with bytes that claim to be a message, or with a message that should become bytes.

use std::fmt;

/// Why a message could not be decoded or encoded, and at which field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// What is wrong.
    pub kind: WireErrorKind,
    /// The innermost field that was being walked, empty when it was none.
    pub field: &'static str,
}

/// What is wrong with the bytes or the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireErrorKind {
    /// The bytes end before the value does.
    #[error("the bytes end too early: {needed} are needed and {left} are left")]
    Truncated {
        /// How many bytes the value takes.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// The message is complete, and bytes are left over.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
    /// A variable-length number has more than 32 bits.
    #[error("a variable-length number has more than 32 bits")]
    Varint,
    /// A length or count is negative, and is not the -1 of null.
    #[error("the length {0} is negative")]
    NegativeLength(i64),
    /// A version cannot be negative.
    #[error("the version {0} is negative")]
    NegativeVersion(i16),
    /// The value is null in a version that does not allow it.
    #[error("the value is null, which this version does not allow")]
    Null,
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// An array claims more elements than the remaining bytes can hold, or than any array may have.
    #[error("an array claims {claimed} elements where at most {possible} are possible")]
    ArrayTooLong {
        /// The count that is claimed.
        claimed: usize,
        /// The greatest count that could be true.
        possible: usize,
    },
    /// The arrays of the message would take more memory than its size justifies.
    #[error("the message would take much more memory than its size justifies")]
    Expansion,
    /// A struct claims more tagged fields than allowed.
    #[error("a struct claims {0} tagged fields")]
    TooManyTags(u32),
    /// Tagged fields must come by ascending tag, each once.
    #[error("the tagged field {0} is out of order")]
    TagOutOfOrder(u32),
    /// The presence byte of a struct is neither -1 nor 1.
    #[error("the presence byte {0} is neither -1 nor 1")]
    Presence(i8),
    /// The text or byte string is too long for its length prefix.
    #[error("a value of {0} bytes is too long for the wire")]
    TooLong(usize),
    /// The field holds a value that this version cannot carry.
    #[error("version {0} cannot carry the field's value")]
    NotInVersion(i16),
    /// The API or this version of it is not spoken.
    #[error("version {version} of the API with key {key} is not spoken")]
    UnsupportedVersion {
        /// The API's key.
        key: i16,
        /// The version.
        version: i16,
    },
    /// The length of a frame is negative, too small for a header, or above the limit.
    #[error("a frame cannot have {0} bytes")]
    FrameLength(i32),
}

impl WireError {
    /// The same error, said of `field` unless a field within that is named already.
    pub(crate) fn within(mut self, field: &'static str) -> Self {
        if self.field.is_empty() {
            self.field = field;
        }
        self
    }
}

impl From<WireErrorKind> for WireError {
    fn from(kind: WireErrorKind) -> Self {
        Self { kind, field: "" }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { self.kind.fmt(f) } else { write!(f, "{}: {}", self.field, self.kind) }
    }
}

impl std::error::Error for WireError {}
