//! Produce (0), versions 3 to 9: appends one record batch to each partition (KIP-98, KIP-110, KIP-467).
//!
//! Batches are checked here, outside of every lock, and then queued in the order of the request. They are written when
//! the connection has begun whatever else is at hand, so that requests that came together share a write. Each partition
//! has its own error. The reply is [`crate::produce_reply`]'s; this file does not wait for anything. A request that is more work
//! than one turn's lets other connections go first in between; all its packed batches together may unpack to no more
//! than the largest request could have brought unpacked.

mod batch_check;

use std::sync::Arc;

use ottla_cluster::time::Monotonic;
use ottla_log::WriteDuty;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use ottla_protocol::records::UnpackBudget;

use self::batch_check::{Asked, Refusal, check};
use super::RequestContext;
use crate::connection::Handled;
use crate::core::Core;
use crate::produce_reply::{Acks, BegunProduce, ProduceReply, ProduceTicket};
use crate::rt::time;
use crate::topics::TopicMap;

/// How much one turn does, in bytes that are read or unpacked.
const TURN_BYTES: usize = 1 << 20;

/// What a batch costs at least, in bytes of a turn.
const BATCH_BYTES_MIN: usize = 4 << 10;

/// The appends of one request, as far as they have not begun.
struct Appends {
    core: Arc<Core>,
    reply: Arc<ProduceReply>,
    asked: Option<Asked>,
    deadline: Monotonic,
    topics: Vec<TopicProduceData>,
    /// The places of the next partition: its topic in the request, and the partition in the topic.
    next: (usize, usize),
    /// The logs that this request's turn has to write to.
    duties: Vec<WriteDuty>,
    budget: UnpackBudget,
}

/// Starts the appends of a request.
pub(super) fn handle(context: RequestContext, request: ProduceRequest) -> Handled {
    let mut appends = Appends::new(context, request);
    if appends.take_turn() {
        return Handled::Begun(BegunProduce::new(appends.duties, appends.reply));
    }
    // Others go first between turns, and they may append to the same logs.
    appends.duties.clear();
    Handled::Turns(Box::new(move || {
        let is_done = appends.take_turn();
        appends.duties.clear();
        is_done.then(|| Arc::clone(&appends.reply).finish())
    }))
}

impl Appends {
    fn new(context: RequestContext, request: ProduceRequest) -> Appends {
        let core = Arc::clone(&context.core);
        let (api_version, now_ms) = (context.api_version(), core.clock.wall_ms());
        let acks = Acks::new(request.acks);
        let ticket_count = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum();
        let response = ProduceResponse {
            responses: request.topic_data.iter().map(unanswered).collect(),
            ..ProduceResponse::default()
        };
        Appends {
            deadline: core.clock.now() + time::duration_ms(i64::from(request.timeout_ms)),
            budget: UnpackBudget::new(core.limits.request_bytes_max),
            asked: acks.map(|acks| Asked { acks, api_version, now_ms }),
            reply: ProduceReply::new(context, acks.unwrap_or(Acks::Leader), response, ticket_count),
            core,
            topics: request.topic_data,
            next: (0, 0),
            duties: Vec::new(),
        }
    }

    /// Begins appends until the turn is over. Whether all have begun.
    fn take_turn(&mut self) -> bool {
        let core = Arc::clone(&self.core);
        let topics = core.topics.load();
        let mut worked_bytes = 0;
        while let Some(topic) = self.topics.get_mut(self.next.0) {
            if self.next.1 == topic.partition_data.len() {
                self.next = (self.next.0 + 1, 0);
                continue;
            }
            if worked_bytes >= TURN_BYTES {
                return false;
            }
            worked_bytes += self.append_next(&topics);
            self.next.1 += 1;
        }
        true
    }

    /// Begins one append and says how much work it was.
    fn append_next(&mut self, topics: &TopicMap) -> usize {
        let (topic_place, place) = self.next;
        let topic = &mut self.topics[topic_place];
        let PartitionProduceData { index, records } = &mut topic.partition_data[place];
        let ticket = self.reply.ticket(topic_place, place);
        let Some(asked) = self.asked else {
            ticket.refuse(ErrorCode::INVALID_REQUIRED_ACKS, None, None);
            return 0;
        };
        let records = records.take();
        let batch_bytes = records.as_ref().map_or(0, |records| records.len());
        let budget_before = self.budget.left();
        let checked = topics.partition(&topic.name, *index).map_err(Refusal::from).and_then(|partition| {
            let batch = check(partition, records, asked, &mut self.budget)?;
            Ok((partition, batch))
        });
        match checked {
            Ok((partition, batch)) => {
                let duty = partition.append(batch, asked.acks, asked.now_ms, self.deadline, ticket);
                self.duties.extend(duty);
            }
            Err(refusal) => refuse(ticket, refusal),
        }
        (batch_bytes + budget_before - self.budget.left()).max(BATCH_BYTES_MIN)
    }
}

/// The rows of a topic's partitions, before anything is known of them.
fn unanswered(topic: &TopicProduceData) -> TopicProduceResponse {
    let row = |data: &PartitionProduceData| PartitionProduceResponse {
        index: data.index,
        ..PartitionProduceResponse::default()
    };
    TopicProduceResponse {
        name: topic.name.clone(),
        partition_responses: topic.partition_data.iter().map(row).collect(),
    }
}

fn refuse(ticket: ProduceTicket, refusal: Refusal) {
    ticket.blame(refusal.record, refusal.message.as_deref());
    ticket.refuse(refusal.code, None, refusal.message);
}
