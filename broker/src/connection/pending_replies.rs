//! The replies that one connection owes, in the order of their requests.
//!
//! A reply that is there at once never comes here. What comes here is a produce request that waits for its
//! acknowledgement (a [`ReplySlot`] that somebody else fills), a future that this connection drives itself, or work that
//! takes more than one turn. Only the head of the queue is ever driven: a future is started only when nothing is ahead of
//! it, so nothing waits undriven.
//! The queue sends nothing and knows no API beyond its [`Order`].

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::handle::ConnectionHandle;
use crate::produce_reply::BegunProduce;
use crate::response::{CloseReason, Reply};

/// How a request may overlap with those before it on the same connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Produce: it may begin while produce and fetch requests ahead of it still wait, because its effect does not
    /// depend on theirs. Its reply still waits its turn.
    Produce,
    /// Fetch: begins when nothing is ahead of it.
    Fetch,
    /// Every other API: begins when nothing is ahead of it, and nothing begins until it is answered, so that each
    /// sees the effects of those before it, as on Kafka.
    Alone,
    /// A request of any API that is worked on in turns: nothing begins until its last one, so that the batches of one
    /// producer keep their order.
    InTurns,
}

/// A place for a reply that another task will have: an append that a group commit answers, say.
#[derive(Debug)]
pub(crate) struct ReplySlot {
    reply: Mutex<Option<Reply>>,
    connection: Arc<ConnectionHandle>,
}

impl ReplySlot {
    /// An empty slot of `connection`.
    pub(crate) fn new(connection: &Arc<ConnectionHandle>) -> ReplySlot {
        ReplySlot { reply: Mutex::new(None), connection: Arc::clone(connection) }
    }

    /// Puts the reply in and wakes the connection.
    pub(crate) fn fill(&self, reply: Reply) {
        *self.reply.lock() = Some(reply);
        self.connection.wake();
    }

    /// Takes the reply, if it is there.
    pub(crate) fn take(&self) -> Option<Reply> {
        self.reply.lock().take()
    }
}

/// A reply that its connection drives.
pub(crate) type ReplyFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Work that is done in turns. The last one says what became of the request.
pub(crate) type Turns = Box<dyn FnMut() -> Option<Handled> + Send>;

/// What a handler made of a request.
pub(crate) enum Handled {
    /// It is done.
    Done(Reply),
    /// Its batches are written once nothing else can begin.
    Begun(BegunProduce),
    /// Somebody will fill the slot.
    Slot(Arc<ReplySlot>),
    /// The connection drives it to its end, or drops it when the client goes.
    Future(ReplyFuture),
    /// It goes on when other connections have had their turn.
    Turns(Turns),
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Handled::Done(_) => "Done",
            Handled::Begun(_) => "Begun",
            Handled::Slot(_) => "Slot",
            Handled::Future(_) => "Future",
            Handled::Turns(_) => "Turns",
        })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PendingReplies {
    queue: VecDeque<(Order, Handled)>,
}

impl PendingReplies {
    /// Whether a request of this order may begin now.
    pub(crate) fn may_begin(&self, order: Order) -> bool {
        match order {
            Order::Produce => {
                self.queue.iter().all(|(ahead, _)| !matches!(ahead, Order::Alone | Order::InTurns))
            }
            Order::Fetch | Order::Alone | Order::InTurns => self.queue.is_empty(),
        }
    }

    /// Appends what a handler made of the newest request.
    pub(crate) fn push(&mut self, order: Order, handled: Handled) {
        assert!(self.may_begin(order), "a request began before those that it has to wait for");
        let order = if matches!(handled, Handled::Turns(_)) { Order::InTurns } else { order };
        self.queue.push_back((order, handled));
    }

    /// Writes the batches of every produce request that has begun: the first writes for those behind it to the same log.
    pub(crate) fn write_begun(&mut self) {
        for (_, handled) in &mut self.queue {
            if let Handled::Begun(_) = handled
                && let Handled::Begun(begun) = std::mem::replace(handled, Handled::Done(Reply::Silent))
            {
                *handled = begun.write();
            }
        }
    }

    /// The next reply in order, if it is there.
    ///
    /// # Panics
    /// It was not written before; see [`PendingReplies::write_begun`].
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        let Some((order, head)) = self.queue.front_mut() else { return Poll::Ready(None) };
        if let Handled::Turns(take_turn) = head {
            if let Some(handled) = take_turn() {
                (*order, *head) = (Order::Produce, handled);
            }
            // Whether it goes on or others may begin now: this task's next turn comes after everybody else's.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let reply = match head {
            Handled::Done(_) | Handled::Turns(_) => None,
            Handled::Begun(_) => {
                unreachable!("a connection writes what has begun before it looks for replies")
            }
            Handled::Slot(slot) => match slot.take() {
                Some(reply) => Some(reply),
                None => return Poll::Pending,
            },
            Handled::Future(future) => match future.as_mut().poll(cx) {
                Poll::Ready(reply) => Some(reply),
                Poll::Pending => return Poll::Pending,
            },
        };
        let popped = self.queue.pop_front();
        Poll::Ready(reply.or(match popped {
            Some((_, Handled::Done(reply))) => Some(reply),
            _ => None,
        }))
    }

    /// Lets go of a head that may wait for long without harm when the broker shuts down: a fetch.
    pub(crate) fn abandon_fetch(&mut self) {
        if let Some((Order::Fetch, head)) = self.queue.front_mut() {
            *head = Handled::Done(Reply::Close(CloseReason::ShuttingDown));
        }
    }

    /// Whether a request is being worked on in turns. The end of the connection is then not looked for: it would cut a
    /// produce request short, of which all bytes have come.
    pub(crate) fn is_in_turns(&self) -> bool {
        self.queue.back().is_some_and(|(order, _)| *order == Order::InTurns)
    }

    /// How many replies are owed.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn work_in_turns_gives_way_after_each_and_is_overtaken_by_nothing_until_the_last() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        let mut pending = PendingReplies::default();
        let mut turns_left = 3;
        let turns = move || {
            turns_left -= 1;
            (turns_left == 0).then(|| Handled::Done(Reply::Silent))
        };
        pending.push(Order::Produce, Handled::Turns(Box::new(turns)));
        for turn in 1..=3 {
            assert!(pending.is_in_turns() && !pending.may_begin(Order::Produce), "turn {turn}");
            assert!(pending.poll_next(&mut cx).is_pending(), "turn {turn} lets others go first");
            assert_eq!(wakes.0.load(Ordering::Relaxed), turn, "and has the task come back");
        }
        assert!(!pending.is_in_turns() && pending.may_begin(Order::Produce));
        assert!(matches!(pending.poll_next(&mut cx), Poll::Ready(Some(Reply::Silent))));
        assert!(pending.is_empty());
    }
}
