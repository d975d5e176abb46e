//! How many bytes all packed batches of one request may unpack to together.
//!
//! [`OutputLimit`](super::OutputLimit) bounds one batch, but a request may hold a million of them. The budget is charged
//! for every byte that comes out of a codec, also when the batch is refused in the end, and a little for each batch on
//! top, because to set a codec up costs time as well. It is *not* a bound on memory: one batch is unpacked at a time.

/// See the module.
#[derive(Debug)]
pub struct UnpackBudget {
    bytes_max: usize,
    left: usize,
}

impl UnpackBudget {
    /// What a batch costs at least.
    pub const BATCH_BYTES_MIN: usize = 4 << 10;

    /// A budget of this many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, left: bytes_max }
    }

    /// For batches that no client sent.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// What it was at the beginning.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// What is left of it.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Something was unpacked to this many bytes.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes.max(Self::BATCH_BYTES_MIN));
    }
}
