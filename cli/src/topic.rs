//! `ottla topic`: create, list, describe, alter, delete.

use std::collections::BTreeMap;

use ottla_client::{
    Admin, AlterOperation, ConfigResource, ConfigSource, ErrorCode, NewTopic, Offset, OffsetSpec, TopicInfo,
    TopicPartition,
};
use serde_json::{Value, json};

use crate::arguments::{
    OutputFormat, TopicAlterArguments, TopicCommand, TopicCreateArguments, TopicDeleteArguments,
    TopicDescribeArguments, TopicListArguments,
};
use crate::bound::Bound;
use crate::cluster::connect;
use crate::failure::Failure;
use crate::report::{Report, print_json, print_text};

/// Runs the command.
pub(crate) async fn run(command: TopicCommand) -> Result<(), Failure> {
    match command {
        TopicCommand::Create(arguments) => create(&arguments).await,
        TopicCommand::List(arguments) => list(&arguments).await,
        TopicCommand::Describe(arguments) => describe(&arguments).await,
        TopicCommand::Alter(arguments) => alter(&arguments).await,
        TopicCommand::Delete(arguments) => delete(&arguments).await,
    }
}

/// Reports each topic's result; the first failure is the command's.
fn settle(failures: Vec<Failure>) -> Result<(), Failure> {
    let mut failures = failures.into_iter();
    let Some(first) = failures.next() else { return Ok(()) };
    for further in failures {
        eprintln!("ottla: {further}");
    }
    Err(first)
}

async fn create(arguments: &TopicCreateArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let wanted = arguments.topics.iter().map(|name| {
        let mut topic = NewTopic::new(name);
        if let Some(partitions) = arguments.partitions {
            topic = topic.partitions(partitions);
        }
        if let Some(replication_factor) = arguments.replication_factor {
            topic = topic.replication_factor(replication_factor);
        }
        arguments.set.iter().fold(topic, |topic, (key, value)| topic.config(key, value))
    });
    let results = admin.create_topics(wanted.collect(), arguments.dry_run).await?;
    let mut report = Report::new(&["topic", "partitions", "replication_factor", "result"]);
    let mut failures = Vec::new();
    for (name, result) in results {
        match result {
            Ok(created) => {
                let done = if arguments.dry_run { "could be created" } else { "created" };
                report.row([
                    json!(name),
                    json!(created.partitions),
                    json!(created.replication_factor),
                    json!(done),
                ]);
            }
            Err(error)
                if arguments.if_not_exists && error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) =>
            {
                report.row([json!(name), Value::Null, Value::Null, json!("exists")]);
            }
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    if !report.is_empty() {
        report.print(arguments.output)?;
    }
    settle(failures)
}

async fn list(arguments: &TopicListArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let mut report = Report::new(&["topic", "partitions", "replication_factor"]);
    for topic in admin.list_topics().await? {
        if arguments.internal || !topic.is_internal {
            let replicas = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
            report.row([json!(topic.name.as_str()), json!(topic.partitions.len()), json!(replicas)]);
        }
    }
    report.print(arguments.output)
}

async fn describe(arguments: &TopicDescribeArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let mut failures = Vec::new();
    let mut described = Vec::new();
    for name in &arguments.topics {
        match describe_one(&admin, name, arguments.output.output).await {
            Ok(topic) => described.push(topic),
            Err(failure) => failures.push(failure),
        }
    }
    match arguments.output.output {
        OutputFormat::Json => print_json(&Value::Array(described))?,
        OutputFormat::Table => {
            let texts: Vec<&str> = described.iter().filter_map(Value::as_str).collect();
            print_text(&texts.join("\n"))?;
        }
    }
    settle(failures)
}

/// JSON for programs, a text for people.
async fn describe_one(admin: &Admin, name: &str, format: OutputFormat) -> Result<Value, Failure> {
    let topic = admin.describe_topic(name).await?;
    let starts = offsets(admin, &topic, OffsetSpec::Earliest).await?;
    let ends = offsets(admin, &topic, OffsetSpec::Latest).await?;
    let configs = admin.describe_configs(&ConfigResource::Topic(name.to_owned())).await?;
    let mut report =
        Report::new(&["partition", "leader", "epoch", "replicas", "in_sync", "start_offset", "end_offset"]);
    let ids = |ids: &[ottla_client::BrokerId]| json!(ids.iter().map(|id| id.get()).collect::<Vec<_>>());
    for partition in &topic.partitions {
        let offset =
            |offsets: &BTreeMap<i32, Offset>| offsets.get(&partition.index.get()).map(|offset| offset.get());
        report.row([
            json!(partition.index.get()),
            json!(partition.leader.map(|id| id.get())),
            json!(partition.leader_epoch.map(|epoch| epoch.get())),
            ids(&partition.replicas),
            ids(&partition.in_sync_replicas),
            json!(offset(&starts)),
            json!(offset(&ends)),
        ]);
    }
    let own: Vec<_> = configs.iter().filter(|entry| entry.source == ConfigSource::Topic).collect();
    if format == OutputFormat::Json {
        let own = own
            .iter()
            .map(|entry| (entry.name.clone(), json!(entry.value)))
            .collect::<serde_json::Map<_, _>>();
        return Ok(json!({
            "topic": name,
            "id": topic.id.to_string(),
            "internal": topic.is_internal,
            "partitions": report.to_json(),
            "configs": own,
        }));
    }
    let own: Vec<String> =
        own.iter().map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or(""))).collect();
    let configs = if own.is_empty() { "none".to_owned() } else { own.join(" ") };
    let records: i64 = topic
        .partitions
        .iter()
        .filter_map(|partition| {
            let index = partition.index.get();
            Some((*ends.get(&index)? - *starts.get(&index)?).get())
        })
        .sum();
    let head = format!(
        "{name}: id {}, {} partitions, {} offsets, own configs: {configs}\n",
        topic.id,
        topic.partitions.len(),
        crate::units::grouped(records.unsigned_abs()),
    );
    Ok(json!(head + &report.to_table()))
}

