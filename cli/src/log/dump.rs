//! `ottla log dump`: what files hold, one line per batch, record or entry; JSON lines for programs.
//!
//! Lines are written as they are read, so a file of any size takes no memory.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use ottla_client::{LeaderEpoch, Offset};
use ottla_log::LogError;
use ottla_log::inspect::{self, LogFileReader, SegmentFileKind};
use ottla_log::storage::RealStorage;
use ottla_protocol::records::{ControlRecord, OutputLimit, Record, TimestampType, ValidBatch};
use serde_json::{Map, Value, json};

use super::DumpArguments;
use super::targets::{files_of, partition_directories};
use crate::arguments::OutputFormat;
use crate::failure::Failure;
use crate::instant::TimestampMs;

/// Runs the command.
pub(crate) fn run(arguments: &DumpArguments) -> Result<(), Failure> {
    let stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut dump = Dump { arguments, storage: RealStorage::new(), stdout };
    for path in &arguments.paths {
        if path.is_dir() {
            // A partition, or a log directory: its own files, then each partition's.
            for file in files_of(path)? {
                dump.file(&file)?;
            }
            if inspect::partition_of(path).is_none() {
                for directory in partition_directories(path).unwrap_or_default() {
                    for file in files_of(&directory)? {
                        dump.file(&file)?;
                    }
                }
            }
        } else if !dump.file(path)? {
            let known = ".log .index .timeindex .txnindex .snapshot, a checkpoint, meta.properties, partition.metadata";
            return Err(Failure::new(format!("{} is none of {known}", path.display())));
        }
    }
    dump.stdout.flush().map_err(|error| Failure::io("standard output", &error))
}

struct Dump<'a> {
    arguments: &'a DumpArguments,
    storage: RealStorage,
    stdout: BufWriter<StdoutLock<'static>>,
}

/// A failure to read a file, as one line.
fn unreadable(error: LogError) -> Failure {
    Failure::new(error.to_string())
}

