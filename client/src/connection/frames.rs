//! Length-prefixed frames out of a byte stream: response bodies as `Bytes` without a copy.
//!
//! A frame is read into one growing buffer and handed out as a slice of it, so record batches stay where the socket put
//! them. Invariant: the buffer grows by what arrives; a claimed length alone never costs more than
//! [`RESERVE_BYTES_MAX`]. Not here: what the bytes mean.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes set aside ahead of data that has not arrived.
const RESERVE_BYTES_MAX: usize = 4 << 20;
/// What a read asks for at least.
const READ_BYTES: usize = 64 << 10;

/// Cuts a stream into frames.
#[derive(Debug)]
pub(crate) struct FrameReader {
    buffer: BytesMut,
    frame_bytes_max: usize,
}

impl FrameReader {
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        FrameReader { buffer: BytesMut::new(), frame_bytes_max }
    }

    /// The next whole frame without its length prefix, or `None` at a clean end of the stream.
    pub(crate) async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
        while self.buffer.len() < 4 {
            self.buffer.reserve(READ_BYTES);
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
        let claimed = self.buffer.get_i32();
        let frame_bytes =
            usize::try_from(claimed).ok().filter(|bytes| *bytes <= self.frame_bytes_max).ok_or_else(
                || io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {claimed} bytes")),
            )?;
        while self.buffer.len() < frame_bytes {
            let missing = frame_bytes - self.buffer.len();
            // What is left of the frame, at most as much again as has arrived or the fixed allowance.
            self.buffer.reserve(missing.min(RESERVE_BYTES_MAX.max(self.buffer.len())));
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Some(self.buffer.split_to(frame_bytes).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut bytes = (body.len() as i32).to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[tokio::test]
    async fn frames_are_cut_out_of_a_stream_that_arrives_in_pieces() {
        let (mut near, mut far) = tokio::io::duplex(3);
        let bytes = [frame(b"one"), frame(b""), frame(&[7; 100])].concat();
        tokio::spawn(async move { far.write_all(&bytes).await });
        let mut reader = FrameReader::new(1000);
        assert_eq!(reader.next(&mut near).await.expect("whole"), Some(Bytes::from_static(b"one")));
        assert_eq!(reader.next(&mut near).await.expect("whole"), Some(Bytes::new()));
        assert_eq!(reader.next(&mut near).await.expect("whole").map(|b| b.len()), Some(100));
        assert_eq!(reader.next(&mut near).await.expect("clean end"), None);
    }

    #[tokio::test]
    async fn a_claimed_length_costs_no_memory_and_a_torn_frame_is_an_error() {
        for (bytes, kind) in [
            (vec![0xff, 0xff, 0xff, 0xff], io::ErrorKind::InvalidData),
            (vec![0x7f, 0, 0, 0], io::ErrorKind::InvalidData),
            (vec![0, 0, 0, 9, 1], io::ErrorKind::UnexpectedEof),
            (vec![0, 0], io::ErrorKind::UnexpectedEof),
        ] {
            let mut reader = FrameReader::new(100 << 20);
            let error = reader.next(&mut bytes.as_slice()).await.expect_err("not a frame");
            assert_eq!(error.kind(), kind, "{bytes:?}");
            assert!(reader.buffer.capacity() <= RESERVE_BYTES_MAX + READ_BYTES);
        }
    }
}