/// The offset of each partition that has a leader.
async fn offsets(
    admin: &Admin,
    topic: &TopicInfo,
    spec: OffsetSpec,
) -> Result<BTreeMap<i32, Offset>, Failure> {
    let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
    let wanted: Vec<_> =
        led.map(|partition| (TopicPartition::new(topic.name.clone(), partition.index), spec)).collect();
    let mut offsets = BTreeMap::new();
    for (partition, listed) in admin.list_offsets(&wanted).await? {
        if let Some(offset) = listed?.offset {
            offsets.insert(partition.partition.get(), offset);
        }
    }
    Ok(offsets)
}

async fn alter(arguments: &TopicAlterArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let topic = &arguments.topic;
    let mut operations: Vec<AlterOperation> =
        arguments.set.iter().map(|(key, value)| AlterOperation::Set(key.clone(), value.clone())).collect();
    operations.extend(arguments.unset.iter().cloned().map(AlterOperation::Delete));
    if !operations.is_empty() {
        admin.alter_configs(&ConfigResource::Topic(topic.clone()), &operations, false).await?;
    }
    if let Some(partitions) = arguments.partitions {
        admin.create_partitions(topic, partitions).await?;
    }
    if let Some(bound) = arguments.delete_before {
        delete_records(&admin, topic, bound, arguments).await?;
    }
    Ok(())
}

async fn delete_records(
    admin: &Admin,
    topic: &str,
    bound: Bound,
    arguments: &TopicAlterArguments,
) -> Result<(), Failure> {
    let info = admin.describe_topic(topic).await?;
    let ends = offsets(admin, &info, OffsetSpec::Latest).await?;
    let starts = offsets(admin, &info, OffsetSpec::Earliest).await?;
    let at_time = match bound {
        Bound::Time(time) => offsets(admin, &info, OffsetSpec::Timestamp(time.0)).await?,
        _ => BTreeMap::new(),
    };
    let mut before = Vec::new();
    for (index, end) in &ends {
        let start = starts.get(index).map_or(0, |start| start.get());
        let offset = match bound {
            Bound::Earliest => start,
            Bound::Latest => end.get(),
            Bound::Offset(offset) => offset.min(end.get()),
            Bound::FromEnd(count) => end.get() - count,
            Bound::Time(_) => at_time.get(index).map_or(end.get(), |offset| offset.get()),
        };
        let partition = TopicPartition::new(info.name.clone(), ottla_client::PartitionIndex::new(*index));
        before.push((partition, Some(Offset::new(offset.max(start)))));
    }
    let mut report = Report::new(&["topic", "partition", "start_offset"]);
    for (partition, start) in admin.delete_records(&before).await? {
        report.row([json!(topic), json!(partition.partition.get()), json!(start?.get())]);
    }
    report.print(arguments.output)
}

async fn delete(arguments: &TopicDeleteArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let names: Vec<&str> = arguments.topics.iter().map(String::as_str).collect();
    let mut report = Report::new(&["topic", "result"]);
    let mut failures = Vec::new();
    for (name, result) in admin.delete_topics(&names).await? {
        match result {
            Ok(()) => report.row([json!(name), json!("deleted")]),
            Err(error)
                if arguments.if_exists && error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) =>
            {
                report.row([json!(name), json!("does not exist")]);
            }
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    if !report.is_empty() {
        report.print(arguments.output)?;
    }
    settle(failures)
}
