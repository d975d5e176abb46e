//! `ottla group`: list, describe, offsets, reset, delete. Against ottla and Apache Kafka alike.
//!
//! What a group is and where it stands comes from the client's admin; here it is put in words. Invariant: nothing but
//! `reset --execute` and `delete` changes anything.

mod arguments;
mod describe;
mod reset;
mod standing;
mod unread;

use ottla_client::{
    Admin, ErrorCode, GroupFilter, GroupType, ListedGroup, PartitionIndex, TopicName, TopicPartition,
};
use serde_json::{Value, json};

pub(crate) use arguments::GroupCommand;
use arguments::{GroupDeleteArguments, GroupListArguments, Groups, TopicScope};

use crate::cluster::connect;
use crate::failure::Failure;
use crate::report::Report;

/// Runs the command.
pub(crate) async fn run(command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::List(arguments) => list(&arguments).await,
        GroupCommand::Describe(arguments) => describe::run(&arguments).await,
        GroupCommand::Offsets(arguments) => describe::run_offsets(&arguments).await,
        GroupCommand::Reset(arguments) => reset::run(&arguments).await,
        GroupCommand::Delete(arguments) => delete(&arguments).await,
    }
}

/// The groups that are named, each once, or all there are.
async fn ids(admin: &Admin, groups: &Groups) -> Result<Vec<String>, Failure> {
    if groups.all {
        let listed = admin.list_groups(&GroupFilter::default()).await?;
        // Share and streams groups keep their offsets elsewhere, if they have any.
        let with_offsets = |group: &ListedGroup| !matches!(group.group_type, Some(GroupType::Other(_)));
        return Ok(listed.into_iter().filter(with_offsets).map(|group| group.group_id).collect());
    }
    let mut ids = groups.groups.clone();
    ids.sort();
    ids.dedup();
    Ok(ids)
}

/// Tells each failure; the first is the command's.
fn settle(failures: Vec<Failure>) -> Result<(), Failure> {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(()) };
    for further in failures {
        eprintln!("ottla: {further}");
    }
    Err(first)
}

fn topic_partition(topic: &str, partition: i32) -> Result<TopicPartition, Failure> {
    let name = TopicName::new(topic).map_err(|error| Failure::new(format!("'{topic}': {error}")))?;
    Ok(TopicPartition::new(name, PartitionIndex::new(partition)))
}

/// The partitions that a scope names, which have to exist.
async fn partitions_of(admin: &Admin, scope: &TopicScope) -> Result<Vec<TopicPartition>, Failure> {
    let topic = admin.describe_topic(&scope.topic).await?;
    let count = topic.partitions.len();
    let all = || topic.partitions.iter().map(|partition| partition.index.get()).collect();
    let indexes: Vec<i32> = scope.partitions.clone().unwrap_or_else(all);
    if let Some(missing) = indexes.iter().find(|index| usize::try_from(**index).is_ok_and(|i| i >= count)) {
        let name = &scope.topic;
        return Err(Failure::new(format!("{name} has {count} partitions, there is no partition {missing}")));
    }
    let partition = |index| TopicPartition::new(topic.name.clone(), PartitionIndex::new(index));
    Ok(indexes.into_iter().map(partition).collect())
}

async fn list(arguments: &GroupListArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let filter = GroupFilter { states: arguments.state.clone(), types: arguments.group_type.clone() };
    let mut report = Report::new(&["group", "type", "state", "protocol", "coordinator"]);
    for group in admin.list_groups(&filter).await? {
        let known = |text: Option<&str>| text.map_or(Value::Null, |text| json!(text));
        report.row([
            json!(group.group_id),
            known(group.group_type.as_ref().map(|kind| kind.name())),
            known(group.state.as_ref().map(|state| state.name())),
            known(Some(&*group.protocol_type).filter(|protocol| !protocol.is_empty())),
            json!(group.coordinator.get()),
        ]);
    }
    report.print(arguments.output)
}

async fn delete(arguments: &GroupDeleteArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    if !arguments.topics.is_empty() {
        return delete_offsets(&admin, arguments).await;
    }
    let groups: Vec<&str> = arguments.groups.iter().map(String::as_str).collect();
    let mut report = Report::new(&["group", "result"]);
    let mut failures = Vec::new();
    for (group, result) in admin.delete_groups(&groups).await? {
        match result {
            Ok(()) => report.row([json!(group), json!("deleted")]),
            Err(error) if arguments.if_exists && error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => {
                report.row([json!(group), json!("does not exist")]);
            }
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    if !report.is_empty() {
        report.print(arguments.output)?;
    }
    settle(failures)
}

async fn delete_offsets(admin: &Admin, arguments: &GroupDeleteArguments) -> Result<(), Failure> {
    let mut report = Report::new(&["group", "topic", "partition", "result"]);
    let mut failures = Vec::new();
    for group in &arguments.groups {
        let committed = admin.group_offsets(&[group]).await?.swap_remove(0).1?;
        let is_wanted = |partition: &TopicPartition| {
            arguments.topics.iter().any(|scope| {
                let listed = |list: &Vec<i32>| list.contains(&partition.partition.get());
                *scope.topic == *partition.topic && scope.partitions.as_ref().is_none_or(listed)
            })
        };
        // By what is committed, not by what exists: offsets of a deleted topic are what one wants to delete.
        let partitions: Vec<TopicPartition> = committed.into_keys().filter(is_wanted).collect();
        if partitions.is_empty() {
            match admin.describe_group(group).await {
                Ok(_) => failures.push(Failure::new(format!(
                    "the group {group} has committed nothing there; see what it has: ottla group offsets {group}"
                ))),
                Err(error) => failures.push(Failure::from(error)),
            }
            continue;
        }
        match admin.delete_group_offsets(group, &partitions).await {
            Ok(results) => {
                for (partition, result) in results {
                    let (topic, index) = (partition.topic.as_str(), partition.partition.get());
                    match result {
                        Ok(()) => report.row([json!(group), json!(topic), json!(index), json!("deleted")]),
                        Err(error) => failures.push(Failure::from(error)),
                    }
                }
            }
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    if !report.is_empty() {
        report.print(arguments.output)?;
    }
    settle(failures)
}
