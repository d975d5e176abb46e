//! Points in time as people write them and as Kafka keeps them: milliseconds since 1970, UTC.
//!
//! Reads RFC 3339 and its shorter forms (a date, a date and a time, `T` or a blank between them, `Z` or an offset), Unix
//! seconds or milliseconds behind an `@`, and durations before now (`-2h`). Writes RFC 3339. A time without an offset is
//! UTC: a command line means the same on every machine. The calendar is the proleptic Gregorian one.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimestampMs(pub i64);

const DAY_MS: i64 = 86_400_000;

impl TimestampMs {
    /// Now, by the system's clock.
    pub(crate) fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Reads a point in time; `now` is what `-2h` counts from.
    ///
    /// # Errors
    /// When the text is none of the forms.
    pub(crate) fn parse(text: &str, now: TimestampMs) -> Result<TimestampMs, String> {
        let text = text.trim();
        let wrong =
            || format!("'{text}' is not a time such as 2013-01-01T05:15:00Z, 2013-01-01, @1357016100 or -2h");
        if let Some(unix) = text.strip_prefix('@') {
            return unix_time(unix).ok_or_else(wrong);
        }
        if let Some(ago) = text.strip_prefix('-') {
            let ago = crate::units::duration(ago).map_err(|_| wrong())?;
            let ago = i64::try_from(ago.as_millis()).map_err(|_| wrong())?;
            return Ok(TimestampMs(now.0.saturating_sub(ago)));
        }
        calendar(text.as_bytes()).ok_or_else(wrong)
    }
}

/// Seconds or, when it is too large for them (beyond the year 5138), milliseconds.
fn unix_time(digits: &str) -> Option<TimestampMs> {
    let number: i64 = digits.parse().ok()?;
    Some(TimestampMs(if number.abs() < 100_000_000_000 { number * 1_000 } else { number }))
}

fn calendar(text: &[u8]) -> Option<TimestampMs> {
    let (year, month, day) = (number(text, 0, 4)?, number(text, 5, 2)?, number(text, 8, 2)?);
    if text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') {
        return None;
    }
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let date_ms = days_from_civil(year, month, day) * DAY_MS;
    let rest = match text.get(10) {
        None => return Some(TimestampMs(date_ms)),
        Some(b'T' | b't' | b' ') => &text[11..],
        Some(_) => return None,
    };
    let (time_ms, zone) = time_of_day(rest)?;
    Some(TimestampMs(date_ms + time_ms - zone_offset_ms(zone)?))
}

/// `HH:MM[:SS[.fraction]]` and what follows it.
fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, minute) = (number(text, 0, 2)?, number(text, 3, 2)?);
    if text.get(2) != Some(&b':') || hour > 23 || minute > 59 {
        return None;
    }
    let mut ms = (hour * 60 + minute) * 60_000;
    let mut rest = &text[5..];
    if rest.first() == Some(&b':') {
        let second = number(rest, 1, 2)?;
        // A leap second counts as the first of the next minute.
        if second > 60 {
            return None;
        }
        ms += second * 1_000;
        rest = &rest[3..];
        if rest.first() == Some(&b'.') {
            let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            let millis = (0..3).map(|place| {
                rest.get(1 + place).filter(|_| place < digits).map_or(0, |d| i64::from(d - b'0'))
            });
            ms += millis.fold(0, |sum, digit| sum * 10 + digit);
            rest = &rest[1 + digits..];
        }
    }
    Some((ms, rest))
}

/// Nothing, `Z`, `+HH:MM`, `+HHMM` or `+HH`.
fn zone_offset_ms(zone: &[u8]) -> Option<i64> {
    let sign = match zone.first() {
        None => return Some(0),
        Some(b'Z' | b'z') if zone.len() == 1 => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    let hours = number(zone, 1, 2)?;
    let minutes = match (zone.len(), zone.get(3)) {
        (3, _) => 0,
        (5, _) => number(zone, 3, 2)?,
        (6, Some(b':')) => number(zone, 4, 2)?,
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

fn number(text: &[u8], from: usize, digits: usize) -> Option<i64> {
    let piece = text.get(from..from + digits)?;
    piece.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, by Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The way back: `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    #[test]
    fn times_are_read_in_all_their_forms() {
        let cases = [
            ("2013-01-01T05:15:00Z", 1_357_017_300_000),
            ("2013-01-01 05:15", 1_357_017_300_000),
            ("2013-01-01T00:15:00-05:00", 1_357_017_300_000),
            ("2013-01-01T05:15:00.25+0000", 1_357_017_300_250),
            ("2013-01-01", 1_356_998_400_000),
            ("2024-02-29", 1_709_164_800_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("@1357017300", 1_357_017_300_000),
            ("@1357017300123", 1_357_017_300_123),
            ("-2h", 1_700_000_000_000 - 7_200_000),
        ];
        for (text, expected) in cases {
            assert_eq!(TimestampMs::parse(text, NOW), Ok(TimestampMs(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2013-13-01",
            "2013-02-29",
            "2013-01-01T25:00",
            "2013-01-01T05:15:00X",
            "@",
            "-5x",
            "2013-01-01T05:15:00.Z",
        ] {
            assert!(TimestampMs::parse(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for ms in [0, 1_357_017_300_000, -1, 951_782_400_123, 4_102_444_799_999, -2_208_988_800_000] {
            let text = TimestampMs(ms).to_string();
            assert_eq!(TimestampMs::parse(&text, NOW), Ok(TimestampMs(ms)), "{text}");
        }
        assert_eq!(TimestampMs(1_357_017_300_000).to_string(), "2013-01-01T05:15:00.000Z");
    }
}
