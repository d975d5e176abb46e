//! Typed views: structs whose fields are config keys with `_` for `.`, each read from its key's value.
//!
//! The macro [`view`] writes such a struct, so that a key is spelled once next to its field. A value has been checked
//! against its row before it gets here; a type that does not fit its key is a mistake of this crate, which the tests of
//! each view find.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::address_counts;
use super::value::Value;

/// A type that a config value can be read as.
pub(super) trait FromValue {
    /// Reads it.
    ///
    /// # Panics
    /// If the key's type is another one.
    fn from_value(value: Value) -> Self;
}

/// Writes a struct of configs.
macro_rules! view {
    ($(#[$meta:meta])* pub struct $name:ident { $($field:ident: $type:ty = $key:literal,)* }) => {
        $(#[$meta])*
        pub struct $name {
            $(#[doc = concat!("`", $key, "`.")] pub $field: $type,)*
        }

        impl $name {
            /// The keys of the fields.
            pub const KEYS: &[&str] = &[$($key),*];

            fn read(value_of: impl Fn(&'static str) -> $crate::config::value::Value) -> Self {
                Self { $($field: $crate::config::view::FromValue::from_value(value_of($key)),)* }
            }
        }
    };
}
pub(super) use view;

impl FromValue for bool {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Bool(flag) => flag,
            other => panic!("{other:?} is neither true nor false"),
        }
    }
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Whole(number) => number,
            other => panic!("{other:?} is not a whole number"),
        }
    }
}

/// Rows bound what they must; what is left of the negative numbers means "none" and is taken as 0.
macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: Value) -> Self {
                <$type>::try_from(i64::from_value(value).max(0)).unwrap_or(<$type>::MAX)
            }
        }

        /// -1, like no value at all, means that there is no limit.
        impl FromValue for Option<$type> {
            fn from_value(value: Value) -> Self {
                match value {
                    Value::Null => None,
                    Value::Whole(number) if number < 0 => None,
                    other => Some(<$type>::from_value(other)),
                }
            }
        }
    )*};
}
unsigned!(u16, u32, u64, usize);

impl FromValue for i32 {
    fn from_value(value: Value) -> Self {
        i64::from_value(value).try_into().expect("the row bounds it to 32 bits")
    }
}

impl FromValue for i16 {
    fn from_value(value: Value) -> Self {
        i64::from_value(value).try_into().expect("the row bounds it to 16 bits")
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Text(text) => text,
            other => panic!("{other:?} is not a text"),
        }
    }
}

impl FromValue for Option<String> {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Null => None,
            Value::Text(text) if text.is_empty() => None,
            other => Some(String::from_value(other)),
        }
    }
}

impl FromValue for BTreeMap<IpAddr, usize> {
    fn from_value(value: Value) -> Self {
        address_counts::parse(&String::from_value(value)).expect("the row has checked it")
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: Value) -> Self {
        match value {
            Value::Null => Vec::new(),
            Value::List(items) => items,
            other => panic!("{other:?} is not a list"),
        }
    }
}
