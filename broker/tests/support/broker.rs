//! A broker to test, in a directory and on a runtime of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_broker::rt::time::WallClock;
use ottla_broker::{Broker, BrokerConfig, BrokerHandle, StartError};
use ottla_log::storage::FaultyStorage;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::client::Client;

/// Names another broker that stands in for ours.
const BOOTSTRAP: &str = "OTTLA_TEST_BOOTSTRAP";

/// A broker that runs, ours in this process as a rule.
pub struct TestBroker {
    address: SocketAddr,
    /// `None` for a broker of somebody else.
    running: Option<Running>,
    /// Kept for as long as the broker lives, and for the next one in the same directory.
    directory: Option<TempDir>,
}

struct Running {
    handle: BrokerHandle,
    runtime: Runtime,
    data: PathBuf,
    /// Those on the file system of this machine.
    log_dirs: Vec<PathBuf>,
}

impl TestBroker {
    /// A broker of any configuration: ours with its defaults, or the one at `OTTLA_TEST_BOOTSTRAP`.
    pub fn any() -> TestBroker {
        TestBroker::any_with(&[])
    }

    /// [`TestBroker::any`] with settings that the broker at `OTTLA_TEST_BOOTSTRAP` is expected to have.
    pub fn any_with(settings: &[(&str, &str)]) -> TestBroker {
        match std::env::var(BOOTSTRAP) {
            Ok(address) => TestBroker { address: address.parse().unwrap(), running: None, directory: None },
            Err(_) => TestBroker::start(settings),
        }
    }

    /// Our broker in a new directory.
    pub fn start(settings: &[(&str, &str)]) -> TestBroker {
        let directory = tempfile::tempdir().unwrap();
        let mut broker = TestBroker::start_in(directory.path(), settings).unwrap();
        broker.directory = Some(directory);
        broker
    }

    /// Our broker in a directory that the caller keeps.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start_in(data: &Path, settings: &[(&str, &str)]) -> Result<TestBroker, StartError> {
        let runtime = new_runtime();
        let config = config(data, settings);
        let log_dirs = config.log_dirs.clone();
        let handle = runtime.block_on(Broker::start(config))?;
        let address = handle.address();
        let running = Running { handle, runtime, data: data.to_owned(), log_dirs };
        Ok(TestBroker { address, running: Some(running), directory: None })
    }

    /// Our broker on a file system in memory that fails when it is told to.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start_on(storage: &FaultyStorage, settings: &[(&str, &str)]) -> Result<TestBroker, StartError> {
        let data = Path::new("/data");
        let runtime = new_runtime();
        let handle = runtime.block_on(Broker::start_on(config(data, settings), Arc::new(storage.clone())))?;
        let address = handle.address();
        let running = Running { handle, runtime, data: data.to_owned(), log_dirs: Vec::new() };
        Ok(TestBroker { address, running: Some(running), directory: None })
    }

    /// [`TestBroker::start_on`] with a wall clock that the test sets.
    pub fn start_by_clock(
        storage: &FaultyStorage,
        clock: &WallClock,
        settings: &[(&str, &str)],
    ) -> TestBroker {
        let data = Path::new("/data");
        let runtime = new_runtime();
        let storage = Arc::new(storage.clone());
        let started = Broker::start_with(config(data, settings), storage, clock.clone());
        let handle = runtime.block_on(started).unwrap();
        let address = handle.address();
        let running = Running { handle, runtime, data: data.to_owned(), log_dirs: Vec::new() };
        TestBroker { address, running: Some(running), directory: None }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Our broker's own handle.
    pub fn handle(&self) -> &BrokerHandle {
        &self.running.as_ref().expect("only of our own broker").handle
    }

    /// Where its listeners are, by name.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let handle = &self.running.as_ref().expect("only of our own broker").handle;
        handle.addresses().map(|(name, address)| (name.to_owned(), address)).collect()
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        &self.running.as_ref().expect("only of our own broker").data
    }

    /// A new connection.
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Stops it cleanly and starts the next one in the same directory.
    pub fn restart(mut self, settings: &[(&str, &str)]) -> TestBroker {
        let (data, directory) = self.stop();
        let mut next = TestBroker::start_in(&data, settings).unwrap();
        next.directory = directory;
        next
    }

    /// Ends it as a kill would, without a clean-shutdown marker, and starts the next one in the same directory.
    pub fn crash_and_restart(mut self, settings: &[(&str, &str)]) -> TestBroker {
        let (data, directory) = self.crash();
        let mut next = TestBroker::start_in(&data, settings).unwrap();
        next.directory = directory;
        next
    }

    /// Stops it cleanly; the data stays while the returned directory does.
    pub fn stop(&mut self) -> (PathBuf, Option<TempDir>) {
        let Running { handle, runtime, data, .. } = self.running.take().unwrap();
        runtime.block_on(handle.shutdown()).unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
        (data, self.directory.take())
    }

    /// Stops it, cleanly if its disk lets it.
    pub fn try_stop(&mut self) {
        let Running { handle, runtime, .. } = self.running.take().unwrap();
        let _unclean = runtime.block_on(handle.shutdown());
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Ends it as a kill would. It is gone when its directories are free: the last of its threads has let go of them.
    pub fn crash(&mut self) -> (PathBuf, Option<TempDir>) {
        let Running { handle, runtime, data, log_dirs } = self.running.take().unwrap();
        drop(handle);
        runtime.shutdown_timeout(Duration::from_secs(5));
        for directory in log_dirs {
            fs::File::open(directory.join(".lock")).unwrap().lock().unwrap();
        }
        (data, self.directory.take())
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.handle);
            running.runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

fn new_runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The configuration of a broker on a free port of the loopback interface, with its data in `data`.
pub fn config(data: &Path, settings: &[(&str, &str)]) -> BrokerConfig {
    let mut pairs = vec![("listeners", "PLAINTEXT://127.0.0.1:0"), ("log.dirs", data.to_str().unwrap())];
    pairs.retain(|(key, _)| !settings.iter().any(|(given, _)| given == key));
    pairs.extend(settings);
    BrokerConfig::from_pairs(pairs).unwrap()
}

/// A name that no other test and no earlier run has used.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    format!("{stem}-{:x}-{number}", nanos ^ (u64::from(std::process::id()) << 40))
}
