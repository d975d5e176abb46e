//! The pages that are written from the table: the references of broker, topic and group configs, and a config file
//! with every key.
//!
//! Pure texts; `cargo xtask docs` writes them, and a test compares them with the files in the repository.

use std::fmt::Write;

use super::row::{Row, Support, Update};
use super::settings::environment_name;
use super::table;
use super::value::{Kind, Rule};

/// The pages with their paths from the root of the repository.
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("docs/reference/broker-configs.md", broker_configs()),
        ("docs/reference/topic-configs.md", topic_configs()),
        ("docs/reference/group-configs.md", group_configs()),
        ("config/broker.toml", broker_toml()),
    ]
}

const WRITTEN_FROM: &str =
    "<!-- Written from the config table by `cargo xtask docs`. Edit cluster/src/config/table/. -->\n";

/// The reference page of broker configs.
pub fn broker_configs() -> String {
    let mut page = format!(
        "# Broker configs\n\n{WRITTEN_FROM}\n\
         Kafka's names, defaults and meaning. Each can be given in a file (`--config`, TOML or Kafka's\n\
         `server.properties`), in the environment (`OTTLA_LOG_RETENTION_MS` sets `log.retention.ms`) or on the command\n\
         line (`--set log.retention.ms=1000`); the later of these wins.\n\n\
         *Change*: `start` needs a restart, `broker` can be set for one broker at run time, `cluster` also for all.\n\
         Where a row says *no effect*, the value is checked, kept and shown, and does nothing, for the reason given.\n"
    );
    for (title, rows) in table::BROKER_SECTIONS {
        let _infallible = write!(
            page,
            "\n## {title}\n\n| Key | Type | Default | Legal | Change | |\n|---|---|---|---|---|---|\n"
        );
        for row in rows.iter().filter(|row| row.is_listed()) {
            let change = match row.update {
                Update::ReadOnly => "start",
                Update::PerBroker => "broker",
                Update::ClusterWide => "cluster",
            };
            write_row(&mut page, row, Some(change), &meaning(row));
        }
    }
    page.push_str(
        "\n## Keys of older Kafka versions\n\nThey are accepted, so that old files and tools go on working, and do nothing.\n\n\
         | Key | Why |\n|---|---|\n",
    );
    for row in table::DROPPED_BROKER_ROWS.iter().copied().flatten() {
        let _infallible = writeln!(page, "| `{}` | {} |", row.name, row.note().unwrap_or_default());
    }
    page
}

/// The reference page of topic configs.
pub fn topic_configs() -> String {
    let mut page = format!(
        "# Topic configs\n\n{WRITTEN_FROM}\n\
         Set when a topic is created or later (`ottla topic alter`, `kafka-configs.sh`). A topic without a value of its\n\
         own takes the broker's: the first of the keys in *From* that is set.\n\n\
         | Key | Type | Default | Legal | |\n|---|---|---|---|---|\n"
    );
    for row in table::TOPIC_ROWS.iter().filter(|row| row.is_listed() || row.support == Support::Hidden) {
        let mut meaning = meaning(row);
        if !row.synonyms.is_empty() {
            let from: Vec<_> = row.synonyms.iter().map(|synonym| format!("`{}`", synonym.name)).collect();
            let _infallible = write!(meaning, " From {}.", from.join(", "));
        }
        write_row(&mut page, row, None, &meaning);
    }
    page.push_str("\nThese are accepted and do nothing:\n\n| Key | Why |\n|---|---|\n");
    for row in table::DROPPED_TOPIC_ROWS {
        let _infallible = writeln!(page, "| `{}` | {} |", row.name, row.note().unwrap_or_default());
    }
    page
}

/// The reference page of group configs.
pub fn group_configs() -> String {
    let mut page = format!(
        "# Group configs\n\n{WRITTEN_FROM}\n\
         Set for one group (`kafka-configs.sh --entity-type groups`). A group without a value of its own takes the\n\
         broker's, whose key has `group.` before it.\n\n\
         | Key | Type | Default | Legal | |\n|---|---|---|---|---|\n"
    );
    for row in table::GROUP_ROWS {
        write_row(&mut page, row, None, &meaning(row));
    }
    page
}

