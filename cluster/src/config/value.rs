//! The type of a config, the value that a text of that type stands for, and the rules a value has to meet.
//!
//! A text from a file, the environment, the command line or an admin request is a claim; [`Kind::parse`] and
//! [`Rule::check`] turn it into a [`Value`] once. The sentences are Kafka's, because tools match and show them. Not
//! here: which configs there are ([`super::table`]).

use std::fmt;

use super::address_counts;

/// The type of a config, with the number that DescribeConfigs gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Bool = 1,
    /// Any text.
    Text = 2,
    /// A whole number of 32 bits.
    Int = 3,
    /// A whole number of 16 bits.
    Short = 4,
    /// A whole number of 64 bits.
    Long = 5,
    /// A number with a fraction.
    Double = 6,
    /// Texts between commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// A text that is never shown.
    Password = 9,
}

impl Kind {
    /// The number of the type in a DescribeConfigs response.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// Kafka's name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Bool => "BOOLEAN",
            Kind::Text => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        }
    }

    /// Reads a text of this type. Space around it is dropped, as Kafka does.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        let not_a_number = || format!("Not a number of type {}", self.name());
        let whole = |least: i64, most: i64| match trimmed.parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(Value::Whole(number)),
            _ => Err(not_a_number()),
        };
        match self {
            Kind::Bool if trimmed.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            Kind::Bool if trimmed.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            Kind::Bool => Err("Expected value to be either true or false".to_owned()),
            Kind::Text | Kind::Class => Ok(Value::Text(trimmed.to_owned())),
            Kind::Password => Ok(Value::Text(text.to_owned())),
            Kind::Short => whole(i16::MIN.into(), i16::MAX.into()),
            Kind::Int => whole(i32::MIN.into(), i32::MAX.into()),
            Kind::Long => whole(i64::MIN, i64::MAX),
            Kind::Double => trimmed.parse().map(Value::Real).map_err(|_| not_a_number()),
            Kind::List if trimmed.is_empty() => Ok(Value::List(Vec::new())),
            Kind::List => Ok(Value::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect())),
        }
    }
}

/// What a config is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// The config is not set and has no default.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// A number with a fraction.
    Real(f64),
    /// A text.
    Text(String),
    /// Texts in their order.
    List(Vec<String>),
}

impl Value {
    /// The value as DescribeConfigs shows it; `None` when it is not set.
    pub fn shown(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Whole(number) => Some(number.to_string()),
            // The greatest double is Kafka's "no limit", and Java writes it with an exponent.
            Value::Real(number) if *number == f64::MAX => Some("1.7976931348623157E308".to_owned()),
            Value::Real(number) => Some(format!("{number:?}")),
            Value::Text(text) => Some(text.clone()),
            Value::List(items) => Some(items.join(",")),
        }
    }
}

/// What a value must satisfy besides its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Every value of the type.
    Any,
    /// A text or list that is not empty.
    NonEmpty,
    /// A number not below this.
    AtLeast(i64),
    /// A number from the first to the second, both included.
    Between(i64, i64),
    /// As [`Rule::Between`], or exactly the third.
    BetweenOr(i64, i64, i64),
    /// A fraction from the first to the second, both included.
    RealBetween(f64, f64),
    /// One of these words; for a list, each item one of them.
    OneOf(&'static [&'static str]),
    /// One of these words in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// `address:count` pairs.
    AddressCounts,
    /// `*`, or `partition:broker` pairs.
    ThrottledReplicas,
    /// `earliest`, `latest` or `by_duration:` and an ISO 8601 duration.
    ShareOffsetReset,
}

impl Rule {
    /// Says why the value breaks the rule, in Kafka's words.
    pub fn check(self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Rule::Any, _) | (_, Value::Null) => Ok(()),
            (Rule::NonEmpty, Value::Text(text)) if text.is_empty() => {
                Err("String must be non-empty".to_owned())
            }
            (Rule::NonEmpty, Value::List(items)) if items.is_empty() => {
                Err("Configuration must not be empty".to_owned())
            }
            (Rule::AtLeast(least), Value::Whole(number)) => at_least(*number, least),
            (Rule::Between(least, most), Value::Whole(number)) => {
                at_least(*number, least)?;
                at_most(*number, most)
            }
            (Rule::BetweenOr(least, most, other), Value::Whole(number)) => {
                if (least..=most).contains(number) || *number == other {
                    return Ok(());
                }
                Err(format!("Value must be between {least} and {most} or equal to {other}"))
            }
            (Rule::RealBetween(least, most), Value::Real(number)) => {
                if *number < least {
                    return Err(format!("Value must be at least {least}"));
                }
                if *number > most { Err(format!("Value must be no more than {most}")) } else { Ok(()) }
            }
            (Rule::OneOf(words), Value::Text(text)) => one_of(words, words.contains(&text.as_str())),
            (Rule::OneOf(words), Value::List(items)) => {
                one_of(words, items.iter().all(|item| words.contains(&item.as_str())))
            }
            (Rule::OneOfAnyCase(words), Value::Text(text)) => {
                one_of(words, words.iter().any(|word| word.eq_ignore_ascii_case(text)))
            }
            (Rule::AddressCounts, Value::Text(text)) => address_counts::parse(text).map(|_| ()),
            (Rule::ThrottledReplicas, Value::List(items)) => throttled_replicas(items),
            (Rule::ShareOffsetReset, Value::Text(text)) => share_offset_reset(text),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Rule {
    /// The rule as the reference pages show it; empty for [`Rule::Any`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Any => Ok(()),
            Rule::NonEmpty => f.write_str("not empty"),
            Rule::AtLeast(least) => write!(f, "at least {least}"),
            Rule::Between(least, most) => write!(f, "{least} to {most}"),
            Rule::BetweenOr(least, most, other) => write!(f, "{least} to {most}, or {other}"),
            Rule::RealBetween(least, most) => write!(f, "{least} to {most}"),
            Rule::OneOf(words) | Rule::OneOfAnyCase(words) => f.write_str(&words.join(", ")),
            Rule::AddressCounts => f.write_str("`address:count` pairs"),
            Rule::ThrottledReplicas => f.write_str("`*` or `partition:broker` pairs"),
            Rule::ShareOffsetReset => f.write_str("earliest, latest, by_duration:P…"),
        }
    }
}

