//! `ottla config`: what topics and brokers are set to, why, and how to change it.

use ottla_client::{AlterOperation, BrokerId, ConfigEntry, ConfigResource, ConfigSource};
use serde_json::{Value, json};

use crate::arguments::{
    ConfigAlterArguments, ConfigCommand, ConfigDescribeArguments, OutputFormat, ResourceArguments,
};
use crate::cluster::connect;
use crate::failure::Failure;
use crate::report::{Report, print_json};

/// Runs the command.
pub(crate) async fn run(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Describe(arguments) => describe(&arguments).await,
        ConfigCommand::Alter(arguments) => alter(&arguments).await,
    }
}

fn resource(arguments: &ResourceArguments) -> ConfigResource {
    match (&arguments.topic, arguments.broker) {
        (Some(topic), _) => ConfigResource::Topic(topic.clone()),
        (None, Some(id)) => ConfigResource::Broker(BrokerId::new(id)),
        (None, None) => ConfigResource::BrokerDefaults,
    }
}

async fn describe(arguments: &ConfigDescribeArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let entries = admin.describe_configs(&resource(&arguments.resource)).await?;
    if let Some(unknown) = arguments.keys.iter().find(|key| !entries.iter().any(|entry| entry.name == **key))
    {
        return Err(Failure::new(format!("there is no config {unknown}; see all of them with --all")));
    }
    let wanted = |entry: &&ConfigEntry| match arguments.keys.is_empty() {
        false => arguments.keys.contains(&entry.name),
        true => arguments.all || !matches!(entry.source, ConfigSource::Default),
    };
    let entries: Vec<&ConfigEntry> = entries.iter().filter(wanted).collect();
    if arguments.output.output == OutputFormat::Json {
        return print_json(&Value::Array(entries.into_iter().map(to_json).collect()));
    }
    let mut columns = vec!["config", "value", "source"];
    columns.extend(arguments.explain.then_some("meaning"));
    let mut report = Report::new(&columns);
    for entry in entries {
        let value = match (&entry.value, entry.is_sensitive) {
            (_, true) => json!("(secret)"),
            (Some(value), false) => json!(value),
            (None, false) => Value::Null,
        };
        let (name, source) = (json!(entry.name), json!(entry.source.name()));
        match arguments.explain {
            true => report.row([name, value, source, json!(entry.documentation.as_deref().unwrap_or(""))]),
            false => report.row([name, value, source]),
        }
    }
    report.print(arguments.output)
}

fn to_json(entry: &ConfigEntry) -> Value {
    let synonym = |synonym: &ottla_client::ConfigSynonym| json!({ "name": synonym.name, "value": synonym.value, "source": synonym.source.name() });
    json!({
        "name": entry.name,
        "value": entry.value,
        "source": entry.source.name(),
        "type": format!("{:?}", entry.config_type).to_uppercase(),
        "read_only": entry.is_read_only,
        "sensitive": entry.is_sensitive,
        "synonyms": entry.synonyms.iter().map(synonym).collect::<Vec<_>>(),
        "documentation": entry.documentation,
    })
}

async fn alter(arguments: &ConfigAlterArguments) -> Result<(), Failure> {
    let admin = connect(&arguments.cluster).await?.admin();
    let pairs =
        |pairs: &[(String, String)], make: fn(String, String) -> AlterOperation| -> Vec<AlterOperation> {
            pairs.iter().map(|(key, value)| make(key.clone(), value.clone())).collect()
        };
    let mut operations = pairs(&arguments.set, AlterOperation::Set);
    operations.extend(arguments.unset.iter().cloned().map(AlterOperation::Delete));
    operations.extend(pairs(&arguments.append, AlterOperation::Append));
    operations.extend(pairs(&arguments.subtract, AlterOperation::Subtract));
    Ok(admin.alter_configs(&resource(&arguments.resource), &operations, arguments.dry_run).await?)
}
