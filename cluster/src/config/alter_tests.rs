//! The sentences and codes are those of a Kafka 4.3 broker that was asked the same.

use super::Operation::{Append, Delete, Set, Subtract};
use super::*;

fn overrides(pairs: &[(&str, &str)]) -> Overrides {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn alter(
    target: Target,
    current: &[(&str, &str)],
    asked: &[(&str, Operation, Option<&str>)],
) -> Refused<Changes> {
    let alterations: Vec<_> =
        asked.iter().map(|&(key, operation, value)| Alteration { key, operation, value }).collect();
    incremental(target, &overrides(current), &Layers::default(), &alterations)
}

fn refusal(target: Target, asked: &[(&str, Operation, Option<&str>)]) -> (&'static str, String) {
    let refusal = alter(target, &[], asked).unwrap_err();
    (refusal.error_code.name(), refusal.message)
}

#[test]
fn what_is_wrong_with_a_topic_change_is_told_in_kafkas_words() {
    for (asked, code, message) in [
        (("foo", Set, Some("1")), "INVALID_CONFIG", "Unknown topic config name: foo"),
        (
            ("retention.ms", Append, Some("1")),
            "INVALID_CONFIG",
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            ("retention.ms", Subtract, Some("1")),
            "INVALID_CONFIG",
            "Can't SUBTRACT to key retention.ms because its type is not LIST.",
        ),
        (("retention.ms", Set, None), "INVALID_REQUEST", "Null value not supported for : retention.ms"),
        (
            ("retention.ms", Set, Some("x")),
            "INVALID_CONFIG",
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            ("retention.ms", Set, Some("")),
            "INVALID_CONFIG",
            "Invalid value  for configuration retention.ms: Not a number of type LONG",
        ),
        (
            ("cleanup.policy", Append, Some("burn")),
            "INVALID_CONFIG",
            "Invalid value delete,burn for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            ("max.compaction.lag.ms", Set, Some("10")),
            "INVALID_CONFIG",
            "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (10)",
        ),
    ] {
        let current = [("min.compaction.lag.ms", "100")];
        let refusal = alter(Target::Topic, &current, &[asked]).unwrap_err();
        assert_eq!((refusal.error_code.name(), refusal.message.as_str()), (code, message));
    }
}

#[test]
fn what_is_wrong_with_a_broker_change_is_told_in_kafkas_words() {
    for (target, key, value, message) in [
        (Target::Broker, "log.dirs", "/x", "Cannot update these configs dynamically: [log.dirs]"),
        (Target::AllBrokers, "node.id", "4", "Cannot update these configs dynamically: [node.id]"),
        (
            Target::Broker,
            "log.retention.ms",
            "x",
            "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
        ),
        (
            Target::Broker,
            "message.max.bytes",
            "-5",
            "Invalid value -5 for configuration message.max.bytes: Value must be at least 0",
        ),
        (
            Target::AllBrokers,
            "listeners",
            "PLAINTEXT://:1",
            "Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
        ),
        (
            Target::Broker,
            "ssl.keystore.location",
            "/x",
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             [ssl.keystore.location]",
        ),
    ] {
        assert_eq!(refusal(target, &[(key, Set, Some(value))]), ("INVALID_REQUEST", message.to_owned()));
    }
    let unknown = refusal(Target::Broker, &[("log.retension.ms", Set, Some("1"))]);
    let message = "Unknown broker config name: log.retension.ms (did you mean log.retention.ms?)";
    assert_eq!(unknown, ("INVALID_CONFIG", message.to_owned()));
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let twice = [("retention.ms", Set, Some("1")), ("retention.ms", Delete, None)];
    assert_eq!(
        refusal(Target::Topic, &twice),
        ("INVALID_REQUEST", "Error due to duplicate config keys".to_owned())
    );
}

#[test]
fn lists_grow_from_the_default_and_shrink_to_nothing() {
    for (current, operation, given, expected) in [
        (&[][..], Append, "compact", Some("delete,compact")),
        (&[("cleanup.policy", "delete,compact")], Append, "compact", None),
        (&[("cleanup.policy", "delete,compact")], Subtract, "delete", Some("compact")),
        (&[("cleanup.policy", "compact")], Subtract, "compact", Some("")),
    ] {
        let changes = alter(Target::Topic, current, &[("cleanup.policy", operation, Some(given))]).unwrap();
        let expected: Changes =
            expected.map(|value| ("cleanup.policy".to_owned(), Some(value.to_owned()))).into_iter().collect();
        assert_eq!(changes, expected, "{current:?} {operation:?} {given}");
    }
}

#[test]
fn setting_what_is_the_default_is_a_change_and_setting_it_again_is_none() {
    let asked = [("retention.ms", Set, Some("604800000"))];
    let changes = alter(Target::Topic, &[], &asked).unwrap();
    assert_eq!(changes, [("retention.ms".to_owned(), Some("604800000".to_owned()))]);
    assert_eq!(alter(Target::Topic, &[("retention.ms", "604800000")], &asked).unwrap(), []);
}

#[test]
fn unsetting_what_nobody_knows_or_set_does_nothing() {
    let asked = [("foo", Delete, None), ("retention.ms", Delete, None), ("segment.ms", Delete, None)];
    let changes = alter(Target::Topic, &[("segment.ms", "5")], &asked).unwrap();
    assert_eq!(changes, [("segment.ms".to_owned(), None)]);
}

#[test]
fn configs_of_older_and_newer_kafkas_are_taken_in_silence() {
    for key in
        ["message.format.version", "message.downconversion.enable", "errors.deadletterqueue.group.enable"]
    {
        assert_eq!(alter(Target::Topic, &[], &[(key, Set, Some("1"))]).unwrap().len(), 1, "{key}");
    }
}

#[test]
fn the_older_api_replaces_all_that_is_set() {
    let current = overrides(&[("retention.ms", "1"), ("segment.ms", "2")]);
    let layers = Layers::default();
    let values = [("segment.ms", Some("2")), ("flush.ms", Some("3"))];
    let changes = replacing(Target::Topic, &current, &layers, &values).unwrap();
    assert_eq!(changes, [("retention.ms".to_owned(), None), ("flush.ms".to_owned(), Some("3".to_owned()))]);
    let null = replacing(Target::Topic, &current, &layers, &[("segment.ms", None)]).unwrap_err();
    assert_eq!(null.error_code, ErrorCode::INVALID_REQUEST);
}

#[test]
fn a_new_topic_is_checked_like_a_changed_one() {
    let check = |pairs: &[(&str, &str)]| check_new_topic(&overrides(pairs), &Layers::default());
    assert_eq!(check(&[("retention.ms", "-1"), ("cleanup.policy", "")]), Ok(()));
    assert_eq!(check(&[("leader.replication.throttled.replicas", "*")]), Ok(()));
    for (key, value, message) in [
        (
            "segment.bytes",
            "100",
            "Invalid value 100 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            "preallocate",
            "yes",
            "Invalid value yes for configuration preallocate: Expected value to be either true or false",
        ),
        (
            "remote.storage.enable",
            "true",
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
    ] {
        let refusal = check(&[(key, value)]).unwrap_err();
        assert_eq!((refusal.error_code, refusal.message.as_str()), (ErrorCode::INVALID_CONFIG, message));
    }
}

#[test]
fn a_value_beyond_all_measure_is_refused() {
    let long = "0:1,".repeat(10_000);
    let (code, message) =
        refusal(Target::Topic, &[("leader.replication.throttled.replicas", Set, Some(&long))]);
    assert_eq!(code, "INVALID_CONFIG");
    assert!(message.len() < 100, "the value is not sent back");
}
