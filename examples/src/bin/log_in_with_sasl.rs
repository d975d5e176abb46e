//! How do I log in, or put TLS or a proxy in between? Bring a transport: a `Connector` opens the byte stream, and may say
//! on it what has to be said before Kafka's protocol begins.
//!
//! This one logs in with SASL/PLAIN (KIP-43, KIP-152). With `OTTLA_BOOTSTRAP` and `OTTLA_LOGIN=user:password` it logs in
//! to that cluster; otherwise to a gate of its own in front of a broker in this process, because that one asks nobody.

#![allow(clippy::print_stdout, reason = "its output is the example")]

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ottla_client::{
    ByteStream, Client, ClientConfig, Connecting, Connector, ProducerRecord, StartAt, TcpConnector,
};
use ottla_examples::{Cluster, fresh_topic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;

/// TCP, and then a login.
#[derive(Debug)]
struct SaslPlain {
    user: String,
    password: String,
}

impl Connector for SaslPlain {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let mut stream = TcpConnector.connect(host, port).await?;
            ask(&mut stream, SASL_HANDSHAKE, b"\0\x05PLAIN").await?;
            let token = format!("\0{}\0{}", self.user, self.password);
            let length = i32::try_from(token.len()).map_err(io::Error::other)?;
            let login = [&length.to_be_bytes()[..], token.as_bytes()].concat();
            ask(&mut stream, SASL_AUTHENTICATE, &login).await?;
            Ok(stream)
        })
    }
}

/// One request in version 1, whose answer begins with an error code.
async fn ask(stream: &mut Box<dyn ByteStream>, api_key: i16, body: &[u8]) -> io::Result<()> {
    let mut request = Vec::new();
    for part in [api_key, 1] {
        request.extend_from_slice(&part.to_be_bytes());
    }
    let (correlation_id, no_client_id) = (7_i32.to_be_bytes(), (-1_i16).to_be_bytes());
    request.extend([&correlation_id[..], &no_client_id, body].concat());
    stream.write_u32(request.len() as u32).await?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    let answer = frame(stream).await?;
    match answer.get(4..6) {
        Some([0, 0]) => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the broker refused the login")),
    }
}

async fn frame(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut frame = vec![0; usize::try_from(length.min(1 << 16)).unwrap_or(0)];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// A gate that lets `alice:secret` through to a broker, on the broker's behalf.
async fn gate(listener: TcpListener, broker: String) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let broker = broker.clone();
        tokio::spawn(async move { pass(client, &broker).await });
    }
}

async fn pass(mut client: TcpStream, broker: &str) -> io::Result<()> {
    for ending in [&b"PLAIN"[..], b"\0alice\0secret"] {
        let request = frame(&mut client).await?;
        let error_code: i16 = if request.ends_with(ending) { 0 } else { 58 };
        let correlation_id = &request[4..8];
        let nothing_else = [0; 8];
        let answer = [correlation_id, &error_code.to_be_bytes(), &nothing_else].concat();
        client.write_u32(answer.len() as u32).await?;
        client.write_all(&answer).await?;
        if error_code != 0 {
            return Ok(());
        }
    }
    let mut broker = TcpStream::connect(broker).await?;
    tokio::io::copy_bidirectional(&mut client, &mut broker).await.map(drop)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    let login = std::env::var("OTTLA_LOGIN").ok();
    let (user, password) =
        login.as_deref().and_then(|login| login.split_once(':')).unwrap_or(("alice", "secret"));
    let mut own_gate = None;
    if login.is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        own_gate = Some(listener.local_addr()?);
        tokio::spawn(gate(listener, cluster.bootstrap.clone()));
    }
    let client_with = |password: &str| -> ottla_client::Result<Client> {
        let connector = SaslPlain { user: user.to_owned(), password: password.to_owned() };
        let connector: Arc<dyn Connector> = match own_gate {
            Some(gate) => Arc::new(Through { gate, connector }),
            None => Arc::new(connector),
        };
        Ok(Client::new(ClientConfig { connector, ..ClientConfig::new(&cluster.bootstrap)? }))
    };

    let stranger = client_with("wrong")?;
    let refused = stranger.learn_cluster().await.expect_err("a stranger is not let in");
    println!("a wrong password: {}", refused.to_string().rsplit(": ").next().unwrap_or_default());

    let client = client_with(password)?;
    let topic = fresh_topic(&client, "example-login", 1).await?;
    let producer = client.producer(Default::default());
    for _ in 0..100 {
        drop(producer.send(&topic, ProducerRecord::value(b"behind the gate")).await?);
    }
    producer.flush().await?;
    let consumer = client.consumer(Default::default());
    consumer.assign_topic(&topic, StartAt::Earliest).await?;
    let mut read = 0;
    while read < 100 {
        let batch = consumer.poll(Duration::from_secs(20)).await?.ok_or("nothing came")?;
        read += batch.records()?.count();
    }
    println!("the right one: sent 100 records and read {read}");
    client.admin().delete_topic(&topic).await?;
    cluster.stop().await
}

/// Goes through the gate, whatever address the broker announces.
#[derive(Debug)]
struct Through {
    gate: std::net::SocketAddr,
    connector: SaslPlain,
}

impl Connector for Through {
    fn connect<'a>(&'a self, _host: &'a str, _port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let host = self.gate.ip().to_string();
            self.connector.connect(&host, self.gate.port()).await
        })
    }
}
