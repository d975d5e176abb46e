//! A connection against scripted peers.

use std::sync::Arc;

use ottla_protocol::messages::api_versions::ApiVersion;
use ottla_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::transport::{ByteStream, Connecting, Connector};

/// Hands each connection's other end to a script.
struct Scripted<F>(F);

impl<F> std::fmt::Debug for Scripted<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl<F, S> Connector for Scripted<F>
where
    F: Fn(Peer) -> S + Send + Sync,
    S: Future<Output = ()> + Send + 'static,
{
    fn connect<'a>(&'a self, _host: &'a str, _port: u16) -> Connecting<'a> {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(self.0(Peer(far)));
        Box::pin(async { Ok(Box::new(near) as Box<dyn ByteStream>) })
    }
}

/// The broker's end of a connection.
struct Peer(DuplexStream);

/// A request as the peer sees it.
struct Asked {
    api_key: i16,
    version: i16,
    correlation_id: i32,
}

impl Peer {
    async fn asked(&mut self) -> Asked {
        let length = self.0.read_i32().await.expect("a frame");
        let mut frame = vec![0; usize::try_from(length).expect("positive")];
        self.0.read_exact(&mut frame).await.expect("a whole frame");
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let correlation_id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
        Asked { api_key: number(0), version: number(2), correlation_id }
    }

    async fn answer<R: Request>(&mut self, correlation_id: i32, version: i16, response: R::Response) {
        let encoded = frame::encode_response(correlation_id, R::KEY, version, response).expect("legal");
        self.0.write_all(&encoded.bytes).await.expect("read");
    }

    /// Answers ApiVersions with everything we speak ourselves.
    async fn greet(&mut self) {
        let asked = self.asked().await;
        assert_eq!(asked.api_key, ApiKey::ApiVersions.key());
        self.answer::<ApiVersionsRequest>(asked.correlation_id, asked.version, speaks_all()).await;
    }
}

fn speaks_all() -> ApiVersionsResponse {
    let row =
        |row: &ApiRange| ApiVersion { api_key: row.key.key(), min_version: row.min, max_version: row.max };
    ApiVersionsResponse { api_keys: API_TABLE.iter().map(row).collect(), ..Default::default() }
}

