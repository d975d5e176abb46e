//! Requests that are small to send and large to work on: what they cost is bounded.
//!
//! Cost is the CPU time of the broker's one worker, against the CPU time that this thread takes for as much honest work;
//! so neither a slow machine nor a busy one makes a difference.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use ottla_broker::{Broker, BrokerHandle};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, UserName,
};
use ottla_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_protocol::records::{
    BatchBuilder, Codec, Compression, OutputLimit, Rules, UnpackBudget, ValidBatch,
};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::batches::{at, idempotent, now_ms, patched};
use crate::support::broker::config;
use crate::support::client::PATIENCE;
use crate::support::requests::init_producer_id;
use crate::support::{Client, TestBroker};

/// What one bomb unpacks to.
const BOMB_BYTES: usize = 1_000_000;
/// How many of them one request holds.
const BOMB_COUNT: usize = 2_000;
/// How much of that a request may unpack to.
const BUDGET_BYTES: usize = 20 << 20;

/// A broker whose worker can be told from every other thread of this process.
struct OneWorker {
    name: &'static str,
    handle: BrokerHandle,
    runtime: Runtime,
    _data: TempDir,
}

impl OneWorker {
    fn start(name: &'static str) -> OneWorker {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name(name).enable_all().build().unwrap();
        let data = tempfile::tempdir().unwrap();
        let budget = BUDGET_BYTES.to_string();
        let config = config(data.path(), &[("socket.request.max.bytes", &budget)]);
        let handle = runtime.block_on(Broker::start(config)).unwrap();
        OneWorker { name, handle, runtime, _data: data }
    }

    fn connect(&self) -> Client {
        Client::connect(self.handle.address())
    }

    /// The CPU time of its threads so far.
    fn cpu_time(&self) -> Duration {
        let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
        // A thread may end while it is looked at.
        let named = threads.filter(|thread| {
            fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim_end() == self.name)
        });
        named.map(|thread| cpu_time_of(&thread.join("schedstat"))).sum()
    }

    fn stop(self) {
        self.runtime.block_on(self.handle.shutdown()).unwrap();
        self.runtime.shutdown_timeout(PATIENCE);
    }
}

/// The CPU time of this thread.
fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Its first number is the nanoseconds that the thread has run, as of when it last went to sleep.
fn cpu_time_of(schedstat: &std::path::Path) -> Duration {
    let stat = fs::read_to_string(schedstat).unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn bomb(compression: Compression, key: Option<&[u8]>) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.push(now_ms(), key, Some(&vec![0; BOMB_BYTES]), &[]).unwrap();
    builder.build()
}

