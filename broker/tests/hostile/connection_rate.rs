//! `max.connection.creation.rate` (KIP-612): a flood of new connections is served, but not faster than the broker or the
//! listener allows, and a listener that is held back does not hold back another.

use std::time::{Duration, Instant};

use crate::support::client::PATIENCE;
use crate::support::requests::api_versions;
use crate::support::{Client, TestBroker};

const TWO_LISTENERS: [(&str, &str); 2] = [
    ("listeners", "PLAINTEXT://127.0.0.1:0,OUTSIDE://127.0.0.1:0"),
    ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT"),
];

/// Long enough that a test is over before it is.
const FOR_EVER: [(&str, &str); 2] = [("quota.window.num", "1"), ("quota.window.size.seconds", "600")];

fn start(settings: &[&[(&str, &str)]]) -> TestBroker {
    TestBroker::start(&settings.concat())
}

/// Connects to the listener of this name.
fn connect(broker: &TestBroker, listener: &str) -> Client {
    let addresses = broker.addresses();
    let (_, address) = addresses.iter().find(|(name, _)| name == listener).unwrap();
    Client::connect(*address)
}

fn expect_no_answer(client: &mut Client) {
    client.send(3, api_versions());
    client.set_patience(Duration::from_millis(100));
    assert!(client.receive_frame().is_err(), "its connection had to wait");
}

#[test]
fn a_flood_of_connections_is_served_at_the_rate_that_is_set() {
    let window = [("quota.window.num", "2"), ("max.connection.creation.rate", "20")];
    let broker = start(&[&window]);
    let began = Instant::now();
    // The first twenty are a welcome burst.
    let mut clients: Vec<Client> = (0..35).map(|_| broker.connect()).collect();
    clients.iter_mut().for_each(Client::expect_service);
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
}

#[test]
fn the_rate_of_one_listener_holds_back_no_other() {
    let outside = [("listener.name.outside.max.connection.creation.rate", "0")];
    let broker = start(&[&TWO_LISTENERS, &FOR_EVER, &outside]);
    expect_no_answer(&mut connect(&broker, "OUTSIDE"));
    for _ in 0..50 {
        connect(&broker, "PLAINTEXT").expect_service();
    }
}

#[test]
fn the_rate_of_the_broker_holds_at_every_listener() {
    let broker = start(&[&TWO_LISTENERS, &FOR_EVER, &[("max.connection.creation.rate", "0")]]);
    for name in ["PLAINTEXT", "OUTSIDE"] {
        expect_no_answer(&mut connect(&broker, name));
    }
}

#[test]
fn a_broker_that_holds_a_connection_back_stops_at_once() {
    let broker = start(&[&FOR_EVER, &[("max.connection.creation.rate", "0")]]);
    let mut waiting = broker.connect();
    expect_no_answer(&mut waiting);
    let began = Instant::now();
    let mut broker = broker;
    broker.stop();
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn a_listener_has_a_number_of_connections_of_its_own() {
    let broker = start(&[&TWO_LISTENERS, &[("listener.name.outside.max.connections", "2")]]);
    let mut inside: Vec<Client> = (0..2).map(|_| connect(&broker, "OUTSIDE")).collect();
    inside.iter_mut().for_each(Client::expect_service);
    connect(&broker, "OUTSIDE").expect_close();
    connect(&broker, "PLAINTEXT").expect_service();
    drop(inside.pop());
    let began = Instant::now();
    loop {
        let mut next = connect(&broker, "OUTSIDE");
        next.set_patience(PATIENCE);
        if next.try_send_bytes(&crate::support::client::frame(3, 1, &[0xff, 0xff, 0, 0, 0, 0])).is_ok()
            && next.receive_frame().is_ok()
        {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the place of a closed connection becomes free");
    }
}
