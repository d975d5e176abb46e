//! What a line of input means: text, a record as JSON, an object that is the value, or a row of a table.

use clap::ValueEnum;
use ottla_client::ProducerRecord;
use serde_json::{Map, Value};

use super::ProduceArguments;
use super::csv::{Cell, CsvRows, Row};
use crate::failure::Failure;
use crate::instant::TimestampMs;
use crate::record_json::{self, ParsedRecord, json_bytes};

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// The value, or key and value with a separator
    Text,
    /// A record: {"key":…,"value":…,"timestamp":…,"headers":…,"partition":…}, as consume writes them
    Json,
    /// A JSON object that is the value; --key-field and --timestamp-field look into it
    Object,
    /// A row of comma-separated values, sent as a JSON object named by the header row
    Csv,
}

/// Turns lines into records.
#[derive(Debug)]
pub(crate) struct Parser {
    format: InputFormat,
    key_separator: Option<Vec<u8>>,
    null: Option<Vec<u8>>,
    key_field: Option<String>,
    timestamp_field: Option<String>,
    csv: CsvRows,
}

/// A record as parsed, borrowed where it can be.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    /// Slices of the line.
    Line {
        /// The key.
        key: Option<&'a [u8]>,
        /// The value.
        value: Option<&'a [u8]>,
    },
    /// Unescaped.
    Owned(ParsedRecord),
}

impl Parser {
    /// A parser for these arguments.
    ///
    /// # Errors
    /// When options are given that the format does not know.
    pub(crate) fn new(arguments: &ProduceArguments) -> Result<Parser, Failure> {
        let is_text = arguments.format == InputFormat::Text;
        let has_fields = matches!(arguments.format, InputFormat::Object | InputFormat::Csv);
        if !is_text && (arguments.key_separator.is_some() || arguments.null.is_some()) {
            return Err(Failure::usage("--key-separator and --null are for --format text"));
        }
        if !has_fields && (arguments.key_field.is_some() || arguments.timestamp_field.is_some()) {
            return Err(Failure::usage("--key-field and --timestamp-field are for --format object and csv"));
        }
        Ok(Parser {
            format: arguments.format,
            key_separator: arguments.key_separator.clone(),
            null: arguments.null.clone().map(String::into_bytes),
            key_field: arguments.key_field.clone(),
            timestamp_field: arguments.timestamp_field.clone(),
            csv: CsvRows::default(),
        })
    }

    /// The record that a line completes, if it does.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub(crate) fn parse<'a>(&mut self, line: &'a [u8]) -> Result<Option<Parsed<'a>>, String> {
        match self.format {
            InputFormat::Text => Ok(Some(self.text(line))),
            InputFormat::Json | InputFormat::Object if line.is_empty() => Ok(None),
            InputFormat::Json => record_json::parse(line).map(|record| Some(Parsed::Owned(record))),
            InputFormat::Object => {
                let value: Value =
                    serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
                let Value::Object(object) = value else { return Err("not a JSON object".to_owned()) };
                self.object(&object, line.to_vec()).map(Some)
            }
            InputFormat::Csv => {
                let (key_field, timestamp_field) =
                    (self.key_field.as_deref(), self.timestamp_field.as_deref());
                self.csv.line(line, |row| row_record(&row, key_field, timestamp_field))
            }
        }
    }

    /// Whether the input may end here.
    ///
    /// # Errors
    /// When something is left open.
    pub(crate) fn finish(&self) -> Result<(), String> {
        self.csv.finish()
    }

    fn text<'a>(&self, line: &'a [u8]) -> Parsed<'a> {
        let (key, value) = match &self.key_separator {
            Some(separator) => match memchr::memmem::find(line, separator) {
                Some(place) => (Some(&line[..place]), &line[place + separator.len()..]),
                None => (None, line),
            },
            None => (None, line),
        };
        let is_null = self.null.as_deref() == Some(value);
        Parsed::Line { key, value: (!is_null).then_some(value) }
    }

    fn object(&self, object: &Map<String, Value>, value: Vec<u8>) -> Result<Parsed<'static>, String> {
        let mut record = ParsedRecord { value: Some(value), ..ParsedRecord::default() };
        if let Some(path) = &self.key_field {
            let key = field(object, path).ok_or_else(|| format!("there is no field \"{path}\""))?;
            record.key = (!key.is_null()).then(|| json_bytes(key));
        }
        if let Some(path) = &self.timestamp_field {
            let timestamp = field(object, path).ok_or_else(|| format!("there is no field \"{path}\""))?;
            record.timestamp_ms =
                record_json::timestamp(timestamp).map_err(|error| format!("\"{path}\": {error}"))?;
        }
        Ok(Parsed::Owned(record))
    }
}

/// A row as a record.
fn row_record(
    row: &Row<'_>,
    key_field: Option<&str>,
    timestamp_field: Option<&str>,
) -> Result<Parsed<'static>, String> {
    let cell = |name: &str| row.cell(name).ok_or_else(|| format!("there is no column \"{name}\""));
    let mut record = ParsedRecord { value: Some(row.to_json()), ..ParsedRecord::default() };
    if let Some(name) = key_field {
        record.key = match cell(name)? {
            Cell::Null => None,
            Cell::Number(text) | Cell::Text(text) => Some(text.as_bytes().to_vec()),
        };
    }
    if let Some(name) = timestamp_field {
        let wrong = |why: String| format!("\"{name}\": {why}");
        record.timestamp_ms = match cell(name)? {
            Cell::Null => None,
            Cell::Number(digits) => {
                Some(digits.parse().map_err(|_| wrong(format!("{digits} is not milliseconds since 1970")))?)
            }
            Cell::Text(text) => Some(TimestampMs::parse(text, TimestampMs::now()).map_err(wrong)?.0),
        };
    }
    Ok(Parsed::Owned(record))
}

/// A field by its name, or by a path of names.
fn field<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    field(object.get(first)?.as_object()?, rest)
}

impl<'a> Parsed<'a> {
    /// The record to send; `common` headers come before its own, which are collected in `headers`.
    pub(crate) fn record<'r>(
        &'r self,
        common: &'r [(&'r str, Option<&'r [u8]>)],
        headers: &'r mut Vec<(&'r str, Option<&'r [u8]>)>,
    ) -> ProducerRecord<'r>
    where
        'a: 'r,
    {
        match self {
            Parsed::Line { key, value } => {
                ProducerRecord { key: *key, value: *value, headers: common, ..ProducerRecord::default() }
            }
            Parsed::Owned(record) => {
                let own = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
                let headers = match record.headers.is_empty() {
                    true => common,
                    false => {
                        headers.extend(common.iter().copied().chain(own));
                        &headers[..]
                    }
                };
                ProducerRecord {
                    partition: record.partition,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    headers,
                    timestamp_ms: record.timestamp_ms,
                }
            }
        }
    }
}
