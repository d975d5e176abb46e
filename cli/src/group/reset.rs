//! `ottla group reset`: where committed offsets would go, and moving them there with `--execute`.
//!
//! Every form of `kafka-consumer-groups.sh --reset-offsets`, with its rules: offsets outside the log are moved to its
//! nearest end and that is told; a shift needs something to shift; a group with members keeps its offsets, since they
//! would commit theirs over it.

mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ottla_client::{Admin, ErrorCode, GroupState, Offset, OffsetAndMetadata, OffsetSpec, TopicPartition};
use serde_json::json;

use super::arguments::{GroupResetArguments, ScopeArguments, TargetArguments};
use super::standing::offsets;
use super::{ids, partitions_of, settle};
use crate::cluster::connect;
use crate::failure::Failure;
use crate::instant::TimestampMs;
use crate::report::{Report, print_text};
use target::{Bounds, FileRow, Target, parse_file};

/// The new offset of each partition.
type Plan = BTreeMap<TopicPartition, Offset>;

/// Committed offsets of a group.
type Committed = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// Runs the command.
pub(super) async fn run(arguments: &GroupResetArguments) -> Result<(), Failure> {
    let TargetArguments { from_file, .. } = &arguments.target;
    let ScopeArguments { all_topics, topics } = &arguments.scope;
    if from_file.is_none() && !all_topics && topics.is_empty() {
        return Err(Failure::usage("say whose offsets: --all-topics, or --topic TOPIC[:LIST]"));
    }
    let rows = from_file.as_deref().map(read_file).transpose()?;
    let admin = connect(&arguments.cluster).await?.admin();
    let groups = ids(&admin, &arguments.groups).await?;
    let mut report = Report::new(&["group", "topic", "partition", "current", "new", "change"]);
    let mut exported = String::new();
    let mut failures = Vec::new();
    for group in &groups {
        let planned = plan(&admin, group, arguments, rows.as_deref()).await;
        let (committed, plan) = match planned {
            Ok(planned) => planned,
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        if arguments.execute
            && let Err(failure) = execute(&admin, group, &plan).await
        {
            failures.push(failure);
            continue;
        }
        for (partition, new) in &plan {
            let current = committed.get(partition).map(|one| one.offset.get());
            let (topic, index) = (partition.topic.as_str(), partition.partition.get());
            let change = current.map(|current| new.get() - current);
            let new = new.get();
            report.row([json!(group), json!(topic), json!(index), json!(current), json!(new), json!(change)]);
            let of_group = if groups.len() > 1 { format!("{group},") } else { String::new() };
            exported += &format!("{of_group}{topic},{index},{new}\n");
        }
    }
    if arguments.export {
        print_text(&exported)?;
    } else if !report.is_empty() || failures.is_empty() {
        report.print(arguments.output)?;
    }
    if !arguments.execute && !report.is_empty() && !arguments.export {
        eprintln!("nothing was changed: add --execute to do it");
    }
    settle(failures)
}

fn read_file(path: &Path) -> Result<Vec<FileRow>, Failure> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Failure::io(&name, &error))?;
    parse_file(&text).map_err(|(line, why)| Failure::new(format!("{name}:{line}: {why}")))
}

/// What is committed now, and what is to be.
async fn plan(
    admin: &Admin,
    group: &str,
    arguments: &GroupResetArguments,
    rows: Option<&[FileRow]>,
) -> Result<(Committed, Plan), Failure> {
    check_is_idle(admin, group, arguments.execute).await?;
    let committed = admin.group_offsets(&[group]).await?.swap_remove(0).1?;
    let wanted = match rows {
        Some(rows) => rows_of(group, rows)?,
        None => {
            let target = Target::of(&arguments.target, TimestampMs::now());
            let scope = scope(admin, &arguments.scope, &committed).await?;
            scope.into_iter().map(|partition| (partition, target)).collect()
        }
    };
    if wanted.is_empty() {
        return Err(Failure::new(format!(
            "the group {group} has committed no offsets: name topics with --topic"
        )));
    }
    let starts = offsets(admin, wanted.keys(), OffsetSpec::Earliest).await?;
    let ends = offsets(admin, wanted.keys(), OffsetSpec::Latest).await?;
    let mut at_time = BTreeMap::new();
    if let Some(Target::Time(time)) = wanted.values().next() {
        // Before 1970 there are no records, and the protocol means something else by such numbers.
        let spec = OffsetSpec::Timestamp(time.0.max(0));
        at_time = offsets(admin, wanted.keys(), spec).await?;
    }
    let mut plan = Plan::new();
    for (partition, target) in wanted {
        let (Some(start), Some(end)) = (starts.get(&partition), ends.get(&partition)) else {
            return Err(Failure::new(format!(
                "{partition} does not exist, or has no leader; see which exist: ottla topic list"
            )));
        };
        let bounds = Bounds { start: start.get(), end: end.get() };
        let current = committed.get(&partition).map(|one| one.offset.get());
        let found = at_time.get(&partition).map(|one| one.get());
        let settled = target
            .settle(current, found, bounds)
            .map_err(|why| Failure::new(format!("{partition}: {why}")))?;
        if let Some(note) = settled.note {
            eprintln!("ottla: {partition}: {note}");
        }
        plan.insert(partition, Offset::new(settled.offset));
    }
    Ok((committed, plan))
}

/// A group with members is refused before anything else is asked; for a look it is only told.
async fn check_is_idle(admin: &Admin, group: &str, execute: bool) -> Result<(), Failure> {
    let described = match admin.describe_group(group).await {
        Ok(described) => described,
        // It comes into being with its offsets, as with Kafka's tool.
        Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if matches!(described.state, GroupState::Empty | GroupState::Dead) {
        return Ok(());
    }
    let why = format!(
        "the group {group} is {} with {} members, which would commit their own offsets: stop them first",
        described.state,
        described.members.len()
    );
    if execute {
        return Err(Failure::new(why));
    }
    eprintln!("ottla: {why}");
    Ok(())
}

fn rows_of(group: &str, rows: &[FileRow]) -> Result<BTreeMap<TopicPartition, Target>, Failure> {
    let mine = rows.iter().filter(|row| row.group.as_deref().is_none_or(|of| of == group));
    mine.map(|row| Ok((super::topic_partition(&row.topic, row.partition)?, Target::Offset(row.offset))))
        .collect()
}

async fn scope(
    admin: &Admin,
    scope: &ScopeArguments,
    committed: &Committed,
) -> Result<BTreeSet<TopicPartition>, Failure> {
    if scope.all_topics {
        return Ok(committed.keys().cloned().collect());
    }
    let mut partitions = BTreeSet::new();
    for topic in &scope.topics {
        partitions.extend(partitions_of(admin, topic).await?);
    }
    Ok(partitions)
}

async fn execute(admin: &Admin, group: &str, plan: &Plan) -> Result<(), Failure> {
    let offsets = plan.iter().map(|(partition, offset)| (partition.clone(), (*offset).into())).collect();
    for (_, result) in admin.alter_group_offsets(group, &offsets).await? {
        result.map_err(|error| match error.code() {
            Some(ErrorCode::UNKNOWN_MEMBER_ID) => {
                Failure::new(format!("the group {group} has members by now: stop them first"))
            }
            _ => Failure::from(error),
        })?;
    }
    Ok(())
}
