//! Topics that may be created, grown and deleted, and those that may not.

use ottla_protocol::messages::create_partitions::CreatePartitionsAssignment;
use ottla_protocol::messages::create_topics::{CreatableReplicaAssignment, CreatableTopicConfig};

use super::*;

fn config() -> BrokerConfig {
    BrokerConfig::from_pairs([("num.partitions", "2")]).unwrap()
}

fn one_broker() -> Image {
    let mut image = Image::default();
    image.apply(&MetadataRecord::RegisterBroker { broker: BrokerId::new(0), rack: None });
    image
}

fn wanted(name: &str) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions: -1, replication_factor: -1, ..Default::default() }
}

fn assigned(assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(partition, brokers)| CreatableReplicaAssignment {
        partition_index: *partition,
        broker_ids: brokers.to_vec(),
    });
    CreatableTopic { assignments: assignments.collect(), ..wanted("assigned") }
}

/// Creates the topics and answers each one's error, or `None` for a success.
fn create(image: &mut Image, topics: Vec<CreatableTopic>) -> Vec<ErrorCode> {
    let mut ids = 1 + image.topic_count() as u128;
    let request = CreateTopicsRequest { topics, ..Default::default() };
    let outcome = image.create_topics(&request, &config(), || {
        ids += 1;
        TopicId::new(uuid::Uuid::from_u128(ids))
    });
    outcome.records.iter().for_each(|record| image.apply(record));
    outcome.reply.topics.iter().map(|topic| topic.error_code).collect()
}

fn delete(image: &mut Image, topics: Vec<DeleteTopicState>) -> Vec<ErrorCode> {
    let request = DeleteTopicsRequest { topics, ..Default::default() };
    let outcome = image.delete_topics(&request, true);
    outcome.records.iter().for_each(|record| image.apply(record));
    outcome.reply.responses.iter().map(|topic| topic.error_code).collect()
}

fn by_name(name: &str) -> DeleteTopicState {
    DeleteTopicState { name: Some(name.into()), ..Default::default() }
}

#[test]
fn minus_one_takes_the_brokers_defaults() {
    let mut image = one_broker();
    assert_eq!(create(&mut image, vec![wanted("a")]), [ErrorCode::NONE]);
    let topic = image.topic_named("a").unwrap();
    assert_eq!(topic.partitions.len(), 2);
    assert_eq!(topic.partitions[0].replicas, [BrokerId::new(0)]);
    assert_eq!(topic.partitions[0].leader_epoch, LeaderEpoch::ZERO);
}