/// A config file in which every key is commented out, with its default.
pub fn broker_toml() -> String {
    let mut file = String::from(
        "# Every config of a broker, with its default. Written from the config table by `cargo xtask docs`.\n\
         #\n\
         # Take the `#` off a line to set it. A key that is also the beginning of another one needs its quotes.\n\
         # The environment sets the same: OTTLA_LOG_RETENTION_MS for log.retention.ms; and so does --set KEY=VALUE.\n",
    );
    for (title, rows) in table::BROKER_SECTIONS {
        let _infallible = write!(file, "\n\n# ---- {title}\n");
        for row in rows.iter().filter(|row| row.is_listed() && !matches!(row.support, Support::Refuse(_))) {
            let _infallible = write!(file, "\n# {}\n", row.doc);
            if let Some(note) = row.note() {
                let _infallible = writeln!(file, "# No effect: {note}.");
            }
            let _infallible = writeln!(file, "# {} = {}", toml_key(row.name), toml_value(row));
        }
    }
    file
}

fn write_row(page: &mut String, row: &Row, change: Option<&str>, meaning: &str) {
    let default = match row.default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let legal = if row.rule == Rule::Any { String::new() } else { row.rule.to_string() };
    let kind = row.kind.name().to_ascii_lowercase();
    let change = change.map(|change| format!(" {change} |")).unwrap_or_default();
    let _infallible = writeln!(page, "| `{}` | {kind} | {default} | {legal} |{change} {meaning} |", row.name);
}

fn meaning(row: &Row) -> String {
    match row.support {
        Support::Honour | Support::Hidden => row.doc.to_owned(),
        Support::Refuse(why) => format!("{} *Refused: {why}.*", row.doc),
        Support::Accept(why) | Support::Internal(why) | Support::Removed(why) => {
            format!("{} *No effect: {why}.*", row.doc)
        }
    }
}

/// Bare where TOML allows it: a dotted key that is also the beginning of another one would be both value and table.
fn toml_key(name: &str) -> String {
    let prefix = format!("{name}.");
    if table::broker_rows().any(|row| row.name.starts_with(&prefix)) {
        format!("{name:?}")
    } else {
        name.to_owned()
    }
}

fn toml_value(row: &Row) -> String {
    match (row.kind, row.default) {
        (Kind::Bool | Kind::Int | Kind::Short | Kind::Long, Some(text)) => text.to_owned(),
        // TOML writes the greatest double with a fraction before the exponent as Java does.
        (Kind::Double, Some(text)) => text.to_ascii_lowercase(),
        (Kind::List, Some(text)) => {
            let items: Vec<_> =
                text.split(',').filter(|item| !item.is_empty()).map(|item| format!("{item:?}")).collect();
            format!("[{}]", items.join(", "))
        }
        (_, Some(text)) => format!("{text:?}"),
        (Kind::List, None) => "[]".to_owned(),
        (_, None) => format!("\"\"   # not set; the environment variable is {}", environment_name(row.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    /// The files in the repository are what the table says: `cargo xtask docs` writes them.
    #[test]
    fn the_generated_pages_are_up_to_date() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (path, expected) in pages() {
            let found = std::fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(found == expected, "{path} is out of date: run `cargo xtask docs`");
        }
    }

    #[test]
    fn the_config_file_can_be_used_with_all_lines_taken_in() {
        let lines: Vec<String> = broker_toml()
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = ") && !line.contains("= \"\"   #"))
            .map(str::to_owned)
            .collect();
        assert!(lines.len() > 250);
        let mut settings = Settings::default();
        settings.add_file("broker.toml", &lines.join("\n")).unwrap();
        assert_eq!(settings.get("num.partitions"), Some("1"));
        assert_eq!(settings.get("log.dir"), Some("./ottla-data"));
        assert_eq!(settings.get("log.dir.failure.timeout.ms"), Some("30000"));
        assert_eq!(settings.notes(), [], "every value is the default");
    }
}
