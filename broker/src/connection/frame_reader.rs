//! Cuts the bytes of one connection into request frames.
//!
//! The size in front of a frame is a claim. It is checked against `socket.request.max.bytes` and then only tells when
//! the frame is complete: the buffer grows by what has arrived, doubling, and each growth is charged to the pool of
//! request memory first. A connection that has delivered large frames is trusted with a buffer of that size from the
//! start, so that a busy producer's requests are never copied. This file does not read the socket and does not look
//! into a frame.

use std::sync::Arc;
use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};

use crate::memory_pool::{Lease, MemoryPool, STANDARD_BUFFER_BYTES};

/// The size in front of every frame, in bytes.
const SIZE_BYTES: usize = 4;

/// How far the size of past frames is trusted.
const TRUSTED_BYTES_MAX: usize = 1024 * 1024;

/// Below this much room a read is not worth its system call.
const ROOM_BYTES_MIN: usize = 4 * 1024;

/// Up to here it costs less to move the start of a frame to the front of the buffer than to read its end alone.
const MOVED_BYTES_MAX: usize = 16 * 1024;

/// Why the connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The claimed size is negative.
    #[error("a frame claims the negative size {0}")]
    Negative(i32),
    /// The claimed size is above `socket.request.max.bytes`.
    #[error("a frame claims {size} bytes, more than socket.request.max.bytes={max}")]
    TooLarge {
        /// The size claimed.
        size: usize,
        /// The size allowed.
        max: usize,
    },
}

/// The read side of one connection; see the module.
#[derive(Debug)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    lease: Lease,
    trusted_bytes: usize,
    frame_bytes_max: usize,
}

impl FrameReader {
    /// A reader that holds no buffer yet and refuses frames above `frame_bytes_max`.
    pub(crate) fn new(pool: &Arc<MemoryPool>, frame_bytes_max: usize) -> FrameReader {
        FrameReader { buffer: BytesMut::new(), lease: Lease::new(pool), trusted_bytes: 0, frame_bytes_max }
    }