/// Many batches for one partition in one request.
fn produce_all(topic: &str, acks: i16, batches: impl IntoIterator<Item = Bytes>) -> ProduceRequest {
    let data = |records| PartitionProduceData { index: 0, records: Some(records) };
    let partition_data = batches.into_iter().map(data).collect();
    let topic = TopicProduceData { name: topic.into(), partition_data };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// The CPU time that this thread takes for as many bombs as the budget allows.
fn honest_time(bomb: &Bytes, repack: Option<Compression>) -> Duration {
    let began = own_cpu_time();
    let mut budget = UnpackBudget::new(BUDGET_BYTES);
    let rules = Rules { walk_compressed: repack.is_none(), ..Rules::client(1 << 20) };
    while budget.left() > 0 {
        let checked = ValidBatch::check_within(bomb.clone(), &rules, &mut budget);
        if let (Ok(batch), Some(compression)) = (checked, repack) {
            let limit = OutputLimit::new(Rules::OUTPUT_BYTES_MAX);
            let _spent = batch.recompressed_within(Codec::from(compression), limit, &mut budget);
        }
    }
    own_cpu_time() - began
}

#[test]
fn a_request_of_bombs_costs_no_more_than_an_honest_one() {
    let broker = OneWorker::start("bombed");
    let mut sender = broker.connect();
    for (case, configs, bomb, repack, first) in [
        ("keyed", ("cleanup.policy", "compact"), bomb(Compression::Zstd, Some(b"k")), None, ErrorCode::NONE),
        (
            "refused",
            ("cleanup.policy", "compact"),
            bomb(Compression::Gzip, None),
            None,
            ErrorCode::INVALID_RECORD,
        ),
        (
            "packed anew",
            ("compression.type", "gzip"),
            bomb(Compression::Zstd, Some(b"k")),
            Some(Compression::Gzip),
            ErrorCode::NONE,
        ),
    ] {
        let topic = sender.new_topic(1, &[configs]);
        let honest = honest_time(&bomb, repack);
        let before = broker.cpu_time();
        sender.send(9, produce_all(&topic, -1, vec![bomb; BOMB_COUNT]));
        let (_, response) = sender.receive::<ProduceRequest>(9);
        let cost = broker.cpu_time() - before;
        let rows = &response.responses[0].partition_responses;
        let within = rows.iter().take_while(|row| row.error_code == first).count();
        let beyond = &rows[within..];
        assert_eq!(within, BUDGET_BYTES / BOMB_BYTES, "{case}");
        assert!(beyond.iter().all(|row| row.error_code == ErrorCode::MESSAGE_TOO_LARGE), "{case}");
        assert_eq!(rows.len(), BOMB_COUNT);
        // All bombs would cost a hundred times the honest request.
        assert!(cost < 25 * honest, "{case}: {cost:?} where an honest request takes {honest:?}");
        println!("{case}: {cost:?} of CPU; an honest request of the same budget takes {honest:?}");
    }
    broker.stop();
}

#[test]
fn a_search_by_time_believes_a_liar_before_it_has_unpacked_all_his_bombs() {
    const LIES: usize = 400;
    let broker = OneWorker::start("searched");
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let later = now_ms() + 1_000_000;
    let bomb = bomb(Compression::Zstd, Some(b"k"));
    let lie = patched(&bomb, at::MAX_TIMESTAMP, &later.to_be_bytes());
    for batches in [LIES / 2; 2] {
        let response = client.call(9, produce_all(&topic, -1, vec![lie.clone(); batches]));
        let rows = &response.responses[0].partition_responses;
        assert!(rows.iter().all(|row| row.error_code == ErrorCode::NONE), "nothing unpacks it yet");
    }
    let honest = honest_time(&bomb, None);
    let before = broker.cpu_time();
    assert_eq!(client.list_offset(&topic, later), 4, "where a batch claims it, after four that did in vain");
    let cost = broker.cpu_time() - before;
    // All lies would cost twenty times as much.
    assert!(cost < 8 * honest, "{cost:?}, and {honest:?} for {} bombs", BUDGET_BYTES / BOMB_BYTES);
    assert_eq!(client.list_offset(&topic, 0), 0, "what is true is found exactly");
    broker.stop();
}

#[test]
fn a_crowd_of_users_is_not_answered_one_by_one() {
    let broker = TestBroker::start(&[]);
    let users = (0..10_001).map(|user| UserName { name: user.to_string().into() }).collect();
    let response = broker.connect().call(0, DescribeUserScramCredentialsRequest { users: Some(users) });
    assert_eq!((response.error_code, response.results.len()), (ErrorCode::POLICY_VIOLATION, 0));
}

#[test]
fn a_request_in_turns_is_not_overtaken_by_the_next_one_of_its_producer() {
    const BATCHES: i32 = 700;
    let broker = TestBroker::start(&[]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let producer_id = client.call(4, init_producer_id()).producer_id;
    let batch = |sequence| idempotent(producer_id, 0, sequence, &["v"]);
    client.send(9, produce_all(&topic, -1, (0..BATCHES).map(batch)));
    client.send(9, produce_all(&topic, -1, [batch(BATCHES)]));
    for expected in [BATCHES as usize, 1] {
        let (_, response) = client.receive::<ProduceRequest>(9);
        let rows = &response.responses[0].partition_responses;
        assert_eq!(rows.len(), expected);
        assert!(rows.iter().all(|row| row.error_code == ErrorCode::NONE));
    }
    assert_eq!(client.list_offset(&topic, -1), i64::from(BATCHES) + 1);
}

#[test]
fn a_client_that_hangs_up_after_its_last_byte_has_still_sent_all_of_it() {
    const BATCHES: usize = 2_000;
    let broker = TestBroker::start(&[]);
    let mut reader = broker.connect();
    let topic = reader.new_topic(1, &[]);
    let mut sender = broker.connect();
    let batch = crate::support::batches::batch(&["v"]);
    sender.send(9, produce_all(&topic, 0, vec![batch; BATCHES]));
    drop(sender);
    let began = std::time::Instant::now();
    while reader.list_offset(&topic, -1) < BATCHES as i64 {
        assert!(began.elapsed() < PATIENCE, "{} records came", reader.list_offset(&topic, -1));
    }
}
