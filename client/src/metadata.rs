//! What the client knows about the cluster: brokers, the controller, and for each topic of interest its partitions and
//! their leaders.
//!
//! A plain structure: the shell asks brokers and hands the answers in, everybody else only reads. Invariants: a topic's
//! partitions are dense from zero; within one topic id a partition's leader epoch never falls, so a late answer from a
//! broker that lags behind cannot bring an old leader back (KIP-320).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use ottla_protocol::messages::metadata::{MetadataResponse, MetadataResponseTopic};
use ottla_protocol::{BrokerId, ErrorCode, LeaderEpoch, PartitionIndex, TopicId, TopicName, TopicPartition};

use crate::transport::BrokerAddress;

/// A broker as the cluster announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Its id.
    pub id: BrokerId,
    /// Where clients reach it.
    pub address: BrokerAddress,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A partition as the cluster announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its index.
    pub index: PartitionIndex,
    /// Its leader, if it has one now.
    pub leader: Option<BrokerId>,
    /// The epoch of that leader, if the broker tells.
    pub leader_epoch: Option<LeaderEpoch>,
    /// All replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The replicas in sync.
    pub in_sync_replicas: Vec<BrokerId>,
    /// The replicas that are down.
    pub offline_replicas: Vec<BrokerId>,
    /// What is wrong with it, [`ErrorCode::NONE`] if nothing is.
    pub error: ErrorCode,
}

/// A topic as the cluster announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// Its id; zero from brokers that have none.
    pub id: TopicId,
    /// Whether it is the broker's own, like `__consumer_offsets`.
    pub is_internal: bool,
    /// Its partitions; the place in the list is the index.
    pub partitions: Vec<PartitionInfo>,
}

/// A leader that was named beside an error (KIP-951).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaderHint {
    pub(crate) leader: BrokerId,
    pub(crate) leader_epoch: LeaderEpoch,
    /// Where it is reached, if that was said.
    pub(crate) broker: Option<BrokerInfo>,
}

#[derive(Debug)]
struct KnownTopic {
    info: TopicInfo,
    learned: Instant,
}

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    brokers: HashMap<BrokerId, BrokerInfo, RandomState>,
    topics: HashMap<TopicName, KnownTopic, RandomState>,
    controller: Option<BrokerId>,
    cluster_id: Option<String>,
    /// Grows with every answer: a task that saw number n and found it wrong need not ask again once it is above n.
    generation: u64,
}

impl Metadata {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    pub(crate) fn controller(&self) -> Option<BrokerId> {
        self.controller.filter(|id| self.brokers.contains_key(id))
    }

    pub(crate) fn broker(&self, id: BrokerId) -> Option<&BrokerInfo> {
        self.brokers.get(&id)
    }

    /// All brokers, by id.
    pub(crate) fn brokers(&self) -> Vec<BrokerInfo> {
        let mut brokers: Vec<BrokerInfo> = self.brokers.values().cloned().collect();
        brokers.sort_by_key(|broker| broker.id);
        brokers
    }

    pub(crate) fn topic(&self, name: &str) -> Option<&TopicInfo> {
        self.topics.get(name).map(|known| &known.info)
    }

    /// The topic unless what is known of it is older than `max_age`.
    pub(crate) fn fresh_topic(&self, name: &str, now: Instant, max_age: Duration) -> Option<&TopicInfo> {
        let known = self.topics.get(name)?;
        (now.saturating_duration_since(known.learned) < max_age).then_some(&known.info)
    }

    pub(crate) fn partition(&self, topic: &str, partition: PartitionIndex) -> Option<&PartitionInfo> {
        let index = usize::try_from(partition.get()).ok()?;
        self.topic(topic)?.partitions.get(index)
    }

