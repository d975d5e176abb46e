//! Idempotent producers (KIP-98): a retry is not a record, a gap is an error, and a restart does not forget.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::ProduceRequest;

use crate::support::batches::{idempotent, values};
use crate::support::requests::{init_producer_id, produce};
use crate::support::{Client, TestBroker};

/// A producer id of its own.
fn producer_id(client: &mut Client) -> i64 {
    let mut response = client.call(4, init_producer_id());
    // Apache Kafka says so right after its start.
    while response.error_code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS {
        response = client.call(4, init_producer_id());
    }
    assert_eq!((response.error_code, response.producer_epoch), (ErrorCode::NONE, 0));
    assert!(response.producer_id >= 0);
    response.producer_id
}

/// Sends a batch of one record and gives its code and offset.
fn send(client: &mut Client, topic: &str, producer: (i64, i16), sequence: i32) -> (ErrorCode, i64) {
    let value = format!("s{sequence}");
    let row = client.produce(topic, -1, idempotent(producer.0, producer.1, sequence, &[&value]));
    (row.error_code, row.base_offset)
}

#[test]
fn producer_ids_are_unique_and_stay_so_after_restarts() {
    let broker = TestBroker::start(&[]);
    let mut ids: Vec<i64> = (0..5).map(|_| producer_id(&mut broker.connect())).collect();
    let broker = broker.restart(&[]);
    ids.extend((0..5).map(|_| producer_id(&mut broker.connect())));
    let broker = broker.crash_and_restart(&[]);
    ids.extend((0..5).map(|_| producer_id(&mut broker.connect())));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 15);
}

#[test]
fn a_batch_that_is_sent_again_is_acknowledged_with_its_first_offset_and_not_appended() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let producer = (producer_id(&mut client), 0);
    for sequence in 0..5 {
        assert_eq!(send(&mut client, &topic, producer, sequence), (ErrorCode::NONE, i64::from(sequence)));
    }
    // Any of the last five may be a retry.
    for sequence in [4, 0, 2] {
        assert_eq!(send(&mut client, &topic, producer, sequence), (ErrorCode::NONE, i64::from(sequence)));
    }
    assert_eq!(client.list_offset(&topic, -1), 5);
}

#[test]
fn a_retry_that_the_broker_has_forgotten_is_out_of_order() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let producer = (producer_id(&mut client), 0);
    for sequence in 0..7 {
        send(&mut client, &topic, producer, sequence);
    }
    let (code, _) = send(&mut client, &topic, producer, 0);
    assert_eq!(code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(client.list_offset(&topic, -1), 7);
}

#[test]
fn a_gap_is_out_of_order_and_appends_nothing() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let producer = (producer_id(&mut client), 0);
    assert_eq!(send(&mut client, &topic, producer, 0), (ErrorCode::NONE, 0));
    for sequence in [2, 100, i32::MAX] {
        let (code, offset) = send(&mut client, &topic, producer, sequence);
        assert_eq!((code, offset), (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, -1));
    }
    assert_eq!(send(&mut client, &topic, producer, 1), (ErrorCode::NONE, 1), "what was missing is taken");
}

#[test]
fn an_older_epoch_is_fenced_and_a_newer_one_begins_again_at_0() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let id = producer_id(&mut client);
    assert_eq!(send(&mut client, &topic, (id, 1), 0), (ErrorCode::NONE, 0));
    assert_eq!(send(&mut client, &topic, (id, 0), 1).0, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(send(&mut client, &topic, (id, 2), 1).0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(send(&mut client, &topic, (id, 2), 0), (ErrorCode::NONE, 1));
}

#[test]
fn producers_and_partitions_do_not_share_their_sequences() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topics = [client.new_topic(1, &[]), client.new_topic(1, &[])];
    let producers = [(producer_id(&mut client), 0), (producer_id(&mut client), 0)];
    assert_ne!(producers[0], producers[1]);
    for topic in &topics {
        for (offset, producer) in producers.into_iter().enumerate() {
            assert_eq!(send(&mut client, topic, producer, 0), (ErrorCode::NONE, offset as i64));
        }
    }
}

#[test]
fn five_batches_in_flight_and_all_of_them_again_are_each_there_once() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let id = producer_id(&mut client);
    let batches: Vec<_> =
        (0..5).map(|sequence| idempotent(id, 0, sequence, &[&format!("s{sequence}")])).collect();
    for round in 0..2 {
        for batch in &batches {
            client.send(9, produce(&topic, 0, -1, batch.clone()));
        }
        for offset in 0..5 {
            let (_, response) = client.receive::<ProduceRequest>(9);
            let row = &response.responses[0].partition_responses[0];
            assert_eq!((row.error_code, row.base_offset), (ErrorCode::NONE, offset), "round {round}");
        }
    }
    assert_eq!(values(&client.fetch(&topic, 0)), ["s0", "s1", "s2", "s3", "s4"]);
}

#[test]
fn sequences_wrap_around_to_0() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let id = producer_id(&mut client);
    // A producer that nobody knows may begin anywhere.
    let last = idempotent(id, 0, i32::MAX - 1, &["a", "b"]);
    let row = client.produce(&topic, -1, last);
    assert_eq!((row.error_code, row.base_offset), (ErrorCode::NONE, 0));
    assert_eq!(send(&mut client, &topic, (id, 0), 0), (ErrorCode::NONE, 2));
}

#[test]
fn a_restart_or_a_kill_does_not_forget_what_was_sent() {
    let mut broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let producer = (producer_id(&mut client), 0);
    let mut next = 0;
    for round in 0..3 {
        let mut client = broker.connect();
        for sequence in next..next + 3 {
            assert_eq!(send(&mut client, &topic, producer, sequence), (ErrorCode::NONE, i64::from(sequence)));
        }
        next += 3;
        broker = if round == 1 { broker.crash_and_restart(&[]) } else { broker.restart(&[]) };
        let mut client = broker.connect();
        let retry = send(&mut client, &topic, producer, next - 1);
        assert_eq!(retry, (ErrorCode::NONE, i64::from(next - 1)), "round {round}");
        let (gap, _) = send(&mut client, &topic, producer, next + 1);
        assert_eq!(gap, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "round {round}");
        assert_eq!(client.list_offset(&topic, -1), i64::from(next));
    }
}
