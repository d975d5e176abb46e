//! A queue of partitions for one background thread: what is to be synced, what is to be prepared.
//!
//! It does not deduplicate; a partition remembers by itself that it is queued, so the queue never holds more entries than
//! there are partitions. The thread takes all there is at once.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::partition::Partition;

#[derive(Debug, Default)]
struct Queued {
    partitions: Vec<Arc<Partition>>,
    closing: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PartitionQueue {
    queued: Mutex<Queued>,
    arrived: Condvar,
}

impl PartitionQueue {
    /// Adds a partition and wakes the thread. After [`PartitionQueue::close`] nothing is taken any more.
    pub(crate) fn push(&self, partition: Arc<Partition>) {
        let mut queued = self.queued.lock();
        if !queued.closing {
            queued.partitions.push(partition);
            drop(queued);
            self.arrived.notify_one();
        }
    }

    /// Waits for partitions and takes them all, in the order of their arrival. `None` after the queue was closed and
    /// emptied.
    pub(crate) fn take_all(&self) -> Option<Vec<Arc<Partition>>> {
        let mut queued = self.queued.lock();
        while queued.partitions.is_empty() {
            if queued.closing {
                return None;
            }
            self.arrived.wait(&mut queued);
        }
        Some(std::mem::take(&mut queued.partitions))
    }

    /// Has the thread end once the queue is empty.
    pub(crate) fn close(&self) {
        self.queued.lock().closing = true;
        self.arrived.notify_all();
    }
}
