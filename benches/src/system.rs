//! The systems that are measured side by side, and how each is started: a floor, ottla, Apache Kafka.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{BenchError, Doing, Result};
use crate::floor::FloorKind;
use crate::process::ServerProcess;
use crate::wire::Connection;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    /// The least that must be done.
    Floor,
    /// Us.
    Ottla,
    /// Apache Kafka 4.x, one node, KRaft.
    Kafka,
}

impl fmt::Display for System {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            System::Floor => "floor",
            System::Ottla => "ottla",
            System::Kafka => "kafka",
        })
    }
}

/// Where programs and data are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The `ottla` binary.
    pub(crate) ottla: PathBuf,
    /// The directory with Apache Kafka's jars.
    pub(crate) kafka_libs: PathBuf,
    /// Data and logs of everything that is started.
    pub(crate) work_dir: PathBuf,
}

impl Places {
    /// Whether Apache Kafka can be started.
    pub(crate) fn has_kafka(&self) -> bool {
        has_kafkas_jars(&self.kafka_libs)
            && Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success())
    }
}

/// Whether the jars that make a broker lie there: one of them alone is a download that broke off.
fn has_kafkas_jars(libs: &Path) -> bool {
    let jars = fs::read_dir(libs).into_iter().flatten().flatten();
    let jars: Vec<String> = jars.filter_map(|jar| jar.file_name().into_string().ok()).collect();
    let is_there = |start: &&str| jars.iter().any(|jar| jar.starts_with(*start) && jar.ends_with(".jar"));
    BROKER_JARS.iter().all(is_there)
}

const BROKER_JARS: &[&str] = &[
    "kafka_",
    "kafka-clients-",
    "kafka-metadata-",
    "kafka-server-",
    "kafka-storage-",
    "kafka-tools-",
    "scala-library-",
];

/// A broker that answers, with its data directory.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) system: System,
    pub(crate) process: ServerProcess,
    pub(crate) address: SocketAddr,
    launcher: Launcher,
}

/// All that is needed to start the same broker again on the same data.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    system: System,
    places: Places,
    dir: PathBuf,
    address: SocketAddr,
    /// Broker settings beside those that every row has.
    settings: Vec<(&'static str, &'static str)>,
}

/// What happens to a broker while another is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    /// It is stopped, so its controller must not take it for dead: Apache Kafka gets a long session. And it removes what it
    /// deletes from the first second on, as ottla does.
    Frozen,
    /// Nothing: its settings are the default ones. After a crash Kafka waits for the old session to end.
    Running,
}

/// How the rival is run, for the results. Heap and collector as its start script and its documentation have them, threads
/// and delays as in the `server.properties` that it ships; JMX is off.
pub(crate) const RIVAL: &str = "Apache Kafka 4.x, one node, KRaft, -Xms1g -Xmx1g, G1 with pauses of 20 ms, \
    num.network.threads=3, num.io.threads=8, no JMX, log.segment.delete.delay.ms=1000, one replica of each internal topic; where \
    brokers wait frozen for their turns also broker.session.timeout.ms=600000 and log.initial.task.delay.ms=1000; all else its \
    defaults";
