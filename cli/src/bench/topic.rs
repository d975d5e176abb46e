//! The topic that a bench loads: found or made, filled, and deleted again if it was made.

use std::sync::Arc;
use std::time::Duration;

use ottla_client::{Client, ErrorCode, NewTopic, OffsetSpec, TopicInfo, TopicPartition};
use ottla_load::{Leader, Pace, ProducePlan, Run, Shape, Target, Window};

use super::Workers;
use super::arguments::{BenchConsumeArguments, LoadArguments};
use super::watch::{Interrupt, stopped, watch};
use crate::cluster::connect;
use crate::failure::Failure;
use crate::progress::{Progress, Total};
use crate::units::grouped;

/// A topic is filled by batches of this size …
const FILL_BATCH_BYTES: usize = 256 << 10;
/// … for no longer than this.
const FILL_TIME_MAX: Duration = Duration::from_secs(3_600);
/// How much a topic that is made for reading holds, unless the user says.
const FILL_BYTES: u64 = 1 << 30;
/// A broker that broke off may be gone for good: its topic is not tried to be deleted for longer than this.
const DELETION_PATIENCE: Duration = Duration::from_secs(3);
/// Making so many partitions may take a while on some brokers.
const MANY_PARTITIONS: i32 = 1_000;

/// A topic, and the client that found it.
#[derive(Debug)]
pub(crate) struct BenchTopic {
    pub(crate) client: Client,
    pub(crate) target: Target,
    is_new: bool,
    keep: bool,
}

impl BenchTopic {
    /// Finds or makes the topic; consumers begin where `from` says.
    pub(crate) async fn prepare(
        arguments: &LoadArguments,
        from: OffsetSpec,
        interrupt: &Interrupt,
    ) -> Result<BenchTopic, Failure> {
        let found = interrupt.or(find(arguments)).await?;
        let (client, is_new) = found?;
        let target = Target {
            topic: arguments.topic.clone(),
            leaders: Vec::new(),
            patience: arguments.cluster.timeout,
        };
        let mut topic = BenchTopic { client, target, is_new, keep: arguments.keep };
        if is_new {
            // Not interrupted: whether the topic is ours would stay unknown.
            topic.create(arguments).await?;
        }
        match interrupt.or(topic.learn(from)).await.and_then(|learnt| learnt) {
            Ok(()) => Ok(topic),
            Err(failure) => Err(topic.delete_after(failure).await),
        }
    }

    async fn create(&self, arguments: &LoadArguments) -> Result<(), Failure> {
        let partitions = arguments.partitions.unwrap_or(1);
        let mut topic = NewTopic::new(&arguments.topic).partitions(partitions);
        if let Some(replication_factor) = arguments.replication_factor {
            topic = topic.replication_factor(replication_factor);
        }
        if partitions >= MANY_PARTITIONS && !arguments.quiet {
            let partitions = grouped(u64::from(partitions.unsigned_abs()));
            eprintln!("creating {} with {partitions} partitions", arguments.topic);
        }
        let set = arguments.set.iter();
        self.client
            .admin()
            .create_topic(set.fold(topic, |topic, (key, value)| topic.config(key, value)))
            .await?;
        Ok(())
    }

    /// Who leads each partition, and where it begins or ends.
    async fn learn(&mut self, from: OffsetSpec) -> Result<(), Failure> {
        let info = self.client.admin().wait_for_leaders(&self.target.topic).await?;
        let partition = |index| TopicPartition::new(info.name.clone(), index);
        let wanted = info.partitions.iter().map(|info| (partition(info.index), from));
        let offsets = self.client.admin().list_offsets(&wanted.collect::<Vec<_>>()).await?;
        let brokers = self.client.brokers();
        for (partition, offset) in offsets {
            let offset = offset?.offset.map_or(0, |offset| offset.get());
            // The place in the list is the index.
            let led = usize::try_from(partition.partition.get()).ok().and_then(|at| info.partitions.get(at));
            let leader = led.and_then(|led| brokers.iter().find(|broker| Some(broker.id) == led.leader));
            let leader =
                leader.ok_or_else(|| Failure::new(format!("{partition} has no leader now; try again")))?;
            self.target.leaders.push(Leader {
                partition: partition.partition.get(),
                address: leader.address.to_string(),
                from: offset,
            });
        }
        Ok(())
    }

    /// Has something in it to be read: what was there before, or what is written now.
    pub(crate) async fn fill(
        &self,
        arguments: &BenchConsumeArguments,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let topic = &self.target.topic;
        if self.is_new {
            return self.write(arguments, interrupt).await;
        }
        if arguments.fill.is_some() {
            return Err(Failure::usage(format!(
                "{topic} exists already: --fill is for a topic that is created"
            )));
        }
        let end = |leader: &Leader| {
            let index = ottla_client::PartitionIndex::new(leader.partition);
            ottla_client::TopicName::new(topic)
                .map(|name| (TopicPartition::new(name, index), OffsetSpec::Latest))
        };
        let ends: Result<Vec<_>, _> = self.target.leaders.iter().map(end).collect();
        let ends = ends.map_err(|error| Failure::new(error.to_string()))?;
        let ends = self.client.admin().list_offsets(&ends).await?;
        let mut is_empty = true;
        for ((_, end), leader) in ends.into_iter().zip(&self.target.leaders) {
            is_empty &= end?.offset.is_none_or(|end| end.get() <= leader.from);
        }
        if is_empty {
            return Err(Failure::new(format!(
                "{topic} is empty: there is nothing to read (a topic that does not exist is made and filled)"
            )));
        }
        Ok(())
    }

