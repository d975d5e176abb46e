//! What somebody set at the start: files, environment and command line, merged and checked key by key.
//!
//! A later source wins over an earlier one: call in the order file, environment, `--set`. Every key is known and every
//! value legal once it is in here; keys without an effect leave a [`Note`]. Not here: reading files, and the rules that
//! span several keys ([`super::broker`]).

use std::collections::BTreeMap;

use super::layers::Overrides;
use super::properties::{self, PropertiesError};
use super::row::{Row, Support};
use super::{suggest, table};

/// The beginning of the names of environment variables that set a config: `OTTLA_LOG_RETENTION_MS`.
pub const ENVIRONMENT_PREFIX: &str = "OTTLA_";

/// Keys of plug-ins that ottla does not load; Kafka passes them on unread.
const PLUGIN_PREFIXES: &[&str] = &["rsm.config.", "rlmm.config.", "config.providers."];

/// Checked settings; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<String, Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    value: String,
    place: String,
}

/// A setting that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key.
    pub key: String,
    /// Where it was set.
    pub place: String,
    /// Why it has no effect.
    pub why: &'static str,
}

/// A setting that cannot be used. Each message is one line that says where and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No config has this key.
    #[error("{place}: there is no config {key:?}{}", suggestion.map(|key| format!("; did you mean {key:?}?")).unwrap_or_default())]
    UnknownKey {
        /// What was written.
        key: String,
        /// Where.
        place: String,
        /// The known key nearest to it.
        suggestion: Option<&'static str>,
    },
    /// The value is not legal.
    #[error("{place}: {why}")]
    InvalidValue {
        /// Where.
        place: String,
        /// Kafka's sentence, which names key and value.
        why: String,
    },
    /// ottla does not take this config, because ignoring it would be worse than stopping.
    #[error("{place}: {key} is not supported: {why}")]
    Refused {
        /// The key.
        key: String,
        /// Where.
        place: String,
        /// Why.
        why: &'static str,
    },
    /// `--set` without an equals sign.
    #[error("--set {argument:?}: expected KEY=VALUE")]
    NotAPair {
        /// What was given.
        argument: String,
    },
    /// The file is not of the form that its name promises.
    #[error("{file}: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the parser says.
        why: String,
    },
}

