//! `ottla consume --group`: one member of a group, at least once.
//!
//! Every batch is on standard output before the next one is asked for, and asking says that the last one is done: so what
//! is committed, every second and when partitions go, was written. Whatever ends the command (a count, the end, an
//! interrupt, a reader that goes away), what was written is committed and the group is left.

use std::time::Duration;

use clap::{Args, ValueEnum};
use ottla_client::{
    Assignor, Client, Consumer, ConsumerConfig, GroupProtocol, Offset, OffsetReset, RecordBatch, StartAt,
    TopicPartition,
};
use tokio::signal::unix::{SignalKind, signal};

use super::{ConsumeArguments, POLL_WAIT, Sink};
use crate::bound::Bound;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Total;

/// What was written is committed this often.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// What `ottla consume` wants to know of a group.
#[derive(Debug, Args)]
#[command(next_help_heading = "Groups")]
pub(crate) struct GroupArguments {
    /// Read as a member of this group: begin where it is, share partitions, commit what was written
    #[arg(short, long, value_name = "GROUP")]
    pub group: Option<String>,
    /// TOPIC is a regular expression for whole names; topics that come later are read, too
    #[arg(long, requires = "group")]
    pub regex: bool,
    /// How the group divides its partitions
    #[arg(long, value_enum, default_value_t = Protocol::Classic, requires = "group", value_name = "PROTOCOL")]
    pub group_protocol: Protocol,
    /// A name that outlives the process: who comes back under it in time finds its partitions again
    #[arg(long, requires = "group", value_name = "ID")]
    pub group_instance_id: Option<String>,
    /// Assignors in the order of preference: range, roundrobin, sticky or cooperative-sticky in the classic protocol;
    /// one of the broker's (uniform, range) in the consumer protocol
    #[arg(long, requires = "group", value_delimiter = ',', value_name = "NAME")]
    pub assignor: Vec<String>,
    /// Who is silent for so long counts as dead; in the consumer protocol the broker decides
    #[arg(long, default_value = "45s", requires = "group", value_parser = crate::units::duration, value_name = "TIME")]
    pub session_timeout: Duration,
}

/// How a group divides its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// A member divides them; every change makes everybody join again
    Classic,
    /// The broker divides them (KIP-848)
    Consumer,
}

impl GroupArguments {
    /// Whether the command is a member of a group.
    pub(super) fn is_member(&self) -> bool {
        self.group.is_some()
    }

    /// Whether these arguments and those of the command make sense together.
    pub(super) fn check(&self, arguments: &ConsumeArguments) -> Result<(), Failure> {
        if !self.is_member() {
            return Ok(());
        }
        if self.regex && arguments.topics.len() > 1 {
            return Err(Failure::usage("--regex takes one expression; write 'a|b' for either"));
        }
        if arguments.partitions.is_some() || arguments.to.is_some() {
            return Err(Failure::usage("--partitions and --to are not for --group, which shares partitions"));
        }
        self.offset_reset(arguments.from).map(drop)
    }

    /// Where a partition begins of which the group has committed nothing.
    fn offset_reset(&self, from: Bound) -> Result<OffsetReset, Failure> {
        match from {
            Bound::Earliest => Ok(OffsetReset::Earliest),
            Bound::Latest => Ok(OffsetReset::Latest),
            _ => Err(Failure::usage(
                "with --group, --from is for partitions of which nothing was committed: earliest or latest",
            )),
        }
    }

    fn config(&self, arguments: &ConsumeArguments) -> Result<ConsumerConfig, Failure> {
        let mut config = ConsumerConfig {
            group_id: self.group.clone(),
            group_instance_id: self.group_instance_id.clone(),
            offset_reset: self.offset_reset(arguments.from)?,
            auto_commit: Some(COMMIT_INTERVAL),
            session_timeout: self.session_timeout,
            heartbeat_interval: (self.session_timeout / 3).min(Duration::from_secs(3)),
            ..arguments.consumer_config()
        };
        match self.group_protocol {
            Protocol::Classic if !self.assignor.is_empty() => {
                let named = |name: &String| {
                    Assignor::client_named(name)
                        .ok_or_else(|| Failure::usage(format!("there is no assignor {name:?}")))
                };
                config.assignors = self.assignor.iter().map(named).collect::<Result<_, _>>()?;
            }
            Protocol::Classic => {}
            Protocol::Consumer if self.assignor.len() > 1 => {
                return Err(Failure::usage("the consumer protocol takes one --assignor"));
            }
            Protocol::Consumer => {
                config.group_protocol = GroupProtocol::Consumer;
                config.server_assignor = self.assignor.first().cloned();
            }
        }
        Ok(config)
    }
}

/// Runs the command as a member of the group.
pub(super) async fn run(
    client: &Client,
    arguments: &ConsumeArguments,
    output: Output,
) -> Result<(), Failure> {
    let consumer = client.consumer(arguments.group.config(arguments)?);
    match arguments.topics.as_slice() {
        [pattern] if arguments.group.regex => consumer.subscribe_pattern(pattern)?,
        topics => consumer.subscribe(topics)?,
    }
    let total = arguments.count.map_or(Total::Unknown, Total::Records);
    let mut member = Member {
        sink: Sink::new(arguments, output, total),
        exits_at_end: arguments.exit_at_end,
        consumer,
        in_hand: None,
    };
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| Failure::io("wait for signals", &error))?;
    let outcome = tokio::select! {
        outcome = member.run() => outcome.map(|()| ""),
        _ = tokio::signal::ctrl_c() => Ok(" (interrupted)"),
        _ = terminate.recv() => Ok(" (terminated)"),
    };
    let written = member.sink.output.flush();
    if let Some(in_hand) = &member.in_hand {
        // The rest of a batch, or what could not be written, is for who comes next.
        let next = if written.is_ok() { in_hand.next } else { in_hand.first };
        member.consumer.seek(&in_hand.partition, StartAt::Offset(next));
    }
    let closed = member.consumer.close().await;
    member.sink.finish(&outcome);
    outcome.map(drop).and(written).and(closed.map_err(Failure::from))
}

struct Member {
    consumer: Consumer,
    sink: Sink,
    exits_at_end: bool,
    /// The batch that is not written out, if one is not.
    in_hand: Option<InHand>,
}

/// A batch of which some records are written and none is known to have arrived.
struct InHand {
    partition: TopicPartition,
    first: Offset,
    /// Behind the last that was written.
    next: Offset,
}

impl Member {
    async fn run(&mut self) -> Result<(), Failure> {
        while self.sink.left != Some(0) {
            match self.consumer.poll(POLL_WAIT).await? {
                Some(batch) => self.take(&batch).await?,
                None if self.exits_at_end && self.is_at_end() => break,
                None => {}
            }
        }
        Ok(())
    }

    /// Writes a batch out, unless the count ends within it.
    async fn take(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let partition = batch.topic_partition();
        let before = self.sink.read;
        let first = batch.first_offset();
        let in_hand = self.in_hand.insert(InHand { partition: partition.clone(), first, next: first });
        for record in batch.records()? {
            let record = record?;
            if self.sink.left == Some(0) {
                self.sink.advance(before);
                return Ok(());
            }
            self.sink.write(partition, &record).await?;
            in_hand.next = record.offset.next();
        }
        self.sink.advance(before);
        self.sink.output.flush()?;
        self.in_hand = None;
        Ok(())
    }

    /// Whether everything that the group gave us is read.
    fn is_at_end(&self) -> bool {
        let assignment = self.consumer.assignment();
        !assignment.is_empty() && assignment.iter().all(|partition| self.consumer.is_at_end(partition))
    }
}
