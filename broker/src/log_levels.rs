//! The levels of this process's log, part by part: the resource BROKER_LOGGER of Kafka's admin API (KIP-412).
//!
//! The program that runs the broker owns its log and hands in how to change it; without that there are no loggers. A
//! change lasts as long as the process, as on Kafka, and is this broker's alone. It is *not* a config: nothing of it is in
//! the metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_configs::DescribeConfigsResourceResult;
use ottla_protocol::messages::incremental_alter_configs::AlterableConfig;
use parking_lot::Mutex;

/// The logger whose level all others have that have none of their own.
const ROOT: &str = "root";

/// The parts of the program that write to the log.
const LOGGERS: [&str; 5] = ["ottla_broker", "ottla_client", "ottla_cluster", "ottla_log", ROOT];

/// Kafka's levels, the most silent first.
const LEVELS: [&str; 6] = ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

/// DYNAMIC_BROKER_LOGGER_CONFIG.
const SOURCE: i8 = 6;

/// How the log of the process is told what to write: directives such as `warn,ottla_log=debug`, which go before those
/// that it began with.
type Apply = Box<dyn Fn(&str) + Send + Sync>;

/// See the module.
pub struct LogLevels {
    /// The level that the log began with.
    root: &'static str,
    /// What was set since.
    set: Mutex<BTreeMap<&'static str, &'static str>>,
    apply: Apply,
}

impl fmt::Debug for LogLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevels").field("root", &self.root).field("set", &self.set).finish_non_exhaustive()
    }
}

/// Why a level was not changed.
type Refusal = (ErrorCode, String);

impl LogLevels {
    /// The levels of a log that began at `root`, a level in any case.
    pub fn new(root: &str, apply: impl Fn(&str) + Send + Sync + 'static) -> LogLevels {
        let root = LEVELS.into_iter().find(|level| level.eq_ignore_ascii_case(root)).unwrap_or("INFO");
        LogLevels { root, set: Mutex::default(), apply: Box::new(apply) }
    }

