//! Rules 5 and 6: fetch sessions (KIP-227).

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::fetch::{FetchRequest, FetchResponse, ForgottenTopic};

use crate::support::batches::{batch, values};
use crate::support::requests::{fetch, fetch_topic};
use crate::support::{Client, TestBroker};

/// Opens a session on partition 0 of these topics.
fn open(client: &mut Client, topics: &[&str]) -> FetchResponse {
    let topics = topics.iter().map(|topic| fetch_topic(topic, 0, 1 << 20)).collect();
    client.call(12, FetchRequest { session_epoch: 0, topics, ..FetchRequest::default() })
}

/// The next request of a session, with nothing changed.
fn next(session_id: i32, session_epoch: i32) -> FetchRequest {
    FetchRequest { session_id, session_epoch, ..FetchRequest::default() }
}

fn told(response: &FetchResponse) -> Vec<&str> {
    response.responses.iter().map(|topic| topic.topic.as_str()).collect()
}

#[test]
fn rule_05_a_fetch_that_wants_no_session_gets_none() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let response: FetchResponse = client.call(12, fetch(&topic, 0));
    assert_eq!((response.error_code, response.session_id), (ErrorCode::NONE, 0));
    assert_eq!(told(&response), [topic.as_str()]);
}

#[test]
fn rule_05_session_id_0_says_that_sessions_are_off() {
    let broker = TestBroker::start(&[("max.incremental.fetch.session.cache.slots", "0")]);
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let response = open(&mut client, &[&topic]);
    assert_eq!((response.error_code, response.session_id), (ErrorCode::NONE, 0));
    assert_eq!(told(&response), [topic.as_str()], "it is answered as a full fetch");
}

#[test]
fn rule_05_a_session_tells_only_what_is_new() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let [news, quiet] = [(); 2].map(|()| client.new_topic(1, &[]));
    let first = open(&mut client, &[&news, &quiet]);
    assert!(first.session_id > 0);
    assert_eq!(told(&first), [news.as_str(), quiet.as_str()]);
    let response: FetchResponse = client.call(12, next(first.session_id, 1));
    assert_eq!((response.session_id, told(&response)), (first.session_id, vec![]));
    client.append(&news, batch(&["a"]));
    let response: FetchResponse = client.call(12, next(first.session_id, 2));
    assert_eq!(told(&response), [news.as_str()]);
    assert_eq!(values(&response.responses[0].partitions[0]), ["a"]);
    // Whoever does not move its offset is told the same records again.
    let response: FetchResponse = client.call(12, next(first.session_id, 3));
    assert_eq!(told(&response), [news.as_str()]);
    let moved = FetchRequest { topics: vec![fetch_topic(&news, 1, 1 << 20)], ..next(first.session_id, 4) };
    let response: FetchResponse = client.call(12, moved);
    assert!(response.responses.iter().all(|topic| values(&topic.partitions[0]).is_empty()));
}

#[test]
fn rule_05_a_session_gains_and_forgets_partitions() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let [one, two] = [(); 2].map(|()| client.new_topic(1, &[]));
    let session_id = open(&mut client, &[&one]).session_id;
    let gained = FetchRequest { topics: vec![fetch_topic(&two, 0, 1 << 20)], ..next(session_id, 1) };
    assert_eq!(told(&client.call(12, gained)), [two.as_str()], "a new partition is told at once");
    let forgotten =
        ForgottenTopic { topic: Str::from(one.as_str()), partitions: vec![0], ..Default::default() };
    let forgets = FetchRequest { forgotten_topics_data: vec![forgotten], ..next(session_id, 2) };
    assert_eq!(told(&client.call(12, forgets)), Vec::<&str>::new());
    client.append(&one, batch(&["a"]));
    client.append(&two, batch(&["b"]));
    assert_eq!(told(&client.call(12, next(session_id, 3))), [two.as_str()]);
}

#[test]
fn rule_06_an_unknown_session_and_a_wrong_epoch_are_errors_of_the_whole_response() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let session_id = open(&mut client, &[&topic]).session_id;
    for epoch in [2, 5] {
        let response: FetchResponse = client.call(12, next(session_id, epoch));
        assert_eq!(response.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        assert_eq!((response.session_id, response.responses.len()), (0, 0));
    }
    let response: FetchResponse = client.call(12, next(session_id, 1));
    assert_eq!(response.error_code, ErrorCode::NONE, "the session is still there");
    let unknown = session_id.wrapping_add(1).max(1);
    let response: FetchResponse = client.call(12, next(unknown, 1));
    assert_eq!(response.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[test]
fn rule_06_a_closed_session_is_gone() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let session_id = open(&mut client, &[&topic]).session_id;
    let close = FetchRequest { session_id, session_epoch: -1, ..fetch(&topic, 0) };
    let response: FetchResponse = client.call(12, close);
    assert_eq!((response.error_code, response.session_id), (ErrorCode::NONE, 0));
    let response: FetchResponse = client.call(12, next(session_id, 1));
    assert_eq!(response.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[test]
fn rule_06_a_topic_that_is_deleted_becomes_an_error_in_the_session() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let topic = client.new_topic(1, &[]);
    let session_id = open(&mut client, &[&topic]).session_id;
    client.delete_topic(&topic);
    let response: FetchResponse = client.call(12, next(session_id, 1));
    assert_eq!(response.error_code, ErrorCode::NONE);
    let code = response.responses[0].partitions[0].error_code;
    assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}
