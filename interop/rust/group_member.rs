//! A member of a group that writes its life down: the kind of `cargo xtask groups` that is ottla's own client.
//!
//! `group-member BOOTSTRAP GROUP TOPIC HISTORY NAME=VALUE…`; the names and the lines of the history are told in
//! xtask/src/groups/history.rs. SIGTERM makes it leave the group and end.

use ottla_client::{
    Assignor, Client, ClientConfig, ClientError, Consumer, ConsumerConfig, ErrorKind, GroupProtocol, Offset,
    RebalanceListener, Rebalancing, Record, TopicPartition,
};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// What went wrong, for the one place that prints it.
type Failure = Box<dyn std::error::Error>;

/// The history, what is owned, and what was processed and not yet committed.
struct Diary {
    file: File,
    owned: Mutex<BTreeSet<i32>>,
    uncommitted: Mutex<BTreeMap<TopicPartition, Offset>>,
    commits: AtomicU64,
}

impl Diary {
    /// One write per line, so that a kill leaves whole lines.
    fn write(&self, fields: &str) {
        let time = clock_gettime(ClockId::Monotonic);
        let at = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
        let line = format!("{{\"at\":{at},{fields}}}\n");
        (&self.file).write_all(line.as_bytes()).expect("the history can be written");
    }

    /// Commits what was processed of those partitions, and waits for the answer.
    async fn commit(&self, consumer: &Consumer, is_concerned: impl Fn(&TopicPartition) -> bool) {
        let mut offsets: Vec<(TopicPartition, Offset)> = Vec::new();
        for (partition, offset) in self.uncommitted.lock().iter() {
            if is_concerned(partition) {
                offsets.push((partition.clone(), *offset));
            }
        }
        if offsets.is_empty() {
            return;
        }
        let id = self.commits.fetch_add(1, Ordering::Relaxed);
        let pairs: Vec<String> = offsets
            .iter()
            .map(|(partition, offset)| format!("[{},{}]", partition.partition.get(), offset.get()))
            .collect();
        let generation = generation(consumer);
        self.write(&format!(
            "\"event\":\"committing\",\"id\":{id},\"generation\":{generation},\"offsets\":[{}]",
            pairs.join(",")
        ));
        let outcome = match consumer.commit_offsets(offsets.clone()).await {
            Ok(()) => {
                let mut uncommitted = self.uncommitted.lock();
                uncommitted.retain(|partition, offset| !offsets.contains(&(partition.clone(), *offset)));
                "\"ok\"".to_owned()
            }
            Err(error) => {
                let outcome = if is_answer(&error) { "refused" } else { "unknown" };
                format!("\"{outcome}\",\"error\":{:?}", error.to_string())
            }
        };
        self.write(&format!("\"event\":\"committed\",\"id\":{id},\"outcome\":{outcome}"));
    }

    /// Writing the line is the processing: one per run of consecutive offsets.
    fn process(&self, partition: &TopicPartition, records: &[Record]) {
        for run in records.chunk_by(|one, next| one.offset.get() + 1 == next.offset.get()) {
            let value = |record: &Record| {
                let value = record.value.as_deref().unwrap_or_default();
                String::from_utf8_lossy(value).into_owned()
            };
            let values: Vec<String> = run.iter().map(value).collect();
            self.write(&format!(
                "\"event\":\"records\",\"partition\":{},\"offset\":{},\"values\":[{}]",
                partition.partition.get(),
                run[0].offset.get(),
                values.join(",")
            ));
        }
        if let Some(last) = records.last() {
            self.uncommitted.lock().insert(partition.clone(), Offset::new(last.offset.get() + 1));
        }
    }

    fn drop_partitions(&self, partitions: &[TopicPartition]) {
        self.owned.lock().retain(|owned| !partitions.iter().any(|gone| gone.partition.get() == *owned));
        self.uncommitted.lock().retain(|partition, _| !partitions.contains(partition));
    }
}

/// Whether the coordinator has said no, or nobody knows.
fn is_answer(error: &ClientError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Broker { .. } | ErrorKind::MembershipLost { .. } | ErrorKind::RebalanceInProgress
    )
}

fn generation(consumer: &Consumer) -> i32 {
    consumer.group_metadata().ok().and_then(|metadata| metadata.generation_id).unwrap_or(-1)
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.partition.get()).collect()
}

/// Writes rebalances down, and commits before partitions go.
struct Listener(Arc<Diary>);