    /// Every logger with the level that it writes at.
    pub(crate) fn describe(&self) -> Vec<DescribeConfigsResourceResult> {
        let set = self.set.lock();
        let root = set.get(ROOT).copied().unwrap_or(self.root);
        let row = |logger: &'static str| DescribeConfigsResourceResult {
            name: Str::from_static(logger),
            value: Some(Str::from_static(set.get(logger).copied().unwrap_or(root))),
            config_source: SOURCE,
            ..DescribeConfigsResourceResult::default()
        };
        LOGGERS.into_iter().map(row).collect()
    }

    /// Does all that is asked, or nothing.
    pub(crate) fn alter(&self, alterations: &[AlterableConfig], validate_only: bool) -> Result<(), Refusal> {
        let keys: BTreeSet<&str> = alterations.iter().map(|alteration| &*alteration.name).collect();
        if keys.len() < alterations.len() {
            return Err((ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys".to_owned()));
        }
        let changes = alterations.iter().map(change).collect::<Result<Vec<_>, Refusal>>()?;
        if validate_only {
            return Ok(());
        }
        let mut set = self.set.lock();
        for (logger, level) in changes {
            match level {
                Some(level) => set.insert(logger, level),
                None => set.remove(logger),
            };
        }
        (self.apply)(&directives(&set));
        Ok(())
    }
}

/// A logger with its new level; `None` unsets it.
fn change(alteration: &AlterableConfig) -> Result<(&'static str, Option<&'static str>), Refusal> {
    let invalid = |message: String| Err((ErrorCode::INVALID_REQUEST, message));
    let logger = &*alteration.name;
    let known = || {
        let known = LOGGERS.into_iter().find(|known| *known == logger);
        known.ok_or_else(|| (ErrorCode::INVALID_CONFIG, format!("Logger {logger} does not exist!")))
    };
    match alteration.config_operation {
        0 => {
            let value = alteration.value.as_deref().unwrap_or_default();
            let Some(level) = LEVELS.into_iter().find(|level| *level == value) else {
                let message = format!(
                    "Cannot set the log level of {logger} to {value} as it is not a supported log level. \
                     Valid log levels are {}",
                    LEVELS.join(", ")
                );
                return Err((ErrorCode::INVALID_CONFIG, message));
            };
            Ok((known()?, Some(level)))
        }
        1 if known()? == ROOT => {
            invalid("Removing the log level of the root logger is not allowed".to_owned())
        }
        1 => Ok((known()?, None)),
        2 => invalid("APPEND operation is not allowed for the BROKER_LOGGER resource".to_owned()),
        3 => invalid("SUBTRACT operation is not allowed for the BROKER_LOGGER resource".to_owned()),
        other => invalid(format!("Unknown operation type {other}")),
    }
}

fn directives(set: &BTreeMap<&'static str, &'static str>) -> String {
    let directive = |(logger, level): (&&str, &&str)| {
        // Our log has nothing above an error.
        let level = if *level == "FATAL" { "error".to_owned() } else { level.to_lowercase() };
        if *logger == ROOT { level } else { format!("{logger}={level}") }
    };
    set.iter().map(directive).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn alteration(logger: &str, operation: i8, level: Option<&str>) -> AlterableConfig {
        let value = level.map(Str::from);
        AlterableConfig { name: Str::from(logger), config_operation: operation, value }
    }

    fn level_of(levels: &LogLevels, logger: &str) -> String {
        let rows = levels.describe();
        let row = rows.iter().find(|row| *row.name == *logger).unwrap();
        row.value.as_ref().unwrap().to_string()
    }

    #[test]
    fn a_logger_without_a_level_has_that_of_the_root() {
        let told = Arc::new(Mutex::new(String::new()));
        let log = Arc::clone(&told);
        let levels = LogLevels::new("warn", move |directives| directives.clone_into(&mut log.lock()));
        assert_eq!(level_of(&levels, "ottla_log"), "WARN");
        levels.alter(&[alteration("ottla_log", 0, Some("DEBUG"))], false).unwrap();
        levels.alter(&[alteration("root", 0, Some("FATAL"))], false).unwrap();
        assert_eq!(
            (&*level_of(&levels, "ottla_log"), &*level_of(&levels, "ottla_broker")),
            ("DEBUG", "FATAL")
        );
        assert_eq!(*told.lock(), "ottla_log=debug,error");
        levels.alter(&[alteration("ottla_log", 1, None)], false).unwrap();
        assert_eq!(level_of(&levels, "ottla_log"), "FATAL");
        assert_eq!(*told.lock(), "error");
    }

    #[test]
    fn what_cannot_be_changed_changes_nothing() {
        let levels = LogLevels::new("info", |directives| panic!("told to write at {directives}"));
        let code = |alterations: &[AlterableConfig]| levels.alter(alterations, false).unwrap_err().0;
        for (alteration, expected) in [
            (alteration("ottla_log", 0, Some("LOUD")), ErrorCode::INVALID_CONFIG),
            (alteration("ottla_log", 0, Some("debug")), ErrorCode::INVALID_CONFIG),
            (alteration("ottla_log", 0, None), ErrorCode::INVALID_CONFIG),
            (alteration("kafka.server", 0, Some("DEBUG")), ErrorCode::INVALID_CONFIG),
            (alteration("kafka.server", 1, None), ErrorCode::INVALID_CONFIG),
            (alteration("root", 1, None), ErrorCode::INVALID_REQUEST),
            (alteration("root", 2, Some("DEBUG")), ErrorCode::INVALID_REQUEST),
            (alteration("root", 9, Some("DEBUG")), ErrorCode::INVALID_REQUEST),
        ] {
            assert_eq!(code(&[self::alteration("root", 0, Some("WARN")), alteration.clone()]), {
                if *alteration.name == *"root" { ErrorCode::INVALID_REQUEST } else { expected }
            });
            assert_eq!(code(&[alteration]), expected);
        }
        levels.alter(&[self::alteration("root", 0, Some("TRACE"))], true).unwrap();
        assert_eq!(level_of(&levels, "root"), "INFO");
    }
}
