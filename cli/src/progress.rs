//! How far a long command is: a bar on a terminal, a plain line now and then elsewhere, a summary at the end.
//!
//! All of it goes to standard error, so it never mixes with records. Rates are counted from the first record on.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::units::{grouped, human_bytes};

/// A plain line this often.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(5);

/// What is known about the end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Total {
    /// So many bytes of input.
    Bytes(u64),
    /// So many records.
    Records(u64),
    /// Nothing.
    Unknown,
}

/// See the file's header.
#[derive(Debug)]
pub(crate) struct Progress {
    verb: &'static str,
    bar: Option<ProgressBar>,
    plain: bool,
    quiet: bool,
    total: Total,
    started: Instant,
    last_line: Instant,
    records: u64,
    bytes: u64,
    note: &'static str,
}

impl Progress {
    /// Shows progress unless `quiet`; `verb` says what happens to records ("sent").
    pub(crate) fn start(verb: &'static str, total: Total, quiet: bool) -> Progress {
        let is_terminal = io::stderr().is_terminal();
        let bar = (is_terminal && !quiet).then(|| bar(total));
        let now = Instant::now();
        let plain = !is_terminal && !quiet;
        Progress {
            verb,
            bar,
            plain,
            quiet,
            total,
            started: now,
            last_line: now,
            records: 0,
            bytes: 0,
            note: "",
        }
    }

    /// What to say beside the figures from now on.
    pub(crate) fn note(&mut self, note: &'static str) {
        self.note = note;
    }

    /// So many records and bytes by now; `done` is how much of the total came with the last of them.
    pub(crate) fn advance_to(&mut self, records: u64, bytes: u64, done: u64) {
        if self.records == 0 && records > 0 && matches!(self.total, Total::Unknown) {
            self.started = Instant::now();
        }
        self.records = records;
        self.bytes = bytes;
        if let Some(bar) = &self.bar {
            bar.inc(done);
            bar.set_message(self.rates());
        } else if self.plain && self.last_line.elapsed() >= PLAIN_LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("{} {} records, {}", self.verb, grouped(self.records), self.rates());
        }
    }

    fn rates(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        let records = (self.records as f64 / seconds) as u64;
        let note = if self.note.is_empty() { String::new() } else { format!("  ({})", self.note) };
        format!("{} records/s, {:.1} MB/s{note}", grouped(records), self.bytes as f64 / seconds / 1e6)
    }

    /// Takes the bar away; the sum of it all is told elsewhere.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Takes the bar away and tells the sum of it all.
    pub(crate) fn finish(self, note: &str) {
        self.clear();
        if !self.quiet {
            let seconds = self.started.elapsed().as_secs_f64();
            let (records, bytes) = (grouped(self.records), human_bytes(self.bytes));
            eprintln!("{} {records} records, {bytes} in {seconds:.2} s: {}{note}", self.verb, self.rates());
        }
    }
}

fn bar(total: Total) -> ProgressBar {
    let (length, template) = match total {
        Total::Bytes(bytes) => (Some(bytes), "{bar:30} {percent:>3}%  {msg}  ETA {eta}"),
        Total::Records(records) => (Some(records), "{bar:30} {percent:>3}%  {msg}  ETA {eta}"),
        Total::Unknown => (None, "{spinner} {elapsed}  {msg}"),
    };
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("━╸─"));
    bar
}
