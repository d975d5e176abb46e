//! The replicas of new partitions: chosen by the broker or laid down by the request, and how many a request may have.

use std::collections::BTreeMap;

use ottla_protocol::messages::create_partitions::CreatePartitionsAssignment;
use ottla_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use ottla_protocol::{BrokerId, ErrorCode};

use super::placement::Placement;
use crate::config::BrokerConfig;
use crate::refusal::{Refused, refuse};

/// The most partitions that one request may create, as in Kafka: a slip of the keyboard must not fill the disk.
pub(super) const PARTITIONS_PER_REQUEST_MAX: i32 = 10_000;

pub(super) const TOO_MANY_PARTITIONS: &str = "Excessively large number of partitions per request.";

/// What is left of [`PARTITIONS_PER_REQUEST_MAX`].
pub(super) struct PartitionBudget {
    left: i32,
}

impl Default for PartitionBudget {
    fn default() -> Self {
        Self { left: PARTITIONS_PER_REQUEST_MAX }
    }
}

impl PartitionBudget {
    pub(super) fn take(&mut self, count: i32) -> Refused<()> {
        if count < 1 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return refuse(ErrorCode::INVALID_PARTITIONS, message);
        }
        if count > self.left {
            return refuse(
                ErrorCode::POLICY_VIOLATION,
                "Excessively large number of partitions per request.",
            );
        }
        self.left -= count;
        Ok(())
    }
}

/// Replicas where the broker chooses them; -1 takes the broker's default.
pub(super) fn placed_replicas(
    topic: &CreatableTopic,
    config: &BrokerConfig,
    placement: &Placement,
    budget: &mut PartitionBudget,
) -> Refused<Vec<Vec<BrokerId>>> {
    let count = if topic.num_partitions == -1 { config.num_partitions } else { topic.num_partitions };
    budget.take(count)?;
    let factor = match topic.replication_factor {
        -1 => config.default_replication_factor,
        factor => factor.into(),
    };
    if factor < 1 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, message);
    }
    if factor as usize > placement.broker_count() {
        let message = format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot \
             be reached because only {} broker(s) are registered.",
            placement.broker_count()
        );
        return refuse(ErrorCode::INVALID_REPLICATION_FACTOR, message);
    }
    Ok((0..count as usize).map(|partition| placement.replicas(partition, factor as usize)).collect())
}

/// Replicas as the request lays them down; the number of partitions follows from them.
pub(super) fn assigned_replicas(
    topic: &CreatableTopic,
    placement: &Placement,
    budget: &mut PartitionBudget,
) -> Refused<Vec<Vec<BrokerId>>> {
    for (given, what) in
        [(topic.replication_factor as i32, "replication factor"), (topic.num_partitions, "numPartitions")]
    {
        if given != -1 {
            let message =
                format!("A manual partition assignment was specified, but {what} was not set to -1.");
            return refuse(ErrorCode::INVALID_REQUEST, message);
        }
    }
    budget.take(i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX))?;
    let mut by_partition: BTreeMap<i32, Vec<BrokerId>> = BTreeMap::new();
    for CreatableReplicaAssignment { partition_index, broker_ids, .. } in &topic.assignments {
        let replicas = checked_replicas(broker_ids, placement)?;
        if by_partition.insert(*partition_index, replicas).is_some() {
            let message =
                format!("Found multiple manual partition assignments for partition {partition_index}");
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        }
    }
    if !by_partition.keys().copied().eq(0..by_partition.len() as i32) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    }
    let replicas: Vec<_> = by_partition.into_values().collect();
    same_factor(&replicas, replicas[0].len())?;
    Ok(replicas)
}

/// Replicas of added partitions as the request lays them down.
pub(super) fn given_replicas(
    assignments: &[CreatePartitionsAssignment],
    added: usize,
    replication_factor: usize,
    placement: &Placement,
) -> Refused<Vec<Vec<BrokerId>>> {
    if assignments.len() != added {
        let message = format!(
            "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
            assignments.len()
        );
        return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    }
    let replicas = assignments.iter().map(|assignment| checked_replicas(&assignment.broker_ids, placement));
    let replicas = replicas.collect::<Refused<Vec<_>>>()?;
    same_factor(&replicas, replication_factor)?;
    Ok(replicas)
}

fn same_factor(replicas: &[Vec<BrokerId>], factor: usize) -> Refused<()> {
    match replicas.iter().find(|replicas| replicas.len() != factor) {
        None => Ok(()),
        Some(odd) => {
            let message = format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not \
                 consistent with previous partitions, which have {factor} replica(s).",
                odd.len()
            );
            refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message)
        }
    }
}

fn checked_replicas(broker_ids: &[i32], placement: &Placement) -> Refused<Vec<BrokerId>> {
    if broker_ids.is_empty() {
        let message = "The manual partition assignment includes an empty replica list.";
        return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    }
    let mut replicas: Vec<BrokerId> = Vec::new();
    for &id in broker_ids {
        let broker = BrokerId::new(id);
        if !placement.contains(broker) {
            let message = format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            );
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        }
        if replicas.contains(&broker) {
            let message = format!("The manual partition assignment includes the broker {id} more than once.");
            return refuse(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
        }
        replicas.push(broker);
    }
    Ok(replicas)
}
