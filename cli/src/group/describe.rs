//! `ottla group describe` and `offsets`: groups as text for people, as JSON for programs, once or again and again.
//!
//! On a terminal `--watch` redraws in place; into a pipe it writes one line per group and look, so that `grep`, `tee` and
//! a log file make sense of it. Ctrl-C ends it as a success, and so does a reader that goes away.

use std::io::IsTerminal;
use std::time::Duration;

use ottla_client::{Admin, OffsetSpec};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::arguments::{GroupDescribeArguments, GroupOffsetsArguments};
use super::standing::{PartitionStanding, Standing, look, offsets};
use super::unread::Unread;
use super::{ids, settle};
use crate::arguments::OutputFormat;
use crate::cluster::connect;
use crate::failure::Failure;
use crate::instant::TimestampMs;
use crate::report::{Report, print_json, print_text};
use crate::units::grouped;

/// Runs `ottla group describe`.
pub(super) async fn run(arguments: &GroupDescribeArguments) -> Result<(), Failure> {
    let client = connect(&arguments.cluster).await?;
    let mut view = View { admin: client.admin(), unread: Unread::new(&client), arguments };
    if !arguments.watch {
        return view.show_once().await;
    }
    if arguments.interval < Duration::from_millis(100) {
        return Err(Failure::usage("--interval is at least 100ms"));
    }
    tokio::select! {
        outcome = view.watch() => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// What is shown, and of what.
struct View<'a> {
    admin: Admin,
    unread: Unread,
    arguments: &'a GroupDescribeArguments,
}

impl View<'_> {
    async fn look(&mut self) -> Result<(Vec<Standing>, Vec<Failure>), Failure> {
        let groups = ids(&self.admin, &self.arguments.groups).await?;
        look(&self.admin, &groups, &mut self.unread).await
    }

    async fn show_once(&mut self) -> Result<(), Failure> {
        let (standings, failures) = self.look().await?;
        match self.arguments.output.output {
            OutputFormat::Json => print_json(&Value::Array(standings.iter().map(to_json).collect()))?,
            OutputFormat::Table => print_text(&to_text(&standings))?,
        }
        settle(failures)
    }

    async fn watch(&mut self) -> Result<(), Failure> {
        let mut ticks = interval_at(Instant::now(), self.arguments.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let redraws = std::io::stdout().is_terminal() && self.arguments.output.output == OutputFormat::Table;
        let mut first = true;
        loop {
            ticks.tick().await;
            let (standings, failures) = match self.look().await {
                Ok(seen) => seen,
                // Brokers come and go; whoever watches wants to see that, not to start again.
                Err(failure) if !first => (Vec::new(), vec![failure]),
                Err(failure) => return Err(failure),
            };
            if first && standings.is_empty() && !failures.is_empty() {
                return settle(failures);
            }
            let text = match self.arguments.output.output {
                OutputFormat::Json => standings.iter().map(|one| to_json(one).to_string() + "\n").collect(),
                OutputFormat::Table if redraws => screen(&to_text(&standings), &failures, first),
                OutputFormat::Table => standings.iter().map(line).collect(),
            };
            print_text(&text)?;
            if !redraws {
                failures.iter().for_each(|failure| eprintln!("ottla: {failure}"));
            }
            first = false;
        }
    }
}

/// A text over what stood there before.
fn screen(text: &str, failures: &[Failure], first: bool) -> String {
    const HOME: &str = "\x1b[H";
    const CLEAR: &str = "\x1b[2J";
    const REST_OF_LINE: &str = "\x1b[K\n";
    const REST_OF_SCREEN: &str = "\x1b[J";
    let mut drawn = if first { CLEAR.to_owned() + HOME } else { HOME.to_owned() };
    let told = failures.iter().map(|failure| format!("ottla: {failure}"));
    let lines = std::iter::once(TimestampMs::now().to_string()).chain(text.lines().map(str::to_owned));
    for line in lines.chain(told) {
        drawn += &line;
        drawn += REST_OF_LINE;
    }
    drawn + REST_OF_SCREEN
}

/// One line that says it all.
fn line(standing: &Standing) -> String {
    let group = &standing.group;
    format!(
        "{} {} {} members={} lag={} behind={}\n",
        TimestampMs::now(),
        group.group_id,
        group.state,
        group.members.len(),
        standing.lag().map_or("-".to_owned(), |lag| lag.to_string()),
        span(standing.behind())
    )
}

fn to_text(standings: &[Standing]) -> String {
    let texts: Vec<String> = standings.iter().map(one_to_text).collect();
    texts.join("\n")
}

fn one_to_text(standing: &Standing) -> String {
    let group = &standing.group;
    let assignor = group.assignor.as_ref().map_or(String::new(), |assignor| format!(", {assignor}"));
    let epoch = group.group_epoch.map_or(String::new(), |epoch| format!(", epoch {epoch}"));
    let mut text = format!(
        "{}: {}, {}{assignor}{epoch}, {} members, coordinator {}, lag {}, {} behind\n",
        group.group_id,
        group.state,
        group.group_type,
        group.members.len(),
        group.coordinator,
        standing.lag().map_or("-".to_owned(), grouped),
        span(standing.behind()),
    );
    if !standing.partitions.is_empty() {
        let mut report = Report::new(&[
            "topic",
            "partition",
            "committed",
            "log_end",
            "lag",
            "behind",
            "member",
            "host",
            "client",
        ]);
        for partition in &standing.partitions {
            let owner = partition.owner.map(|place| &group.members[place]);
            report.row([
                json!(partition.partition.topic.as_str()),
                json!(partition.partition.partition.get()),
                json!(partition.committed.as_ref().map(|committed| committed.offset.get())),
                json!(partition.end.map(|end| end.get())),
                json!(partition.lag()),
                json!(span(partition.behind)),
                json!(owner.map(|member| member.instance_id.as_ref().unwrap_or(&member.member_id))),
                json!(owner.map(|member| &member.client_host)),
                json!(owner.map(|member| &member.client_id)),
            ]);
        }
        text += &report.to_table();
    }
    let idle: Vec<_> = group.members.iter().filter(|member| member.assignment.is_empty()).collect();
    if !idle.is_empty() {
        let names: Vec<&str> = idle.iter().map(|member| member.member_id.as_str()).collect();
        text += &format!("without partitions: {}\n", names.join(", "));
    }
    text
}

fn to_json(standing: &Standing) -> Value {
    let group = &standing.group;
    let member = |member: &ottla_client::MemberDescription| {
        json!({
            "member": member.member_id,
            "instance": member.instance_id,
            "client": member.client_id,
            "host": member.client_host,
            "rack": member.rack,
            "epoch": member.member_epoch,
            "topics": member.subscribed_topics,
            "regex": member.subscribed_regex,
            "partitions": member.assignment.len(),
        })
    };
    let partition = |partition: &PartitionStanding| {
        json!({
            "topic": partition.partition.topic.as_str(),
            "partition": partition.partition.partition.get(),
            "committed": partition.committed.as_ref().map(|committed| committed.offset.get()),
            "log_end": partition.end.map(|end| end.get()),
            "lag": partition.lag(),
            "lag_seconds": partition.behind.map(|behind| behind.as_secs_f64()),
            "member": partition.owner.map(|place| &group.members[place].member_id),
        })
    };
    json!({
        "group": group.group_id,
        "type": group.group_type.name(),
        "state": group.state.name(),
        "protocol": group.protocol_type,
        "assignor": group.assignor,
        "coordinator": group.coordinator.get(),
        "epoch": group.group_epoch,
        "assignment_epoch": group.assignment_epoch,
        "lag": standing.lag(),
        "lag_seconds": standing.behind().map(|behind| behind.as_secs_f64()),
        "members": group.members.iter().map(member).collect::<Vec<_>>(),
        "partitions": standing.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

/// A time as people say it: its two largest units.
fn span(time: Option<Duration>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let seconds = time.as_secs();
    match seconds {
        0 if time.is_zero() => "0s".to_owned(),
        0..60 => format!("{:.1}s", time.as_secs_f64()),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Runs `ottla group offsets`.
pub(super) async fn run_offsets(arguments: &GroupOffsetsArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let groups = ids(&admin, &arguments.groups).await?;
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let mut report = Report::new(&[
        "group",
        "topic",
        "partition",
        "committed",
        "leader_epoch",
        "metadata",
        "log_start",
        "log_end",
    ]);
    let mut failures = Vec::new();
    for (group, committed) in admin.group_offsets(&groups).await? {
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => {
                failures.push(Failure::from(error));
                continue;
            }
        };
        if committed.is_empty()
            && let Err(error) = admin.describe_group(&group).await
        {
            failures.push(Failure::from(error));
            continue;
        }
        let starts = offsets(&admin, committed.keys(), OffsetSpec::Earliest).await?;
        let ends = offsets(&admin, committed.keys(), OffsetSpec::Latest).await?;
        for (partition, offset) in &committed {
            report.row([
                json!(group),
                json!(partition.topic.as_str()),
                json!(partition.partition.get()),
                json!(offset.offset.get()),
                json!(offset.leader_epoch.map(|epoch| epoch.get())),
                json!(offset.metadata),
                json!(starts.get(partition).map(|start| start.get())),
                json!(ends.get(partition).map(|end| end.get())),
            ]);
        }
    }
    report.print(arguments.output)?;
    settle(failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        let cases = [
            (0.0, "0s"),
            (2.345, "2.3s"),
            (0.04, "0.0s"),
            (252.0, "4m12s"),
            (7_380.0, "2h3m"),
            (266_400.0, "3d2h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(Some(Duration::from_secs_f64(seconds))), text);
        }
        assert_eq!(span(None), "-");
    }
}
