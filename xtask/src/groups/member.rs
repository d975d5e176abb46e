//! A member as a process: started with its settings, signalled, and followed through the file it writes.
//!
//! It knows what the member owns right now, for whoever waits until a group has settled; the checker reads the whole
//! history again when all is over.

use super::clock;
use super::history::{self, End, Event, Life, Line, Moment};
use super::plan::Kind;
use crate::failure::Failure;
use crate::process::{capture, line};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process that writes a history: a member, or the producer. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    command: String,
    file: PathBuf,
    log: PathBuf,
    read_to: u64,
}

impl Process {
    /// Starts it; what it prints goes beside its history.
    pub(super) fn start(command: &mut Command, file: &Path) -> Result<Self, Failure> {
        let (text, log) = (line(command), file.with_extension("log"));
        File::create(file).map_err(Failure::file(file))?;
        let printed = File::create(&log).map_err(Failure::file(&log))?;
        let errors = printed.try_clone().map_err(Failure::file(&log))?;
        let start = |source| Failure::Start { command: text.clone(), source };
        command.stdin(Stdio::null()).stdout(printed).stderr(errors);
        let child = command.spawn().map_err(start)?;
        Ok(Self { child, command: text, file: file.to_owned(), log, read_to: 0 })
    }

    /// What it has written since the last time.
    pub(super) fn news(&mut self) -> Result<Vec<Line>, Failure> {
        let mut file = File::open(&self.file).map_err(Failure::file(&self.file))?;
        file.seek(SeekFrom::Start(self.read_to)).map_err(Failure::file(&self.file))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(Failure::file(&self.file))?;
        self.read_to += text.rfind('\n').map_or(0, |end| end as u64 + 1);
        history::parse(&text).map_err(|why| Failure::Claim(format!("{}: {why}", self.file.display())))
    }

    /// Sends a signal by its name.
    pub(super) fn signal(&self, name: &str) -> Result<(), Failure> {
        let pid = self.child.id().to_string();
        capture(Command::new("kill").args([&format!("-{name}"), &pid])).map(drop)
    }

    /// SIGKILL, and wait until it is gone.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        ended.map(drop).map_err(|source| Failure::Start { command: self.command.clone(), source })
    }

    /// Whether it has ended, and well; ending otherwise is a failure with the end of what it printed.
    pub(super) fn ended(&mut self) -> Result<bool, Failure> {
        let status = self.child.try_wait();
        let status = status.map_err(|source| Failure::Start { command: self.command.clone(), source })?;
        match status {
            None => Ok(false),
            // 143 is how a JVM reports the SIGTERM that it obeyed.
            Some(status) if status.success() || status.code() == Some(143) => Ok(true),
            Some(status) => {
                let printed = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = printed.lines().collect();
                let output = lines[lines.len().saturating_sub(20)..].join("\n");
                let command = self.command.clone();
                Err(Failure::Ended { command, status: status.to_string(), output })
            }
        }
    }

    /// Where its history is.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is fine: then there is nothing left to kill or to wait for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A place in the group: its process comes and goes, its kind and its instance stay.
pub(super) struct Slot {
    /// Whose client.
    pub(super) kind: Kind,
    /// Which one of its kind.
    pub(super) number: usize,
    /// `group.instance.id`, for a static member.
    pub(super) instance: Option<String>,
    /// The process that fills it now.
    pub(super) member: Option<Member>,
}

/// A running member.
pub(super) struct Member {
    /// Its process.
    pub(super) process: Process,
    /// What reports call it.
    pub(super) name: String,
    /// What it owns, as far as it has been read.
    pub(super) owned: BTreeSet<i32>,
    /// Its last change.
    pub(super) changed: Moment,
    /// Frozen since, and till when.
    pub(super) frozen: Option<(Moment, Moment)>,
    /// Earlier freezes.
    pub(super) thawed: Vec<(Moment, Moment)>,
    /// SIGTERM was sent.
    pub(super) leaving: bool,
}

impl Member {
    /// A process that has just been started.
    pub(super) fn new(process: Process, name: String) -> Self {
        Self {
            process,
            name,
            owned: BTreeSet::new(),
            changed: clock::now(),
            frozen: None,
            thawed: Vec::new(),
            leaving: false,
        }
    }

    /// Reads on in its history. `processed` hears of every run of records: partition and the offset after it.
    pub(super) fn follow(&mut self, mut processed: impl FnMut(i32, i64)) -> Result<(), Failure> {
        for line in self.process.news()? {
            match line.event {
                Event::Assigned { owned, .. } => {
                    self.owned = owned.into_iter().collect();
                    self.changed = line.at;
                }
                Event::Revoked { partitions } | Event::Lost { partitions } => {
                    self.owned.retain(|partition| !partitions.contains(partition));
                    self.changed = line.at;
                }
                Event::Records { partition, offset, values } => {
                    processed(partition, offset + values.len() as i64);
                }
                Event::Failed { error } => {
                    return Err(Failure::Claim(format!("{} gave up: {error}", self.name)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a freeze back.
    pub(super) fn thaw(&mut self) -> Result<(), Failure> {
        if let Some((from, _)) = self.frozen.take() {
            self.thawed.push((from, clock::now()));
            self.process.signal("CONT")?;
        }
        Ok(())
    }

    /// Its whole life, for the checker.
    pub(super) fn life(self, instance: Option<String>, end: End) -> Result<Life, Failure> {
        let at = clock::now();
        let lines = history::read(self.process.file())?;
        Ok(Life { name: self.name, instance, lines, end: Some((at, end)), frozen: self.thawed })
    }
}
