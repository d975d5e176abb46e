//! Where the broker listens and what address it tells its clients, read from `listeners`, `advertised.listeners` and
//! `listener.security.protocol.map`.
//!
//! A listener without an advertised address tells each client the address that it dialled ([`Advertised::AsDialled`]).
//! Listeners of the controller are left out: a single node needs none. Not here: opening sockets.

use std::collections::BTreeMap;
use std::fmt;

/// A listener that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: String,
    /// What is spoken on it.
    pub protocol: SecurityProtocol,
    /// Where to bind.
    pub bind: HostPort,
    /// What clients are told.
    pub advertised: Advertised,
}

/// What is spoken on a listener. Others than plain text are refused when the listeners are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Kafka's protocol as it is, without encryption or authentication.
    Plaintext,
}

/// A host and a port. An empty host means every interface; port 0 means any free port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or address, without brackets; empty for every interface.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// What address clients are told to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertised {
    /// The one that the client dialled: nothing is advertised for this listener.
    AsDialled,
    /// This one.
    Address(HostPort),
}

/// Why the listeners cannot be used, as one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenerError {
    /// Not of the form `NAME://host:port`.
    #[error("{0:?} is not a listener: expected NAME://host:port")]
    Malformed(String),
    /// Two listeners of one name.
    #[error("there are two listeners named {0}")]
    DuplicateName(String),
    /// Two listeners on one port.
    #[error("two listeners want port {0} on the same address")]
    DuplicatePort(u16),
    /// The name is not in `listener.security.protocol.map`.
    #[error("listener.security.protocol.map does not say which protocol listener {0} speaks")]
    NoProtocol(String),
    /// A protocol that ottla does not speak yet.
    #[error("listener {name} asks for {protocol}, which is not served yet: only PLAINTEXT is")]
    Unsupported {
        /// The listener.
        name: String,
        /// What it asks for.
        protocol: String,
    },
    /// An entry of the map is not `NAME:PROTOCOL`.
    #[error("{0:?} in listener.security.protocol.map is not NAME:PROTOCOL")]
    MalformedMap(String),
    /// The protocol is not one of Kafka's.
    #[error("{0:?} is not a security protocol: it is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL")]
    UnknownProtocol(String),
    /// An advertised listener that does not exist.
    #[error("advertised.listeners names {0}, which is not one of the listeners")]
    AdvertisedUnknown(String),
    /// Nobody can connect to the address that is advertised.
    #[error(
        "clients cannot connect to the advertised address {0}: advertise one that they can reach, or none"
    )]
    NotRoutable(HostPort),
    /// `inter.broker.listener.name` does not exist.
    #[error("inter.broker.listener.name names {0}, which is not one of the listeners")]
    InterBrokerUnknown(String),
    /// Nothing is left to listen on.
    #[error("there is no listener for clients")]
    None,
}

/// The texts that say where to listen.
#[derive(Clone, Copy, Debug)]
pub struct ListenerTexts<'a> {
    /// `listeners`.
    pub listeners: &'a [String],
    /// `advertised.listeners`; empty when it is not set.
    pub advertised: &'a [String],
    /// `listener.security.protocol.map`.
    pub protocol_map: &'a str,
    /// `controller.listener.names`.
    pub controllers: &'a [String],
    /// `inter.broker.listener.name`, when it is set.
    pub inter_broker: Option<&'a str>,
}

/// Reads the listeners for clients, in their order.
///
/// # Errors
/// See [`ListenerError`].
pub fn parse(texts: ListenerTexts<'_>) -> Result<Vec<Listener>, ListenerError> {
    let protocols = parse_map(texts.protocol_map)?;
    let bound = parse_list(texts.listeners)?;
    let advertised = parse_list(texts.advertised)?;
    let is_known = |name: &str| bound.iter().any(|(bound, _)| bound == name);
    if let Some((unknown, _)) = advertised.iter().find(|(name, _)| !is_known(name)) {
        return Err(ListenerError::AdvertisedUnknown(unknown.clone()));
    }
    if let Some(unknown) = texts.inter_broker.map(str::to_ascii_uppercase).filter(|name| !is_known(name)) {
        return Err(ListenerError::InterBrokerUnknown(unknown));
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for (name, bind) in &bound {
        if texts.controllers.iter().any(|controller| controller.eq_ignore_ascii_case(name)) {
            continue;
        }
        if bind.port != 0
            && listeners
                .iter()
                .any(|other| other.bind.port == bind.port && overlap(&other.bind.host, &bind.host))
        {
            return Err(ListenerError::DuplicatePort(bind.port));
        }
        let protocol = protocols.get(name).ok_or_else(|| ListenerError::NoProtocol(name.clone()))?;
        if protocol != "PLAINTEXT" {
            return Err(ListenerError::Unsupported { name: name.clone(), protocol: protocol.clone() });
        }
        let told = advertised.iter().find(|(advertised, _)| advertised == name);
        let advertised = match told {
            None => Advertised::AsDialled,
            Some((_, address))
                if matches!(address.host.as_str(), "" | "0.0.0.0" | "::") || address.port == 0 =>
            {
                return Err(ListenerError::NotRoutable(address.clone()));
            }
            Some((_, address)) => Advertised::Address(address.clone()),
        };
        let protocol = SecurityProtocol::Plaintext;
        listeners.push(Listener { name: name.clone(), protocol, bind: bind.clone(), advertised });
    }
    if listeners.is_empty() { Err(ListenerError::None) } else { Ok(listeners) }
}

/// One port may serve two addresses, such as one of each IP version, but not an address and all of them.
fn overlap(one: &str, other: &str) -> bool {
    one == other || one.is_empty() || other.is_empty()
}

fn parse_map(text: &str) -> Result<BTreeMap<String, String>, ListenerError> {
    let mut protocols = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, protocol) =
            entry.split_once(':').ok_or_else(|| ListenerError::MalformedMap(entry.to_owned()))?;
        let protocol = protocol.trim().to_ascii_uppercase();
        if !matches!(protocol.as_str(), "PLAINTEXT" | "SSL" | "SASL_PLAINTEXT" | "SASL_SSL") {
            return Err(ListenerError::UnknownProtocol(protocol));
        }
        protocols.insert(name.trim().to_ascii_uppercase(), protocol);
    }
    Ok(protocols)
}

