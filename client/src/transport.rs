//! Where bytes come from: the one file of the client that opens sockets.
//!
//! A [`Connector`] turns a host and port into a byte stream. The default is plain TCP; a program that wants TLS, a
//! proxy, or a test that wants a scripted peer supplies its own. Nothing above this file knows what a socket is.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A bidirectional byte stream to one broker.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// The future a [`Connector`] returns.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send + 'a>>;

/// Opens byte streams to brokers: the hook for TLS, proxies and tests.
pub trait Connector: fmt::Debug + Send + Sync {
    /// Opens a stream to `host:port`. The caller bounds how long it may take.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a>;
}

/// Plain TCP with Nagle's algorithm off.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> Connecting<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}

/// A `host:port` pair as written in a bootstrap list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokerAddress {
    /// Name or address, without brackets for IPv6.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl BrokerAddress {
    /// Kafka's default port.
    pub const DEFAULT_PORT: u16 = 9092;

    /// Reads one `host[:port]`, `[v6]:port` or `PLAINTEXT://host:port`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<BrokerAddress, String> {
        let bare = text.trim();
        let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest);
        let (host, port) = match bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match bare.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => (bare, None),
                Some((host, port)) => (host, Some(port)),
                None => (bare, None),
            },
        };
        let port = match port {
            None => BrokerAddress::DEFAULT_PORT,
            Some(digits) => digits
                .parse::<u16>()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("'{text}': '{digits}' is not a port between 1 and 65535"))?,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(format!("'{text}' is not HOST:PORT"));
        }
        Ok(BrokerAddress { host: host.to_owned(), port })
    }

    /// Reads a comma-separated bootstrap list.
    ///
    /// # Errors
    /// The first address that does not parse, or an empty list.
    pub fn parse_list(text: &str) -> Result<Vec<BrokerAddress>, String> {
        let list: Vec<BrokerAddress> = text
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(BrokerAddress::parse)
            .collect::<Result<_, _>>()?;
        if list.is_empty() {
            return Err("the bootstrap list is empty: give HOST:PORT[,HOST:PORT...]".to_owned());
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_addresses_are_read_with_and_without_port_scheme_and_brackets() {
        let cases = [
            ("localhost", "localhost:9092"),
            (" kafka-1:19092 ", "kafka-1:19092"),
            ("PLAINTEXT://10.0.0.1:9093", "10.0.0.1:9093"),
            ("[::1]:9094", "[::1]:9094"),
            ("::1", "[::1]:9092"),
        ];
        for (text, expected) in cases {
            assert_eq!(BrokerAddress::parse(text).map(|a| a.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn addresses_that_cannot_be_right_are_refused_with_a_sentence() {
        for text in ["", "host:", "host:0", "host:70000", "a b:9092", ":9092"] {
            assert!(BrokerAddress::parse(text).is_err(), "{text}");
        }
        assert!(BrokerAddress::parse_list(" , ").is_err());
        assert_eq!(BrokerAddress::parse_list("a:1,b:2").map(|list| list.len()), Ok(2));
    }
}
