//! The reply of one produce request while its partitions work on it.
//!
//! Each partition of the request holds a [`ProduceTicket`]. As a rule every ticket is settled before the handler returns,
//! and the reply leaves at once on the same task; otherwise the ticket that is settled last fills the connection's slot
//! and wakes it, once. With `acks=0` there is no reply, only the end of the connection if anything failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_log::{Appended, WriteDuty};
use ottla_protocol::codec::Str;
use ottla_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse,
};
use ottla_protocol::{ErrorCode, Offset};
use parking_lot::Mutex;

use crate::connection::{Handled, ReplySlot};
use crate::handlers::RequestContext;
use crate::response::{CloseReason, Reply};

/// What a produce request wants to have happened before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    /// 0: it does not want to be answered.
    None,
    /// 1: the leader has it.
    Leader,
    /// -1: every in-sync replica has it.
    All,
}

impl Acks {
    /// Reads the field of the request.
    pub(crate) fn new(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ProduceReply {
    context: RequestContext,
    acks: Acks,
    response: Mutex<ProduceResponse>,
    /// Tickets that are not settled, and one for the handler itself.
    outstanding: AtomicUsize,
    slot: Arc<ReplySlot>,
}

/// A request whose batches wait in the queues of their logs.
#[derive(Debug)]
pub(crate) struct BegunProduce {
    duties: Vec<WriteDuty>,
    reply: Arc<ProduceReply>,
}

impl BegunProduce {
    /// All tickets of `reply` are handed out; `duties` are this connection's.
    pub(crate) fn new(duties: Vec<WriteDuty>, reply: Arc<ProduceReply>) -> BegunProduce {
        BegunProduce { duties, reply }
    }

    /// Writes what waits in the queues. The reply, or where it will be.
    pub(crate) fn write(self) -> Handled {
        drop(self.duties);
        self.reply.finish()
    }
}

/// The duty to say what became of one partition of the request.
#[derive(Debug)]
pub(crate) struct ProduceTicket {
    reply: Arc<ProduceReply>,
    topic: usize,
    partition: usize,
}

impl ProduceReply {
    /// A reply to which `ticket_count` partitions contribute, in the shape of `response`.
    pub(crate) fn new(
        context: RequestContext,
        acks: Acks,
        response: ProduceResponse,
        ticket_count: usize,
    ) -> Arc<ProduceReply> {
        let slot = Arc::new(ReplySlot::new(&context.connection));
        let outstanding = AtomicUsize::new(ticket_count + 1);
        Arc::new(ProduceReply { context, acks, response: Mutex::new(response), outstanding, slot })
    }

    /// The ticket of the partition at these places of the response. Each is handed out once.
    pub(crate) fn ticket(self: &Arc<Self>, topic: usize, partition: usize) -> ProduceTicket {
        ProduceTicket { reply: Arc::clone(self), topic, partition }
    }

    /// Ends the handler's part, after it has handed out every ticket.
    pub(crate) fn finish(self: Arc<Self>) -> Handled {
        if self.settle() { Handled::Done(self.reply()) } else { Handled::Slot(Arc::clone(&self.slot)) }
    }

    /// Whether this was the last one.
    fn settle(&self) -> bool {
        self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn reply(&self) -> Reply {
        let response = std::mem::take(&mut *self.response.lock());
        if self.acks != Acks::None {
            return self.context.reply::<ProduceRequest>(response);
        }
        let mut codes = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        match codes.find(|partition| partition.error_code.is_error()) {
            Some(failed) => Reply::Close(CloseReason::UnacknowledgedFailure(failed.error_code)),
            None => Reply::Silent,
        }
    }
}

impl ProduceTicket {
    /// Notes where the batch is, before it is acknowledged.
    pub(crate) fn appended(&self, appended: &Appended) {
        self.write(|row| {
            row.base_offset = appended.base_offset.get();
            row.log_append_time_ms = appended.log_append_time.unwrap_or(-1);
            row.log_start_offset = appended.log_start_offset.get();
        });
    }

    /// Names the record for which the batch is refused (KIP-467).
    pub(crate) fn blame(&self, record: Option<i32>, message: Option<&str>) {
        let Some(batch_index) = record else { return };
        let batch_index_error_message = message.map(Str::from);
        self.write(|row| {
            row.record_errors = vec![BatchIndexAndErrorMessage { batch_index, batch_index_error_message }]
        });
    }

    /// Acknowledges the batch.
    pub(crate) fn acknowledge(self) {
        self.settle();
    }

    /// Says that the batch is not acknowledged, and why.
    pub(crate) fn refuse(self, code: ErrorCode, log_start_offset: Option<Offset>, message: Option<String>) {
        self.write(|row| {
            row.error_code = code;
            row.base_offset = -1;
            row.log_append_time_ms = -1;
            row.log_start_offset = log_start_offset.map_or(-1, Offset::get);
            row.error_message = message.map(Str::from);
        });
        self.settle();
    }

    fn write(&self, change: impl FnOnce(&mut PartitionProduceResponse)) {
        let mut response = self.reply.response.lock();
        change(&mut response.responses[self.topic].partition_responses[self.partition]);
    }

    fn settle(self) {
        if self.reply.settle() {
            self.reply.slot.fill(self.reply.reply());
        }
    }
}
