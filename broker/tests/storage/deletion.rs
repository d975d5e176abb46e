//! A topic that is deleted and made anew under full load: the new one begins empty and loses nothing, and the broker stays.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::ProduceRequest;

use crate::support::batches::{batch, records};
use crate::support::client::PATIENCE;
use crate::support::requests::{long_fetch, produce};
use crate::support::{Client, TestBroker};

const TOPIC: &str = "again";
const PRODUCERS: usize = 3;
const IN_FLIGHT: usize = 5;
const ROUNDS: usize = 20;
/// Before the next try while the topic is not there.
const A_MOMENT: Duration = Duration::from_millis(1);

/// A producer: how many batches it has sent and how many of them are answered.
#[derive(Default)]
struct Producer {
    sent: AtomicUsize,
    answered: AtomicUsize,
}

/// What a producer was told: the number of a batch and the offset that it got.
type Acknowledged = Vec<(usize, i64)>;

/// Ends the load, also when the test has failed.
struct EndsLoad<'a>(&'a AtomicBool);

impl Drop for EndsLoad<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A value that says who sent it and as which of its batches.
fn value(producer: usize, number: usize) -> String {
    format!("{producer}:{number}:{}", "x".repeat(2000))
}

fn origin(value: &str) -> (usize, usize) {
    let mut parts = value.split(':');
    (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap())
}

/// Sends until it is told to stop, whatever becomes of the topic.
fn keep_producing(
    address: SocketAddr,
    index: usize,
    progress: &Producer,
    is_over: &AtomicBool,
) -> Acknowledged {
    let mut client = Client::connect(address);
    let mut acknowledged = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let first = progress.sent.fetch_add(IN_FLIGHT, Ordering::SeqCst);
        for number in first..first + IN_FLIGHT {
            client.send(9, produce(TOPIC, 0, -1, batch(&[&value(index, number)])));
        }
        for number in first..first + IN_FLIGHT {
            let (_, response) = client.receive::<ProduceRequest>(9);
            let row = &response.responses[0].partition_responses[0];
            match row.error_code {
                ErrorCode::NONE => acknowledged.push((number, row.base_offset)),
                // It went while the record waited for the disk.
                ErrorCode::REQUEST_TIMED_OUT => {}
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => std::thread::sleep(A_MOMENT),
                other => panic!("{other:?} {:?}", row.error_message),
            }
            progress.answered.store(number + 1, Ordering::SeqCst);
        }
    }
    acknowledged
}

/// Reads by long polls, whatever becomes of the topic: answers are records or an error that says why not.
fn keep_reading(address: SocketAddr, is_over: &AtomicBool) {
    let mut client = Client::connect(address);
    let mut next = 0;
    while !is_over.load(Ordering::Relaxed) {
        let row = client.fetch_with(long_fetch(TOPIC, next, 50, 1));
        match row.error_code {
            ErrorCode::NONE => next = records(&row).last().map_or(next, |(offset, _)| offset + 1),
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::OFFSET_OUT_OF_RANGE => {
                next = 0;
                std::thread::sleep(A_MOMENT);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Every record of the topic as it is now, by its offset.
fn read_all(client: &mut Client) -> HashMap<i64, (usize, usize)> {
    let (mut read, mut next) = (HashMap::new(), 0);
    let end = client.list_offset(TOPIC, -1);
    while next < end {
        let row = client.fetch(TOPIC, next);
        assert_eq!(row.error_code, ErrorCode::NONE);
        for (offset, value) in records(&row) {
            read.insert(offset, origin(&value));
            next = offset + 1;
        }
    }
    // More may have come meanwhile.
    read.retain(|offset, _| *offset < end);
    assert_eq!(read.len(), usize::try_from(end).unwrap(), "offsets are dense");
    read
}

fn answered(producers: &[Producer]) -> Vec<usize> {
    producers.iter().map(|producer| producer.answered.load(Ordering::SeqCst)).collect()
}

/// Waits until each producer has news of batches that it sent after this call.
fn wait_for_more(producers: &[Producer], more: usize) {
    let began = Instant::now();
    for producer in producers {
        let wanted = producer.sent.load(Ordering::SeqCst) + more;
        while producer.answered.load(Ordering::SeqCst) < wanted {
            assert!(began.elapsed() < PATIENCE, "the producers stand still");
            std::thread::sleep(A_MOMENT);
        }
    }
}

#[test]
fn a_topic_that_is_deleted_and_made_anew_under_load_keeps_its_own_records_and_no_others() {
    let settings = [
        ("log.segment.delete.delay.ms", "0"),
        ("log.retention.check.interval.ms", "20"),
        ("log.flush.offset.checkpoint.interval.ms", "20"),
    ];
    let configs = [("flush.messages", "1"), ("internal.segment.bytes", "20000")];
    let broker = TestBroker::start(&settings);
    let address = broker.address();
    let mut client = broker.connect();
    client.create_topic(TOPIC, 1, &configs);
    let producers: Vec<Producer> = (0..PRODUCERS).map(|_| Producer::default()).collect();
    let is_over = AtomicBool::new(false);
    let (mut old, mut first_of_last) = (Vec::new(), Vec::new());
    let acknowledged: Vec<Acknowledged> = std::thread::scope(|scope| {
        let (is_over, producers) = (&is_over, &producers);
        let load = EndsLoad(is_over);
        let threads: Vec<_> = producers
            .iter()
            .enumerate()
            .map(|(index, progress)| scope.spawn(move || keep_producing(address, index, progress, is_over)))
            .collect();
        scope.spawn(move || keep_reading(address, is_over));
        for round in 0..ROUNDS {
            // Every other one is deleted while its first records are on their way to the disk.
            wait_for_more(producers, 10 * (round % 2));
            old = answered(producers);
            client.delete_topic(TOPIC);
            client.create_topic(TOPIC, 1, &configs);
            first_of_last = producers.iter().map(|producer| producer.sent.load(Ordering::SeqCst)).collect();
            for (producer, number) in read_all(&mut client).into_values() {
                assert!(
                    number >= old[producer],
                    "what the deleted topic has acknowledged is not in the new one"
                );
            }
        }
        wait_for_more(producers, 10);
        drop(load);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let broker = broker.restart(&settings);
    let read = read_all(&mut broker.connect());
    for (producer, acknowledged) in acknowledged.iter().enumerate() {
        let of_last = acknowledged.iter().filter(|(number, _)| *number >= first_of_last[producer]);
        for (number, offset) in of_last {
            assert_eq!(read.get(offset), Some(&(producer, *number)), "offset {offset}");
        }
    }
}
