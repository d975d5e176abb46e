//! Records as JSON lines, both ways: `{"partition":0,"offset":7,"timestamp":1357016400000,"key":"N14228","value":"…"}`.
//!
//! Text stays text. Bytes that are not UTF-8 are carried by a second field of the same name with `_base64` behind it, so
//! nothing is lost on a round trip. A value that is an object, array, number or boolean on the way in is sent as its
//! JSON text. Headers are a list, because a name may come twice; an object is accepted too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ottla_client::{PartitionIndex, Record, TopicPartition};
use serde_json::{Map, Value};

use crate::instant::TimestampMs;

/// Name and value of a header.
type ParsedHeader = (String, Option<Vec<u8>>);

/// A record read from text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ParsedRecord {
    /// The partition, if named.
    pub partition: Option<PartitionIndex>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<ParsedHeader>,
    /// Milliseconds since 1970, if given.
    pub timestamp_ms: Option<i64>,
}

/// Reads a record from one line of JSON.
///
/// # Errors
/// When the line is no object of the form above.
pub(crate) fn parse(line: &[u8]) -> Result<ParsedRecord, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    let Value::Object(object) = value else { return Err("not a JSON object".to_owned()) };
    const KNOWN: [&str; 9] = [
        "key",
        "key_base64",
        "value",
        "value_base64",
        "headers",
        "timestamp",
        "partition",
        "offset",
        "topic",
    ];
    if let Some(unknown) = object.keys().find(|field| !KNOWN.contains(&field.as_str())) {
        let hint = "to send whole objects as values use --format object";
        return Err(format!("unknown field \"{unknown}\": {hint}"));
    }
    Ok(ParsedRecord {
        partition: object.get("partition").map(partition).transpose()?.flatten(),
        key: bytes_field(&object, "key")?,
        value: bytes_field(&object, "value")?,
        headers: object.get("headers").map(headers).transpose()?.unwrap_or_default(),
        timestamp_ms: object.get("timestamp").map(timestamp).transpose()?.flatten(),
    })
}

fn bytes_field(object: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>, String> {
    let encoded = object.get(&format!("{name}_base64")).filter(|value| !value.is_null());
    match (object.get(name).filter(|value| !value.is_null()), encoded) {
        (Some(_), Some(_)) => Err(format!("both \"{name}\" and \"{name}_base64\"")),
        (Some(value), None) => Ok(Some(json_bytes(value))),
        (None, Some(Value::String(text))) => {
            BASE64.decode(text).map(Some).map_err(|error| format!("\"{name}_base64\": {error}"))
        }
        (None, Some(_)) => Err(format!("\"{name}_base64\" is not a string")),
        (None, None) => Ok(None),
    }
}

/// Text as it is, anything else as its JSON.
pub(crate) fn json_bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

fn partition(value: &Value) -> Result<Option<PartitionIndex>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_i64().and_then(|number| i32::try_from(number).ok()).filter(|number| *number >= 0);
    number
        .map(|number| Some(PartitionIndex::new(number)))
        .ok_or_else(|| format!("{value} is not a partition"))
}

/// A number of milliseconds, or a time as text.
///
/// # Errors
/// When it is neither.
pub(crate) fn timestamp(value: &Value) -> Result<Option<i64>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => TimestampMs::parse(text, TimestampMs::now()).map(|time| Some(time.0)),
        other => other.as_i64().map(Some).ok_or_else(|| format!("{other} is not a timestamp")),
    }
}

fn headers(value: &Value) -> Result<Vec<ParsedHeader>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(object) => Ok(object
            .iter()
            .map(|(name, value)| (name.clone(), (!value.is_null()).then(|| json_bytes(value))))
            .collect()),
        Value::Array(items) => items.iter().map(header).collect(),
        other => Err(format!("headers are a list or an object, not {other}")),
    }
}

fn header(item: &Value) -> Result<ParsedHeader, String> {
    let Value::Object(object) = item else { return Err(format!("{item} is not a header")) };
    let Some(Value::String(name)) = object.get("key") else {
        return Err("a header without a \"key\"".to_owned());
    };
    Ok((name.clone(), bytes_field(object, "value")?))
}

