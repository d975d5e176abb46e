//! Rule 4, of brokers: the address in Metadata is one that the client can reach.

use std::net::SocketAddr;

use ottla_protocol::messages::describe_cluster::DescribeClusterRequest;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;

use crate::support::requests::metadata_of_all;
use crate::support::{Client, TestBroker};

/// The address of the only broker that Metadata names.
fn named(client: &mut Client) -> (String, i32) {
    let response = client.call(12, metadata_of_all());
    let [broker] = &response.brokers[..] else { panic!("{:?}", response.brokers) };
    (broker.host.to_string(), broker.port)
}

#[test]
fn rule_04_without_an_advertised_address_the_dialled_one_is_named() {
    let broker = TestBroker::start(&[("listeners", "PLAINTEXT://0.0.0.0:0")]);
    let port = broker.address().port();
    for dialled in ["127.0.0.1", "127.0.0.2", "127.8.9.10"] {
        let mut client = Client::connect(SocketAddr::new(dialled.parse().unwrap(), port));
        assert_eq!(named(&mut client), (dialled.to_owned(), i32::from(port)));
        let cluster = client.call(0, DescribeClusterRequest { endpoint_type: 1, ..Default::default() });
        assert_eq!(&*cluster.brokers[0].host, dialled);
    }
}

#[test]
fn rule_04_an_advertised_address_is_named_to_everybody() {
    let broker = TestBroker::start(&[("advertised.listeners", "PLAINTEXT://kafka.example.org:19092")]);
    let mut client = broker.connect();
    let advertised = ("kafka.example.org".to_owned(), 19092);
    assert_eq!(named(&mut client), advertised);
    let request = FindCoordinatorRequest { key: "group".into(), ..FindCoordinatorRequest::default() };
    let mut found = client.call(3, request.clone());
    while found.port <= 0 {
        found = client.call(3, request.clone());
    }
    assert_eq!((found.host.to_string(), found.port), advertised, "the coordinator too");
}

#[test]
fn rule_04_each_listener_names_its_own_address() {
    let broker = TestBroker::start(&[
        ("listeners", "PLAINTEXT://127.0.0.1:0,OUTSIDE://127.0.0.1:0"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT"),
        ("advertised.listeners", "PLAINTEXT://inside:1,OUTSIDE://outside:2"),
    ]);
    for (name, address) in broker.addresses() {
        let expected = if name == "PLAINTEXT" { "inside" } else { "outside" };
        assert_eq!(named(&mut Client::connect(address)).0, expected);
    }
    assert_eq!(broker.addresses().len(), 2);
}
