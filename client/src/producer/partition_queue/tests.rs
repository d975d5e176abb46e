//! Dialogues between one partition's queue and an imaginary broker.

use super::*;
use ottla_protocol::records::{Compression, Rules, ValidBatch};
use ottla_protocol::{Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicName};

const LINGER: Duration = Duration::from_millis(5);
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

fn rules(idempotent: bool) -> QueueRules {
    QueueRules {
        codec: Compression::None.into(),
        batch_bytes: 400,
        linger: LINGER,
        in_flight_max: if idempotent { 5 } else { 1 },
        delivery_timeout: DELIVERY_TIMEOUT,
        idempotent,
        backoff: Backoff::default(),
    }
}

/// A queue whose identity the broker has already met: sequence 0 is used up.
fn proven() -> Dialogue {
    let mut dialogue = Dialogue::new(true);
    dialogue.append_batch();
    let first = dialogue.sent();
    dialogue.acknowledge(first);
    dialogue
}

fn identity(id: i64) -> Option<Identity> {
    Some(Identity { id: ProducerId::new(id), epoch: ProducerEpoch::ZERO })
}

struct Dialogue {
    queue: PartitionQueue,
    now: Instant,
    identity: Option<Identity>,
}

impl Dialogue {
    fn new(idempotent: bool) -> Self {
        let topic = TopicName::new("flights").expect("a legal name");
        let topic_partition = TopicPartition::new(topic, PartitionIndex::new(0));
        let queue = PartitionQueue::new(topic_partition, rules(idempotent));
        Dialogue { queue, now: Instant::now(), identity: identity(1) }
    }

    fn append(&mut self) -> Signal {
        let now = self.now;
        let record = ProducerRecord::value(&[7; 50]);
        let (_delivery, signal) = self.queue.append(&record, 0, 100, || now).expect("room");
        signal
    }

    /// Seals a batch of one record.
    fn append_batch(&mut self) {
        self.append();
        self.queue.seal();
    }

    fn take(&mut self) -> Take {
        self.queue.take(self.now, self.identity)
    }

    #[track_caller]
    fn sent(&mut self) -> Box<SealedBatch> {
        match self.take() {
            Take::Batch(mut batch) => {
                let valid = ValidBatch::check(batch.bytes(), &Rules::client(1 << 20)).expect("valid");
                let sequence = valid.header().producer.and_then(|producer| producer.base_sequence);
                assert_eq!(sequence, batch.stamp.map(|stamp| stamp.base_sequence));
                batch
            }
            other => panic!("expected a batch, got {other:?}"),
        }
    }

    fn refuse(&mut self, batch: Box<SealedBatch>, code: ErrorCode) -> Option<Settled> {
        let error = ClientError::broker("produce", code, None);
        self.queue.complete(batch, Answer::Refused(error), self.now)
    }

    fn lose_connection(&mut self, batch: Box<SealedBatch>) -> Option<Settled> {
        let kind = ErrorKind::Disconnected { reason: "reset".to_owned() };
        self.queue.complete(batch, Answer::Unknown(ClientError::new("produce", kind)), self.now)
    }

    fn acknowledge(&mut self, batch: Box<SealedBatch>) {
        let acknowledged = Acknowledged { base_offset: Some(Offset::ZERO), log_append_time_ms: None };
        let settled = self.queue.complete(batch, Answer::Acknowledged(acknowledged), self.now);
        assert!(settled.is_some_and(|settled| settled.result.is_ok()));
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }
}

fn sequence(batch: &SealedBatch) -> Option<(i64, i32)> {
    batch.stamp.map(|stamp| (stamp.identity.id.get(), stamp.base_sequence.get()))
}

#[test]
fn a_batch_is_due_when_it_is_full_or_has_lingered() {
    let mut dialogue = proven();
    let due = dialogue.now + LINGER;
    assert_eq!(dialogue.append(), Signal::DueAt(due));
    assert_eq!(dialogue.append(), Signal::None);
    assert!(matches!(dialogue.take(), Take::Later(at) if at == due));
    dialogue.wait(LINGER);
    assert_eq!(dialogue.sent().records_count, 2);
    assert!(matches!(dialogue.append(), Signal::DueAt(_)));
    let signals: Vec<Signal> = (0..5).map(|_| dialogue.append()).collect();
    assert!(signals.contains(&Signal::Ready), "{signals:?}");
    assert!(dialogue.sent().records_count >= 3);
}

#[test]
fn sequences_count_records_and_at_most_five_batches_are_in_flight() {
    let mut dialogue = proven();
    for _ in 0..7 {
        dialogue.append_batch();
    }
    let mut batches: Vec<_> = (0..5).map(|_| dialogue.sent()).collect();
    let sequences: Vec<_> = batches.iter().map(|batch| sequence(batch)).collect();
    assert_eq!(sequences, (1..6).map(|n| Some((1, n))).collect::<Vec<_>>());
    assert!(matches!(dialogue.take(), Take::Nothing));
    dialogue.acknowledge(batches.remove(0));
    assert_eq!(sequence(&dialogue.sent()), Some((1, 6)));
}

#[test]
fn the_first_batch_of_an_identity_goes_alone_because_a_broker_takes_any_first_sequence() {
    let mut dialogue = Dialogue::new(true);
    dialogue.append_batch();
    dialogue.append_batch();
    let first = dialogue.sent();
    assert!(matches!(dialogue.take(), Take::Nothing));
    dialogue.acknowledge(first);
    assert_eq!(sequence(&dialogue.sent()), Some((1, 1)));
}

