//! Where consumed records are written: standard output or a file, through one large buffer.
//!
//! The buffer is written out when it is full and when the consumer has nothing more at hand, so a person sees records at
//! once and a program gets them in large pieces.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use ottla_client::{Record, TopicPartition};

use crate::failure::Failure;
use crate::record_json;

const BUFFER_BYTES: usize = 256 << 10;

/// How a record becomes bytes.
#[derive(Debug, Clone)]
pub(crate) enum RecordFormat {
    /// The value and a line break; before it the key and the separator, if there is one.
    Text {
        /// Between key and value.
        key_separator: Option<Vec<u8>>,
        /// What is written for null.
        null: Vec<u8>,
    },
    /// The value as it is, without anything between values.
    Raw,
    /// One line of JSON.
    Json,
    /// Nothing: only counted.
    Nothing,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    sink: Sink,
    buffer: Vec<u8>,
    format: RecordFormat,
}

#[derive(Debug)]
enum Sink {
    Stdout(io::Stdout),
    File(File),
}

impl Output {
    /// Writes to `file`, or to standard output.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(crate) fn open(file: Option<&Path>, format: RecordFormat) -> Result<Output, Failure> {
        let (name, sink) = match file {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::create(path).map_err(|error| Failure::io(&name, &error))?;
                (name, Sink::File(file))
            }
            None => ("standard output".to_owned(), Sink::Stdout(io::stdout())),
        };
        Ok(Output { name, sink, buffer: Vec::with_capacity(BUFFER_BYTES + (64 << 10)), format })
    }

    /// Writes one record.
    ///
    /// # Errors
    /// When the sink fails.
    pub(crate) fn write(&mut self, partition: &TopicPartition, record: &Record) -> Result<(), Failure> {
        match &self.format {
            RecordFormat::Text { key_separator, null } => {
                if let Some(separator) = key_separator {
                    self.buffer.extend_from_slice(record.key.as_deref().unwrap_or(null));
                    self.buffer.extend_from_slice(separator);
                }
                self.buffer.extend_from_slice(record.value.as_deref().unwrap_or(null));
                self.buffer.push(b'\n');
            }
            RecordFormat::Raw => self.buffer.extend_from_slice(record.value.as_deref().unwrap_or_default()),
            RecordFormat::Json => record_json::write(&mut self.buffer, partition, record),
            RecordFormat::Nothing => {}
        }
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// When the sink fails.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = match &mut self.sink {
            Sink::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                stdout.write_all(&self.buffer).and_then(|()| stdout.flush())
            }
            Sink::File(file) => file.write_all(&self.buffer),
        };
        self.buffer.clear();
        written.map_err(|error| Failure::io(&self.name, &error))
    }
}
