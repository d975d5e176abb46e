//! `ottla cluster`: who is in it, and what lies on its disks. Also how every command connects.

use ottla_client::{Admin, Client, ClientConfig};
use serde_json::{Value, json};

use crate::arguments::{
    ClusterArguments, ClusterCommand, ClusterDescribeArguments, ClusterLogDirsArguments, OutputFormat,
};
use crate::failure::Failure;
use crate::report::{Report, print_json, print_text};
use crate::units::human_bytes;

/// A client of the cluster that the arguments name; it is there once it answered.
pub(crate) async fn connect(arguments: &ClusterArguments) -> Result<Client, Failure> {
    let mut config =
        ClientConfig::new(&arguments.bootstrap).map_err(|error| Failure::usage(error.to_string()))?;
    config.client_id = "ottla-cli".to_owned();
    config.api_timeout = arguments.timeout;
    config.request_timeout = config.request_timeout.min(arguments.timeout);
    config.connect_timeout = config.connect_timeout.min(arguments.timeout);
    let client = Client::new(config);
    client.learn_cluster().await?;
    Ok(client)
}

/// Runs the command.
pub(crate) async fn run(command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Describe(arguments) => describe(&arguments).await,
        ClusterCommand::LogDirs(arguments) => log_dirs(&arguments).await,
    }
}

async fn describe(arguments: &ClusterDescribeArguments) -> Result<(), Failure> {
    let client = connect(&arguments.cluster).await?;
    let cluster = client.admin().describe_cluster().await?;
    let mut report = Report::new(&["broker", "address", "rack", "controller"]);
    for broker in &cluster.brokers {
        let is_controller = cluster.controller == Some(broker.id);
        let rack = broker.rack.as_ref().map_or(Value::Null, |rack| json!(rack));
        report.row([json!(broker.id.get()), json!(broker.address.to_string()), rack, json!(is_controller)]);
    }
    match arguments.output.output {
        OutputFormat::Json => print_json(&json!({
            "cluster_id": cluster.id,
            "controller": cluster.controller.map(|id| id.get()),
            "brokers": report.to_json(),
        })),
        OutputFormat::Table => {
            let id = cluster.id.unwrap_or_else(|| "-".to_owned());
            print_text(&format!("cluster {id}\n{}", report.to_table()))
        }
    }
}

async fn log_dirs(arguments: &ClusterLogDirsArguments) -> Result<(), Failure> {
    let admin: Admin = connect(&arguments.cluster).await?.admin();
    let topics: Vec<&str> = arguments.topics.iter().map(String::as_str).collect();
    let brokers = admin.describe_log_dirs((!topics.is_empty()).then_some(&topics[..])).await?;
    let for_people = arguments.output.output == OutputFormat::Table;
    let size = |bytes: i64| match (for_people, u64::try_from(bytes)) {
        (true, Ok(bytes)) => json!(human_bytes(bytes)),
        _ => json!(bytes),
    };
    let mut report =
        Report::new(&["broker", "directory", "topic", "partition", "size", "offset_lag", "error"]);
    for broker in &brokers {
        for directory in &broker.directories {
            let (id, path) = (json!(broker.broker.get()), json!(directory.path));
            if let Some(error) = &directory.error {
                let error = json!(error.to_string());
                report.row([
                    id.clone(),
                    path.clone(),
                    Value::Null,
                    Value::Null,
                    Value::Null,
                    Value::Null,
                    error,
                ]);
            }
            for replica in &directory.replicas {
                report.row([
                    id.clone(),
                    path.clone(),
                    json!(replica.topic),
                    json!(replica.partition.get()),
                    size(replica.bytes),
                    json!(replica.offset_lag),
                    Value::Null,
                ]);
            }
        }
    }
    report.print(arguments.output)
}