#[test]
fn nothing_is_sent_before_the_producer_has_an_identity() {
    let mut dialogue = Dialogue::new(true);
    dialogue.identity = None;
    dialogue.append_batch();
    assert!(matches!(dialogue.take(), Take::NeedsIdentity(None)));
    dialogue.identity = identity(9);
    assert_eq!(sequence(&dialogue.sent()), Some((9, 0)));
}

#[test]
fn a_retry_goes_alone_and_before_everything_younger() {
    let mut dialogue = proven();
    for _ in 0..3 {
        dialogue.append_batch();
    }
    let (first, second) = (dialogue.sent(), dialogue.sent());
    assert!(dialogue.refuse(first, ErrorCode::NOT_LEADER_OR_FOLLOWER).is_none());
    assert!(matches!(dialogue.take(), Take::Later(_)), "the retry waits for its backoff");
    dialogue.wait(Duration::from_secs(1));
    assert!(matches!(dialogue.take(), Take::Nothing), "the second is still in flight");
    assert!(dialogue.refuse(second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER).is_none());
    let first = dialogue.sent();
    assert_eq!(sequence(&first), Some((1, 1)));
    assert!(matches!(dialogue.take(), Take::Nothing));
    dialogue.acknowledge(first);
    let second = dialogue.sent();
    assert_eq!(sequence(&second), Some((1, 2)));
    dialogue.acknowledge(second);
    assert_eq!(sequence(&dialogue.sent()), Some((1, 3)));
}

#[test]
fn a_batch_with_unknown_outcome_is_sent_again_under_the_same_stamp() {
    let mut dialogue = Dialogue::new(true);
    dialogue.append_batch();
    let batch = dialogue.sent();
    assert!(dialogue.lose_connection(batch).is_none());
    dialogue.wait(Duration::from_secs(1));
    dialogue.identity = identity(2);
    assert_eq!(sequence(&dialogue.sent()), Some((1, 0)));
}

#[test]
fn a_batch_refused_for_good_gives_its_sequence_back_if_nothing_followed_it() {
    let mut dialogue = Dialogue::new(true);
    dialogue.append_batch();
    let batch = dialogue.sent();
    let settled = dialogue.refuse(batch, ErrorCode::MESSAGE_TOO_LARGE).expect("settled");
    assert_eq!(settled.result.expect_err("failed").code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
    dialogue.append_batch();
    assert_eq!(sequence(&dialogue.sent()), Some((1, 0)));
}

#[test]
fn a_gap_in_the_sequence_is_healed_by_a_new_identity_and_nothing_is_lost() {
    let mut dialogue = proven();
    dialogue.append_batch();
    dialogue.append_batch();
    let (first, second) = (dialogue.sent(), dialogue.sent());
    assert!(dialogue.refuse(first, ErrorCode::INVALID_RECORD).is_some());
    assert!(dialogue.refuse(second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER).is_none());
    assert!(matches!(dialogue.take(), Take::NeedsIdentity(Some(spoilt)) if Some(spoilt) == identity(1)));
    dialogue.identity = identity(2);
    assert_eq!(sequence(&dialogue.sent()), Some((2, 0)));
}

#[test]
fn a_broker_that_forgot_the_producer_is_given_a_new_identity() {
    let mut dialogue = Dialogue::new(true);
    dialogue.append_batch();
    let batch = dialogue.sent();
    assert!(dialogue.refuse(batch, ErrorCode::UNKNOWN_PRODUCER_ID).is_none());
    assert!(matches!(dialogue.take(), Take::NeedsIdentity(Some(_))));
    dialogue.identity = identity(2);
    assert_eq!(sequence(&dialogue.sent()), Some((2, 0)));
}

#[test]
fn a_batch_is_given_up_after_the_delivery_timeout() {
    let mut dialogue = Dialogue::new(true);
    dialogue.append_batch();
    assert!(dialogue.queue.expire(dialogue.now, || None).is_empty());
    dialogue.wait(DELIVERY_TIMEOUT);
    let settled = dialogue.queue.expire(dialogue.now, || None);
    assert_eq!(settled.len(), 1);
    assert!(settled[0].result.as_ref().is_err_and(|error| error.is_retriable()));
    assert!(dialogue.queue.is_idle());
}

#[test]
fn without_idempotence_one_batch_is_in_flight_so_that_retries_keep_the_order() {
    let mut dialogue = Dialogue::new(false);
    dialogue.append_batch();
    dialogue.append_batch();
    let first = dialogue.sent();
    assert_eq!(first.stamp, None);
    assert!(matches!(dialogue.take(), Take::Nothing));
    let first_id = first.id;
    assert!(dialogue.lose_connection(first).is_none());
    dialogue.wait(Duration::from_secs(1));
    assert_eq!(dialogue.sent().id, first_id);
}

#[test]
fn closing_gives_up_what_was_never_sent() {
    let mut dialogue = Dialogue::new(true);
    dialogue.append_batch();
    dialogue.append();
    let settled = dialogue.queue.abandon();
    assert_eq!(settled.len(), 2);
    assert!(dialogue.queue.is_idle());
}
