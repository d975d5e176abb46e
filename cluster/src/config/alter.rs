//! What IncrementalAlterConfigs and AlterConfigs make of the values that are set, with Kafka's checks and sentences.
//!
//! The result is a list of changes (a key with its new value, or `None` to unset it), which become metadata records.
//! The resource as a whole is checked as it would be afterwards, so that nothing illegal is ever recorded. Not here:
//! whether the resource exists.

use std::collections::BTreeSet;

use ottla_protocol::ErrorCode;

use super::layers::{Layers, Overrides};
use super::row::{Row, Support, Update};
use super::suggest;
use super::table;
use super::value::{Kind, Value};
use crate::refusal::{Refused, refuse};

/// The longest value that is kept, as in Kafka, whose strings are no longer.
const VALUE_BYTES_MAX: usize = i16::MAX as usize;

/// What to do with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Set it.
    Set,
    /// Unset it.
    Delete,
    /// Add to a list what is not yet in it.
    Append,
    /// Take out of a list.
    Subtract,
}

/// One change that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alteration<'a> {
    /// The key.
    pub key: &'a str,
    /// What to do.
    pub operation: Operation,
    /// With what.
    pub value: Option<&'a str>,
}

/// What kind of resource is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A topic.
    Topic,
    /// One broker, at run time.
    Broker,
    /// All brokers, at run time.
    AllBrokers,
    /// A group.
    Group,
}

/// Keys with their new values; `None` unsets.
pub type Changes = Vec<(String, Option<String>)>;

impl Operation {
    /// The operation with this number in an IncrementalAlterConfigs request.
    pub fn from_code(code: i8) -> Option<Self> {
        [Self::Set, Self::Delete, Self::Append, Self::Subtract].get(usize::try_from(code).ok()?).copied()
    }
}

impl Target {
    fn row(self, key: &str) -> Option<&'static Row> {
        match self {
            Target::Topic => table::topic(key),
            Target::Group => table::group(key),
            Target::Broker | Target::AllBrokers => table::broker(key),
        }
    }

    /// The error that Kafka has for an illegal value: for brokers the request is at fault, not the config.
    fn invalid_value(self) -> ErrorCode {
        match self {
            Target::Topic | Target::Group => ErrorCode::INVALID_CONFIG,
            Target::Broker | Target::AllBrokers => ErrorCode::INVALID_REQUEST,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Target::Topic => "topic",
            Target::Group => "group",
            Target::Broker | Target::AllBrokers => "broker",
        }
    }
}

