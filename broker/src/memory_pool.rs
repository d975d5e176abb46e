//! The broker-wide pool of request memory: what all connections together may hold in half-received and unanswered
//! requests.
//!
//! A connection charges what its read buffer *grows to*, never what a frame claims to be, and stops reading its
//! socket when the pool is used up; TCP then holds the client back. The pool counts bytes, it does not own them: the
//! only memory it keeps is a short shelf of standard read buffers, so that an idle connection holds none and a busy
//! one finds a warm one.
//!
//! Invariant: some connection can always go on. When the pool is used up, one lease at a time may overdraw it until
//! its frame is complete, else a pool full of half frames would wait for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use bytes::BytesMut;
use parking_lot::Mutex;

/// The size of a read buffer that comes from the shelf; a frame that is larger gets a buffer of its own. A producer's usual
/// five requests of 16 KiB that are in flight together fit, and so are read and written together.
pub(crate) const STANDARD_BUFFER_BYTES: usize = 128 * 1024;

/// How many standard buffers rest on the shelf at most.
const SHELF_BUFFERS_MAX: usize = 64;

/// The pool; see the module.
#[derive(Debug)]
pub(crate) struct MemoryPool {
    bytes_max: usize,
    used_bytes: AtomicUsize,
    overdrawn: AtomicBool,
    waiting_count: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
    shelf: Mutex<Vec<BytesMut>>,
}

impl MemoryPool {
    /// A pool of `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<MemoryPool> {
        Arc::new(MemoryPool {
            bytes_max,
            used_bytes: AtomicUsize::new(0),
            overdrawn: AtomicBool::new(false),
            waiting_count: AtomicUsize::new(0),
            waiting: Mutex::new(Vec::new()),
            shelf: Mutex::new(Vec::new()),
        })
    }

    /// Bytes that are charged now.
    #[cfg(test)]
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// An empty read buffer of [`STANDARD_BUFFER_BYTES`].
    pub(crate) fn take_buffer(&self) -> BytesMut {
        let resting = self.shelf.lock().pop();
        resting.unwrap_or_else(|| BytesMut::with_capacity(STANDARD_BUFFER_BYTES))
    }

    /// Takes an empty standard buffer back. One whose front was split off and is still held is dropped instead, and so is
    /// a larger one.
    pub(crate) fn return_buffer(&self, mut buffer: BytesMut) {
        buffer.clear();
        if !buffer.try_reclaim(STANDARD_BUFFER_BYTES) || buffer.capacity() > STANDARD_BUFFER_BYTES {
            return;
        }
        let mut shelf = self.shelf.lock();
        if shelf.len() < SHELF_BUFFERS_MAX {
            shelf.push(buffer);
        }
    }

    fn try_charge(&self, bytes: usize) -> bool {
        let charged = self.used_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            used.checked_add(bytes).filter(|after| *after <= self.bytes_max)
        });
        charged.is_ok()
    }

    fn release(&self, bytes: usize) {
        let before = self.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
        assert!(before >= bytes, "request memory released twice: {before} charged, {bytes} released");
        self.wake_waiting();
    }

    fn wake_waiting(&self) {
        if self.waiting_count.load(Ordering::Acquire) > 0 {
            let waiting = {
                let mut waiting = self.waiting.lock();
                self.waiting_count.store(0, Ordering::Release);
                std::mem::take(&mut *waiting)
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn wait(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock();
        // A connection may be polled often while it waits; it is woken once all the same.
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        self.waiting_count.store(waiting.len(), Ordering::Release);
    }
}

/// What one connection holds of the pool; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<MemoryPool>,
    bytes: usize,
    overdraws: bool,
}

impl Lease {
    /// A lease of nothing.
    pub(crate) fn new(pool: &Arc<MemoryPool>) -> Lease {
        Lease { pool: Arc::clone(pool), bytes: 0, overdraws: false }
    }

    /// The pool it is a lease of.
    pub(crate) fn pool(&self) -> &MemoryPool {
        &self.pool
    }

    /// Sets the lease to `bytes`. `false` means that the pool is used up and the lease unchanged; `waker` is woken
    /// when memory is given back.
    pub(crate) fn try_resize(&mut self, bytes: usize, waker: &Waker) -> bool {
        if bytes <= self.bytes {
            self.shrink_to(bytes);
            return true;
        }
        let more = bytes - self.bytes;
        if !self.pool.try_charge(more) {
            // Register first and try again: memory given back in between must not be missed.
            self.pool.wait(waker);
            if !self.pool.try_charge(more) {
                if !self.overdraws && self.pool.overdrawn.swap(true, Ordering::AcqRel) {
                    return false;
                }
                self.overdraws = true;
                self.pool.used_bytes.fetch_add(more, Ordering::AcqRel);
            }
        }
        self.bytes = bytes;
        true
    }

    /// Gives back all but `bytes`, and with it the right to overdraw.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if bytes < self.bytes {
            let released = self.bytes - bytes;
            self.bytes = bytes;
            if std::mem::take(&mut self.overdraws) {
                self.pool.overdrawn.store(false, Ordering::Release);
            }
            self.pool.release(released);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    struct CountWakes(AtomicUsize);

    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_used_up_pool_lets_one_lease_overdraw_and_wakes_the_others_when_memory_returns() {
        let pool = MemoryPool::new(100);
        let wakes = Arc::new(CountWakes(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakes));
        let (mut full, mut first, mut second) = (Lease::new(&pool), Lease::new(&pool), Lease::new(&pool));
        assert!(full.try_resize(100, &waker));
        assert!(first.try_resize(10, &waker), "the first one to be refused may overdraw");
        assert!(first.try_resize(20, &waker), "and may go on until its frame is complete");
        assert!(!second.try_resize(10, &waker));
        assert!(!second.try_resize(10, &waker));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "one wake-up, however often it asked");
        assert!(second.try_resize(10, &waker), "the overdraft is free again");
        drop((full, second));
        assert_eq!(pool.used_bytes(), 0);
    }

    #[test]
    fn a_buffer_rests_on_the_shelf_only_when_nobody_holds_a_part_of_it() {
        let pool = MemoryPool::new(100);
        let mut buffer = pool.take_buffer();
        buffer.extend_from_slice(b"frame");
        let held = buffer.split_to(5).freeze();
        pool.return_buffer(buffer);
        assert_eq!(pool.shelf.lock().len(), 0);
        let mut buffer = pool.take_buffer();
        buffer.extend_from_slice(b"frame");
        drop(buffer.split_to(5).freeze());
        pool.return_buffer(buffer);
        assert_eq!(pool.shelf.lock().len(), 1);
        assert_eq!(pool.take_buffer().capacity(), STANDARD_BUFFER_BYTES);
        drop(held);
    }
}