    /// The next whole frame, without its size, or `None` until more bytes have arrived.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(size) = self.claimed_size()? else { return Ok(None) };
        if self.buffer.len() < SIZE_BYTES + size {
            return Ok(None);
        }
        self.buffer.advance(SIZE_BYTES);
        self.trusted_bytes = size.min(TRUSTED_BYTES_MAX);
        Ok(Some(self.buffer.split_to(size).freeze()))
    }

    /// Makes room for the next read. `false` means that the pool of request memory is used up: stop reading until
    /// `waker` is woken; or that a whole frame has to begin first.
    pub(crate) fn make_room(&mut self, waker: &Waker) -> bool {
        if self.buffer.capacity() == 0 {
            let wanted = self.trusted_bytes + SIZE_BYTES;
            // The frames that filled it have been dropped, as a rule.
            if self.buffer.try_reclaim(wanted) {
                return true;
            }
            if wanted <= STANDARD_BUFFER_BYTES {
                self.buffer = self.lease.pool().take_buffer();
                return true;
            }
            if !self.lease.try_resize(wanted, waker) {
                return false;
            }
            self.buffer = BytesMut::with_capacity(wanted);
            return true;
        }
        // An invalid claim is found by `next_frame` before anything is read for it.
        let frame_bytes = self.claimed_size().ok().flatten().map_or(0, |size| SIZE_BYTES + size);
        let missing = frame_bytes.saturating_sub(self.buffer.len());
        if frame_bytes > 0 && missing == 0 {
            // A whole frame is about to begin; until it has, there is room or there is not.
            return self.buffer.capacity() - self.buffer.len() >= ROOM_BYTES_MIN;
        }
        let moves = frame_bytes <= STANDARD_BUFFER_BYTES && self.buffer.len() <= MOVED_BYTES_MAX;
        if moves && self.buffer.capacity() < STANDARD_BUFFER_BYTES / 2 {
            // Nothing comes of it while a frame that lay in front is still held.
            let _moved = self.buffer.try_reclaim(STANDARD_BUFFER_BYTES - self.buffer.len());
        }
        let room = self.buffer.capacity() - self.buffer.len();
        if room >= missing.max(ROOM_BYTES_MIN) || (missing > 0 && room >= missing) {
            return true;
        }
        let trusted = self.trusted_bytes.max(STANDARD_BUFFER_BYTES);
        let grown = (self.buffer.len() * 2).max(trusted).min(frame_bytes.max(STANDARD_BUFFER_BYTES));
        let total = grown.max(self.buffer.len() + ROOM_BYTES_MIN.min(missing.max(1)));
        let charged = if total > STANDARD_BUFFER_BYTES { total } else { 0 };
        if !self.lease.try_resize(charged, waker) {
            return false;
        }
        // Reclaims the front of the allocation when the frames that lay there have been dropped.
        self.buffer.reserve(total - self.buffer.len());
        true
    }

    /// The buffer to read into, after [`FrameReader::make_room`].
    pub(crate) fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Bytes of a frame that is not complete.
    pub(crate) fn partial_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether it holds a buffer, with or without bytes in it.
    pub(crate) fn holds_buffer(&self) -> bool {
        self.buffer.capacity() > 0
    }

    /// Lets go of an empty standard buffer; called when the socket has nothing to read, so that a waiting connection
    /// holds no buffer. A larger one is kept for the frames that will follow, until [`FrameReader::release`].
    pub(crate) fn rest(&mut self) {
        if self.buffer.is_empty()
            && self.buffer.capacity() > 0
            && self.trusted_bytes + SIZE_BYTES <= STANDARD_BUFFER_BYTES
        {
            let buffer = std::mem::take(&mut self.buffer);
            self.lease.shrink_to(0);
            self.lease.pool().return_buffer(buffer);
        }
    }

    /// Lets go of any empty buffer, when the connection has been idle.
    pub(crate) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.trusted_bytes = 0;
            self.lease.shrink_to(0);
        }
    }

    fn claimed_size(&self) -> Result<Option<usize>, FrameError> {
        let Some(bytes) = self.buffer.first_chunk::<SIZE_BYTES>() else { return Ok(None) };
        let claimed = i32::from_be_bytes(*bytes);
        let size = usize::try_from(claimed).map_err(|_| FrameError::Negative(claimed))?;
        if size > self.frame_bytes_max {
            return Err(FrameError::TooLarge { size, max: self.frame_bytes_max });
        }
        Ok(Some(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn reader(pool_bytes: usize) -> FrameReader {
        FrameReader::new(&MemoryPool::new(pool_bytes), 100 * MIB)
    }

    /// Feeds bytes as a socket would: never more than the room there is. Returns the frames that came out.
    fn feed(reader: &mut FrameReader, mut bytes: &[u8]) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            assert!(reader.make_room(Waker::noop()));
            let room = reader.buffer.capacity() - reader.buffer.len();
            assert!(room > 0, "a read needs room");
            let taken = room.min(bytes.len());
            reader.buffer_mut().extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            while let Some(frame) = reader.next_frame().unwrap() {
                frames.push(frame);
            }
        }
        frames
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_were_cut() {
        let bodies: Vec<Vec<u8>> =
            [0, 1, 100, 70_000, 65_532, 65_536, 3, 300_000].iter().map(|size| vec![7u8; *size]).collect();
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        for cut in [1, 3, 4_096, 100_000, stream.len()] {
            let mut reader = reader(10 * MIB);
            let frames: Vec<Bytes> = stream.chunks(cut).flat_map(|chunk| feed(&mut reader, chunk)).collect();
            assert!(
                frames.iter().map(|frame| &frame[..]).eq(bodies.iter().map(|body| &body[..])),
                "cut {cut}"
            );
        }
    }

    #[test]
    fn the_start_of_a_frame_moves_to_the_front_once_the_frames_before_it_are_dropped() {
        let mut reader = reader(10 * MIB);
        let mut bytes = framed(&vec![1; STANDARD_BUFFER_BYTES - 10_000]);
        bytes.extend_from_slice(&framed(&[2; 20_000])[..9_000]);
        drop(feed(&mut reader, &bytes));
        assert!(reader.make_room(Waker::noop()));
        assert_eq!(reader.buffer.capacity(), STANDARD_BUFFER_BYTES);
        assert_eq!(feed(&mut reader, &[2; 11_004]), [Bytes::from(vec![2; 20_000])]);
    }

    #[test]
    fn a_claim_of_100_mib_costs_only_what_has_arrived() {
        let mut reader = reader(10 * MIB);
        let mut start = (100 * 1024 * 1024u32).to_be_bytes().to_vec();
        start.extend_from_slice(&[1; 1000]);
        assert!(feed(&mut reader, &start).is_empty());
        assert!(reader.buffer.capacity() <= STANDARD_BUFFER_BYTES);
        assert!(feed(&mut reader, &vec![1; 200_000]).is_empty());
        assert!(reader.make_room(Waker::noop()));
        assert!(reader.buffer.capacity() <= 512 * 1024, "{}", reader.buffer.capacity());
    }

    #[test]
    fn negative_and_oversized_claims_are_refused_before_anything_is_read_for_them() {
        let mut negative = reader(MIB);
        negative.buffer_mut().extend_from_slice(&(-2i32).to_be_bytes());
        assert_eq!(negative.next_frame(), Err(FrameError::Negative(-2)));
        let mut large = reader(MIB);
        large.buffer_mut().extend_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(large.next_frame(), Err(FrameError::TooLarge { size: 0x7fff_ffff, max: 100 * MIB }));
    }

    #[test]
    fn a_waiting_connection_holds_no_buffer() {
        let mut reader = reader(10 * MIB);
        drop(feed(&mut reader, &framed(&[1; 100])));
        reader.rest();
        assert_eq!(reader.buffer.capacity(), 0);
        drop(feed(&mut reader, &framed(&vec![1; 300_000])));
        reader.rest();
        assert!(reader.buffer.capacity() > 0, "a producer of large frames keeps its buffer while it is busy");
        assert!(reader.lease.pool().used_bytes() > 0);
        reader.release();
        assert_eq!((reader.buffer.capacity(), reader.lease.pool().used_bytes()), (0, 0));
    }

    #[test]
    fn a_used_up_pool_stops_the_second_half_frame() {
        // Each grows to twice its standard buffer.
        let pool = MemoryPool::new(3 * STANDARD_BUFFER_BYTES);
        let mut readers: Vec<FrameReader> = (0..3).map(|_| FrameReader::new(&pool, MIB)).collect();
        let mut start = framed(&vec![0; 500_000]);
        start.truncate(STANDARD_BUFFER_BYTES);
        let stopped: Vec<bool> = readers
            .iter_mut()
            .map(|reader| {
                feed(reader, &start);
                !reader.make_room(Waker::noop())
            })
            .collect();
        assert_eq!(stopped, [false, false, true], "one in the pool, one that overdraws it, one that waits");
    }
}
