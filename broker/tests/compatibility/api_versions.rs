//! Rule 1: ApiVersions is understood before anything else is.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::{Str, decode};
use ottla_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};

use crate::support::client::frame;
use crate::support::requests::api_versions;
use crate::support::{Client, TestBroker};

/// The key of ApiVersions.
const KEY: i16 = 18;

/// Asks in one version and decodes the body right behind the correlation id.
fn ask(client: &mut Client, version: i16) -> ApiVersionsResponse {
    let sent = client.send(version, api_versions());
    let answer = client.receive_frame().unwrap();
    assert_eq!(answer[..4], sent.to_be_bytes());
    decode(answer.slice(4..), version, version >= 3).unwrap()
}

#[test]
fn rule_01_api_versions_response_header_is_never_flexible() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    for version in 0..=4 {
        // A byte of tags behind the correlation id would move the error code and leave a byte over.
        assert_eq!(ask(&mut client, version).error_code, ErrorCode::NONE, "version {version}");
    }
}

#[test]
fn rule_01_no_row_has_its_minimum_above_its_maximum_and_no_api_has_two_rows() {
    let broker = TestBroker::any();
    for version in 0..=4 {
        let rows = ask(&mut broker.connect(), version).api_keys;
        assert!(rows.iter().all(|row| 0 <= row.min_version && row.min_version <= row.max_version));
        let mut keys: Vec<i16> = rows.iter().map(|row| row.api_key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), rows.len());
    }
}

#[test]
fn rule_01_features_whose_minimum_is_0_are_hidden_below_version_4() {
    let broker = TestBroker::any();
    let features = ask(&mut broker.connect(), 3).supported_features;
    assert!(features.iter().all(|feature| feature.min_version > 0), "{features:?}");
}

#[test]
fn rule_01_an_unknown_version_is_answered_in_version_0_with_error_35_and_its_own_row() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    // A body that nobody can read yet.
    client.send_bytes(&frame(KEY, 99, &[0xff, 0xff, 0, 1, 2, 3]));
    let answer = client.receive_frame().unwrap();
    let expected: &[u8] = &[0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    assert_eq!(answer, expected);
    client.expect_service();
}

#[test]
fn rule_01_produce_is_advertised_from_0_but_its_first_versions_end_the_connection() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let rows = ask(&mut client, 3).api_keys;
    assert_eq!(rows.iter().find(|row| row.api_key == 0).unwrap().min_version, 0);
    // Produce 2 with acks 1, a timeout, no topics.
    client.send_bytes(&frame(0, 2, &[0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0]));
    client.expect_close();
}

#[test]
fn rule_01_a_software_name_of_odd_signs_is_an_invalid_request_and_the_connection_goes_on() {
    let broker = TestBroker::any();
    let mut client = broker.connect();
    let odd = ApiVersionsRequest { client_software_name: Str::from("a client!"), ..api_versions() };
    client.send(3, odd);
    let answer = client.receive_frame().unwrap();
    assert_eq!(answer[4..6], 42_i16.to_be_bytes());
    client.expect_service();
}
