//! Lines from files or standard input, read ahead by a thread of their own.
//!
//! Reading a terminal or a pipe blocks and cannot be interrupted, so it happens outside of the runtime; the command takes
//! whole lines in chunks, one hop for thousands of lines. Invariants: a chunk ends where a line ends; at most
//! [`CHUNKS_AHEAD`] chunks are read ahead; what has arrived is handed on at once, so an interactive line is not held back.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::failure::Failure;

const READ_BYTES: usize = 64 << 10;
const CHUNKS_AHEAD: usize = 16;
/// A line longer than any record can be.
const LINE_BYTES_MAX: usize = 128 << 20;

/// Whole lines of one source.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The name of the source, for messages.
    pub source: std::sync::Arc<str>,
    /// The number of its first line, from 1.
    pub first_line: u64,
    /// The lines with their line breaks; the last line of a source may have none.
    pub bytes: Vec<u8>,
}

impl Chunk {
    /// The lines without their line breaks (`\n` or `\r\n`), numbered.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
        let lines = ends.scan(0, |start, end| {
            let line = &bytes[std::mem::replace(start, end + 1)..end];
            Some(line.strip_suffix(b"\r").unwrap_or(line))
        });
        (self.first_line..).zip(lines)
    }
}

/// Lines on their way.
#[derive(Debug)]
pub(crate) struct Lines {
    chunks: mpsc::Receiver<Result<Chunk, Failure>>,
    /// The size of all sources together, if all are files.
    pub total_bytes: Option<u64>,
}

enum Source {
    Stdin,
    File(String, File),
}

impl Lines {
    /// Starts to read the files in turn, `-` or none meaning standard input.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub(crate) fn start(files: &[PathBuf]) -> Result<Lines, Failure> {
        let mut sources = Vec::new();
        let mut total_bytes = Some(0);
        for path in files {
            if path.as_os_str() == "-" {
                sources.push(Source::Stdin);
                total_bytes = None;
                continue;
            }
            let failed = |error: &io::Error| Failure::io(path.display(), error);
            let file = File::open(path).map_err(|error| failed(&error))?;
            let metadata = file.metadata().map_err(|error| failed(&error))?;
            if metadata.is_dir() {
                return Err(Failure::new(format!("{} is a directory", path.display())));
            }
            let size = metadata.is_file().then_some(metadata.len());
            total_bytes = total_bytes.zip(size).map(|(total, size)| total + size);
            sources.push(Source::File(path.display().to_string(), file));
        }
        if sources.is_empty() {
            sources.push(Source::Stdin);
            total_bytes = None;
        }
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        std::thread::spawn(move || read_all(sources, &sender));
        Ok(Lines { chunks, total_bytes })
    }

    /// The next lines, or `None` at the end of the last source.
    pub(crate) async fn next(&mut self) -> Option<Result<Chunk, Failure>> {
        self.chunks.recv().await
    }
}

fn read_all(sources: Vec<Source>, sender: &mpsc::Sender<Result<Chunk, Failure>>) {
    for source in sources {
        let outcome = match source {
            Source::Stdin => read_lines("standard input", &mut io::stdin().lock(), sender),
            Source::File(name, mut file) => read_lines(&name, &mut file, sender),
        };
        match outcome {
            Ok(true) => {}
            Ok(false) => return,
            Err(failure) => {
                let _ = sender.blocking_send(Err(failure));
                return;
            }
        }
    }
}

/// Whether somebody still listens.
fn read_lines(
    name: &str,
    reader: &mut impl Read,
    sender: &mpsc::Sender<Result<Chunk, Failure>>,
) -> Result<bool, Failure> {
    let source: std::sync::Arc<str> = name.into();
    let mut first_line = 1;
    let mut pending: Vec<u8> = Vec::with_capacity(2 * READ_BYTES);
    loop {
        let before = pending.len();
        pending.resize(before + READ_BYTES, 0);
        let read = loop {
            match reader.read(&mut pending[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| Failure::io(name, &error))?,
            }
        };
        pending.truncate(before + read);
        let whole = match read {
            0 => pending.len(),
            _ => memchr::memrchr(b'\n', &pending[before..]).map_or(0, |end| before + end + 1),
        };
        if whole > 0 {
            let rest = pending.split_off(whole);
            let bytes = std::mem::replace(&mut pending, Vec::with_capacity(2 * READ_BYTES));
            pending.extend_from_slice(&rest);
            let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
            if sender.blocking_send(Ok(Chunk { source: source.clone(), first_line, bytes })).is_err() {
                return Ok(false);
            }
            first_line += lines;
        }
        if read == 0 {
            return Ok(true);
        }
        if pending.len() > LINE_BYTES_MAX {
            return Err(Failure::new(format!(
                "{name}:{first_line}: a line of more than {LINE_BYTES_MAX} bytes"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let (sender, mut receiver) = mpsc::channel(1000);
        assert!(read_lines("test", &mut &text[..], &sender).expect("readable"));
        drop(sender);
        let mut lines = Vec::new();
        while let Some(chunk) = receiver.blocking_recv() {
            lines.extend(chunk.expect("readable").lines().map(|(number, line)| (number, line.to_vec())));
        }
        lines
    }

    #[test]
    fn lines_are_numbered_and_come_without_their_breaks() {
        let lines = lines_of(b"one\ntwo\r\n\nlast");
        let expected: Vec<(u64, &[u8])> = vec![(1, b"one"), (2, b"two"), (3, b""), (4, b"last")];
        assert_eq!(lines.iter().map(|(n, line)| (*n, &line[..])).collect::<Vec<_>>(), expected);
        assert!(lines_of(b"").is_empty());
    }

    #[test]
    fn a_line_longer_than_a_read_is_one_line() {
        let mut text = vec![b'x'; 3 * READ_BYTES];
        text.extend_from_slice(b"\ny\n");
        let lines = lines_of(&text);
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].1.len(), lines[1].0), (3 * READ_BYTES, 2));
    }
}
