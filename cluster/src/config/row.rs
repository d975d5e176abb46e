//! One row of the config table: everything that is known about a config key, declared once.
//!
//! The macro [`rows`] is the notation in which the sections of [`super::table`] are written. Not here: the rows
//! themselves.

use super::value::{Kind, Rule, Value};

/// A config key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Kafka's spelling of the key.
    pub name: &'static str,
    /// The type of its values.
    pub kind: Kind,
    /// The value when nobody sets one; `None` where Kafka has null.
    pub default: Option<&'static str>,
    /// What a value must satisfy besides its type.
    pub rule: Rule,
    /// Whether the value can change while the broker runs.
    pub update: Update,
    /// What ottla does with it.
    pub support: Support,
    /// Where a topic's or group's value comes from when it has none of its own: broker keys, the strongest first.
    pub synonyms: &'static [Synonym],
    /// What the config does, as one sentence.
    pub doc: &'static str,
}

/// A broker key that gives a topic or group config its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// The unit of the broker key's value.
    pub unit: Unit,
}

/// How the value of a [`Synonym`] becomes the value of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// It is the same value.
    Same,
    /// Minutes become milliseconds.
    Minutes,
    /// Hours become milliseconds.
    Hours,
}

/// Whether and for whom a broker config can change while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only at the start.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For one broker or for all of them.
    ClusterWide,
}

/// What ottla does with a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It has the effect that Kafka gives it.
    Honour,
    /// As [`Support::Honour`], but it is shown only when it is set: Kafka keeps it to itself.
    Hidden,
    /// It is checked, kept and reported, and has no effect for this reason.
    Accept(&'static str),
    /// As [`Support::Accept`], and shown as [`Support::Hidden`] is.
    Internal(&'static str),
    /// Kafka had it once and dropped it: anything is accepted, nothing is checked or shown.
    Removed(&'static str),
    /// Setting it is an error, for this reason: to ignore it would be worse than to stop.
    Refuse(&'static str),
}

impl Row {
    /// Reads and checks a value; the error is Kafka's sentence about it.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let shown = if self.is_sensitive() { "[hidden]" } else { text };
        let complaint = |why| format!("Invalid value {shown} for configuration {}: {why}", self.name);
        let value = self.kind.parse(text).map_err(complaint)?;
        self.rule.check(&value).map_err(complaint)?;
        Ok(value)
    }

    /// The default as a value.
    pub fn default_value(&self) -> Value {
        // A test parses every default in the table, so that `Null` here can only mean that there is none.
        self.default.and_then(|text| self.parse(text).ok()).unwrap_or(Value::Null)
    }

    /// Whether the value is a secret, which is never shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Whether DescribeConfigs shows the config even when nobody set it.
    pub fn is_listed(&self) -> bool {
        !matches!(self.support, Support::Hidden | Support::Internal(_) | Support::Removed(_))
    }

    /// Why the config has no effect, when it has none.
    pub fn note(&self) -> Option<&'static str> {
        match self.support {
            Support::Honour | Support::Hidden => None,
            Support::Accept(why) | Support::Internal(why) | Support::Removed(why) | Support::Refuse(why) => {
                Some(why)
            }
        }
    }
}

impl Unit {
    /// The value in the topic's unit. A negative time means "no limit" in every unit, and so becomes -1.
    pub fn convert(self, value: Value) -> Value {
        let factor: i64 = match self {
            Unit::Same => return value,
            Unit::Minutes => 60 * 1000,
            Unit::Hours => 60 * 60 * 1000,
        };
        match value {
            Value::Whole(number) if number < 0 => Value::Whole(-1),
            Value::Whole(number) => Value::Whole(number.saturating_mul(factor)),
            other => other,
        }
    }
}

/// Writes rows: name, type, default, rule in brackets, update mode, support, optionally where the default comes from,
/// and the sentence.
macro_rules! rows {
    ($($name:literal $kind:ident $default:tt [$rule:expr] $update:ident $support:expr,
        $(from [$($unit:ident $synonym:literal),*])? $doc:literal;)*) => {
        &[$($crate::config::row::Row {
            name: $name,
            kind: $crate::config::value::Kind::$kind,
            default: $crate::config::row::default!($default),
            rule: $rule,
            update: $crate::config::row::Update::$update,
            support: $support,
            synonyms: &[$($($crate::config::row::Synonym {
                name: $synonym,
                unit: $crate::config::row::Unit::$unit,
            }),*)?],
            doc: $doc,
        }),*]
    };
}

/// The default of a row: a text, or the word `null`.
macro_rules! default {
    (null) => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

pub(super) use {default, rows};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_milliseconds_and_no_limit_stays_no_limit() {
        assert_eq!(Unit::Hours.convert(Value::Whole(168)), Value::Whole(604_800_000));
        assert_eq!(Unit::Minutes.convert(Value::Whole(2)), Value::Whole(120_000));
        assert_eq!(Unit::Hours.convert(Value::Whole(-1)), Value::Whole(-1));
        assert_eq!(Unit::Same.convert(Value::Whole(7)), Value::Whole(7));
        assert_eq!(Unit::Hours.convert(Value::Null), Value::Null);
    }
}