    /// Writes to the topic until it holds what the arguments say.
    async fn write(&self, arguments: &BenchConsumeArguments, interrupt: &Interrupt) -> Result<(), Failure> {
        let bytes = arguments.fill.unwrap_or(FILL_BYTES);
        let plan = ProducePlan {
            target: self.target.clone(),
            shape: Shape {
                record_bytes: arguments.record_size,
                keys: 0,
                batch_bytes: FILL_BATCH_BYTES.max(arguments.record_size.largest()),
                records_per_batch: usize::MAX,
                compression: ottla_client::Compression::None,
                repeated_percent: 0,
            },
            // One for each broker, because each writes to the partitions of one.
            clients: self.target.brokers_count(),
            acks: ottla_client::Acks::All,
            pace: Pace::Closed { in_flight: 5 },
            linger: Duration::ZERO,
            bytes_max: Some(bytes),
        };
        let run = Run::new(Window { warm_up: Duration::ZERO, measured: FILL_TIME_MAX });
        let workers = Workers::threads(&run, |run| ottla_load::produce(run, &plan));
        let mut progress = Progress::start("filled", Total::Bytes(bytes), arguments.load.quiet);
        Run::begin(&[&run]);
        watch(&[&run], workers.join(), &mut progress, interrupt).await;
        progress.finish("");
        match run.take_failure() {
            Some(error) => Err(super::outcome::failed(error)),
            None if interrupt.is_pressed() => Err(stopped()),
            None => Ok(()),
        }
    }

    /// Says so when some partitions are nobody's, because a raw client speaks to one broker.
    pub(crate) fn warn_of_left_out(&self, clients: u32) {
        let brokers = self.target.brokers_count();
        if (clients as usize) < brokers {
            eprintln!(
                "ottla: {clients} of {brokers} brokers are loaded, each client speaks to one; give --clients {brokers}"
            );
        }
    }

    /// Deletes the topic if it was made for this; what to say if it stays.
    pub(crate) async fn delete(&self, is_broken: bool) -> Option<String> {
        if !self.is_new || self.keep {
            return None;
        }
        let (admin, topic) = (self.client.admin(), &self.target.topic);
        let stays = |error: String| format!("the topic {topic} stays: {error}");
        let patience = if is_broken { DELETION_PATIENCE } else { self.target.patience };
        match tokio::time::timeout(patience, admin.delete_topic(topic)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(stays(error.to_string().trim_end_matches('.').to_owned())),
            Err(_) => Some(stays("the broker does not answer".to_owned())),
        }
    }

    /// Cleans up after a failure, which is told with what could not be cleaned up.
    pub(crate) async fn delete_after(&self, failure: Failure) -> Failure {
        match self.delete(true).await {
            Some(stays) => failure.with(&stays),
            None => failure,
        }
    }
}

/// A client, and whether the topic is still to be made.
async fn find(arguments: &LoadArguments) -> Result<(Client, bool), Failure> {
    let client = connect(&arguments.cluster).await?;
    match client.topic(&arguments.topic).await {
        Ok(info) => fits(&info, arguments).map(|()| (client, false)),
        Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Ok((client, true)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a topic that exists is what the arguments ask for.
fn fits(info: &TopicInfo, arguments: &LoadArguments) -> Result<(), Failure> {
    let (topic, there) = (&info.name, info.partitions.len());
    let asked = arguments.partitions.map_or(there, |asked| asked.unsigned_abs() as usize);
    if asked != there {
        return Err(Failure::usage(format!(
            "{topic} exists already, with {there} partitions and not {asked}: name another topic, or leave --partitions away"
        )));
    }
    let is_set =
        |what: &str| Failure::usage(format!("{topic} exists already: {what} is for a topic that is created"));
    if !arguments.set.is_empty() {
        return Err(is_set("--set"));
    }
    if arguments.replication_factor.is_some() {
        return Err(is_set("--replication-factor"));
    }
    Ok(())
}

/// The idle connections of a bench, which end with it.
pub(crate) async fn idle_connections(
    target: &Target,
    count: usize,
) -> Result<Arc<dyn std::any::Any + Send + Sync>, Failure> {
    let (address, patience) = (target.leaders[0].address.clone(), target.patience);
    let open = move || ottla_load::idle_connections(&address, count, patience);
    match tokio::task::spawn_blocking(open).await {
        Ok(Ok(idle)) => Ok(Arc::new(idle)),
        Ok(Err(error)) => Err(super::outcome::failed(error)),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}