fn parse_list(items: &[String]) -> Result<Vec<(String, HostPort)>, ListenerError> {
    let mut listeners: Vec<(String, HostPort)> = Vec::new();
    for item in items {
        let (name, address) = parse_one(item).ok_or_else(|| ListenerError::Malformed(item.clone()))?;
        if listeners.iter().any(|(other, _)| *other == name) {
            return Err(ListenerError::DuplicateName(name));
        }
        listeners.push((name, address));
    }
    Ok(listeners)
}

fn parse_one(item: &str) -> Option<(String, HostPort)> {
    let (name, address) = item.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        // More colons would be an IPv6 address, whose end cannot be told from the port.
        None if host.contains(':') => return None,
        None => host,
    };
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    is_name.then_some(())?;
    Some((name.to_ascii_uppercase(), HostPort { host: host.to_owned(), port: port.parse().ok()? }))
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT,INSIDE:plaintext";

    fn listeners(bound: &str, advertised: &str) -> Result<Vec<Listener>, ListenerError> {
        let list = |text: &str| -> Vec<String> {
            text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
        };
        parse(ListenerTexts {
            listeners: &list(bound),
            advertised: &list(advertised),
            protocol_map: MAP,
            controllers: &["CONTROLLER".to_owned()],
            inter_broker: None,
        })
    }

    fn host_port(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[test]
    fn kafkas_stock_file_gives_one_listener_for_clients() {
        let stock = listeners(
            "PLAINTEXT://:9092,CONTROLLER://:9093",
            "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        );
        let [listener] = &stock.unwrap()[..] else { panic!("one listener") };
        assert_eq!((listener.name.as_str(), &listener.bind), ("PLAINTEXT", &host_port("", 9092)));
        assert_eq!(listener.advertised, Advertised::Address(host_port("localhost", 9092)));
    }

    #[test]
    fn who_advertises_nothing_answers_with_what_was_dialled() {
        let two =
            listeners("PLAINTEXT://[::1]:0,inside://127.0.0.1:0", "INSIDE://broker.local:19092").unwrap();
        assert_eq!(two[0].bind, host_port("::1", 0));
        assert_eq!(two[0].advertised, Advertised::AsDialled);
        assert_eq!(two[1].advertised, Advertised::Address(host_port("broker.local", 19092)));
        assert_eq!(two[0].bind.to_string(), "[::1]:0");
    }

    #[test]
    fn a_listener_that_cannot_work_is_refused_with_its_reason() {
        for (bound, advertised, error) in [
            ("PLAINTEXT//:1", "", ListenerError::Malformed("PLAINTEXT//:1".into())),
            ("PLAINTEXT://:x", "", ListenerError::Malformed("PLAINTEXT://:x".into())),
            ("PLAINTEXT://::1:9", "", ListenerError::Malformed("PLAINTEXT://::1:9".into())),
            ("PLAINTEXT://:1,PLAINTEXT://:2", "", ListenerError::DuplicateName("PLAINTEXT".into())),
            ("PLAINTEXT://:1,INSIDE://10.0.0.1:1", "", ListenerError::DuplicatePort(1)),
            ("OUTSIDE://:1", "", ListenerError::NoProtocol("OUTSIDE".into())),
            ("SSL://:1", "", ListenerError::Unsupported { name: "SSL".into(), protocol: "SSL".into() }),
            ("PLAINTEXT://:1", "INSIDE://a:1", ListenerError::AdvertisedUnknown("INSIDE".into())),
            ("PLAINTEXT://:1", "PLAINTEXT://0.0.0.0:1", ListenerError::NotRoutable(host_port("0.0.0.0", 1))),
            ("CONTROLLER://:1", "", ListenerError::None),
            ("", "", ListenerError::None),
        ] {
            assert_eq!(listeners(bound, advertised), Err(error), "{bound} {advertised}");
        }
    }

    #[test]
    fn the_protocol_map_is_checked() {
        assert_eq!(parse_map("A"), Err(ListenerError::MalformedMap("A".into())));
        assert_eq!(parse_map("A:TLS"), Err(ListenerError::UnknownProtocol("TLS".into())));
    }
}
