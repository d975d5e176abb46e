//! Reads Java's `.properties` files, the form of Kafka's `server.properties`.
//!
//! Comments begin with `#` or `!`; key and value are parted by `=`, `:` or space; a backslash at the end joins the next
//! line and otherwise escapes (`\t`, `\n`, `\r`, `\f`, `\uXXXX`). Not here: what the keys mean.

/// A key with its value and the line, counted from 1, on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key.
    pub key: String,
    /// The value; empty when there is none.
    pub value: String,
    /// The line on which the key stands.
    pub line: usize,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PropertiesError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads all properties in their order; a key may come more than once.
pub fn parse(text: &str) -> Result<Vec<Property>, PropertiesError> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((line, first)) = lines.next() {
        let mut logical = first.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while is_continued(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        let (key, value) = split(&logical);
        let read = |raw: &str| {
            unescape(raw).ok_or(PropertiesError { line, what: "\\u needs four hexadecimal digits" })
        };
        let (key, value) = (read(key)?, read(value)?.trim_end().to_owned());
        if key.is_empty() {
            return Err(PropertiesError { line, what: "there is a value without a key" });
        }
        properties.push(Property { key, value, line });
    }
    Ok(properties)
}

/// An odd number of backslashes at the end: the last one is not itself escaped.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, character)| {
        let ends = !escaped && (matches!(character, '=' | ':') || character.is_whitespace());
        escaped = *character == '\\' && !escaped;
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let rest = line[end..].trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], value.trim_start())
}

fn unescape(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('f') => text.push('\u{c}'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let is_code = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok().filter(|_| is_code)?)?);
            }
            Some(other) => text.push(other),
            None => {}
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        parse(text).unwrap().into_iter().map(|p| (p.key, p.value, p.line)).collect()
    }

    #[test]
    fn java_properties_are_read_in_all_their_forms() {
        let text = "# comment\n! comment\n\n  num.partitions=3\nlog.dirs : /a,\\\n   /b\nbroker.rack zone\\u002d1 \n\
                    empty=\nalone\nkey\\ with\\=odd = a\\tb\\\\\r\n";
        let expected = [
            ("num.partitions", "3", 4),
            ("log.dirs", "/a,/b", 5),
            ("broker.rack", "zone-1", 7),
            ("empty", "", 8),
            ("alone", "", 9),
            ("key with=odd", "a\tb\\", 10),
        ];
        assert_eq!(pairs(text), expected.map(|(k, v, line)| (k.to_owned(), v.to_owned(), line)));
    }

    #[test]
    fn a_broken_line_is_named_by_its_number() {
        assert_eq!(parse("a=1\nb=\\u12g4\n").unwrap_err().line, 2);
        assert_eq!(parse("=value\n").unwrap_err().line, 1);
        assert_eq!(pairs("a=1\\"), [("a".to_owned(), "1".to_owned(), 1)]);
    }
}