/// Appends a record as one line of JSON.
pub(crate) fn write(line: &mut Vec<u8>, partition: &TopicPartition, record: &Record) {
    line.extend_from_slice(b"{\"topic\":");
    put_string(line, &partition.topic);
    line.extend_from_slice(b",\"partition\":");
    put_number(line, i64::from(partition.partition.get()));
    line.extend_from_slice(b",\"offset\":");
    put_number(line, record.offset.get());
    line.extend_from_slice(b",\"timestamp\":");
    put_number(line, record.timestamp);
    put_bytes(line, b",\"key", record.key.as_deref());
    put_bytes(line, b",\"value", record.value.as_deref());
    if !record.headers.is_empty() {
        line.extend_from_slice(b",\"headers\":[");
        for (place, header) in record.headers.iter().enumerate() {
            line.extend_from_slice(if place == 0 { b"{\"key\":" } else { b",{\"key\":" });
            put_string(line, &String::from_utf8_lossy(&header.key));
            put_bytes(line, b",\"value", header.value.as_deref());
            line.push(b'}');
        }
        line.push(b']');
    }
    line.extend_from_slice(b"}\n");
}

fn put_bytes(line: &mut Vec<u8>, name: &[u8], bytes: Option<&[u8]>) {
    line.extend_from_slice(name);
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => line.extend_from_slice(b"\":null"),
        Some(Ok(text)) => {
            line.extend_from_slice(b"\":");
            put_string(line, text);
        }
        Some(Err(bytes)) => {
            line.extend_from_slice(b"_base64\":\"");
            line.extend_from_slice(BASE64.encode(bytes).as_bytes());
            line.push(b'"');
        }
    }
}

fn put_string(line: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(line, text);
}

fn put_number(line: &mut Vec<u8>, number: i64) {
    let _ = serde_json::to_writer(line, &number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_client::TopicName;
    use ottla_protocol::records::{BatchBuilder, Compression, OutputLimit, Rules, ValidBatch};

    fn line_of(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> String {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(1_357_016_400_000, key, value, headers).expect("room");
        let batch = ValidBatch::check(builder.build(), &Rules::stored()).expect("valid");
        let record =
            batch.records(OutputLimit::new(1 << 20)).expect("whole").next().expect("one").expect("whole");
        let partition = TopicPartition::new(TopicName::new("t").expect("legal"), PartitionIndex::new(3));
        let mut line = Vec::new();
        write(&mut line, &partition, &record);
        String::from_utf8(line).expect("JSON")
    }

    #[test]
    fn a_record_is_one_line_and_comes_back_from_it() {
        let line = line_of(Some(b"N14228"), Some(b"a \"quoted\"\nline"), &[("h", Some(b"1")), ("h", None)]);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        let parsed = parse(line.as_bytes()).expect("ours");
        let expected = ParsedRecord {
            partition: Some(PartitionIndex::new(3)),
            key: Some(b"N14228".to_vec()),
            value: Some(b"a \"quoted\"\nline".to_vec()),
            headers: vec![("h".to_owned(), Some(b"1".to_vec())), ("h".to_owned(), None)],
            timestamp_ms: Some(1_357_016_400_000),
        };
        assert_eq!(parsed, expected);
    }

    #[test]
    fn bytes_that_are_not_text_survive_as_base64() {
        let line = line_of(None, Some(&[0xff, 0x00, 0x80]), &[("b", Some(&[0xfe]))]);
        assert!(line.contains("\"value_base64\":\"/wCA\""), "{line}");
        let parsed = parse(line.as_bytes()).expect("ours");
        assert_eq!((parsed.key, parsed.value), (None, Some(vec![0xff, 0x00, 0x80])));
        assert_eq!(parsed.headers, [("b".to_owned(), Some(vec![0xfe]))]);
    }

    #[test]
    fn values_that_are_json_are_sent_as_their_text() {
        let parsed =
            parse(br#"{"key":7,"value":{"b":1,"a":[null]},"headers":{"x":"y"},"timestamp":"2013-01-01"}"#);
        let parsed = parsed.expect("fine");
        assert_eq!(parsed.key.as_deref(), Some(&b"7"[..]));
        assert_eq!(parsed.value.as_deref(), Some(&br#"{"b":1,"a":[null]}"#[..]));
        assert_eq!(parsed.headers, [("x".to_owned(), Some(b"y".to_vec()))]);
        assert_eq!(parsed.timestamp_ms, Some(1_356_998_400_000));
    }

    #[test]
    fn lines_that_are_no_records_are_refused_with_a_reason() {
        for (line, reason) in [
            ("", "not JSON"),
            ("[1]", "not a JSON object"),
            (r#"{"dep_delay":1}"#, "--format object"),
            (r#"{"value":"a","value_base64":"YQ=="}"#, "both"),
            (r#"{"key_base64":"?"}"#, "key_base64"),
            (r#"{"partition":-1}"#, "not a partition"),
            (r#"{"timestamp":"soon"}"#, "not a time"),
            (r#"{"headers":[1]}"#, "not a header"),
        ] {
            let error = parse(line.as_bytes()).expect_err(line);
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
