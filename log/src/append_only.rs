//! An array that one writer extends and any number of readers search, without a lock and without moving an element.
//!
//! The indexes of an active segment live in it. Chunks double in size, so an idle log pays for none and a lookup finds
//! its chunk by counting bits. It cannot shrink: a truncated index is a new array. Invariant: an element below `len` was
//! stored before `len` was published and never changes again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Elements of the first chunk; each further chunk is twice as large as the one before.
const FIRST_CHUNK: usize = 32;
const CHUNKS: usize = 17;

/// The most elements an array can hold: about four million.
pub(crate) const CAPACITY: usize = FIRST_CHUNK * ((1 << CHUNKS) - 1);

/// A place for one element, written once through a shared reference.
pub(crate) trait Slot: Default {
    type Value: Copy;
    fn store(&self, value: Self::Value);
    fn load(&self) -> Self::Value;
}

#[derive(Debug)]
pub(crate) struct AppendOnly<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
    len: AtomicUsize,
}

impl<T: Slot> AppendOnly<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], len: AtomicUsize::new(0) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Adds an element. Only one thread at a time may call this: the holder of the partition's lock.
    pub(crate) fn push(&self, value: T::Value) {
        let len = self.len.load(Ordering::Relaxed);
        assert!(len < CAPACITY, "an index is rolled before its array is full");
        let (chunk, place) = locate(len);
        let chunk = self.chunks[chunk]
            .get_or_init(|| std::iter::repeat_with(T::default).take(FIRST_CHUNK << chunk).collect());
        chunk[place].store(value);
        self.len.store(len + 1, Ordering::Release);
    }

    /// The element at `index`, which must be below a `len` that this thread has seen.
    pub(crate) fn get(&self, index: usize) -> T::Value {
        let (chunk, place) = locate(index);
        self.chunks[chunk].get().expect("an element below the length has its chunk")[place].load()
    }

    pub(crate) fn last(&self) -> Option<T::Value> {
        self.len().checked_sub(1).map(|last| self.get(last))
    }
}

fn locate(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    impl Slot for AtomicU64 {
        type Value = u64;
        fn store(&self, value: u64) {
            AtomicU64::store(self, value, Ordering::Relaxed);
        }
        fn load(&self) -> u64 {
            AtomicU64::load(self, Ordering::Relaxed)
        }
    }

    #[test]
    fn elements_keep_their_place_while_the_array_grows() {
        let array = AppendOnly::<AtomicU64>::new();
        assert_eq!(array.last(), None);
        for value in 0..10_000 {
            array.push(value * 3);
            assert_eq!(array.last(), Some(value * 3));
        }
        assert!((0..10_000).all(|index| array.get(index) == index as u64 * 3));
    }

    #[test]
    fn a_reader_beside_the_writer_sees_only_whole_elements() {
        let array = AppendOnly::<AtomicU64>::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..100_000).for_each(|value| array.push(value + 1)));
            while array.len() < 100_000 {
                let len = array.len();
                assert!(len == 0 || array.get(len - 1) == len as u64);
            }
        });
    }
}