const RIVAL_JVM: &[&str] = &[
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
const RIVAL_PROPERTIES: &str =
    "num.network.threads=3\nnum.io.threads=8\ngroup.initial.rebalance.delay.ms=0\n";

/// How long a broker may take to answer; Kafka needs tens of seconds after a crash.
const PATIENCE: Duration = Duration::from_secs(240);

impl Launcher {
    /// Prepares a fresh data directory called `name`. Apache Kafka's is formatted here, so that no start pays for it.
    pub(crate) fn prepare(system: System, places: &Places, name: &str, meanwhile: Meanwhile) -> Result<Self> {
        let dir = places.work_dir.join(format!("{name}-{system}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("data")).doing(|| format!("create {}", dir.display()))?;
        let launcher =
            Self { system, places: places.clone(), dir, address: free_address()?, settings: Vec::new() };
        if system == System::Kafka {
            launcher.format_kafka(meanwhile)?;
        }
        Ok(launcher)
    }

    /// With these broker settings too.
    pub(crate) fn with_settings(mut self, settings: &[(&'static str, &'static str)]) -> Result<Self> {
        self.settings.extend_from_slice(settings);
        if self.system == System::Kafka {
            let path = self.dir.join("server.properties");
            let mut lines = settings.iter().map(|(key, value)| format!("{key}={value}\n"));
            let appended = File::options()
                .append(true)
                .open(&path)
                .and_then(|mut file| lines.try_for_each(|line| file.write_all(line.as_bytes())));
            appended.doing(|| format!("append to {}", path.display()))?;
        }
        Ok(self)
    }

    /// Where the broker's log directories' files are.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts the broker and returns at once.
    pub(crate) fn spawn(&self) -> Result<ServerProcess> {
        let command = match self.system {
            System::Ottla => self.ottla_command(),
            System::Kafka => self.kafka_command(),
            System::Floor => return Err(BenchError::Server("a floor is not a broker".to_owned())),
        };
        ServerProcess::start(command, &self.dir.join("server.log"))
    }

    /// Starts ottla below another program, such as valgrind, and returns at once.
    pub(crate) fn spawn_under(&self, wrapper: &[&str]) -> Result<ServerProcess> {
        let ottla = self.ottla_command();
        let mut words =
            wrapper.iter().map(std::ffi::OsStr::new).chain([ottla.get_program()]).chain(ottla.get_args());
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        ServerProcess::start(command, &self.dir.join("server.log"))
    }

    /// Starts the broker and waits until it accepts a connection.
    pub(crate) fn start(&self) -> Result<Broker> {
        let mut process = self.spawn()?;
        self.wait_for_accept(&mut process)?;
        Ok(Broker { system: self.system, process, address: self.address, launcher: self.clone() })
    }

    /// Where the broker listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tries to connect twice per millisecond until someone accepts.
    pub(crate) fn wait_for_accept(&self, process: &mut ServerProcess) -> Result<()> {
        wait_for_accept(self.address, process).map_err(|error| self.explain(error))
    }

    /// Adds the end of the server's log to an error about it.
    fn explain(&self, error: BenchError) -> BenchError {
        let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        BenchError::Server(format!("{}: {error}\n{}", self.system, tail.join("\n")))
    }

    fn ottla_command(&self) -> Command {
        let mut command = Command::new(&self.places.ottla);
        command.arg("serve");
        for (key, value) in [
            ("listeners", format!("PLAINTEXT://{}", self.address)),
            ("log.dirs", self.dir.join("data").display().to_string()),
            ("log.segment.delete.delay.ms", "1000".to_owned()),
        ] {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command
    }

    fn java(&self, heap: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args([&format!("-Xmx{heap}"), &format!("-Xms{heap}")])
            .args(RIVAL_JVM)
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-cp")
            .arg(format!("{}/*", self.places.kafka_libs.display()));
        command
    }

    fn kafka_command(&self) -> Command {
        let mut command = self.java("1g");
        command.arg("kafka.Kafka").arg(self.dir.join("server.properties"));
        command
    }

    /// Writes `server.properties` and formats the data directory, as `kafka-storage.sh format --standalone` does.
    fn format_kafka(&self, meanwhile: Meanwhile) -> Result<()> {
        let session = match meanwhile {
            // Its first half minute would else pass before it removes a deleted topic.
            Meanwhile::Frozen => "broker.session.timeout.ms=600000\nlog.initial.task.delay.ms=1000\n",
            Meanwhile::Running => "",
        };
        let controller = free_address()?;
        let (address, data) = (self.address, self.dir.join("data"));
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers={controller}\n\
             listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
             advertised.listeners=PLAINTEXT://{address},CONTROLLER://{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\nlog.segment.delete.delay.ms=1000\n\
             {RIVAL_PROPERTIES}{session}",
            data.display()
        );
        let path = self.dir.join("server.properties");
        fs::write(&path, properties).doing(|| format!("write {}", path.display()))?;
        let output = self
            .java("256m")
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t", "T3R0bGFCZW5jaG1hcmtzMQ", "-c"])
            .arg(&path)
            .output()
            .doing(|| "run java".to_owned())?;
        if output.status.success() {
            return Ok(());
        }
        Err(BenchError::Server(format!(
            "formatting Kafka's directory failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )))
    }

    /// Removes the data directory.
    pub(crate) fn remove(&self) {
        // Only disk space depends on it.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Broker {
    /// Opens a connection to it.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.address)
    }

    /// Where its log's files are.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.launcher.data_dir()
    }

    /// Waits until the files of the topics that rows have deleted are gone. A broker removes them a second later, and what
    /// it does then would be counted as a part of whatever is measured next.
    pub(crate) fn wait_for_deletions(&self) -> Result<()> {
        let dir = self.data_dir();
        let deadline = Instant::now() + PATIENCE;
        while holds_a_row(&dir)? {
            if Instant::now() > deadline {
                let system = self.system;
                return Err(BenchError::Server(format!(
                    "{system}: deleted topics are still there after {PATIENCE:?}"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it and removes its data.
    pub(crate) fn discard(self) -> Result<()> {
        let launcher = self.launcher.clone();
        self.process.kill()?;
        launcher.remove();
        Ok(())
    }
}

/// Whether a data directory has a partition of a row's topic in it, deleted or not.
fn holds_a_row(data_dir: &Path) -> Result<bool> {
    let entries = fs::read_dir(data_dir).doing(|| format!("read {}", data_dir.display()))?;
    let is_of_a_row = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("row-");
    Ok(entries.flatten().any(is_of_a_row))
}

/// A running floor.
#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) process: ServerProcess,
    pub(crate) address: SocketAddr,
    pub(crate) file: PathBuf,
}

impl Floor {
    /// Starts this program again as a floor's server.
    pub(crate) fn start(kind: FloorKind, places: &Places) -> Result<Self> {
        let address = free_address()?;
        let file = places.work_dir.join(format!("floor-{kind:?}.data").to_lowercase());
        if kind == FloorKind::Fetch && !file.exists() {
            return Err(BenchError::Server("the fetch floor has no file to send".to_owned()));
        }
        let program = std::env::current_exe().doing(|| "find this program".to_owned())?;
        let mut command = Command::new(program);
        command
            .arg("floor-server")
            .arg(format!("{kind:?}").to_lowercase())
            .arg(address.to_string())
            .arg(&file);
        let mut process = ServerProcess::start(command, &places.work_dir.join("floor.log"))?;
        wait_for_accept(address, &mut process)?;
        Ok(Self { process, address, file })
    }
}

/// The path of the fetch floor's file.
pub(crate) fn fetch_floor_file(work_dir: &Path) -> PathBuf {
    work_dir.join("floor-fetch.data")
}

fn wait_for_accept(address: SocketAddr, process: &mut ServerProcess) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        process.assert_alive()?;
        std::thread::sleep(Duration::from_micros(500));
    }
    Err(BenchError::Server(format!("nothing accepted on {address} within {PATIENCE:?}")))
}

/// A free port below the range that the kernel gives to outgoing connections. From within that range, a client that
/// knocks at a port before its server listens can end up connected to itself, and the server finds its port taken.
fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::Relaxed)));
        match TcpListener::bind(address) {
            Ok(_) => return Ok(address),
            Err(_) if address.port() < 30_000 => {}
            Err(source) => return Err(BenchError::Io { doing: "find a free port".to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_download_is_no_kafka() {
        let libs = tempfile::tempdir().unwrap();
        for start in BROKER_JARS {
            assert!(!has_kafkas_jars(libs.path()), "before {start}");
            fs::write(libs.path().join(format!("{start}4.3.0.jar")), "").unwrap();
        }
        assert!(has_kafkas_jars(libs.path()));
    }

    #[test]
    fn a_deleted_partition_is_there_until_its_directory_is_gone() {
        let data_dir = tempfile::tempdir().unwrap();
        fs::create_dir(data_dir.path().join("__consumer_offsets-0")).unwrap();
        assert!(!holds_a_row(data_dir.path()).unwrap());
        let deleted = data_dir.path().join("row-13-2000-0-7.0123456789abcdef0123456789abcdef-delete");
        fs::create_dir(&deleted).unwrap();
        assert!(holds_a_row(data_dir.path()).unwrap());
        fs::remove_dir(&deleted).unwrap();
        assert!(!holds_a_row(data_dir.path()).unwrap());
    }
}
