//! The reference page of the protocol: which APIs and versions are spoken, and what every error means.

use ottla_protocol::error::ERROR_TABLE;
use ottla_protocol::{API_TABLE, ApiKey};

/// `docs/reference/apis.md`.
pub(super) fn apis() -> String {
    let mut page = String::from(
        "# APIs\n\n\
         Generated from the API table of `ottla-protocol`; do not edit. These are the versions that the codec speaks. A\n\
         broker advertises those that it has a handler for, which `kafka-broker-api-versions.sh` shows.\n\n\
         A version is *flexible* when its lengths are compact and its structures may carry tagged fields (KIP-482).\n\n\
         | key | API | versions | flexible since |\n| ---: | --- | --- | --- |\n",
    );
    for row in API_TABLE {
        let flexible =
            if row.flexible_since > row.max { "–".to_owned() } else { row.flexible_since.to_string() };
        let mut versions = format!("{}–{}", row.min, row.max);
        if row.advertised_min != row.min {
            versions.push_str(&format!(" (advertised from {})", row.advertised_min));
        }
        page.push_str(&format!("| {} | {} | {versions} | {flexible} |\n", row.key.key(), row.key.name()));
    }
    let absent: Vec<&str> = ApiKey::ALL
        .iter()
        .filter(|key| API_TABLE.iter().all(|row| row.key != **key))
        .map(|key| key.name())
        .collect();
    page.push_str(&format!("\nNot spoken: {}.\n", absent.join(", ")));
    page
}

/// `docs/reference/errors.md`.
pub(super) fn errors() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Generated from the error table of `ottla-protocol`; do not edit. The codes and names are Kafka's. *Retriable*\n\
         means that the same request may succeed when it is sent again, perhaps after a metadata refresh.\n\n\
         | code | name | retriable | meaning |\n| ---: | --- | --- | --- |\n",
    );
    for row in ERROR_TABLE {
        let retriable = if row.retriable { "yes" } else { "" };
        page.push_str(&format!("| {} | {} | {retriable} | {} |\n", row.code.get(), row.name, row.sentence));
    }
    page
}
