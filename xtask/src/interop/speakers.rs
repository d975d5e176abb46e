//! The three clients as one face: produce a file into a topic, consume a topic into a file.
//!
//! Every client runs as its users run it: `ottla` as the binary, librdkafka through Python, Java on a JVM.

use super::digest::{self, Digest};
use crate::apache::Apache;
use crate::clients::Python;
use crate::failure::Failure;
use crate::ottla::Ottla;
use crate::process::capture;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// The clients, and the broker that all of them speak with.
pub(crate) struct Speakers<'a> {
    /// The binary under test.
    pub(crate) ottla: &'a Ottla,
    /// librdkafka.
    pub(crate) python: &'a Python,
    /// The Java client.
    pub(crate) apache: &'a Apache,
    /// The broker.
    pub(crate) bootstrap: SocketAddr,
}

impl Speakers<'_> {
    /// Creates topics that keep records of 2013 for ever.
    pub(crate) fn create_topics(&self, topics: &[String], partition_count: i32) -> Result<(), Failure> {
        let mut command = self.python.script("librdkafka.py");
        command.args(["create", &self.bootstrap.to_string(), &partition_count.to_string()]).args(topics);
        capture(&mut command).map(drop)
    }

    /// Sends every record of the file; `ottla` takes the JSON file beside it.
    pub(crate) fn produce(&self, client: &str, topic: &str, codec: &str, file: &Path) -> Result<(), Failure> {
        let bootstrap = self.bootstrap.to_string();
        let mut command = match client {
            "ottla" => self.ottla.produce(&bootstrap, topic, codec, &file.with_extension("jsonl")),
            "java" => self.java(&["produce", &bootstrap, topic, codec], file),
            _ => self.librdkafka(&["produce", &bootstrap, topic, codec], file),
        };
        capture(&mut command).map(drop)
    }

    /// Reads the topic from its beginning to its end, and digests what came.
    pub(crate) fn consume(&self, client: &str, topic: &str, directory: &Path) -> Result<Digest, Failure> {
        let bootstrap = self.bootstrap.to_string();
        let file = directory.join(format!("consumed-by-{client}"));
        let mut command = match client {
            "ottla" => self.ottla.consume(&bootstrap, topic, &file),
            "java" => self.java(&["consume", &bootstrap, topic], &file),
            _ => self.librdkafka(&["consume", &bootstrap, topic], &file),
        };
        capture(&mut command)?;
        match client {
            "ottla" => digest::of_json(&file),
            _ => digest::of_lines(&file),
        }
    }

    fn java(&self, arguments: &[&str], file: &Path) -> Command {
        let mut command = self.apache.java("Flights");
        command.args(arguments).arg(file);
        command
    }

    fn librdkafka(&self, arguments: &[&str], file: &Path) -> Command {
        let mut command = self.python.script("librdkafka.py");
        command.args(arguments).arg(file);
        command
    }
}
