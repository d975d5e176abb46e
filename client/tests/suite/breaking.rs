//! Connections that break, on a cluster that works.
//!
//! A connector in front of TCP cuts each connection after a number of bytes, in the middle of whatever passes. The
//! numbers come from a seed, which a failure names.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ottla_client::{
    Backoff, ByteStream, Client, ClientConfig, Compression, Connecting, Connector, ConsumerConfig,
    PartitionIndex, ProducerConfig, ProducerRecord, StartAt, TcpConnector,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fresh_topic;

/// Cuts connections after a while.
#[derive(Debug)]
struct Breaking {
    state: AtomicU64,
    bytes_max: u64,
    cut_count: Arc<AtomicU64>,
}

impl Breaking {
    /// A splitmix64 step: where the next connection breaks.
    fn next_bytes(&self) -> u64 {
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Enough to agree on versions first, or nothing would ever get through.
        2_000 + (z ^ (z >> 31)) % self.bytes_max
    }
}

impl Connector for Breaking {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let stream = TcpConnector.connect(host, port).await?;
            let cut_count = Arc::clone(&self.cut_count);
            Ok(Box::new(Cut { stream, bytes_left: self.next_bytes(), cut_count }) as Box<dyn ByteStream>)
        })
    }
}

struct Cut {
    stream: Box<dyn ByteStream>,
    bytes_left: u64,
    cut_count: Arc<AtomicU64>,
}

impl Cut {
    fn spend(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes as u64);
        if self.bytes_left == 0 {
            self.cut_count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes_left == 0 {
            return Poll::Ready(Err(reset()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        self.spend(bytes);
        read
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.bytes_left == 0 {
            return Poll::Ready(Err(reset()));
        }
        // The broker gets what fits, which may be half a request.
        let fits = bytes.len().min(usize::try_from(self.bytes_left).unwrap_or(usize::MAX));
        let written = Pin::new(&mut self.stream).poll_write(context, &bytes[..fits]);
        if let Poll::Ready(Ok(count)) = &written {
            self.spend(*count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An idempotent producer and a consumer lose, repeat and reorder nothing.
pub(super) async fn every_record_arrives_once_and_in_order_over_connections_that_break(client: &Client) {
    const RECORDS: u64 = 9_000;
    for seed in [1, 2, 3] {
        let topic = fresh_topic(client, "breaking", 3).await;
        let cut_count = Arc::new(AtomicU64::new(0));
        let connector =
            Breaking { state: AtomicU64::new(seed), bytes_max: 15_000, cut_count: Arc::clone(&cut_count) };
        let bootstrap: Vec<_> = client.brokers().into_iter().map(|broker| broker.address).collect();
        let flaky = Client::new(ClientConfig {
            bootstrap,
            connector: Arc::new(connector),
            backoff: Backoff { initial: Duration::from_millis(2), max: Duration::from_millis(20) },
            ..ClientConfig::default()
        });
        let config =
            ProducerConfig { batch_bytes: 1_500, compression: Compression::Lz4, ..ProducerConfig::default() };
        let producer = flaky.producer(config);
        for n in 0..RECORDS {
            let partition = PartitionIndex::new((n % 3) as i32);
            let value = n.to_be_bytes();
            let record = ProducerRecord::value(&value).to_partition(partition);
            drop(producer.send(&topic, record).await.expect("accepted"));
        }
        producer.flush().await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let produced_cuts = cut_count.load(Ordering::Relaxed);
        assert!(produced_cuts > 3, "seed {seed}: only {produced_cuts} connections broke");
        assert_eq!(producer.stats().delivered_records, RECORDS);

        let consumer =
            flaky.consumer(ConsumerConfig { partition_bytes_max: 3_000, ..ConsumerConfig::default() });
        consumer.assign_topic(&topic, StartAt::Earliest).await.expect("assigned");
        let mut next = [0_u64, 1, 2];
        let mut seen = 0;
        while seen < RECORDS {
            let batch = consumer.poll(Duration::from_secs(20)).await.expect("readable").expect("all arrive");
            let partition = batch.topic_partition().partition.get() as usize;
            for record in batch.records().expect("whole") {
                let value = record.expect("whole").value.expect("there");
                let n = u64::from_be_bytes(value[..].try_into().expect("eight bytes"));
                assert_eq!(n, next[partition], "seed {seed}: partition {partition}");
                next[partition] += 3;
                seen += 1;
            }
        }
        assert!(
            cut_count.load(Ordering::Relaxed) > produced_cuts,
            "seed {seed}: the consumer's connections held"
        );
        let ends = next.map(|n| n >= RECORDS);
        assert_eq!(ends, [true; 3], "seed {seed}");
    }
}
