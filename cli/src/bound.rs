//! Where in a partition to begin or to end: `--from` and `--to`.
//!
//! One word covers offsets, ends and times. It says what the user meant; turning it into an offset takes a broker.

use std::fmt;
use std::str::FromStr;

use crate::instant::TimestampMs;

/// A place in a partition as the user writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// This offset.
    Offset(i64),
    /// So many records before the end.
    FromEnd(i64),
    /// The first record at or after this time.
    Time(TimestampMs),
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text {
            "earliest" | "beginning" | "start" => return Ok(Bound::Earliest),
            "latest" | "end" => return Ok(Bound::Latest),
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return Ok(if text.starts_with('-') { Bound::FromEnd(-number) } else { Bound::Offset(number) });
        }
        TimestampMs::parse(text, TimestampMs::now()).map(Bound::Time).map_err(|_| {
            format!("'{text}' is none of earliest, latest, an offset, -N (the last N), a time such as 2013-01-01T05:15:00Z, or -2h")
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Earliest => f.write_str("earliest"),
            Bound::Latest => f.write_str("latest"),
            Bound::Offset(offset) => write!(f, "{offset}"),
            Bound::FromEnd(count) => write!(f, "-{count}"),
            Bound::Time(time) => write!(f, "{time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_an_end_an_offset_a_distance_from_the_end_or_a_time() {
        let cases = [
            ("earliest", Bound::Earliest),
            ("end", Bound::Latest),
            ("42", Bound::Offset(42)),
            ("-10", Bound::FromEnd(10)),
            ("2013-01-01", Bound::Time(TimestampMs(1_356_998_400_000))),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        assert!(matches!("-2h".parse(), Ok(Bound::Time(_))));
        assert!("soon".parse::<Bound>().is_err());
    }
}
