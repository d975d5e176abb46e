//! The cluster itself: its brokers, its controller, and what lies in their log directories.

use ottla_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};
use ottla_protocol::{BrokerId, PartitionIndex};

use super::{Admin, verdict};
use crate::client::AutoCreate;
use crate::error::Result;
use crate::metadata::BrokerInfo;

/// A cluster as a broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its brokers by id.
    pub brokers: Vec<BrokerInfo>,
    /// Where administrative requests go.
    pub controller: Option<BrokerId>,
}

/// The log directories of one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerLogDirs {
    /// The broker.
    pub broker: BrokerId,
    /// Its directories, or why it did not tell.
    pub directories: Vec<LogDirDescription>,
}

/// One log directory.
#[derive(Debug, Clone)]
pub struct LogDirDescription {
    /// Its path on the broker.
    pub path: String,
    /// What is wrong with it, if anything.
    pub error: Option<crate::ClientError>,
    /// Size of its volume, if the broker tells.
    pub total_bytes: Option<i64>,
    /// Free space on its volume, if the broker tells.
    pub usable_bytes: Option<i64>,
    /// What lies in it.
    pub replicas: Vec<ReplicaSize>,
}

impl PartialEq for LogDirDescription {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
            && self.replicas == other.replicas
            && self.error.is_some() == other.error.is_some()
    }
}

impl Eq for LogDirDescription {}

/// The replica of one partition on one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSize {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its size in bytes.
    pub bytes: i64,
    /// How far it lags behind the leader.
    pub offset_lag: i64,
}

impl Admin {
    /// The cluster, freshly asked for.
    ///
    /// # Errors
    /// When no broker answers in time.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        self.retrying("describe cluster", || async {
            let generation = self.client.metadata().generation();
            self.client.refresh(&[], AutoCreate::Forbidden, generation).await
        })
        .await?;
        let metadata = self.client.metadata();
        Ok(ClusterDescription {
            id: metadata.cluster_id().map(str::to_owned),
            brokers: metadata.brokers(),
            controller: metadata.controller(),
        })
    }

    /// The log directories of every broker and what the named topics (or all, for `None`) take in them.
    ///
    /// # Errors
    /// When a broker does not answer in time.
    pub async fn describe_log_dirs(&self, topics: Option<&[&str]>) -> Result<Vec<BrokerLogDirs>> {
        const OPERATION: &str = "describe log dirs";
        let mut wanted = None;
        if let Some(topics) = topics {
            let mut list = Vec::new();
            for topic in topics {
                let info = self.describe_topic(topic).await?;
                let partitions = info.partitions.iter().map(|partition| partition.index.get()).collect();
                list.push(DescribableLogDirTopic { topic: (*topic).into(), partitions });
            }
            wanted = Some(list);
        }
        let mut brokers = Vec::new();
        for broker in self.describe_cluster().await?.brokers {
            let request = DescribeLogDirsRequest { topics: wanted.clone() };
            let response = self.ask_broker(OPERATION, broker.id, request).await?;
            verdict(OPERATION, "", response.error_code, None)?;
            brokers.push(BrokerLogDirs { broker: broker.id, directories: directories(OPERATION, &response) });
        }
        Ok(brokers)
    }
}

fn directories(operation: &'static str, response: &DescribeLogDirsResponse) -> Vec<LogDirDescription> {
    let mut directories = Vec::new();
    for result in &response.results {
        let mut replicas = Vec::new();
        for topic in &result.topics {
            for partition in &topic.partitions {
                replicas.push(ReplicaSize {
                    topic: topic.name.to_string(),
                    partition: PartitionIndex::new(partition.partition_index),
                    bytes: partition.partition_size,
                    offset_lag: partition.offset_lag,
                });
            }
        }
        replicas.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        directories.push(LogDirDescription {
            path: result.log_dir.to_string(),
            error: verdict(operation, &result.log_dir, result.error_code, None).err(),
            total_bytes: Some(result.total_bytes).filter(|bytes| *bytes >= 0),
            usable_bytes: Some(result.usable_bytes).filter(|bytes| *bytes >= 0),
            replicas,
        });
    }
    directories
}
