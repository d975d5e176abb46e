//! Walking over the batches of a segment's file: by their headers alone, or whole and checked.
//!
//! The header walk serves lookups and opening; it reads blocks and skips the records. The whole walk serves recovery and
//! `ottla log verify`; it checks every CRC. Neither repairs anything. What a batch claims is believed only as far as the
//! file reaches.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_protocol::Offset;
use ottla_protocol::records::{BATCH_HEADER_BYTES, BatchHeader, Rules, ValidBatch};

use crate::error::LogError;
use crate::offset_index::can_be_indexed;
use crate::storage::{StorageFile, read_exact_at};

const BLOCK_BYTES: usize = 8 << 10;
const CHUNK_BYTES: usize = 1 << 20;
const ZEROS_BYTES: u64 = 64 << 10;

/// A batch and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundBatch {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl FoundBatch {
    pub(crate) fn end_position(&self) -> u64 {
        self.position + self.header.size_in_bytes() as u64
    }
}

/// Headers from a position, which must be the start of a batch, up to `end`.
#[derive(Debug)]
pub(crate) struct HeaderScan<'a> {
    file: Arc<dyn StorageFile>,
    path: &'a Path,
    position: u64,
    end: u64,
    base: Offset,
    expected: Offset,
    block: Vec<u8>,
    block_at: u64,
    block_bytes: usize,
}

impl<'a> HeaderScan<'a> {
    pub(crate) fn new(
        file: Arc<dyn StorageFile>,
        path: &'a Path,
        position: u64,
        end: u64,
        expected: Offset,
    ) -> Self {
        Self {
            file,
            path,
            position,
            end,
            base: expected,
            expected,
            block: Vec::new(),
            block_at: 0,
            block_bytes: BLOCK_BYTES,
        }
    }

    /// The next batch, or `None` at the end. A batch that makes no sense or reaches beyond the end is corrupt.
    pub(crate) fn next(&mut self) -> Result<Option<FoundBatch>, LogError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let header = self.header_bytes()?;
        let header = BatchHeader::parse(header).map_err(|error| self.corrupt(error.to_string()))?;
        let found = FoundBatch { position: self.position, header };
        if found.end_position() > self.end {
            return Err(self.corrupt("the last batch is cut short".to_owned()));
        }
        if header.base_offset < self.expected || !can_be_indexed(self.base, header.last_offset()) {
            return Err(self.corrupt(format!("it begins with offset {}", header.base_offset)));
        }
        // Where batches are larger than a block, reading blocks would read records nobody asked for.
        self.block_bytes =
            if header.size_in_bytes() > BLOCK_BYTES { BATCH_HEADER_BYTES } else { BLOCK_BYTES };
        self.position = found.end_position();
        self.expected = header.next_offset();
        Ok(Some(found))
    }

    fn header_bytes(&mut self) -> Result<&[u8], LogError> {
        let left = self.end - self.position;
        let wanted = left.min(BATCH_HEADER_BYTES as u64);
        let is_in_block = self.position >= self.block_at
            && self.position + wanted <= self.block_at + self.block.len() as u64;
        if !is_in_block {
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(self.block_bytes);
            self.block.resize(len, 0);
            self.block_at = self.position;
            read_exact_at(&*self.file, &mut self.block, self.position)
                .map_err(|error| LogError::io("read", self.path, error))?;
        }
        let at = (self.position - self.block_at) as usize;
        Ok(&self.block[at..at + wanted as usize])
    }

    fn corrupt(&self, reason: String) -> LogError {
        LogError::Corrupt {
            path: self.path.to_owned(),
            position: self.position,
            offset: self.expected,
            reason,
        }
    }
}

/// Whole batches from a position up to `end`, each with its CRC checked.
#[derive(Debug)]
pub(crate) struct BatchScan<'a> {
    file: Arc<dyn StorageFile>,
    path: &'a Path,
    position: u64,
    end: u64,
    chunk: Bytes,
    chunk_bytes: usize,
}

impl<'a> BatchScan<'a> {
    pub(crate) fn new(file: Arc<dyn StorageFile>, path: &'a Path, position: u64, end: u64) -> Self {
        Self { file, path, position, end, chunk: Bytes::new(), chunk_bytes: CHUNK_BYTES }
    }

    /// Takes this much memory instead of the usual; a batch that is larger is still read whole.
    pub(crate) fn read_in_chunks_of(&mut self, bytes: usize) {
        self.chunk_bytes = bytes.max(BATCH_HEADER_BYTES);
    }

    /// The next batch or what is wrong with it; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Result<ValidBatch, String>>, LogError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let left = self.end - self.position;
        if (self.chunk.len() as u64) < left.min(BATCH_HEADER_BYTES as u64) {
            self.read(self.chunk_bytes)?;
        }
        let header = match BatchHeader::parse(&self.chunk) {
            Ok(header) => header,
            Err(error) => return Ok(Some(Err(error.to_string()))),
        };
        let size = header.size_in_bytes();
        if size as u64 > left {
            return Ok(Some(Err(format!("a batch of {size} bytes is cut after {left}"))));
        }
        if self.chunk.len() < size {
            self.read(size.max(self.chunk_bytes))?;
        }
        let batch = ValidBatch::check(self.chunk.split_to(size), &Rules::stored());
        if batch.is_ok() {
            self.position += size as u64;
        }
        Ok(Some(batch.map_err(|error| error.to_string())))
    }

    /// Reads again from the current position, at most `len` bytes.
    fn read(&mut self, len: usize) -> Result<(), LogError> {
        let len = usize::try_from(self.end - self.position).unwrap_or(usize::MAX).min(len);
        let mut chunk = BytesMut::zeroed(len);
        read_exact_at(&*self.file, &mut chunk, self.position)
            .map_err(|error| LogError::io("read", self.path, error))?;
        self.chunk = chunk.freeze();
        Ok(())
    }
}

/// The position behind the last byte of `[from, end)` that is not zero; `from` if there is none.
pub(crate) fn end_of_data(file: &dyn StorageFile, from: u64, end: u64) -> std::io::Result<u64> {
    let mut block = Vec::new();
    let mut block_end = end;
    while block_end > from {
        let block_at = block_end.saturating_sub(ZEROS_BYTES).max(from);
        block.resize((block_end - block_at) as usize, 0);
        read_exact_at(file, &mut block, block_at)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            return Ok(block_at + last as u64 + 1);
        }
        block_end = block_at;
    }
    Ok(from)
}