/// The changes that IncrementalAlterConfigs asks for.
///
/// # Errors
/// INVALID_REQUEST or INVALID_CONFIG, as Kafka.
pub fn incremental(
    target: Target,
    current: &Overrides,
    layers: &Layers,
    alterations: &[Alteration<'_>],
) -> Refused<Changes> {
    let keys: BTreeSet<&str> = alterations.iter().map(|alteration| alteration.key).collect();
    if keys.len() < alterations.len() {
        return refuse(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys");
    }
    let without_value: Vec<&str> = alterations
        .iter()
        .filter(|alteration| alteration.operation != Operation::Delete && alteration.value.is_none())
        .map(|alteration| alteration.key)
        .collect();
    if !without_value.is_empty() {
        let message = format!("Null value not supported for : {}", without_value.join(","));
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    let mut changes = Changes::new();
    for alteration in alterations {
        let value = alteration.value.unwrap_or_default();
        let new = match alteration.operation {
            Operation::Set => Some(value.to_owned()),
            Operation::Delete => None,
            list => Some(altered_list(target, current, layers, alteration.key, list, value)?),
        };
        changes.push((alteration.key.to_owned(), new));
    }
    settle(target, current, layers, changes)
}

/// The changes that AlterConfigs asks for: the given values replace all that are set.
///
/// # Errors
/// INVALID_REQUEST or INVALID_CONFIG, as Kafka.
pub fn replacing(
    target: Target,
    current: &Overrides,
    layers: &Layers,
    values: &[(&str, Option<&str>)],
) -> Refused<Changes> {
    let keys: BTreeSet<&str> = values.iter().map(|(key, _)| *key).collect();
    if keys.len() < values.len() {
        return refuse(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys");
    }
    let without_value: Vec<&str> =
        values.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| *key).collect();
    if !without_value.is_empty() {
        let message = format!("Null value not supported for : {}", without_value.join(","));
        return refuse(ErrorCode::INVALID_REQUEST, message);
    }
    let gone = current.keys().filter(|key| !keys.contains(key.as_str())).map(|key| (key.clone(), None));
    let set = values.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
    settle(target, current, layers, gone.chain(set).collect())
}

/// Checks the configs with which a topic is to be created.
///
/// # Errors
/// INVALID_CONFIG, as Kafka.
pub fn check_new_topic(values: &Overrides, layers: &Layers) -> Refused<()> {
    check_values(Target::Topic, values.iter().map(|(key, value)| (key.as_str(), value.as_str())))?;
    check_topic_as_a_whole(values, layers)
}

fn altered_list(
    target: Target,
    current: &Overrides,
    layers: &Layers,
    key: &str,
    operation: Operation,
    value: &str,
) -> Refused<String> {
    let verb = if operation == Operation::Append { "APPEND" } else { "SUBTRACT" };
    let row = match target.row(key) {
        Some(row) if row.kind == Kind::List => row,
        _ => {
            let message = format!("Can't {verb} to key {key} because its type is not LIST.");
            return refuse(ErrorCode::INVALID_CONFIG, message);
        }
    };
    let before = match (current.get(key), target) {
        (Some(text), _) => row.kind.parse(text).unwrap_or(Value::Null),
        (None, Target::Topic | Target::Group) => layers.inherited_value(row, &Overrides::new()),
        (None, Target::Broker | Target::AllBrokers) => layers.value(row),
    };
    let mut items = if let Value::List(items) = before { items } else { Vec::new() };
    let Ok(Value::List(given)) = Kind::List.parse(value) else { unreachable!("every text is a list") };
    match operation {
        Operation::Append => {
            for item in given {
                if !items.contains(&item) {
                    items.push(item);
                }
            }
        }
        _ => items.retain(|item| !given.contains(item)),
    }
    Ok(items.join(","))
}

/// Checks what the resource would be afterwards, and leaves out what changes nothing.
fn settle(target: Target, current: &Overrides, layers: &Layers, changes: Changes) -> Refused<Changes> {
    if matches!(target, Target::Broker | Target::AllBrokers) {
        check_dynamic(target, changes.iter().map(|(key, _)| key.as_str()))?;
    }
    let set = changes.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?)));
    check_values(target, set)?;
    let mut after = current.clone();
    for (key, value) in &changes {
        match value {
            Some(value) => after.insert(key.clone(), value.clone()),
            None => after.remove(key),
        };
    }
    match target {
        Target::Topic => check_topic_as_a_whole(&after, layers)?,
        Target::Group => check_group_as_a_whole(&after, layers)?,
        Target::Broker | Target::AllBrokers => {}
    }
    Ok(changes.into_iter().filter(|(key, value)| current.get(key) != value.as_ref()).collect())
}

fn check_dynamic<'a>(target: Target, keys: impl Iterator<Item = &'a str>) -> Refused<()> {
    let keys: Vec<&str> = keys.collect();
    let refuse_those = |is_wrong: &dyn Fn(&Row, &str) -> bool, sentence: &str| {
        let is_wrong = |key: &&&str| table::broker(key).is_some_and(|row| is_wrong(row, key));
        let wrong: Vec<&str> = keys.iter().filter(is_wrong).copied().collect();
        if wrong.is_empty() {
            return Ok(());
        }
        refuse(ErrorCode::INVALID_REQUEST, format!("{sentence}: [{}]", wrong.join(", ")))
    };
    let of_no_listener = |row: &Row, key: &str| key == row.name && row.name.starts_with("ssl.");
    refuse_those(
        &|row, _| row.update == Update::ReadOnly && !matches!(row.support, Support::Removed(_)),
        "Cannot update these configs dynamically",
    )?;
    refuse_those(
        &|row, key| row.update == Update::PerBroker && of_no_listener(row, key),
        "These security configs can be dynamically updated only per-listener using the listener prefix",
    )?;
    if target == Target::AllBrokers {
        refuse_those(
            &|row, _| row.update == Update::PerBroker,
            "Cannot update these configs at default cluster level, broker id must be specified",
        )?;
    }
    Ok(())
}

