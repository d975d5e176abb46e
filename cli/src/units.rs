//! The small languages of the command line: sizes, durations, rates, separators, partition lists.
//!
//! Each parser turns a word into a number with its unit settled, or says in one sentence what it would have accepted.
//! Clap calls them; nothing here knows a command.

use std::time::Duration;

/// Reads `1000`, `64K`, `64KiB`, `1MB`, `2GiB`: K, M and G are powers of 1024, `KB`, `MB`, `GB` of 1000.
///
/// # Errors
/// When the word is no number with one of these units.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => {
            return Err(format!("'{text}' is not a size: write bytes, or a number with K, M, G, KB, MB, GB"));
        }
    };
    let number: u64 = number.parse().map_err(|_| format!("'{text}' is not a size such as 64K or 1MB"))?;
    number.checked_mul(factor).ok_or_else(|| format!("'{text}' is too large"))
}

/// Reads `5ms`, `1.5s`, `10m`, `2h`, `7d`; a bare number is milliseconds, as in Kafka's configs.
///
/// # Errors
/// When the word is no number with one of these units.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration such as 5ms, 1.5s, 10m, 2h or 7d");
    let (number, unit) = split_unit(text);
    let millis: f64 = match unit {
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * millis / 1_000.0).map_err(|_| wrong())
}

/// How fast to go at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Records per second.
    Records(u64),
    /// Bytes of keys and values per second.
    Bytes(u64),
}

/// Reads `5000` or `5000/s` as records per second, `10MB/s` or `10M` as bytes per second.
///
/// # Errors
/// When the word is neither, or zero.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let bare = text.strip_suffix("/s").unwrap_or(text);
    let rate = match bare.parse::<u64>() {
        Ok(records) => Rate::Records(records),
        Err(_) => Rate::Bytes(
            bytes(bare)
                .map_err(|_| format!("'{text}' is not a rate: write 5000 for records or 10MB for bytes"))?,
        ),
    };
    match rate {
        Rate::Records(0) | Rate::Bytes(0) => Err("a rate of zero would never end".to_owned()),
        rate => Ok(rate),
    }
}

/// Reads a separator with the escapes `\t`, `\n`, `\r`, `\0`, `\\` and `\xHH`.
///
/// # Errors
/// For an empty separator or another escape.
pub(crate) fn separator(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first().ok_or("a lone '\\' at the end of the separator")?;
        rest = after;
        bytes.push(match escape {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                rest = rest.get(2..).unwrap_or_default();
                byte.ok_or("'\\x' wants two hexadecimal digits")?
            }
            other => {
                return Err(format!("unknown escape '\\{}': use \\t \\n \\r \\0 \\\\ \\xHH", other as char));
            }
        });
    }
    if bytes.is_empty() {
        return Err("the separator is empty".to_owned());
    }
    Ok(bytes)
}

/// Reads `0,2,5-9` into a sorted list without repeats.
///
/// # Errors
/// When a piece is neither a partition nor a range of at most 100,000.
pub(crate) fn partitions(text: &str) -> Result<PartitionList, String> {
    let number = |digits: &str| {
        digits
            .trim()
            .parse::<i32>()
            .ok()
            .filter(|n| *n >= 0)
            .ok_or_else(|| format!("'{digits}' is not a partition: write 0,2,5-9"))
    };
    let mut list = Vec::new();
    for piece in text.split(',') {
        let (from, to) = match piece.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(piece)?, number(piece)?),
        };
        if from > to || to - from >= 100_000 {
            return Err(format!("'{piece}' is not a range of partitions"));
        }
        list.extend(from..=to);
    }
    list.sort_unstable();
    list.dedup();
    Ok(PartitionList(list))
}

/// Partitions named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionList(pub Vec<i32>);

/// Reads `name=value`; the value may be empty or hold further `=`.
///
/// # Errors
/// When there is no `=` or no name.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not name=value")),
    }
}

/// `12,345,678` for people.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.5 GiB` for people.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        let cases = [("0", 0), ("64K", 65_536), ("64KiB", 65_536), ("1MB", 1_000_000), ("2 g", 2 << 30)];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "-1", "1.5M", "12XB", "99999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_a_bare_number_is_milliseconds() {
        let cases =
            [("5", 5), ("5ms", 5), ("1.5s", 1_500), ("10m", 600_000), ("2h", 7_200_000), ("1d", 86_400_000)];
        for (text, expected) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in ["", "ms", "-5ms", "5 weeks"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_records_unless_they_carry_a_unit_of_bytes() {
        assert_eq!(rate("5000/s"), Ok(Rate::Records(5000)));
        assert_eq!(rate("10MB/s"), Ok(Rate::Bytes(10_000_000)));
        assert!(rate("0").is_err());
        assert!(rate("fast").is_err());
    }

    #[test]
    fn separators_know_the_usual_escapes() {
        assert_eq!(separator(r"\t"), Ok(vec![b'\t']));
        assert_eq!(separator(r"::\x1f\\"), Ok(b"::\x1f\\".to_vec()));
        for text in ["", r"\", r"\q", r"\x1"] {
            assert!(separator(text).is_err(), "{text}");
        }
    }

    #[test]
    fn partition_lists_are_sorted_and_without_repeats() {
        assert_eq!(partitions("5-7,0,6"), Ok(PartitionList(vec![0, 5, 6, 7])));
        for text in ["", "a", "3-1", "-1", "0-2000000000"] {
            assert!(partitions(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_grouped_for_people() {
        assert_eq!([grouped(0), grouped(999), grouped(336_776)], ["0", "999", "336,776"]);
        assert_eq!(
            [human_bytes(10), human_bytes(1536), human_bytes(3 << 30)],
            ["10 B", "1.5 KiB", "3.0 GiB"]
        );
    }
}