impl Settings {
    /// Settings from pairs, for programs that hold a broker in themselves.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for (key, value) in pairs {
            settings.insert(key, value, key.to_owned())?;
        }
        Ok(settings)
    }

    /// Takes a config file: TOML if its name ends in `.toml`, else Java properties.
    pub fn add_file(&mut self, name: &str, text: &str) -> Result<(), SettingsError> {
        if name.ends_with(".toml") { self.add_toml(name, text) } else { self.add_properties(name, text) }
    }

    fn add_properties(&mut self, file: &str, text: &str) -> Result<(), SettingsError> {
        let unreadable = |error: PropertiesError| SettingsError::Unreadable {
            file: file.to_owned(),
            why: error.to_string(),
        };
        for property in properties::parse(text).map_err(unreadable)? {
            self.insert(&property.key, &property.value, format!("{file}:{}", property.line))?;
        }
        Ok(())
    }

    fn add_toml(&mut self, file: &str, text: &str) -> Result<(), SettingsError> {
        let unreadable = |error: toml::de::Error| {
            let line = error.span().map_or(1, |span| lines_before(text, span.start) + 1);
            let mut why = format!("line {line}: {}", error.message());
            if why.contains("key") {
                why.push_str(" (a key that is also the beginning of another needs quotes: \"log.dir\" = …)");
            }
            SettingsError::Unreadable { file: file.to_owned(), why }
        };
        let mut flat = Vec::new();
        flatten(String::new(), toml::Value::Table(toml::from_str(text).map_err(unreadable)?), &mut flat)
            .map_err(|why| SettingsError::Unreadable { file: file.to_owned(), why })?;
        for (key, value) in flat {
            self.insert(&key, &value, format!("{file}: {key}"))?;
        }
        Ok(())
    }

    /// Takes environment variables and leaves those alone that are not named after a config. A variable that begins
    /// with [`ENVIRONMENT_PREFIX`] and is very like one is an error: it was meant to be one.
    pub fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        let known: BTreeMap<String, &'static Row> = table::broker_rows()
            .filter(|row| row.is_listed())
            .map(|row| (environment_name(row.name), row))
            .collect();
        for (name, value) in variables {
            if let Some(row) = known.get(&name) {
                self.insert(row.name, &value, name)?;
            } else if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX)
                && let Some(suggestion) = suggest::nearest(rest, known.values().map(|row| row.name))
            {
                return Err(SettingsError::UnknownKey {
                    key: name,
                    place: "environment".to_owned(),
                    suggestion: Some(suggestion),
                });
            }
        }
        Ok(())
    }

    /// Takes one `key=value` of the command line.
    pub fn add_argument(&mut self, argument: &str) -> Result<(), SettingsError> {
        let (key, value) = argument
            .split_once('=')
            .ok_or_else(|| SettingsError::NotAPair { argument: argument.to_owned() })?;
        self.insert(key.trim(), value, format!("--set {}", key.trim()))
    }

    /// The value of a key, if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|setting| setting.value.as_str())
    }

    /// Where a key is set, for a message about it; the key itself when it is not set.
    pub fn place(&self, key: &str) -> String {
        self.values.get(key).map_or_else(|| key.to_owned(), |setting| setting.place.clone())
    }

    /// All keys with their values.
    pub fn to_overrides(&self) -> Overrides {
        self.values.iter().map(|(key, setting)| (key.clone(), setting.value.clone())).collect()
    }

    /// The settings that have no effect, unless they say what is the default anyway.
    pub fn notes(&self) -> Vec<Note> {
        let note = |(key, setting): (&String, &Setting)| {
            let row = table::broker(key);
            let why = match row {
                Some(row) if says_the_default(row, &setting.value) => return None,
                Some(row) => row.note()?,
                None => "it belongs to a plug-in that ottla does not load",
            };
            Some(Note { key: key.clone(), place: setting.place.clone(), why })
        };
        self.values.iter().filter_map(note).collect()
    }

    fn insert(&mut self, key: &str, value: &str, place: String) -> Result<(), SettingsError> {
        if !PLUGIN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            let Some(row) = table::broker(key) else {
                let suggestion = suggest::nearest(key, table::broker_rows().map(|row| row.name));
                return Err(SettingsError::UnknownKey { key: key.to_owned(), place, suggestion });
            };
            if let Support::Refuse(why) = row.support
                && !value.trim().is_empty()
            {
                return Err(SettingsError::Refused { key: key.to_owned(), place, why });
            }
            row.parse(value).map_err(|why| SettingsError::InvalidValue { place: place.clone(), why })?;
        }
        self.values.insert(key.to_owned(), Setting { value: value.to_owned(), place });
        Ok(())
    }
}

fn lines_before(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count()
}

/// Whether nothing would change if the value were left out.
fn says_the_default(row: &Row, value: &str) -> bool {
    match row.default {
        None => value.trim().is_empty(),
        Some(_) => row.parse(value).is_ok_and(|value| value == row.default_value()),
    }
}

/// The environment variable that sets a config.
pub fn environment_name(key: &str) -> String {
    let key = key.strip_prefix("ottla.").unwrap_or(key);
    ENVIRONMENT_PREFIX.to_owned() + &key.to_ascii_uppercase().replace('.', "_")
}

/// One line per reason, with the keys it holds for.
pub fn summarise(notes: &[Note]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for note in notes {
        by_reason.entry(note.why).or_default().push(&note.key);
    }
    by_reason.into_iter().map(|(why, keys)| format!("no effect: {} ({why})", keys.join(", "))).collect()
}

fn flatten(prefix: String, value: toml::Value, flat: &mut Vec<(String, String)>) -> Result<(), String> {
    let text = match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(path, value, flat)?;
            }
            return Ok(());
        }
        toml::Value::Array(items) => {
            let item = |item: &toml::Value| match item {
                toml::Value::Array(_) | toml::Value::Table(_) => {
                    Err(format!("{prefix}: a list of lists is no value"))
                }
                other => Ok(scalar(other)),
            };
            items.iter().map(item).collect::<Result<Vec<_>, _>>()?.join(",")
        }
        other => scalar(&other),
    };
    flat.push((prefix, text));
    Ok(())
}