fn check_values<'a>(target: Target, values: impl Iterator<Item = (&'a str, &'a str)>) -> Refused<()> {
    for (key, value) in values {
        let Some(row) = target.row(key) else {
            let known: Box<dyn Iterator<Item = &Row>> = match target {
                Target::Topic => Box::new(table::TOPIC_ROWS.iter()),
                Target::Group => Box::new(table::GROUP_ROWS.iter()),
                Target::Broker | Target::AllBrokers => Box::new(table::broker_rows()),
            };
            let mut message = format!("Unknown {} config name: {key}", target.name());
            if let Some(meant) = suggest::nearest(key, known.map(|row| row.name)) {
                message.push_str(&format!(" (did you mean {meant}?)"));
            }
            return refuse(ErrorCode::INVALID_CONFIG, message);
        };
        if let Support::Refuse(why) = row.support {
            return refuse(ErrorCode::INVALID_CONFIG, format!("{key} is not supported: {why}"));
        }
        if value.len() > VALUE_BYTES_MAX {
            let message = format!("The value of {key} is longer than {VALUE_BYTES_MAX} bytes.");
            return refuse(target.invalid_value(), message);
        }
        row.parse(value).or_else(|why| refuse(target.invalid_value(), why))?;
    }
    Ok(())
}

/// The rules that span several configs of a topic.
fn check_topic_as_a_whole(values: &Overrides, layers: &Layers) -> Refused<()> {
    let value = |key| layers.inherited_value(table::topic(key).expect("a config of a topic"), values);
    let lag = |key| if let Value::Whole(number) = value(key) { number } else { 0 };
    let (least, most) = (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"));
    if least > most {
        let message = format!(
            "conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})"
        );
        return refuse(ErrorCode::INVALID_CONFIG, message);
    }
    if value("remote.storage.enable") == Value::Bool(true) {
        let message = "Tiered Storage functionality is disabled in the broker. \
                       Topic cannot be configured with remote log storage.";
        return refuse(ErrorCode::INVALID_CONFIG, message);
    }
    Ok(())
}

/// The bounds that the broker sets its groups: `group.consumer.min.session.timeout.ms` and its like.
fn check_group_as_a_whole(values: &Overrides, layers: &Layers) -> Refused<()> {
    let value =
        |row: &Row| if let Value::Whole(number) = layers.inherited_value(row, values) { number } else { 0 };
    for row in table::GROUP_ROWS {
        let Some((kind, rest)) = row.name.split_once('.') else { continue };
        // Every key but this one has a bound of its own name.
        let rest = rest.strip_prefix("num.").unwrap_or(rest);
        let bound = |word: &str| {
            let row = table::broker(&format!("group.{kind}.{word}.{rest}"))?;
            if let Value::Whole(bound) = layers.value(row) { Some((row.name, bound)) } else { None }
        };
        if let Some((bound, _)) = bound("min").filter(|(_, least)| value(row) < *least) {
            let message = format!("{} must be greater than or equal to {bound}", row.name);
            return refuse(ErrorCode::INVALID_CONFIG, message);
        }
        if let Some((bound, _)) = bound("max").filter(|(_, most)| value(row) > *most) {
            let message = format!("{} must be less than or equal to {bound}", row.name);
            return refuse(ErrorCode::INVALID_CONFIG, message);
        }
    }
    for kind in ["consumer", "share", "streams"] {
        let [timeout, interval] =
            ["session.timeout.ms", "heartbeat.interval.ms"].map(|key| format!("{kind}.{key}"));
        let of = |key: &str| table::group(key).map_or(0, value);
        if of(&timeout) <= of(&interval) {
            return refuse(ErrorCode::INVALID_CONFIG, format!("{timeout} must be greater than {interval}"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "alter_tests.rs"]
mod tests;
