//! A run of bytes in a segment's file, to be sent or read: what a fetch response carries instead of records.
//!
//! A slice keeps its file open, so it stays readable after its segment was deleted; truncation never changes the bytes
//! below a slice that exists. It owns no bytes and copies none.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::LogError;
use crate::segment::LogFile;
use crate::storage::{StorageFile, read_exact_at};

/// The bytes `[position, position + len)` of a file.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// Tells a truncation that somebody may still read here.
    _log: Arc<LogFile>,
    file: Arc<dyn StorageFile>,
    position: u64,
    len: u32,
}

impl FileSlice {
    /// A slice of a log file, which is opened for it if it is not open.
    pub(crate) fn new(log: &Arc<LogFile>, position: u64, len: u32) -> Result<Self, LogError> {
        Ok(Self { _log: log.clone(), file: log.file()?, position, len })
    }

    /// Where in the file the slice begins; the offset to hand to `sendfile`.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes are left.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no byte is left.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The file's descriptor, for `sendfile` and `preadv2`; `None` for a file in memory, which can only be read.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }

    /// The slice of its first `len` bytes; at most all of them.
    pub fn first(&self, len: u32) -> FileSlice {
        FileSlice { len: len.min(self.len), ..self.clone() }
    }

    /// Takes the first `sent` bytes off the slice; at most all of them.
    pub fn advance(&mut self, sent: u32) {
        let sent = sent.min(self.len);
        self.position += u64::from(sent);
        self.len -= sent;
    }

    /// Fills as much of `buffer` as the slice has bytes for, without advancing. An end of file before that is an error.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.len as usize);
        read_exact_at(&*self.file, &mut buffer[..len], self.position)?;
        Ok(len)
    }

    /// All bytes of the slice, copied.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        let mut bytes = BytesMut::zeroed(self.len as usize);
        self.read(&mut bytes)?;
        Ok(bytes.freeze())
    }
}
