//! The command line of `ottla group`, and the one small language in it: topics with partitions.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use ottla_client::{GroupState, GroupType};

use crate::arguments::{ClusterArguments, OutputArguments};
use crate::instant::TimestampMs;
use crate::units::PartitionList;

const DESCRIBE_EXAMPLES: &str = "\
Examples:
  ottla group describe billing
  ottla group describe billing --watch               again every second, until Ctrl-C
  ottla group describe --all -o json | jq '.[] | select(.lag_seconds > 60) | .group'";

const RESET_EXAMPLES: &str = "\
Examples:
  ottla group reset billing --all-topics --to-earliest            what would change
  ottla group reset billing --all-topics --to-earliest --execute  change it
  ottla group reset billing --topic flights:0,2-4 --shift-by -100 --execute
  ottla group reset billing --topic flights --by-duration 2h --execute
  ottla group reset billing --all-topics --to-current --export > offsets.csv
  ottla group reset billing --from-file offsets.csv --execute";

/// `ottla group …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List groups
    #[command(visible_alias = "ls")]
    List(GroupListArguments),
    /// Describe groups: state, members, partitions, lag in offsets and in time
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(GroupDescribeArguments),
    /// Show committed offsets as they are kept, with leader epochs and notes
    Offsets(GroupOffsetsArguments),
    /// Move committed offsets of groups without members; without --execute only shows what would change
    #[command(after_help = RESET_EXAMPLES)]
    Reset(Box<GroupResetArguments>),
    /// Delete groups without members, or only their offsets of some topics
    #[command(visible_alias = "rm")]
    Delete(GroupDeleteArguments),
}

/// Which groups.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Groups {
    /// Group ids
    #[arg(value_name = "GROUP")]
    pub groups: Vec<String>,
    /// All groups
    #[arg(short, long)]
    pub all: bool,
}

/// `ottla group list`.
#[derive(Debug, Args)]
pub(crate) struct GroupListArguments {
    /// Only groups in these states: Empty, PreparingRebalance, CompletingRebalance, Assigning, Reconciling, Stable, Dead
    #[arg(long, value_delimiter = ',', value_parser = state, value_name = "STATE")]
    pub state: Vec<GroupState>,
    /// Only groups of these types: classic, consumer, share, streams
    #[arg(long = "type", value_delimiter = ',', value_parser = group_type, value_name = "TYPE")]
    pub group_type: Vec<GroupType>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla group describe`.
#[derive(Debug, Args)]
pub(crate) struct GroupDescribeArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub groups: Groups,
    /// Show it again and again until Ctrl-C: redrawn on a terminal, else a line (JSON: an object) per group each time
    #[arg(short, long)]
    pub watch: bool,
    /// How often to look with --watch
    #[arg(long, default_value = "1s", value_parser = crate::units::duration, value_name = "TIME")]
    pub interval: Duration,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla group offsets`.
#[derive(Debug, Args)]
pub(crate) struct GroupOffsetsArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub groups: Groups,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// Where offsets go.
#[derive(Debug, Clone, Args)]
#[group(id = "target", required = true, multiple = false)]
pub(crate) struct TargetArguments {
    /// To the first record
    #[arg(long, help_heading = "Where to")]
    pub to_earliest: bool,
    /// Behind the last record
    #[arg(long, help_heading = "Where to")]
    pub to_latest: bool,
    /// To this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..), help_heading = "Where to")]
    pub to_offset: Option<i64>,
    /// To the first record at or after this time, e.g. 2013-01-01T05:15:00Z; behind the last if there is none
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Where to")]
    pub to_datetime: Option<TimestampMs>,
    /// To the first record that is not older than this: 2h, 7d, or Kafka's P1DT2H
    #[arg(long, value_name = "TIME", value_parser = ago, help_heading = "Where to")]
    pub by_duration: Option<Duration>,
    /// So many offsets forward, or back if negative
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Where to")]
    pub shift_by: Option<i64>,
    /// To where they are, which with --export saves them
    #[arg(long, help_heading = "Where to")]
    pub to_current: bool,
    /// To the offsets in this file: lines of topic,partition,offset or group,topic,partition,offset
    #[arg(long, value_name = "FILE", conflicts_with = "scope", help_heading = "Where to")]
    pub from_file: Option<PathBuf>,
}

/// Whose offsets.
#[derive(Debug, Clone, Args)]
#[group(id = "scope", multiple = false)]
pub(crate) struct ScopeArguments {
    /// All topics that the group has committed offsets of
    #[arg(long)]
    pub all_topics: bool,
    /// A topic, or some of its partitions: flights or flights:0,2-4; may be repeated
    #[arg(short, long = "topic", value_name = "TOPIC[:LIST]")]
    pub topics: Vec<TopicScope>,
}

/// `ottla group reset`.
#[derive(Debug, Args)]
pub(crate) struct GroupResetArguments {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub groups: Groups,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub scope: ScopeArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArguments,
    /// Change it; without this only what would change is shown
    #[arg(long)]
    pub execute: bool,
    /// Write the new offsets as lines that --from-file reads
    #[arg(long)]
    pub export: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// `ottla group delete`.
#[derive(Debug, Args)]
pub(crate) struct GroupDeleteArguments {
    /// Group ids
    #[arg(required = true, value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Only the offsets of this topic, or of some of its partitions: flights or flights:0,2-4; may be repeated
    #[arg(short, long = "topic", value_name = "TOPIC[:LIST]")]
    pub topics: Vec<TopicScope>,
    /// Succeed when a group does not exist
    #[arg(long)]
    pub if_exists: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub cluster: ClusterArguments,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: OutputArguments,
}

/// A topic, all of it or some partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicScope {
    /// Its name.
    pub topic: String,
    /// Its partitions, or all.
    pub partitions: Option<Vec<i32>>,
}

impl FromStr for TopicScope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, list)) => {
                let PartitionList(partitions) = crate::units::partitions(list)?;
                (topic, Some(partitions))
            }
            None => (text, None),
        };
        if topic.is_empty() {
            return Err(format!("'{text}' names no topic: write flights or flights:0,2-4"));
        }
        Ok(TopicScope { topic: topic.to_owned(), partitions })
    }
}