async fn open<S: Future<Output = ()> + Send + 'static>(
    script: impl Fn(Peer) -> S + Send + Sync + 'static,
) -> Result<Connection> {
    let config =
        ClientConfig { connector: Arc::new(Scripted(script)), in_flight_max: 2, ..ClientConfig::default() };
    let address = BrokerAddress { host: "scripted".to_owned(), port: 1 };
    Connection::open(&address, &config).await
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_broker_that_does_not_know_our_version_of_api_versions_is_asked_in_one_it_knows() {
    let connection = open(|mut peer| async move {
        let first = peer.asked().await;
        assert!(first.version > 2);
        let row = ApiVersion { api_key: ApiKey::ApiVersions.key(), min_version: 0, max_version: 2 };
        let refusal = ApiVersionsResponse {
            error_code: ErrorCode::UNSUPPORTED_VERSION,
            api_keys: vec![row],
            ..Default::default()
        };
        peer.answer::<ApiVersionsRequest>(first.correlation_id, 0, refusal).await;
        let second = peer.asked().await;
        assert_eq!(second.version, 2);
        let mut old = speaks_all();
        old.api_keys.retain(|row| row.api_key == ApiKey::Metadata.key());
        old.api_keys[0].max_version = 5;
        peer.answer::<ApiVersionsRequest>(second.correlation_id, 2, old).await;
        peer.asked().await;
    })
    .await
    .expect("agreed");
    assert_eq!(connection.version::<MetadataRequest>().expect("spoken"), 5);
    let unknown =
        connection.version::<ottla_protocol::messages::produce::ProduceRequest>().expect_err("not spoken");
    assert!(unknown.to_string().contains("Produce") && !unknown.is_retriable(), "{unknown}");
}

#[tokio::test]
async fn requests_are_pipelined_and_each_gets_its_own_answer() {
    let connection = open(|mut peer| async move {
        peer.greet().await;
        let asked = [peer.asked().await, peer.asked().await];
        for (controller_id, asked) in (0..).zip(asked) {
            let response = MetadataResponse { controller_id, ..Default::default() };
            peer.answer::<MetadataRequest>(asked.correlation_id, asked.version, response).await;
        }
        peer.asked().await;
    })
    .await
    .expect("agreed");
    let (first, second) = tokio::join!(
        connection.call(MetadataRequest::default(), SOON),
        connection.call(MetadataRequest::default(), SOON),
    );
    assert_eq!(first.expect("answered").controller_id, 0);
    assert_eq!(second.expect("answered").controller_id, 1);
}

#[tokio::test]
async fn a_dropped_call_loses_only_its_own_answer_and_gives_its_room_back() {
    let connection = open(|mut peer| async move {
        peer.greet().await;
        loop {
            let asked = peer.asked().await;
            tokio::time::sleep(Duration::from_millis(30)).await;
            peer.answer::<MetadataRequest>(asked.correlation_id, asked.version, MetadataResponse::default())
                .await;
        }
    })
    .await
    .expect("agreed");
    for _ in 0..5 {
        let impatient = connection.call(MetadataRequest::default(), SOON);
        assert!(timeout(Duration::from_millis(1), impatient).await.is_err());
    }
    connection.call(MetadataRequest::default(), SOON).await.expect("still open");
}

#[tokio::test]
async fn a_missed_deadline_closes_the_connection_and_tells_everybody() {
    let connection = open(|mut peer| async move {
        peer.greet().await;
        peer.asked().await;
        peer.asked().await;
        std::future::pending::<()>().await;
    })
    .await
    .expect("agreed");
    let (impatient, other) = tokio::join!(
        connection.call(MetadataRequest::default(), Duration::from_millis(20)),
        connection.call(MetadataRequest::default(), SOON),
    );
    for error in [impatient.expect_err("late"), other.expect_err("closed")] {
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. }) && error.is_retriable(), "{error}");
        assert!(error.to_string().contains("scripted:1"), "{error}");
    }
    assert!(connection.is_closed());
    assert!(connection.call(MetadataRequest::default(), SOON).await.is_err());
}

#[tokio::test]
async fn answers_that_make_no_sense_close_the_connection() {
    async fn answered(bytes: &'static [u8]) -> ClientError {
        let connection = open(move |mut peer| async move {
            peer.greet().await;
            peer.asked().await;
            peer.0.write_all(bytes).await.expect("read");
            std::future::pending::<()>().await;
        })
        .await
        .expect("agreed");
        let error = connection.call(MetadataRequest::default(), SOON).await.expect_err("nonsense");
        assert!(connection.is_closed());
        error
    }
    for (bytes, reason) in [
        (&[0, 0, 0, 4, 0x70, 0, 0, 0][..], "correlation id"),
        (&[0, 0, 0, 2, 0, 0], "a response of 2 bytes"),
        (&[0xff, 0xff, 0xff, 0xff], "a frame of -1 bytes"),
        (&[0x7f, 0xff, 0xff, 0xff], "a frame of 2147483647 bytes"),
        (&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0x0f], "malformed"),
    ] {
        let error = answered(bytes).await;
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.is_retriable(), "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_a_lost_connection() {
    let connection = open(|mut peer| async move {
        peer.greet().await;
        peer.asked().await;
    })
    .await
    .expect("agreed");
    let error = connection.call(MetadataRequest::default(), SOON).await.expect_err("gone");
    assert!(matches!(error.kind(), ErrorKind::Disconnected { .. }) && error.is_retriable(), "{error}");
    let silent = open(|peer| async move { drop(peer) }).await.err().expect("nobody there");
    assert!(silent.is_retriable(), "{silent}");
}