#[test]
fn every_illegal_topic_has_its_own_error_and_spares_the_others() {
    let null_config = CreatableTopicConfig { name: "retention.ms".into(), value: None };
    let table = [
        (wanted("no/slash"), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (wanted(".."), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (wanted(&"x".repeat(250)), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (wanted("__cluster_metadata"), ErrorCode::INVALID_REQUEST),
        (wanted("there"), ErrorCode::TOPIC_ALREADY_EXISTS),
        (wanted("a_b"), ErrorCode::INVALID_TOPIC_EXCEPTION),
        (CreatableTopic { num_partitions: 0, ..wanted("p") }, ErrorCode::INVALID_PARTITIONS),
        (CreatableTopic { num_partitions: i32::MAX, ..wanted("p") }, ErrorCode::POLICY_VIOLATION),
        (CreatableTopic { replication_factor: 0, ..wanted("r") }, ErrorCode::INVALID_REPLICATION_FACTOR),
        (CreatableTopic { replication_factor: 2, ..wanted("r") }, ErrorCode::INVALID_REPLICATION_FACTOR),
        (CreatableTopic { configs: vec![null_config], ..wanted("c") }, ErrorCode::INVALID_CONFIG),
        (assigned(&[(0, &[0]), (0, &[0])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (assigned(&[(1, &[0])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (assigned(&[(0, &[])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (assigned(&[(0, &[7])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (assigned(&[(0, &[0, 0])]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
        (CreatableTopic { num_partitions: 1, ..assigned(&[(0, &[0])]) }, ErrorCode::INVALID_REQUEST),
    ];
    for (index, (topic, error_code)) in table.into_iter().enumerate() {
        let mut image = one_broker();
        create(&mut image, vec![wanted("there"), wanted("a.b")]);
        let answers = create(&mut image, vec![topic, wanted("good")]);
        assert_eq!(answers, [error_code, ErrorCode::NONE], "row {index}");
    }
}

#[test]
fn a_name_that_is_asked_for_twice_is_created_not_at_all() {
    let mut image = one_broker();
    let answers = create(&mut image, vec![wanted("a"), wanted("a"), wanted("b")]);
    assert_eq!(answers, [ErrorCode::INVALID_REQUEST, ErrorCode::INVALID_REQUEST, ErrorCode::NONE]);
    assert!(image.topic_named("a").is_none());
}

#[test]
fn an_assignment_decides_the_number_of_partitions() {
    let mut image = one_broker();
    assert_eq!(create(&mut image, vec![assigned(&[(0, &[0]), (1, &[0]), (2, &[0])])]), [ErrorCode::NONE]);
    assert_eq!(image.topic_named("assigned").unwrap().partitions.len(), 3);
}

#[test]
fn validate_only_answers_the_same_and_changes_nothing() {
    let image = one_broker();
    let request =
        CreateTopicsRequest { topics: vec![wanted("a")], validate_only: true, ..Default::default() };
    let outcome = image.create_topics(&request, &config(), || TopicId::new(uuid::Uuid::from_u128(1)));
    assert_eq!(outcome.records, []);
    assert_eq!(outcome.reply.topics[0].num_partitions, 2);
}

#[test]
fn a_topic_is_deleted_by_name_or_by_id_and_once() {
    let mut image = one_broker();
    create(&mut image, vec![wanted("a"), wanted("b")]);
    let id = image.topic_named("b").unwrap().id.get();
    let by_id = DeleteTopicState { name: None, topic_id: id };
    let both = DeleteTopicState { name: Some("b".into()), topic_id: id };
    let neither = DeleteTopicState::default();
    let stranger = DeleteTopicState { name: None, topic_id: uuid::Uuid::from_u128(999) };
    let answers =
        delete(&mut image, vec![by_name("a"), by_name("a"), both, neither, stranger, by_name("z"), by_id]);
    assert_eq!(
        answers,
        [
            ErrorCode::NONE,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::INVALID_REQUEST,
            ErrorCode::UNKNOWN_TOPIC_ID,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::NONE,
        ]
    );
    assert_eq!(image.topic_count(), 0);
}

#[test]
fn a_topic_that_is_created_again_begins_above_its_old_epoch_even_after_a_snapshot() {
    let mut image = one_broker();
    create(&mut image, vec![wanted("a")]);
    let old_id = image.topic_named("a").unwrap().id;
    delete(&mut image, vec![by_name("a")]);
    let mut restored = Image::default();
    image.to_records().iter().for_each(|record| restored.apply(record));
    assert_eq!(restored, image);
    create(&mut restored, vec![wanted("b"), wanted("a")]);
    let topic = restored.topic_named("a").unwrap();
    assert_ne!(topic.id, old_id);
    assert_eq!(topic.partitions[0].leader_epoch, LeaderEpoch::new(1));
}

#[test]
fn partitions_are_only_ever_added() {
    let mut image = one_broker();
    create(&mut image, vec![wanted("a")]);
    let mut grow = |name: &str, count, assignments: Option<&[&[i32]]>| {
        let assignments = assignments.map(|all| {
            all.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.to_vec() }).collect()
        });
        let topic = CreatePartitionsTopic { name: name.into(), count, assignments };
        let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
        let outcome = image.create_partitions(&request);
        outcome.records.iter().for_each(|record| image.apply(record));
        outcome.reply.results[0].error_code
    };
    assert_eq!(grow("z", 3, None), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(grow("a", 2, None), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(grow("a", 1, None), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(grow("a", 4, Some(&[&[0]])), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert_eq!(grow("a", 3, Some(&[&[9]])), ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert_eq!(grow("a", 3, Some(&[&[0]])), ErrorCode::NONE);
    assert_eq!(grow("a", 5, None), ErrorCode::NONE);
    assert_eq!(image.topic_named("a").unwrap().partitions.len(), 5);
}

#[test]
fn a_request_of_more_topics_than_may_be_created_creates_none() {
    let mut image = one_broker();
    let topics = (0..=PARTITIONS_PER_REQUEST_MAX).map(|number| wanted(&format!("t{number}"))).collect();
    let codes = create(&mut image, topics);
    assert!(codes.iter().all(|code| *code == ErrorCode::POLICY_VIOLATION));
    assert_eq!(image.topic_count(), 0);
}

#[test]
fn a_later_topic_of_a_request_may_not_look_like_an_earlier_one() {
    let mut image = one_broker();
    let codes = create(&mut image, vec![wanted("a.b"), wanted("ab"), wanted("a_b")]);
    assert_eq!(codes, [ErrorCode::NONE, ErrorCode::NONE, ErrorCode::INVALID_TOPIC_EXCEPTION]);
}
