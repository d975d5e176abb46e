//! Apache Kafka itself: its jars from `interop/kafka/pom.xml`, its tools, its Java client, and a one-node KRaft broker.
//!
//! It is the oracle of the interop task, never a part of ottla. Resolved once into `.cache/kafka`, and again only when
//! the pom changes.

use crate::failure::Failure;
use crate::process::{Background, capture, free_port, run};
use crate::workspace::Workspace;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Kafka's scripts and the main classes that they start.
const TOOLS: &[(&str, &str)] = &[
    ("broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("cluster", "org.apache.kafka.tools.ClusterTool"),
    ("configs", "kafka.admin.ConfigCommand"),
    ("console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance"),
    ("delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    ("get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
    ("topics", "org.apache.kafka.tools.TopicCommand"),
    ("transactions", "org.apache.kafka.tools.TransactionsCommand"),
    ("verifiable-consumer", "org.apache.kafka.tools.VerifiableConsumer"),
    ("verifiable-producer", "org.apache.kafka.tools.VerifiableProducer"),
];

/// The resolved jars and our own classes compiled against them.
#[derive(Clone)]
pub(crate) struct Apache {
    class_path: String,
}

impl Apache {
    /// Resolves the jars, where that has not happened yet, into their directory. They are all there or none is.
    pub(crate) fn resolve(workspace: &Workspace) -> Result<PathBuf, Failure> {
        let pom = workspace.path("interop/kafka/pom.xml");
        let jars = workspace.path(".cache/kafka");
        let wanted = std::fs::read_to_string(&pom).map_err(Failure::file(&pom))?;
        let stamp = |directory: &Path| directory.join("resolved.pom.xml");
        if std::fs::read_to_string(stamp(&jars)).ok().as_deref() == Some(wanted.as_str()) {
            return Ok(jars);
        }
        println!("resolving Apache Kafka");
        // Beside their place, so that a download that broke off is not taken for Kafka.
        let arriving = workspace.path(".cache/kafka-arriving");
        let _ = std::fs::remove_dir_all(&arriving);
        run(Command::new("mvn")
            .args(["-q", "-B", "--no-transfer-progress", "-Dstyle.color=never", "-f"])
            .arg(&pom)
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", arriving.display())))?;
        std::fs::write(stamp(&arriving), &wanted).map_err(Failure::file(&arriving))?;
        let _ = std::fs::remove_dir_all(&jars);
        std::fs::rename(&arriving, &jars).map_err(Failure::file(&jars))?;
        Ok(jars)
    }

    /// Resolves the jars and compiles `interop/java`, where that has not happened yet.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self, Failure> {
        let jars = Self::resolve(workspace)?;
        let classes = workspace.path(".cache/classes");
        std::fs::create_dir_all(&classes).map_err(Failure::file(&classes))?;
        let jars = format!("{}/*", jars.display());
        let mut javac = Command::new("javac");
        javac.args(["-cp", &jars, "-d"]).arg(&classes);
        for source in ["Assignors.java", "Flights.java", "Golden.java", "GroupMember.java", "GroupTools.java"]
        {
            javac.arg(workspace.path("interop/java").join(source));
        }
        capture(&mut javac)?;
        Ok(Self { class_path: format!("{}:{jars}", classes.display()) })
    }

    /// A JVM on a main class. Quick to start: these are programs of seconds.
    pub(crate) fn java(&self, main: &str) -> Command {
        self.java_of("-Xmx512m", main)
    }

    /// A JVM for a program of which many run at once.
    pub(crate) fn small_java(&self, main: &str) -> Command {
        self.java_of("-Xmx128m", main)
    }

    fn java_of(&self, heap: &str, main: &str) -> Command {
        let mut command = Command::new("java");
        command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", heap]);
        command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", &self.class_path, main]);
        command
    }

    /// One of Kafka's tools, by the middle of its script's name: `topics` is `kafka-topics.sh`.
    pub(crate) fn tool(&self, name: &str) -> Result<Command, Failure> {
        let main = TOOLS.iter().find(|(tool, _)| *tool == name);
        let Some((_, main)) = main else {
            let names: Vec<&str> = TOOLS.iter().map(|(tool, _)| *tool).collect();
            return Err(Failure::Claim(format!(
                "no Kafka tool named {name}; there are {}",
                names.join(", ")
            )));
        };
        Ok(self.java(main))
    }

    /// Formats a directory and starts a broker in it; `settings` are further lines of its properties.
    pub(crate) fn start(&self, directory: &Path, settings: &[String]) -> Result<ApacheBroker, Failure> {
        let (port, controller) = (free_port()?, free_port()?);
        let data = directory.join("data");
        let properties = directory.join("server.properties");
        std::fs::create_dir_all(directory).map_err(Failure::file(directory))?;
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n{}\n",
            data.display(),
            settings.join("\n")
        );
        std::fs::write(&properties, text).map_err(Failure::file(&properties))?;
        if !data.exists() {
            let cluster = "b3R0bGEtaW50ZXJvcC1rYQ";
            let mut format = self.java("kafka.tools.StorageTool");
            format.args(["format", "--standalone", "-t", cluster, "-c"]).arg(&properties);
            capture(&mut format)?;
        }
        let mut command = self.java("kafka.Kafka");
        command.arg(&properties);
        let mut process = Background::start(&mut command, &directory.join("broker.log"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        process.wait_until_listening(address, Duration::from_secs(60))?;
        Ok(ApacheBroker { process, address, data })
    }
}

/// A running Kafka broker; dropping it kills it.
pub(crate) struct ApacheBroker {
    process: Background,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its log directory.
    pub(crate) data: PathBuf,
}

impl ApacheBroker {
    /// SIGKILL, and a new start on its files; returns once it listens again.
    pub(crate) fn kill_and_restart(&mut self) -> Result<(), Failure> {
        self.process.kill_and_restart()?;
        self.process.wait_until_listening(self.address, Duration::from_secs(60))
    }

    /// Ends it cleanly, so that its files are complete.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.process.stop()
    }
}