impl Dump<'_> {
    /// Shows a file if its kind is known.
    fn file(&mut self, path: &Path) -> Result<bool, Failure> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let base = SegmentFileKind::of(name);
        let is_text =
            name.ends_with("-checkpoint") || ["meta.properties", "partition.metadata"].contains(&name);
        if base.is_none() && !is_text {
            // Opening a missing file says why better than its name does.
            std::fs::metadata(path).map_err(|error| Failure::io(path.display(), &error))?;
            return Ok(false);
        }
        if self.arguments.output.output == OutputFormat::Table {
            self.text(&format!("{}\n", path.display()))?;
        }
        match base {
            Some((SegmentFileKind::Log, _)) => self.log(path)?,
            Some((SegmentFileKind::OffsetIndex, base)) => {
                let entries = inspect::offset_index(&self.storage, path, base).map_err(unreadable)?;
                let entry = |entry: &ottla_log::OffsetPosition| {
                    (entry.offset, json!({ "offset": entry.offset.get(), "position": entry.position }))
                };
                self.entries(path, entries.iter().map(entry))?;
            }
            Some((SegmentFileKind::TimeIndex, base)) => {
                let entries = inspect::time_index(&self.storage, path, base).map_err(unreadable)?;
                let entry = |entry: &ottla_log::TimestampOffset| {
                    (
                        entry.offset,
                        json!({ "timestamp": time(entry.timestamp), "offset": entry.offset.get() }),
                    )
                };
                self.entries(path, entries.iter().map(entry))?;
            }
            Some((SegmentFileKind::TxnIndex, _)) => {
                let entries = inspect::txn_index(&self.storage, path).map_err(unreadable)?;
                let entry = |entry: &ottla_log::AbortedTransaction| {
                    let row = json!({
                        "producer_id": entry.producer_id.get(),
                        "first_offset": entry.first_offset.get(),
                        "last_offset": entry.last_offset.get(),
                        "last_stable_offset": entry.last_stable_offset.get(),
                    });
                    (entry.last_offset, row)
                };
                self.entries(path, entries.iter().map(entry))?;
            }
            Some((SegmentFileKind::ProducerSnapshot, offset)) => self.snapshot(path, offset)?,
            None => self.text_file(path)?,
        }
        Ok(true)
    }

    fn log(&mut self, path: &Path) -> Result<(), Failure> {
        let mut reader = LogFileReader::open(&self.storage, path).map_err(unreadable)?;
        let from = self.arguments.from.map_or(Offset::ZERO, Offset::new);
        let mut left = self.arguments.count.unwrap_or(usize::MAX);
        let mut outcome = Ok(());
        let visited = reader.each_batch(|placed| {
            if placed.batch.header().next_offset() <= from {
                return true;
            }
            if left == 0 {
                return false;
            }
            left -= 1;
            outcome = self.batch(path, placed.position, &placed.batch);
            outcome.is_ok()
        });
        outcome?;
        match visited {
            Ok(()) => Ok(()),
            Err(LogError::Corrupt { .. }) if reader.rest_is_zeros().map_err(unreadable)? => {
                let zeros = reader.end() - reader.position();
                self.line(path, "zeros", json!({ "position": reader.position(), "bytes": zeros }))
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    fn batch(&mut self, path: &Path, position: u64, batch: &ValidBatch) -> Result<(), Failure> {
        let header = batch.header();
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
        put("base_offset", json!(header.base_offset.get()));
        put("last_offset", json!(header.last_offset().get()));
        put("position", json!(position));
        put("bytes", json!(batch.size_in_bytes()));
        put("records", json!(header.records_count));
        put("compression", json!(batch.compression().name()));
        put("leader_epoch", json!(header.partition_leader_epoch.map(LeaderEpoch::get)));
        put("max_timestamp", time(header.max_timestamp));
        if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            put("timestamp_type", json!("LogAppendTime"));
        }
        if let Some(producer) = header.producer {
            put("producer_id", json!(producer.id.get()));
            put("producer_epoch", json!(producer.epoch.get()));
            put("base_sequence", json!(producer.base_sequence.map(|sequence| sequence.get())));
        }
        if header.attributes.is_transactional() {
            put("transactional", json!(true));
        }
        if header.attributes.is_control() {
            put("control", json!(true));
        }
        put("crc", json!(format!("{:08x}", header.crc)));
        self.line(path, "batch", Value::Object(row))?;
        if !self.arguments.deep {
            return Ok(());
        }
        let damaged = |error: &dyn std::fmt::Display| {
            Failure::new(format!("{}: the batch at offset {}: {error}", path.display(), header.base_offset))
        };
        for record in batch.records(OutputLimit::new(usize::MAX)).map_err(|error| damaged(&error))? {
            let record = record.map_err(|error| damaged(&error))?;
            self.line(path, "record", record_row(&record, header.attributes.is_control()))?;
        }
        Ok(())
    }

    fn entries(
        &mut self,
        path: &Path,
        entries: impl Iterator<Item = (Offset, Value)>,
    ) -> Result<(), Failure> {
        let from = self.arguments.from.map_or(Offset::ZERO, Offset::new);
        let wanted =
            entries.filter(|(offset, _)| *offset >= from).take(self.arguments.count.unwrap_or(usize::MAX));
        for (_, row) in wanted {
            self.line(path, "entry", row)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, path: &Path, offset: Offset) -> Result<(), Failure> {
        let producers = inspect::producer_snapshot(&self.storage, path).map_err(unreadable)?;
        for (id, entry) in producers.iter().take(self.arguments.count.unwrap_or(usize::MAX)) {
            let last = entry.last_batch();
            let row = json!({
                "before_offset": offset.get(),
                "producer_id": id.get(),
                "producer_epoch": entry.epoch.get(),
                "coordinator_epoch": entry.coordinator_epoch,
                "last_timestamp": time(entry.last_timestamp),
                "last_sequence": last.map(|batch| batch.last_sequence.get()),
                "last_offset": last.map(|batch| batch.last_offset.get()),
                "current_txn_first_offset": entry.current_txn_first_offset.map(Offset::get),
            });
            self.line(path, "producer", row)?;
        }
        Ok(())
    }

    /// A checkpoint or properties file: small, and text already.
    fn text_file(&mut self, path: &Path) -> Result<(), Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))?;
        for (number, line) in (1..).zip(text.lines()) {
            match self.arguments.output.output {
                OutputFormat::Json => self.line(path, "line", json!({ "number": number, "text": line }))?,
                OutputFormat::Table => self.text(&format!("  {}\n", line.escape_debug()))?,
            }
        }
        Ok(())
    }

    /// One row: `name field value field value …` for people, an object for programs.
    fn line(&mut self, path: &Path, kind: &str, row: Value) -> Result<(), Failure> {
        let Value::Object(fields) = row else { return Ok(()) };
        if self.arguments.output.output == OutputFormat::Json {
            let mut object = Map::new();
            object.insert("file".to_owned(), json!(path.display().to_string()));
            object.insert("kind".to_owned(), json!(kind));
            object.extend(fields);
            return self.text(&format!("{}\n", Value::Object(object)));
        }
        let indent = if kind == "record" { "    " } else { "  " };
        let mut line = format!("{indent}{kind}");
        for (name, value) in &fields {
            line.push_str(&format!(" {name} {}", shown(name, value)));
        }
        line.push('\n');
        self.text(&line)
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.stdout.write_all(text.as_bytes()).map_err(|error| Failure::io("standard output", &error))
    }
}

fn record_row(record: &Record, is_control: bool) -> Value {
    let mut row = Map::new();
    row.insert("offset".to_owned(), json!(record.offset.get()));
    row.insert("timestamp".to_owned(), time(record.timestamp));
    if let Some(control) = is_control.then(|| ControlRecord::parse(record)).flatten() {
        row.extend(control_row(control));
        return Value::Object(row);
    }
    row.insert("key".to_owned(), readable(record.key.as_deref()));
    row.insert("value".to_owned(), readable(record.value.as_deref()));
    if !record.headers.is_empty() {
        let headers = record.headers.iter().map(|header| {
            json!({ "key": String::from_utf8_lossy(&header.key), "value": readable(header.value.as_deref()) })
        });
        row.insert("headers".to_owned(), headers.collect());
    }
    Value::Object(row)
}

fn control_row(control: ControlRecord) -> Map<String, Value> {
    let row = match control {
        ControlRecord::EndTransaction { committed, coordinator_epoch } => {
            json!({ "control": if committed { "commit" } else { "abort" }, "coordinator_epoch": coordinator_epoch })
        }
        ControlRecord::Other { record_type, value } => {
            json!({ "control": format!("{record_type:?}"), "value": value.map_or(Value::Null, |value| hexadecimal(&value)) })
        }
    };
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

/// A field for people. What comes from records is quoted, so that it cannot be taken for anything else and no control
/// character reaches the terminal.
fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if !["key", "value"].contains(&name) => text.clone(),
        other => other.to_string(),
    }
}

/// Text as it is, other bytes as `0x…`.
fn readable(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => hexadecimal(bytes),
    }
}

fn hexadecimal(bytes: &[u8]) -> Value {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing into memory cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    json!(text)
}

/// A timestamp as people read it, null if there is none.
fn time(ms: i64) -> Value {
    if ms < 0 { Value::Null } else { json!(TimestampMs(ms).to_string()) }
}