    /// The leader of a partition and its epoch, if one is known.
    pub(crate) fn leader(
        &self,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<(BrokerId, Option<LeaderEpoch>)> {
        let info = self.partition(topic, partition)?;
        info.leader.map(|leader| (leader, info.leader_epoch))
    }

    /// Takes in an answer; `now` is when it arrived. Returns what it said about each topic.
    pub(crate) fn learn(
        &mut self,
        response: MetadataResponse,
        now: Instant,
    ) -> Vec<(Option<TopicName>, ErrorCode)> {
        self.generation += 1;
        if !response.brokers.is_empty() {
            self.brokers = response.brokers.iter().filter_map(broker_info).map(|b| (b.id, b)).collect();
        }
        self.controller = BrokerId::known(response.controller_id).or(self.controller);
        self.cluster_id = response.cluster_id.map(|id| id.to_string()).or(self.cluster_id.take());
        response.topics.iter().map(|topic| self.learn_topic(topic, now)).collect()
    }

    fn learn_topic(&mut self, topic: &MetadataResponseTopic, now: Instant) -> (Option<TopicName>, ErrorCode) {
        let name = topic.name.as_deref().and_then(|name| TopicName::new(name).ok());
        let Some(name) = name else { return (None, topic.error_code) };
        if topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            || topic.error_code == ErrorCode::UNKNOWN_TOPIC_ID
        {
            self.forget(&name);
        }
        if topic.error_code.is_error() {
            return (Some(name), topic.error_code);
        }
        let Some(mut info) = topic_info(name.clone(), topic) else {
            return (Some(name), ErrorCode::LEADER_NOT_AVAILABLE);
        };
        if let Some(before) = self.topics.get(&name).filter(|before| before.info.id == info.id) {
            for (fresh, known) in info.partitions.iter_mut().zip(&before.info.partitions) {
                if fresh.leader_epoch < known.leader_epoch && fresh.leader_epoch.is_some() {
                    *fresh = known.clone();
                }
            }
        }
        self.topics.insert(name.clone(), KnownTopic { info, learned: now });
        (Some(name), ErrorCode::NONE)
    }

    /// Takes in the leader of a partition that the broker `asked` named beside its refusal. Whether it is one to turn
    /// to now: somebody else, whom nothing newer contradicts, and who can be reached.
    pub(crate) fn learn_leader(
        &mut self,
        partition: &TopicPartition,
        asked: BrokerId,
        hint: LeaderHint,
    ) -> bool {
        let Ok(index) = usize::try_from(partition.partition.get()) else { return false };
        let known =
            self.topics.get_mut(&partition.topic).and_then(|topic| topic.info.partitions.get_mut(index));
        let is_reachable = hint.broker.is_some() || self.brokers.contains_key(&hint.leader);
        let Some(known) = known.filter(|_| is_reachable && hint.leader != asked) else { return false };
        if known.leader_epoch < Some(hint.leader_epoch) {
            known.leader = Some(hint.leader);
            known.leader_epoch = Some(hint.leader_epoch);
            self.brokers.extend(hint.broker.map(|broker| (broker.id, broker)));
            return true;
        }
        known.leader == Some(hint.leader) && known.leader_epoch == Some(hint.leader_epoch)
    }

    /// Drops a topic that is gone.
    pub(crate) fn forget(&mut self, name: &str) {
        self.topics.remove(name);
    }
}

impl BrokerInfo {
    /// A broker as an answer names it, unless the numbers cannot be right.
    pub(crate) fn announced(id: i32, host: &str, port: i32, rack: Option<String>) -> Option<BrokerInfo> {
        let address = BrokerAddress { host: host.to_owned(), port: u16::try_from(port).ok()? };
        Some(BrokerInfo { id: BrokerId::known(id)?, address, rack })
    }
}

fn broker_info(broker: &ottla_protocol::messages::metadata::MetadataResponseBroker) -> Option<BrokerInfo> {
    let rack = broker.rack.as_ref().map(ToString::to_string);
    BrokerInfo::announced(broker.node_id, &broker.host, broker.port, rack)
}

/// The topic with its partitions in order, or `None` if the list has holes (a broker in the middle of creating it).
fn topic_info(name: TopicName, topic: &MetadataResponseTopic) -> Option<TopicInfo> {
    let ids = |raw: &[i32]| raw.iter().filter_map(|id| BrokerId::known(*id)).collect::<Vec<_>>();
    let mut partitions: Vec<PartitionInfo> = topic
        .partitions
        .iter()
        .map(|partition| PartitionInfo {
            index: PartitionIndex::new(partition.partition_index),
            leader: BrokerId::known(partition.leader_id),
            leader_epoch: LeaderEpoch::known(partition.leader_epoch),
            replicas: ids(&partition.replica_nodes),
            in_sync_replicas: ids(&partition.isr_nodes),
            offline_replicas: ids(&partition.offline_replicas),
            error: partition.error_code,
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    let dense = partitions.iter().zip(0_i32..).all(|(partition, place)| partition.index.get() == place);
    if partitions.is_empty() || !dense {
        return None;
    }
    Some(TopicInfo { name, id: TopicId::new(topic.topic_id), is_internal: topic.is_internal, partitions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::messages::metadata::{MetadataResponseBroker, MetadataResponsePartition};

    fn answer(leader_epoch: i32, leader_id: i32, partition_indexes: &[i32]) -> MetadataResponse {
        let partitions = partition_indexes
            .iter()
            .map(|index| MetadataResponsePartition {
                partition_index: *index,
                leader_id,
                leader_epoch,
                ..Default::default()
            })
            .collect();
        let topic = MetadataResponseTopic { name: Some("flights".into()), partitions, ..Default::default() };
        let broker = |id: i32| MetadataResponseBroker {
            node_id: id,
            host: "localhost".into(),
            port: 9092 + id,
            ..Default::default()
        };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            controller_id: 1,
            topics: vec![topic],
            ..Default::default()
        }
    }

    #[test]
    fn a_late_answer_with_an_older_leader_epoch_does_not_bring_the_old_leader_back() {
        let now = Instant::now();
        let mut metadata = Metadata::default();
        metadata.learn(answer(7, 2, &[0, 1]), now);
        metadata.learn(answer(6, 1, &[0, 1]), now);
        let leader = metadata.leader("flights", PartitionIndex::new(1));
        assert_eq!(leader, Some((BrokerId::new(2), Some(LeaderEpoch::new(7)))));
        assert_eq!(metadata.generation(), 2);
    }

    #[test]
    fn a_leader_named_in_passing_counts_if_it_is_newer_and_can_be_reached() {
        let mut metadata = Metadata::default();
        metadata.learn(answer(3, 1, &[0]), Instant::now());
        let flights = TopicName::new("flights").expect("a legal name");
        let partition = TopicPartition::new(flights, PartitionIndex::new(0));
        let hint = |leader: i32, epoch: i32, broker: Option<BrokerInfo>| LeaderHint {
            leader: BrokerId::new(leader),
            leader_epoch: LeaderEpoch::new(epoch),
            broker,
        };
        let asked = BrokerId::new(1);
        let far = || BrokerInfo::announced(9, "far", 9092, None);
        assert!(!metadata.learn_leader(&partition, asked, hint(2, 3, None)), "no newer than what is known");
        assert!(!metadata.learn_leader(&partition, asked, hint(9, 4, None)), "nobody knows where it is");
        assert!(!metadata.learn_leader(&partition, asked, hint(1, 4, None)), "it says that it is not");
        assert!(metadata.learn_leader(&partition, asked, hint(9, 4, far())));
        assert!(metadata.learn_leader(&partition, asked, hint(9, 4, far())), "a second answer says the same");
        let leader = metadata.leader("flights", PartitionIndex::new(0));
        assert_eq!(leader, Some((BrokerId::new(9), Some(LeaderEpoch::new(4)))));
        assert!(metadata.broker(BrokerId::new(9)).is_some());
    }

    #[test]
    fn a_topic_with_holes_in_its_partitions_is_not_ready() {
        let mut metadata = Metadata::default();
        let told = metadata.learn(answer(0, 1, &[0, 2]), Instant::now());
        assert_eq!(told[0].1, ErrorCode::LEADER_NOT_AVAILABLE);
        assert!(metadata.topic("flights").is_none());
    }

    #[test]
    fn what_is_known_of_a_topic_goes_stale() {
        let now = Instant::now();
        let mut metadata = Metadata::default();
        metadata.learn(answer(0, 1, &[0]), now);
        let age = Duration::from_secs(300);
        assert!(metadata.fresh_topic("flights", now, age).is_some());
        assert!(metadata.fresh_topic("flights", now + age, age).is_none());
        assert_eq!(metadata.brokers().len(), 2);
        assert_eq!(metadata.controller(), Some(BrokerId::new(1)));
    }
}
