//! Comma-separated values (RFC 4180) as JSON objects: the header row names the fields, each row becomes one object.
//!
//! A field in quotes may hold separators, doubled quotes and line breaks, so a row may take several lines. A field
//! without quotes that is a JSON number stays that number digit for digit, an empty one becomes null; everything else is
//! text. Rows are written as JSON straight from their fields.

use std::borrow::Cow;

/// Turns lines into rows.
#[derive(Debug, Default)]
pub(crate) struct CsvRows {
    columns: Option<Vec<Column>>,
    /// Lines of a row whose quote is still open.
    pending: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// `"name":` as JSON.
    encoded: Vec<u8>,
}

/// One row under its header.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    columns: &'a [Column],
    fields: Vec<Field<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Field<'a> {
    text: Cow<'a, str>,
    is_quoted: bool,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// Nothing.
    Null,
    /// A number as JSON writes it.
    Number(&'a str),
    /// Anything else.
    Text(&'a str),
}

impl CsvRows {
    /// Takes a line; if it completes a row, that is handed to `take`.
    ///
    /// # Errors
    /// When a row has another number of fields than the header, is not UTF-8, or misuses quotes, and those of `take`.
    pub(crate) fn line<T>(
        &mut self,
        line: &[u8],
        take: impl FnOnce(Row<'_>) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let joined;
        let whole = match self.pending.take() {
            Some(mut pending) => {
                pending.push(b'\n');
                pending.extend_from_slice(line);
                joined = pending;
                &joined[..]
            }
            None if line.is_empty() => return Ok(None),
            None => line,
        };
        // An odd number of quotes: one of them is still open.
        if memchr::memchr_iter(b'"', whole).count() % 2 == 1 {
            self.pending = Some(whole.to_vec());
            return Ok(None);
        }
        let text = std::str::from_utf8(whole).map_err(|_| "not UTF-8".to_owned())?;
        let fields = split(text, self.columns.as_ref().map_or(0, Vec::len))?;
        let Some(columns) = &self.columns else {
            self.columns = Some(fields.iter().map(|field| column(&field.text)).collect());
            return Ok(None);
        };
        if fields.len() != columns.len() {
            return Err(format!("{} fields, the header has {}", fields.len(), columns.len()));
        }
        take(Row { columns, fields }).map(Some)
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

fn column(name: &str) -> Column {
    let name = name.trim_start_matches('\u{feff}').to_owned();
    let mut encoded = Vec::new();
    put_string(&mut encoded, &name);
    encoded.push(b':');
    Column { name, encoded }
}

fn put_string(json: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(json, text);
}

impl Row<'_> {
    /// The field of this name.
    pub(crate) fn cell(&self, name: &str) -> Option<Cell<'_>> {
        let place = self.columns.iter().position(|column| column.name == name)?;
        self.fields.get(place).map(Field::cell)
    }

    /// The row as a JSON object.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let bytes: usize =
            self.columns.iter().zip(&self.fields).map(|(c, f)| c.encoded.len() + f.text.len() + 4).sum();
        let mut json = Vec::with_capacity(bytes + 2);
        for (place, (column, field)) in self.columns.iter().zip(&self.fields).enumerate() {
            json.push(if place == 0 { b'{' } else { b',' });
            json.extend_from_slice(&column.encoded);
            match field.cell() {
                Cell::Null => json.extend_from_slice(b"null"),
                Cell::Number(digits) => json.extend_from_slice(digits.as_bytes()),
                Cell::Text(text) => put_string(&mut json, text),
            }
        }
        json.push(b'}');
        json
    }
}

impl Field<'_> {
    fn cell(&self) -> Cell<'_> {
        match &*self.text {
            "" if !self.is_quoted => Cell::Null,
            text if !self.is_quoted && is_json_number(text) => Cell::Number(text),
            text => Cell::Text(text),
        }
    }
}

/// Whether the text is a number of RFC 8259: no leading zeros, digits around a point.
fn is_json_number(text: &str) -> bool {
    fn digits(bytes: &[u8]) -> (usize, &[u8]) {
        let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count, &bytes[count..])
    }
    let bytes = text.as_bytes();
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (whole, mut rest) = digits(bytes);
    if whole == 0 || (whole > 1 && bytes[0] == b'0') {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (count, after) = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = after;
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let unsigned = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let (count, after) = digits(unsigned);
        if count == 0 {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

fn split(row: &str, expected: usize) -> Result<Vec<Field<'_>>, String> {
    let mut fields = Vec::with_capacity(expected);
    let mut rest = row;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = memchr::memchr(b',', rest.as_bytes()).unwrap_or(rest.len());
                (Field { text: Cow::Borrowed(&rest[..end]), is_quoted: false }, &rest[end..])
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
fn quoted_field(quoted: &str) -> Result<(Field<'_>, &str), String> {
    let mut text = Cow::Borrowed("");
    let mut rest = quoted;
    loop {
        let end = rest.find('"').ok_or("a quote that is never closed")?;
        text += &rest[..end];
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                text += "\"";
                rest = after;
            }
            None => return Ok((Field { text, is_quoted: true }, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<String> {
        let mut csv = CsvRows::default();
        let mut row = |line: &str| csv.line(line.as_bytes(), |row| Ok(row.to_json())).expect("legal");
        text.lines().filter_map(&mut row).map(|json| String::from_utf8(json).expect("text")).collect()
    }

    #[test]
    fn rows_become_objects_named_by_the_header() {
        let rows = rows("tailnum,delay,dest\nN14228,-2,IAH\n\n,1.50,\"a,\"\"b\"\"\"\n");
        assert_eq!(rows[0], r#"{"tailnum":"N14228","delay":-2,"dest":"IAH"}"#);
        assert_eq!(rows[1], r#"{"tailnum":null,"delay":1.50,"dest":"a,\"b\""}"#);
    }

    #[test]
    fn a_quoted_field_may_span_lines_and_a_quoted_number_is_text() {
        assert_eq!(
            rows("a,b\n\"one\ntwo\",007\nNA,\"5\""),
            [r#"{"a":"one\ntwo","b":"007"}"#, r#"{"a":"NA","b":"5"}"#]
        );
    }

    #[test]
    fn numbers_are_what_json_says() {
        for number in ["0", "-1", "10.25", "1e9", "-0.5E-3", "12345678901234567890"] {
            assert!(is_json_number(number), "{number}");
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "+1", "1 ", "0x1", "NaN", "1.2.3", "5-6"] {
            assert!(!is_json_number(text), "{text}");
        }
    }

    #[test]
    fn cells_are_found_by_name() {
        let mut csv = CsvRows::default();
        assert!(csv.line(b"\xef\xbb\xbfa,b,c", |_| Ok(())).expect("a header").is_none());
        let seen = csv.line(b"1,,x", |row| {
            assert_eq!(row.cell("a"), Some(Cell::Number("1")));
            assert_eq!((row.cell("b"), row.cell("c")), (Some(Cell::Null), Some(Cell::Text("x"))));
            assert_eq!(row.cell("d"), None);
            Ok(())
        });
        assert_eq!(seen, Ok(Some(())));
    }

    #[test]
    fn rows_that_do_not_fit_the_header_are_refused() {
        let mut csv = CsvRows::default();
        let mut line = |line: &[u8]| csv.line(line, |_| Ok(()));
        assert_eq!(line(b"a,b"), Ok(None));
        assert!(line(b"1").expect_err("short").contains("1 fields, the header has 2"));
        assert!(line(b"\"x\"y,1").is_err());
        assert_eq!(line(b"\"open"), Ok(None));
        assert!(csv.finish().is_err());
    }
}
