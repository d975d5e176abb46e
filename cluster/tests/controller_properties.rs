//! The controller's image under random requests: what must hold whatever is asked and in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::config::BrokerConfig;
use ottla_cluster::controller::{Image, MetadataRecord};
use ottla_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ottla_protocol::{BrokerId, TopicId};
use proptest::prelude::*;
use uuid::Uuid;

const NAMES: &[&str] = &["a", "b", "c.d", "c_d", "", "..", "no/slash"];
const KEYS: &[&str] =
    &["retention.ms", "cleanup.policy", "segment.bytes", "nonsense", "log.retention.ms", "num.partitions"];
const VALUES: &[Option<&str>] = &[Some("5"), Some("-1"), Some("compact"), Some(""), Some("2000000"), None];

#[derive(Clone, Debug)]
enum Request {
    Create { topics: Vec<(usize, i32, i16)>, assigned: Option<Vec<(i32, i32)>>, config: (usize, usize) },
    Grow { name: usize, count: i32 },
    Delete { names: Vec<usize> },
    Alter { kind: i8, name: usize, key: usize, operation: i8, value: usize },
}

fn request() -> impl Strategy<Value = Request> {
    let name = || 0..NAMES.len();
    let topics = prop::collection::vec((name(), -2..4i32, -2..4i16), 1..4);
    let assigned = prop::option::weighted(0.2, prop::collection::vec((0..3i32, 0..3i32), 1..3));
    prop_oneof![
        4 => (topics, assigned, (0..KEYS.len(), 0..VALUES.len()))
            .prop_map(|(topics, assigned, config)| Request::Create { topics, assigned, config }),
        2 => (name(), -1..9i32).prop_map(|(name, count)| Request::Grow { name, count }),
        2 => prop::collection::vec(name(), 1..3).prop_map(|names| Request::Delete { names }),
        3 => (prop::sample::select(vec![2i8, 4, 32]), name(), 0..KEYS.len(), 0..5i8, 0..VALUES.len())
            .prop_map(|(kind, name, key, operation, value)| Request::Alter { kind, name, key, operation, value }),
    ]
}

/// The controller, and what the test remembers of its past.
struct World {
    image: Image,
    config: BrokerConfig,
    next_id: u128,
    used_ids: BTreeSet<TopicId>,
    /// The greatest leader epoch that anybody saw under a name.
    epochs: BTreeMap<String, i32>,
}

impl World {
    fn new() -> Self {
        let mut image = Image::default();
        for broker in [1, 2] {
            image.apply(&MetadataRecord::RegisterBroker { broker: BrokerId::new(broker), rack: None });
        }
        let config = BrokerConfig::from_pairs([("node.id", "1")]).expect("a legal configuration");
        World { image, config, next_id: 0, used_ids: BTreeSet::new(), epochs: BTreeMap::new() }
    }

    fn decide(&mut self, request: &Request) -> Vec<MetadataRecord> {
        match request {
            Request::Create { topics, assigned, config: (key, value) } => {
                let config =
                    CreatableTopicConfig { name: KEYS[*key].into(), value: VALUES[*value].map(Into::into) };
                let assignments: Vec<_> = assigned.iter().flatten().collect();
                let topics =
                    topics.iter().map(|&(name, num_partitions, replication_factor)| CreatableTopic {
                        name: NAMES[name].into(),
                        num_partitions,
                        replication_factor,
                        assignments: assignments
                            .iter()
                            .map(|&&(partition_index, broker)| CreatableReplicaAssignment {
                                partition_index,
                                broker_ids: vec![broker],
                            })
                            .collect(),
                        configs: if value % 2 == 0 { vec![config.clone()] } else { Vec::new() },
                    });
                let request = CreateTopicsRequest { topics: topics.collect(), ..Default::default() };
                let next_id = &mut self.next_id;
                let new_id = || {
                    *next_id += 1;
                    TopicId::new(Uuid::from_u128(*next_id))
                };
                self.image.create_topics(&request, &self.config, new_id).records
            }
            Request::Grow { name, count } => {
                let topic =
                    CreatePartitionsTopic { name: NAMES[*name].into(), count: *count, assignments: None };
                let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
                self.image.create_partitions(&request).records
            }
            Request::Delete { names } => {
                let state =
                    |name: &usize| DeleteTopicState { name: Some(NAMES[*name].into()), ..Default::default() };
                let request =
                    DeleteTopicsRequest { topics: names.iter().map(state).collect(), ..Default::default() };
                self.image.delete_topics(&request, true).records
            }
            Request::Alter { kind, name, key, operation, value } => {
                let name = if *kind == 4 { ["", "1", "2", "x"][name % 4] } else { NAMES[*name] };
                let config = AlterableConfig {
                    name: KEYS[*key].into(),
                    config_operation: *operation,
                    value: VALUES[*value].map(Into::into),
                };
                let resource = AlterConfigsResource {
                    resource_type: *kind,
                    resource_name: name.into(),
                    configs: vec![config],
                };
                let request =
                    IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
                self.image.incremental_alter_configs(&request, &self.config).records
            }
        }
    }

    fn check(&mut self) {
        let names: Vec<_> = self.image.topics().map(|topic| topic.name.clone()).collect();
        for topic in self.image.topics() {
            assert!(!topic.partitions.is_empty(), "a topic has partitions");
            assert_eq!(self.image.topic_by_id(topic.id), Some(topic), "id and name find the same topic");
            let alike = names.iter().filter(|name| name.collides_with(&topic.name)).count();
            assert_eq!(alike, 1, "no two topics look alike to a metrics system");
            for partition in &topic.partitions {
                let replicas: BTreeSet<_> = partition.replicas.iter().collect();
                assert_eq!(replicas.len(), partition.replicas.len(), "a broker holds a partition once");
                assert!(partition.leader.is_none_or(|leader| partition.in_sync_replicas.contains(&leader)));
                let epoch = partition.leader_epoch.get();
                assert!(self.epochs.get(topic.name.as_str()).is_none_or(|seen| *seen <= epoch), "I6 by name");
            }
            self.image.topic_config(&topic.name, &self.config);
        }
        let mut again = Image::default();
        self.image.to_records().iter().for_each(|record| again.apply(record));
        assert_eq!(again, self.image, "a snapshot makes the same image");
    }

    fn apply(&mut self, records: &[MetadataRecord]) {
        for record in records {
            if let MetadataRecord::Topic { id, .. } = record {
                assert!(self.used_ids.insert(*id), "KIP-516: a topic id is never used again");
            }
            if let MetadataRecord::RemoveTopic { id } = record {
                let topic = self.image.topic_by_id(*id).expect("what is removed is there");
                let epoch = topic.partitions.iter().map(|partition| partition.leader_epoch.get()).max();
                // A later topic of this name has to begin above it (COMPAT §2c.4).
                self.epochs.insert(topic.name.to_string(), epoch.unwrap_or(0) + 1);
            }
            self.image.apply(record);
        }
    }
}

proptest! {
    #[test]
    fn the_image_is_sound_after_any_requests(requests in prop::collection::vec(request(), 1..40)) {
        let mut world = World::new();
        for request in &requests {
            let records = world.decide(request);
            world.apply(&records);
            world.check();
        }
    }
}
