//! What a message costs: the requests and responses of the hot path, decoded and encoded.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::{FetchRecords, Message, Request, Str, decode, decode_request, encode};
use ottla_protocol::frame::{decode_request_header, encode_request};
use ottla_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse, PartitionData,
};
use ottla_protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use std::hint::black_box;

const TOPIC: &str = "nycflights13";

fn produce_request(partitions: i32) -> ProduceRequest {
    let records = Bytes::from(vec![7; 16 * 1024]);
    let partition = |index| PartitionProduceData { index, records: Some(records.clone()) };
    let topic =
        TopicProduceData { name: Str::from(TOPIC), partition_data: (0..partitions).map(partition).collect() };
    ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic], ..Default::default() }
}

fn produce_response(partitions: i32) -> ProduceResponse {
    let partition = |index| PartitionProduceResponse {
        index,
        error_code: ErrorCode::NONE,
        base_offset: 1 << 40,
        ..Default::default()
    };
    let topic = TopicProduceResponse {
        name: Str::from(TOPIC),
        partition_responses: (0..partitions).map(partition).collect(),
    };
    ProduceResponse { responses: vec![topic], ..Default::default() }
}

fn fetch_request(partitions: i32) -> FetchRequest {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: 1 << 40,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: Str::from(TOPIC),
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    FetchRequest { max_wait_ms: 500, min_bytes: 1, topics: vec![topic], ..Default::default() }
}

fn fetch_response(partitions: i32) -> FetchResponse {
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 1 << 40,
        records: FetchRecords::Region { len: 1 << 20 },
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        topic: Str::from(TOPIC),
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    FetchResponse { responses: vec![topic], ..Default::default() }
}

fn metadata_response(partitions: i32) -> MetadataResponse {
    let broker =
        |node_id| MetadataResponseBroker { node_id, host: Str::from("localhost"), port: 9092, rack: None };
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        name: Some(Str::from(TOPIC)),
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    MetadataResponse { brokers: (1..4).map(broker).collect(), topics: vec![topic], ..Default::default() }
}

fn requests(criterion: &mut Criterion) {
    one_request(criterion, "produce, 1 partition", 9, produce_request(1));
    one_request(criterion, "produce, 100 partitions", 9, produce_request(100));
    one_request(criterion, "fetch, 1 partition", 12, fetch_request(1));
    one_request(criterion, "fetch, 100 partitions", 12, fetch_request(100));
    one_request(criterion, "fetch, 100 partitions, rigid", 11, fetch_request(100));
}

/// A request as the broker meets it: header, then body.
fn one_request<R: Request>(criterion: &mut Criterion, name: &str, version: i16, request: R) {
    let frame =
        encode_request(1, Some(Str::from("bench")), version, request).expect("a legal request").slice(4..);
    let mut group = criterion.benchmark_group("decode request");
    group.throughput(Throughput::Elements(1)).bench_function(name, |bencher| {
        bencher.iter(|| {
            let (_, body) = decode_request_header(black_box(frame.clone())).expect("our own");
            decode_request::<R>(body, version).expect("our own")
        });
    });
    group.finish();
}

fn responses(criterion: &mut Criterion) {
    one_response(criterion, "produce, 1 partition", 9, produce_response(1));
    one_response(criterion, "fetch, 1 partition", 12, fetch_response(1));
    one_response(criterion, "fetch, 100 partitions", 12, fetch_response(100));
    one_response(criterion, "metadata, 1000 partitions", 12, metadata_response(1000));
    decode_metadata(criterion);
}

fn one_response<M: Message>(criterion: &mut Criterion, name: &str, version: i16, response: M) {
    let mut group = criterion.benchmark_group("encode response");
    group.throughput(Throughput::Elements(1)).bench_function(name, |bencher| {
        bencher.iter_batched(
            || response.clone(),
            |response| encode(response, version, true).expect("a legal response"),
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn decode_metadata(criterion: &mut Criterion) {
    let bytes = encode(metadata_response(1000), 12, true).expect("a legal response").bytes;
    let mut group = criterion.benchmark_group("decode response");
    group.throughput(Throughput::Elements(1)).bench_function("metadata, 1000 partitions", |bencher| {
        bencher.iter(|| decode::<MetadataResponse>(black_box(bytes.clone()), 12, true).expect("our own"));
    });
    group.finish();
}

criterion_group!(benches, requests, responses);
criterion_main!(benches);
