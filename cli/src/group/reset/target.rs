//! Which offset a target means for one partition. Pure: what the brokers said comes as numbers.

use crate::group::arguments::TargetArguments;
use crate::instant::TimestampMs;

/// Where an offset goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// To the first record.
    Earliest,
    /// Behind the last.
    Latest,
    /// To this one.
    Offset(i64),
    /// To the first record at or after this time.
    Time(TimestampMs),
    /// So many further.
    ShiftBy(i64),
    /// Nowhere.
    Current,
}

/// Where a partition begins, and where it ends (exclusive).
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The first offset.
    pub start: i64,
    /// Behind the last.
    pub end: i64,
}

/// The new offset, and what should be told about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Within the bounds.
    pub offset: i64,
    /// That it is not what was asked for.
    pub note: Option<String>,
}

impl Target {
    /// What the command line says; clap lets exactly one of them through, and a file has its own.
    pub(super) fn of(arguments: &TargetArguments, now: TimestampMs) -> Target {
        if let Some(offset) = arguments.to_offset {
            Target::Offset(offset)
        } else if let Some(time) = arguments.to_datetime {
            Target::Time(time)
        } else if let Some(ago) = arguments.by_duration {
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            Target::Time(TimestampMs(now.0.saturating_sub(ago)))
        } else if let Some(count) = arguments.shift_by {
            Target::ShiftBy(count)
        } else if arguments.to_earliest {
            Target::Earliest
        } else if arguments.to_latest {
            Target::Latest
        } else {
            Target::Current
        }
    }

    /// The offset in one partition; `at_time` is the first offset at or after the wanted time.
    pub(super) fn settle(
        self,
        current: Option<i64>,
        at_time: Option<i64>,
        bounds: Bounds,
    ) -> Result<Settled, String> {
        let wanted = match self {
            Target::Earliest => bounds.start,
            Target::Latest => bounds.end,
            Target::Offset(offset) => offset,
            Target::Time(_) => at_time.unwrap_or(bounds.end),
            Target::ShiftBy(count) => {
                current.ok_or("nothing is committed that could be shifted")?.saturating_add(count)
            }
            // Kafka's tool takes what would be read next, which is the end, too.
            Target::Current => current.unwrap_or(bounds.end),
        };
        let offset = wanted.clamp(bounds.start, bounds.end);
        let end = if wanted < bounds.start { "before the first record" } else { "behind the end" };
        let note = (offset != wanted).then(|| format!("{wanted} is {end}, {offset} is taken"));
        Ok(Settled { offset, note })
    }
}

/// A line of `--from-file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileRow {
    /// Only for this group; else for all.
    pub group: Option<String>,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// Reads `topic,partition,offset` and `group,topic,partition,offset`, with or without quotes. An error has its line.
pub(super) fn parse_file(text: &str) -> Result<Vec<FileRow>, (usize, String)> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        rows.push(parse_line(line).ok_or_else(|| {
            let why = "not topic,partition,offset or group,topic,partition,offset";
            (number + 1, format!("'{line}' is {why}"))
        })?);
    }
    Ok(rows)
}

fn parse_line(line: &str) -> Option<FileRow> {
    let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
    let (group, topic, partition, offset) = match fields[..] {
        [topic, partition, offset] => (None, topic, partition, offset),
        [group, topic, partition, offset] => (Some(group.to_owned()), topic, partition, offset),
        _ => return None,
    };
    let partition = partition.parse().ok().filter(|partition| *partition >= 0)?;
    let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
    (!topic.is_empty()).then(|| FileRow { group, topic: topic.to_owned(), partition, offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { start: 10, end: 100 };

    fn offset(target: Target, current: Option<i64>, at_time: Option<i64>) -> i64 {
        target.settle(current, at_time, BOUNDS).expect("settled").offset
    }

    #[test]
    fn each_target_has_its_offset() {
        let time = Target::Time(TimestampMs(5));
        let cases = [
            (Target::Earliest, Some(50), None, 10),
            (Target::Latest, Some(50), None, 100),
            (Target::Offset(42), Some(50), None, 42),
            (time, None, Some(77), 77),
            (time, None, None, 100),
            (Target::ShiftBy(-5), Some(50), None, 45),
            (Target::Current, Some(50), None, 50),
            (Target::Current, None, None, 100),
        ];
        for (target, current, at_time, expected) in cases {
            assert_eq!(offset(target, current, at_time), expected, "{target:?}");
        }
    }

    #[test]
    fn what_lies_outside_goes_to_the_nearest_end_and_is_told() {
        for (target, expected) in
            [(Target::Offset(3), 10), (Target::Offset(101), 100), (Target::ShiftBy(i64::MAX), 100)]
        {
            let settled = target.settle(Some(50), None, BOUNDS).expect("settled");
            assert_eq!(settled.offset, expected);
            assert!(settled.note.is_some(), "{target:?}");
        }
    }

    #[test]
    fn nothing_cannot_be_shifted() {
        assert!(Target::ShiftBy(1).settle(None, None, BOUNDS).is_err());
    }

    #[test]
    fn a_file_holds_three_or_four_fields_per_line() {
        let rows = parse_file("flights,0,42\n\n\"g\",\"flights\",1,7\n").expect("read");
        assert_eq!((rows[0].group.as_deref(), rows[0].offset), (None, 42));
        assert_eq!((rows[1].group.as_deref(), rows[1].partition), (Some("g"), 1));
        for text in ["flights,0", "flights,x,1", "flights,0,-1", "a,b,c,d,e", ",0,1"] {
            assert_eq!(parse_file(&format!("flights,0,1\n{text}")).expect_err("refused").0, 2, "{text}");
        }
    }
}
