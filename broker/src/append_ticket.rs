//! Who waits for an append: a client's produce request, or a coordinator of this broker.

use ottla_log::Appended;
use ottla_protocol::{ErrorCode, Offset};

use crate::coordinators::CoordinatorTicket;
use crate::produce_reply::ProduceTicket;

/// The duty to say what became of an append, to whoever asked for it.
#[derive(Debug)]
pub(crate) enum AppendTicket {
    /// One partition of a produce request.
    Produce(ProduceTicket),
    /// Records of a coordinator.
    Coordinator(CoordinatorTicket),
}

impl From<ProduceTicket> for AppendTicket {
    fn from(ticket: ProduceTicket) -> AppendTicket {
        AppendTicket::Produce(ticket)
    }
}

impl AppendTicket {
    /// Notes where the batch is, before it is acknowledged.
    pub(crate) fn appended(&self, appended: &Appended) {
        match self {
            AppendTicket::Produce(ticket) => ticket.appended(appended),
            // A coordinator knows its records, not their offsets.
            AppendTicket::Coordinator(_) => {}
        }
    }

    /// Acknowledges the batch.
    pub(crate) fn acknowledge(self) {
        match self {
            AppendTicket::Produce(ticket) => ticket.acknowledge(),
            AppendTicket::Coordinator(ticket) => ticket.settle(Ok(())),
        }
    }

    /// Says that the batch is not acknowledged, and why.
    pub(crate) fn refuse(self, code: ErrorCode, log_start_offset: Option<Offset>, message: Option<String>) {
        match self {
            AppendTicket::Produce(ticket) => ticket.refuse(code, log_start_offset, message),
            AppendTicket::Coordinator(ticket) => ticket.settle(Err(code)),
        }
    }
}