fn state(text: &str) -> Result<GroupState, String> {
    let state = GroupState::named(text.trim());
    if GroupState::ALL.contains(&state) {
        return Ok(state);
    }
    let names: Vec<&str> = GroupState::ALL.iter().map(GroupState::name).collect();
    Err(format!("there is no state '{text}': use {}", names.join(", ")))
}

fn group_type(text: &str) -> Result<GroupType, String> {
    match GroupType::named(text.trim()) {
        GroupType::Other(name) if name != "share" && name != "streams" => {
            Err(format!("there is no type '{text}': use classic, consumer, share or streams"))
        }
        known => Ok(known),
    }
}

fn time(text: &str) -> Result<TimestampMs, String> {
    TimestampMs::parse(text, TimestampMs::now())
}

/// Reads our durations, and ISO 8601's as Kafka's tool wants them: `P1DT2H3M4S`.
fn ago(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a duration such as 2h, 7d or P1DT2H30M");
    let Some(iso) = text.trim().strip_prefix('P') else {
        return crate::units::duration(text).map_err(|_| wrong());
    };
    let (days, clock) = iso.split_once('T').unwrap_or((iso, ""));
    let mut total = Duration::ZERO;
    let mut parts = 0;
    for (text, units) in [(days, "D"), (clock, "HMS")] {
        let mut rest = text;
        let mut units = units;
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_uppercase()).ok_or_else(wrong)?;
            let unit = &rest[end..=end];
            // Each unit once, and in this order.
            let place = units.find(unit).ok_or_else(wrong)?;
            units = &units[place + 1..];
            let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
            let seconds = match unit {
                "D" => 86_400.0,
                "H" => 3_600.0,
                "M" => 60.0,
                _ => 1.0,
            };
            total += Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
            parts += 1;
            rest = &rest[end + 1..];
        }
    }
    if parts == 0 { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_topic_and_maybe_partitions() {
        let scope = |topic: &str, partitions: Option<&[i32]>| TopicScope {
            topic: topic.to_owned(),
            partitions: partitions.map(<[i32]>::to_vec),
        };
        assert_eq!("flights".parse(), Ok(scope("flights", None)));
        assert_eq!("flights:0,2-3".parse(), Ok(scope("flights", Some(&[0, 2, 3]))));
        assert!(":1".parse::<TopicScope>().is_err());
        assert!("flights:x".parse::<TopicScope>().is_err());
    }

    #[test]
    fn durations_are_ours_or_isos() {
        for (text, seconds) in [("2h", 7_200), ("P1D", 86_400), ("PT1H30M", 5_400), ("P1DT1S", 86_401)] {
            assert_eq!(ago(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "P", "PT", "P1H", "PT1M1H", "PT1X", "soon"] {
            assert!(ago(text).is_err(), "{text}");
        }
    }

    #[test]
    fn states_and_types_are_known_ones() {
        assert_eq!(state("stable"), Ok(GroupState::Stable));
        assert!(state("Sable").is_err());
        assert_eq!(group_type("Classic"), Ok(GroupType::Classic));
        assert!(group_type("clasic").is_err());
    }
}
