//! Config files of any content: read or refused in one line, never a panic, and what was written is read back.

use ottla_cluster::config::properties;
use ottla_cluster::config::settings::Settings;
use ottla_cluster::config::{BrokerConfig, table};
use proptest::prelude::*;

/// Text that looks like a config file often enough to get past the first character.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("log.dirs".to_owned()),
        Just("listeners".to_owned()),
        Just("max.connections.per.ip.overrides".to_owned()),
        Just("advertised.listeners".to_owned()),
        Just("PLAINTEXT://".to_owned()),
        Just(" = ".to_owned()),
        Just("\n".to_owned()),
        Just("\\\n".to_owned()),
        Just("\\u".to_owned()),
        Just("[a]".to_owned()),
        Just("\"".to_owned()),
        "[0-9]{1,20}",
        "\\PC{0,8}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_file_breaks_the_parser(text in text(), is_toml in any::<bool>()) {
        let mut settings = Settings::default();
        let name = if is_toml { "broker.toml" } else { "server.properties" };
        let outcome = settings.add_file(name, &text).map_err(|error| error.to_string());
        let outcome = outcome.and_then(|()| BrokerConfig::load(&settings).map_err(|error| error.to_string()));
        if let Err(line) = outcome {
            prop_assert!(!line.trim().is_empty());
        }
    }

    #[test]
    fn a_property_that_was_escaped_is_read_back(key in "[a-z.]{1,20}", value in "[ -~äöü€]{0,40}") {
        let escape = |text: &str| text.replace('\\', "\\\\");
        let written = format!("{key}={}\n", escape(value.trim()));
        let read = properties::parse(&written).expect("every line is legal");
        prop_assert_eq!(&read[0].key, &key);
        prop_assert_eq!(&read[0].value, value.trim());
    }

    #[test]
    fn a_value_is_shown_in_a_form_that_is_read_as_the_same(
        place in 0..table::broker_rows().count(),
        text in prop_oneof!["-?[0-9]{1,12}", "true|false", "[a-z,]{0,12}", "[0-9]\\.[0-9]{1,5}"],
    ) {
        let row = table::broker_rows().nth(place).expect("within the table");
        if let Ok(value) = row.parse(&text) {
            let shown = value.shown().expect("a text is a value");
            prop_assert_eq!(row.parse(&shown), Ok(value));
        }
    }
}
