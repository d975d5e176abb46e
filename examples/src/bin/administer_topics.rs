//! How do I create, inspect, change and delete topics from a program?

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::error::Error;

use ottla_client::{
    AlterOperation, Client, ConfigResource, ConfigSource, ErrorCode, NewTopic, Offset, OffsetSpec,
    PartitionIndex, ProducerRecord, TopicPartition,
};
use ottla_examples::Cluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let client = Client::connect(&cluster.bootstrap).await?;
    let admin = client.admin();
    let name = "example-inventory";
    let _ = admin.delete_topic(name).await;
    while admin.describe_topic(name).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    admin.create_topic(NewTopic::new(name).partitions(2).config("cleanup.policy", "compact")).await?;
    let topic = admin.wait_for_leaders(name).await?;
    println!("{} has id {} and {} partitions", topic.name, topic.id, topic.partitions.len());

    // Errors are typed, name what they are about, and say whether to try again.
    let twice = admin.create_topic(NewTopic::new(name)).await.expect_err("it exists");
    assert_eq!(twice.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));
    assert!(!twice.is_retriable());

    let resource = ConfigResource::Topic(name.to_owned());
    let shorter = AlterOperation::Set("delete.retention.ms".to_owned(), "60000".to_owned());
    admin.alter_configs(&resource, &[shorter], false).await?;
    for config in admin.describe_configs(&resource).await? {
        if config.source == ConfigSource::Topic {
            println!("{} = {}", config.name, config.value.as_deref().unwrap_or_default());
        }
    }

    let producer = client.producer(Default::default());
    let first = PartitionIndex::new(0);
    let record = ProducerRecord::key_value(b"bicycle", b"7").to_partition(first);
    producer.send(name, record).await?.await?;
    let partition = TopicPartition::new(topic.name.clone(), first);
    let ends = admin.list_offsets(&[(partition, OffsetSpec::Latest)]).await?;
    let end = ends.into_iter().next().ok_or("no answer")?.1?;
    assert_eq!(end.offset, Some(Offset::new(1)));

    admin.delete_topic(name).await?;
    println!("deleted {name}");
    cluster.stop().await
}
