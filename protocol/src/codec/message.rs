//! How a message is declared, and how it becomes bytes and comes back.

use bytes::Bytes;

use super::{Decoder, Encoded, Encoder, Follower, Rule, Wire, WireError};
use crate::api::{self, ApiKey};

/// A struct of the protocol: a request, a response, or a struct within one.
pub trait Message: Wire + std::fmt::Debug {}

/// A request, and what answers it.
pub trait Request: Message {
    /// The API.
    const KEY: ApiKey;
    /// The answer.
    type Response: Message;
}

/// Decodes a message that takes up all of `bytes`.
pub fn decode<M: Message>(bytes: Bytes, version: i16, flexible: bool) -> Result<M, WireError> {
    let mut decoder = Decoder::new(bytes, version, flexible);
    let mut message = M::default();
    message.walk(&mut decoder, false)?;
    decoder.finish()?;
    Ok(message)
}

/// Encodes a message, leaving a hole for each region of records.
///
/// A field that `version` does not carry must have its default, or be one that Kafka allows to drop.
pub fn encode<M: Message>(mut message: M, version: i16, flexible: bool) -> Result<Encoded, WireError> {
    let mut encoder = Encoder::new(version, flexible);
    message.walk(&mut encoder, false)?;
    Ok(encoder.finish())
}

/// Decodes the body of a request, which must be of a version that the codec speaks.
pub fn decode_request<R: Request>(body: Bytes, version: i16) -> Result<R, WireError> {
    let api = api::spoken(R::KEY, version)?;
    decode(body, version, api.is_flexible(version))
}

/// Decodes the body of the response to a request `R` of this version.
pub fn decode_response<R: Request>(body: Bytes, version: i16) -> Result<R::Response, WireError> {
    let api = api::spoken(R::KEY, version)?;
    decode(body, version, api.is_flexible(version))
}

/// Walks a field in its place, unless it is a tagged one.
pub(crate) fn walk_field<T: Wire, F: Follower>(
    f: &mut F,
    rule: Rule,
    value: &mut T,
    default: impl FnOnce() -> T,
) -> Result<(), WireError> {
    let version = f.version();
    if rule.tag_number().is_some() {
        Ok(())
    } else if rule.carries(version) {
        value.walk(f, rule.allows_null(version))
    } else if rule.is_ignorable() {
        Ok(())
    } else {
        f.absent(|| *value == default())
    }
}

/// Walks a field among the tagged ones, if it is one.
pub(crate) fn walk_tagged<T: Wire, F: Follower>(
    f: &mut F,
    tags: &mut F::Tags,
    rule: Rule,
    value: &mut T,
    default: impl FnOnce() -> T,
) -> Result<(), WireError> {
    let version = f.version();
    let Some(tag) = rule.tag_number() else { return Ok(()) };
    if rule.carries(version) {
        f.tagged(tags, tag, value, rule.allows_null(version), |value| *value == default())
    } else if rule.is_ignorable() {
        Ok(())
    } else {
        f.absent(|| *value == default())
    }
}

/// The fewest bytes that a struct with these fields takes.
pub(crate) const fn struct_bytes_min(fields: &[(Rule, usize)]) -> usize {
    let mut bytes = 0;
    let mut place = 0;
    while place < fields.len() {
        let (rule, bytes_min) = fields[place];
        if rule.is_always_in_line() {
            bytes += bytes_min;
        }
        place += 1;
    }
    if bytes == 0 { 1 } else { bytes }
}

/// Declares structs of the protocol: each field with its type, its default where that is not the type's own, and after
/// a semicolon the [`Rule`](crate::codec::Rule) words that say which versions carry it.
///
/// ```text
/// pub producer_id: i64 = -1; since(3),
/// pub topics: Option<Vec<MetadataRequestTopic>>; nullable(1),
/// pub cluster_id: Option<Str>; since(12) tag(0) ignorable(),
/// ```
///
/// A nullable field without a default is null by default; a response is then complete without naming it.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                pub $field:ident: $type:ty $(= $default:expr)? $(; $($word:ident($($argument:expr)?))+)?
            ),* $(,)?
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::codec::message!(@default $type $(, $default)?),)* }
            }
        }

        impl $crate::codec::Wire for $name {
            const BYTES_MIN: usize = $crate::codec::struct_bytes_min(&[$((
                $crate::codec::Rule::ALWAYS$($(.$word($($argument)?))+)?,
                <$type as $crate::codec::Wire>::BYTES_MIN,
            )),*]);

            fn walk<F: $crate::codec::Follower>(
                &mut self,
                f: &mut F,
                _nullable: bool,
            ) -> Result<(), $crate::codec::WireError> {
                $($crate::codec::walk_field(
                    f,
                    const { $crate::codec::Rule::ALWAYS$($(.$word($($argument)?))+)? },
                    &mut self.$field,
                    || $crate::codec::message!(@default $type $(, $default)?),
                )
                .map_err(|error| error.within(stringify!($field)))?;)*
                #[allow(unused_mut, reason = "a struct without tagged fields does not touch them")]
                let mut tags = f.tags_begin()?;
                $($crate::codec::walk_tagged(
                    f,
                    &mut tags,
                    const { $crate::codec::Rule::ALWAYS$($(.$word($($argument)?))+)? },
                    &mut self.$field,
                    || $crate::codec::message!(@default $type $(, $default)?),
                )
                .map_err(|error| error.within(stringify!($field)))?;)*
                f.tags_end(tags)
            }
        }

        impl $crate::codec::Message for $name {}
    )+};
    (@default $type:ty) => { <$type as Default>::default() };
    (@default $type:ty, $default:expr) => { $default };
}

pub(crate) use message;