impl RebalanceListener for Listener {
    fn on_assigned<'a>(
        &'a self,
        consumer: &'a Consumer,
        partitions: &'a [TopicPartition],
    ) -> Rebalancing<'a> {
        Box::pin(async move {
            let came = numbers(partitions);
            let mut owned = self.0.owned.lock();
            owned.extend(&came);
            let owned: Vec<i32> = owned.iter().copied().collect();
            let generation = generation(consumer);
            self.0.write(&format!(
                "\"event\":\"assigned\",\"generation\":{generation},\"partitions\":{came:?},\"owned\":{owned:?}"
            ));
        })
    }

    fn on_revoked<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async move {
            self.0.commit(consumer, |partition| partitions.contains(partition)).await;
            self.0.drop_partitions(partitions);
            let generation = generation(consumer);
            let went = numbers(partitions);
            self.0
                .write(&format!("\"event\":\"revoked\",\"generation\":{generation},\"partitions\":{went:?}"));
        })
    }

    fn on_lost<'a>(&'a self, _consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Rebalancing<'a> {
        Box::pin(async move {
            self.0.drop_partitions(partitions);
            self.0.write(&format!("\"event\":\"lost\",\"partitions\":{:?}", numbers(partitions)));
        })
    }
}

/// The command line after the history's file.
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn text(&self, name: &str) -> Result<&str, Failure> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("{name}=… is missing").into())
    }

    fn millis(&self, name: &str) -> Result<Duration, Failure> {
        Ok(Duration::from_millis(self.text(name)?.parse()?))
    }

    fn consumer(&self, group: &str) -> Result<ConsumerConfig, Failure> {
        let mut config = ConsumerConfig {
            group_instance_id: self.0.get("instance").cloned(),
            session_timeout: self.millis("session.timeout.ms")?,
            heartbeat_interval: self.millis("heartbeat.interval.ms")?,
            rebalance_timeout: self.millis("rebalance.timeout.ms")?,
            fetch_wait_max: Duration::from_millis(100),
            auto_commit: None,
            ..ConsumerConfig::in_group(group)
        };
        let assignor = self.text("assignor")?;
        if self.text("protocol")? == "classic" {
            let known = Assignor::client_named(assignor).ok_or(format!("no assignor {assignor}"))?;
            config.assignors = vec![known];
        } else {
            config.group_protocol = GroupProtocol::Consumer;
            config.server_assignor = Some(assignor.to_owned());
        }
        Ok(config)
    }
}

async fn live(consumer: &Consumer, diary: &Diary, interval: Duration) -> Result<(), Failure> {
    let mut leave = signal(SignalKind::terminate())?;
    let mut commits = tokio::time::interval(interval);
    loop {
        tokio::select! {
            biased;
            _ = leave.recv() => return Ok(()),
            _ = commits.tick() => diary.commit(consumer, |_| true).await,
            polled = consumer.poll(Duration::from_millis(100)) => match polled {
                Ok(Some(batch)) => {
                    let records = batch.records()?.collect::<Result<Vec<Record>, ClientError>>()?;
                    diary.process(batch.topic_partition(), &records);
                }
                Ok(None) => {}
                Err(error) if error.is_retriable() => eprintln!("{error}"),
                Err(error) => return Err(error.into()),
            },
        }
    }
}

async fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, group, topic, history, settings @ ..] = arguments.as_slice() else {
        return Err("BOOTSTRAP GROUP TOPIC HISTORY NAME=VALUE…".into());
    };
    let pairs = settings.iter().filter_map(|word| word.split_once('='));
    let settings = Settings(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    let diary = Arc::new(Diary {
        file: OpenOptions::new().create(true).append(true).open(history)?,
        owned: Mutex::default(),
        uncommitted: Mutex::default(),
        commits: AtomicU64::new(1),
    });
    let client = Client::new(ClientConfig { client_id: "ottla".to_owned(), ..ClientConfig::new(bootstrap)? });
    let consumer = client.consumer(settings.consumer(group)?);
    consumer.set_rebalance_listener(Listener(Arc::clone(&diary)))?;
    diary.write("\"event\":\"started\"");
    consumer.subscribe([topic])?;
    if let Err(error) = live(&consumer, &diary, settings.millis("commit.interval.ms")?).await {
        diary.write(&format!("\"event\":\"failed\",\"error\":{:?}", error.to_string()));
        return Err(error);
    }
    diary.write("\"event\":\"closing\"");
    consumer.close().await?;
    diary.write("\"event\":\"closed\"");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