fn scalar(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(add: impl FnOnce(&mut Settings) -> Result<(), SettingsError>) -> String {
        add(&mut Settings::default()).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_beats_the_environment_and_that_beats_the_file() {
        let mut settings = Settings::default();
        settings
            .add_file("server.properties", "num.partitions=1\nlog.retention.ms=1\nlog.retention.hours=1")
            .unwrap();
        let variables =
            [("OTTLA_NUM_PARTITIONS", "2"), ("OTTLA_LOG_RETENTION_MS", "2"), ("OTTLA_CRASH_AT", "7")];
        settings.add_environment(variables.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        settings.add_argument("num.partitions=3").unwrap();
        assert_eq!(settings.get("num.partitions"), Some("3"));
        assert_eq!(settings.get("log.retention.ms"), Some("2"));
        assert_eq!(settings.get("log.retention.hours"), Some("1"));
        assert_eq!(settings.place("log.retention.hours"), "server.properties:3");
    }

    #[test]
    fn toml_may_be_dotted_nested_or_quoted() {
        let text = "num.partitions = 3\n\"log.dir\" = \"/a\"\nlog.dir.failure.timeout.ms = 5\n\
                    listeners = [\"PLAINTEXT://:1\", \"B://:2\"]\n[log]\nretention.ms = 7\n[log.cleaner]\nenable = true\n";
        let mut settings = Settings::default();
        // `[log]` reopens a table that dotted keys have made, which TOML forbids: the message says how to write it.
        assert!(
            settings.add_file("broker.toml", text).unwrap_err().to_string().contains("broker.toml: line")
        );
        settings.add_file("broker.toml", &text.replace("log.dir.failure.timeout.ms = 5\n", "")).unwrap();
        for (key, value) in [
            ("num.partitions", "3"),
            ("log.dir", "/a"),
            ("listeners", "PLAINTEXT://:1,B://:2"),
            ("log.retention.ms", "7"),
            ("log.cleaner.enable", "true"),
        ] {
            assert_eq!(settings.get(key), Some(value), "{key}");
        }
    }

    #[test]
    fn an_unknown_key_is_one_line_with_place_and_suggestion() {
        let unknown = error(|settings| settings.add_file("x.properties", "a=1\n"));
        assert_eq!(unknown, "x.properties:1: there is no config \"a\"");
        let typo = error(|settings| settings.add_argument("log.retension.ms=1"));
        assert_eq!(
            typo,
            "--set log.retension.ms: there is no config \"log.retension.ms\"; did you mean \"log.retention.ms\"?"
        );
        let variable = ("OTTLA_LOG_RETENTON_MS".to_owned(), "1".to_owned());
        assert!(
            error(|settings| settings.add_environment([variable]))
                .contains("did you mean \"log.retention.ms\"?")
        );
    }

    #[test]
    fn an_illegal_value_is_told_where_it_stands() {
        assert_eq!(
            error(|settings| settings.add_file("s.properties", "\nnum.partitions=0")),
            "s.properties:2: Invalid value 0 for configuration num.partitions: Value must be at least 1"
        );
        assert_eq!(
            error(|settings| settings.add_argument("num.partitions")),
            "--set \"num.partitions\": expected KEY=VALUE"
        );
        assert!(error(|settings| settings.add_file("b.toml", "a = ")).starts_with("b.toml: line 1:"));
    }

    #[test]
    fn what_would_be_unsafe_to_ignore_is_refused() {
        assert_eq!(
            error(|settings| settings.add_argument("authorizer.class.name=org.example.Strict")),
            "--set authorizer.class.name: authorizer.class.name is not supported: \
             ottla does not check access rules yet, and would serve everybody"
        );
        Settings::default().add_argument("authorizer.class.name=").unwrap();
    }

    #[test]
    fn what_has_no_effect_is_noted_once_per_reason() {
        let pairs = [("num.io.threads", "8"), ("num.network.threads", "4"), ("background.threads", "2")];
        let more = [("zookeeper.connect", "z:1"), ("rsm.config.x", "y"), ("num.partitions", "3")];
        let settings = Settings::from_pairs(pairs.into_iter().chain(more)).unwrap();
        assert_eq!(
            summarise(&settings.notes()),
            [
                "no effect: rsm.config.x (it belongs to a plug-in that ottla does not load)",
                "no effect: background.threads, num.network.threads (one runtime with a thread per core does all work)",
                "no effect: zookeeper.connect (there is no ZooKeeper)",
            ]
        );
    }

    #[test]
    fn every_config_has_an_environment_variable_of_its_own() {
        let names: std::collections::HashSet<_> =
            table::broker_rows().map(|row| environment_name(row.name)).collect();
        assert_eq!(names.len(), table::broker_rows().count());
        assert_eq!(environment_name("log.retention.ms"), "OTTLA_LOG_RETENTION_MS");
        assert_eq!(environment_name("ottla.request.grace.ms"), "OTTLA_REQUEST_GRACE_MS");
    }
}
