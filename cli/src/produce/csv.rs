//! Comma-separated values (RFC 4180) as JSON objects: the header row names the fields, each row becomes one object.
//!
//! A field in quotes may hold separators, doubled quotes and line breaks, so a row may take several lines. A field
//! without quotes that is a JSON number stays a number, an empty one becomes null; everything else is text.

use serde_json::{Map, Number, Value};

/// Turns lines into objects.
#[derive(Debug, Default)]
pub(crate) struct CsvRows {
    names: Option<Vec<String>>,
    pending: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Field {
    text: String,
    is_quoted: bool,
}

impl CsvRows {
    /// Takes a line; the object it completes, if it does.
    ///
    /// # Errors
    /// When a row has another number of fields than the header, is not UTF-8, or misuses quotes.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<Option<Map<String, Value>>, String> {
        let whole = match self.pending.take() {
            Some(mut pending) => {
                pending.push(b'\n');
                pending.extend_from_slice(line);
                pending
            }
            None if line.is_empty() => return Ok(None),
            None => line.to_vec(),
        };
        // An odd number of quotes: one of them is still open.
        if whole.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
            self.pending = Some(whole);
            return Ok(None);
        }
        let text = std::str::from_utf8(&whole).map_err(|_| "not UTF-8".to_owned())?;
        let fields = split(text)?;
        let Some(names) = &self.names else {
            let text = |field: Field| field.text.trim_start_matches('\u{feff}').to_owned();
            self.names = Some(fields.into_iter().map(text).collect());
            return Ok(None);
        };
        if fields.len() != names.len() {
            return Err(format!("{} fields, the header has {}", fields.len(), names.len()));
        }
        Ok(Some(names.iter().cloned().zip(fields.into_iter().map(value)).collect()))
    }

    /// Whether the input ended where a row ended.
    ///
    /// # Errors
    /// When a quote was never closed.
    pub(crate) fn finish(&self) -> Result<(), String> {
        match &self.pending {
            Some(_) => Err("the last row has a quote that is never closed".to_owned()),
            None => Ok(()),
        }
    }
}

fn split(row: &str) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Field { text: rest[..end].to_owned(), is_quoted: false }, &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("text behind a closing quote".to_owned()),
        }
    }
}

/// The field up to its closing quote, and what follows that.
fn quoted_field(mut rest: &str) -> Result<(Field, &str), String> {
    let mut text = String::new();
    loop {
        let end = rest.find('"').ok_or("a quote that is never closed")?;
        text.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                text.push('"');
                rest = after;
            }
            None => return Ok((Field { text, is_quoted: true }, rest)),
        }
    }
}

fn value(field: Field) -> Value {
    if field.is_quoted {
        return Value::String(field.text);
    }
    if field.text.is_empty() {
        return Value::Null;
    }
    let looks_like_a_number = field.text.as_bytes()[0].is_ascii_digit() || field.text.starts_with('-');
    let number = looks_like_a_number.then(|| serde_json::from_str::<Number>(&field.text).ok()).flatten();
    number.map_or(Value::String(field.text), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(text: &str) -> Vec<Value> {
        let mut csv = CsvRows::default();
        let rows = text.lines().filter_map(|line| csv.line(line.as_bytes()).expect("legal"));
        rows.map(Value::Object).collect()
    }

    #[test]
    fn rows_become_objects_named_by_the_header() {
        let rows = rows("tailnum,delay,dest\nN14228,-2,IAH\n\n,1.5,\"a,\"\"b\"\"\"\n");
        assert_eq!(rows[0], json!({"tailnum": "N14228", "delay": -2, "dest": "IAH"}));
        assert_eq!(rows[1], json!({"tailnum": null, "delay": 1.5, "dest": "a,\"b\""}));
    }

    #[test]
    fn a_quoted_field_may_span_lines_and_what_only_looks_like_a_number_is_text() {
        let rows = rows("a,b\n\"one\ntwo\",007\nNA,\"5\"");
        assert_eq!(rows, [json!({"a": "one\ntwo", "b": "007"}), json!({"a": "NA", "b": "5"})]);
    }

    #[test]
    fn rows_that_do_not_fit_the_header_are_refused() {
        let mut csv = CsvRows::default();
        assert_eq!(csv.line(b"a,b"), Ok(None));
        assert!(csv.line(b"1").expect_err("short").contains("1 fields, the header has 2"));
        assert!(csv.line(b"\"x\"y,1").is_err());
        assert_eq!(csv.line(b"\"open"), Ok(None));
        assert!(csv.finish().is_err());
    }
}