fn at_least(number: i64, least: i64) -> Result<(), String> {
    if number < least { Err(format!("Value must be at least {least}")) } else { Ok(()) }
}

fn at_most(number: i64, most: i64) -> Result<(), String> {
    if number > most { Err(format!("Value must be no more than {most}")) } else { Ok(()) }
}

fn one_of(words: &[&str], is_one: bool) -> Result<(), String> {
    if is_one { Ok(()) } else { Err(format!("String must be one of: {}", words.join(", "))) }
}

fn throttled_replicas(items: &[String]) -> Result<(), String> {
    let is_pair = |item: &String| {
        item.split_once(':').is_some_and(|(partition, broker)| {
            [partition, broker].iter().all(|number| number.parse::<u32>().is_ok())
        })
    };
    if items.is_empty() || items.len() == 1 && items[0] == "*" || items.iter().all(is_pair) {
        return Ok(());
    }
    Err("it must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        .to_owned())
}

fn share_offset_reset(text: &str) -> Result<(), String> {
    let by_duration = |text: &str| {
        text.strip_prefix("by_duration:P").is_some_and(|duration| {
            !duration.is_empty()
                && duration.chars().all(|c| c.is_ascii_digit() || "DTHMS.".contains(c))
                && duration.ends_with(['D', 'H', 'M', 'S'])
        })
    };
    if text == "earliest" || text == "latest" || by_duration(text) {
        return Ok(());
    }
    Err("String must be one of: earliest, latest, by_duration:PnDTnHnMn.nS".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_kafka_reads_it() {
        for (kind, text, value) in [
            (Kind::Long, " 5000 ", Ok(Value::Whole(5000))),
            (Kind::Long, "abc", Err("Not a number of type LONG")),
            (Kind::Int, "2147483648", Err("Not a number of type INT")),
            (Kind::Short, "40000", Err("Not a number of type SHORT")),
            (Kind::Long, "", Err("Not a number of type LONG")),
            (Kind::Bool, "TRUE", Ok(Value::Bool(true))),
            (Kind::Bool, "yes", Err("Expected value to be either true or false")),
            (Kind::List, " compact , delete ", Ok(Value::List(vec!["compact".into(), "delete".into()]))),
            (Kind::List, "", Ok(Value::List(vec![]))),
            (Kind::Double, "0.5", Ok(Value::Real(0.5))),
            (Kind::Text, " x ", Ok(Value::Text("x".into()))),
            (Kind::Password, " x ", Ok(Value::Text(" x ".into()))),
        ] {
            assert_eq!(kind.parse(text), value.map_err(str::to_owned), "{kind:?} {text:?}");
        }
    }

    #[test]
    fn a_broken_rule_is_told_in_kafkas_words() {
        let whole = Value::Whole;
        let text = |text: &str| Value::Text(text.into());
        for (rule, value, complaint) in [
            (Rule::AtLeast(-1), whole(-2), Some("Value must be at least -1")),
            (Rule::AtLeast(-1), whole(-1), None),
            (Rule::Between(1, 17), whole(18), Some("Value must be no more than 17")),
            (Rule::BetweenOr(1, 9, -1), whole(0), Some("Value must be between 1 and 9 or equal to -1")),
            (Rule::BetweenOr(1, 9, -1), whole(-1), None),
            (Rule::RealBetween(0.0, 1.0), Value::Real(2.0), Some("Value must be no more than 1")),
            (Rule::OneOf(&["a", "b"]), text("A"), Some("String must be one of: a, b")),
            (Rule::OneOf(&["a", "b"]), Value::List(vec!["b".into(), "a".into()]), None),
            (Rule::OneOf(&["a", "b"]), Value::List(vec!["c".into()]), Some("String must be one of: a, b")),
            (Rule::OneOfAnyCase(&["UPGRADE"]), text("upgrade"), None),
            (Rule::NonEmpty, text(""), Some("String must be non-empty")),
            (Rule::ThrottledReplicas, Value::List(vec!["*".into()]), None),
            (Rule::ThrottledReplicas, Value::List(vec!["0:1".into(), "1:2".into()]), None),
            (Rule::ShareOffsetReset, text("by_duration:P1DT2H"), None),
            (Rule::AtLeast(1), Value::Null, None),
        ] {
            assert_eq!(
                rule.check(&value),
                complaint.map_or(Ok(()), |c| Err(c.to_owned())),
                "{rule:?} {value:?}"
            );
        }
        assert!(Rule::ThrottledReplicas.check(&Value::List(vec!["x".into()])).is_err());
        assert!(Rule::ShareOffsetReset.check(&text("by_duration:-P1D")).is_err());
    }

    #[test]
    fn a_value_is_shown_as_java_shows_it() {
        assert_eq!(Value::Real(f64::MAX).shown().unwrap(), "1.7976931348623157E308");
        assert_eq!(Value::Real(0.5).shown().unwrap(), "0.5");
        assert_eq!(Value::List(vec!["a".into(), "b".into()]).shown().unwrap(), "a,b");
        assert_eq!(Value::Null.shown(), None);
    }
}
