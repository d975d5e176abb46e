//! The programs of a run: the three kinds of members, the producer, and whatever creates the topic.

use super::plan::Kind;
use super::settings::Settings;
use crate::apache::Apache;
use crate::clients::Python;
use crate::failure::Failure;
use crate::process::{capture, run};
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where they are, and the broker that they speak with.
pub(super) struct Clients<'a> {
    /// The Java client.
    pub(super) apache: &'a Apache,
    /// librdkafka.
    pub(super) python: &'a Python,
    /// `group-member` of the crate `ottla-interop`.
    pub(super) ottla: PathBuf,
    /// The broker.
    pub(super) bootstrap: SocketAddr,
}

impl Clients<'_> {
    /// Builds our own member in release, or takes the one that lies beside a binary that is there already.
    pub(super) fn build_ours(workspace: &Workspace, beside: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(binary) = beside {
            return Ok(binary.with_file_name("group-member"));
        }
        let arguments = ["build", "--quiet", "--release", "--locked", "--package", "ottla-interop"];
        run(workspace.cargo().args(arguments))?;
        Ok(workspace.path("target/release/group-member"))
    }

    /// A topic that keeps everything.
    pub(super) fn create_topic(&self, topic: &str, partition_count: i32) -> Result<(), Failure> {
        let mut command = self.python.script("librdkafka.py");
        command.args(["create", &self.bootstrap.to_string(), &partition_count.to_string(), topic]);
        capture(&mut command).map(drop)
    }

    /// The producer that writes `file`.
    pub(super) fn producer(&self, settings: &Settings, file: &Path) -> Command {
        let mut command = self.python.script("group_producer.py");
        command.arg(self.bootstrap.to_string()).arg(&settings.topic);
        command.arg(settings.partition_count.to_string()).arg(file);
        command.arg(settings.records_per_second.to_string());
        command
    }

    /// A member that writes `file`.
    pub(super) fn member(
        &self,
        kind: Kind,
        settings: &Settings,
        instance: Option<&str>,
        file: &Path,
    ) -> Command {
        let mut command = match kind {
            Kind::Java => self.apache.small_java("GroupMember"),
            Kind::Librdkafka => self.python.script("group_member.py"),
            Kind::Ottla => Command::new(&self.ottla),
        };
        command.arg(self.bootstrap.to_string()).args([&settings.group, &settings.topic]).arg(file);
        command.args(settings.of_member(instance));
        command
    }
}
