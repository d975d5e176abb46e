//! Coordinators that move, load and vanish, and what an administrator of groups does about it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use ottla_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::FakeCluster;
use super::dialogues::client;
use crate::ClientConfig;

/// What the cluster knows of groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Which broker coordinates a group; one that is missing has no coordinator yet.
    coordinators: BTreeMap<String, i32>,
    /// The next answers for a group, before anything is looked at.
    errors: BTreeMap<String, VecDeque<ErrorCode>>,
    /// The groups of each FindCoordinator.
    lookups: Vec<Vec<String>>,
    /// Who was asked to delete what.
    deletions: Vec<(i32, Vec<String>)>,
}

impl FakeCluster {
    pub(super) fn find_coordinator(&self, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let groups = &mut self.0.lock().groups;
        groups.lookups.push(request.coordinator_keys.iter().map(ToString::to_string).collect());
        let row = |key: ottla_protocol::codec::Str| match groups.coordinators.get(&*key) {
            Some(node_id) => Coordinator { key, node_id: *node_id, ..Default::default() },
            None => {
                let error_code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
                Coordinator { key, node_id: -1, error_code, ..Default::default() }
            }
        };
        let coordinators = request.coordinator_keys.into_iter().map(row).collect();
        FindCoordinatorResponse { coordinators, ..Default::default() }
    }

    pub(super) fn delete_groups(&self, broker: i32, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let groups = &mut self.0.lock().groups;
        groups.deletions.push((broker, request.groups_names.iter().map(ToString::to_string).collect()));
        let row = |group_id: ottla_protocol::codec::Str| {
            let is_here = groups.coordinators.get(&*group_id) == Some(&broker);
            let said = groups.errors.get_mut(&*group_id).and_then(VecDeque::pop_front);
            let error_code = match said {
                Some(code) => code,
                None if is_here => ErrorCode::NONE,
                None => ErrorCode::NOT_COORDINATOR,
            };
            DeletableGroupResult { group_id, error_code }
        };
        let results = request.groups_names.into_iter().map(row).collect();
        DeleteGroupsResponse { results, ..Default::default() }
    }

    fn coordinate(&self, group: &str, broker: i32) {
        self.0.lock().groups.coordinators.insert(group.to_owned(), broker);
    }
}

/// Three groups, at the brokers 1, 2 and 1.
fn cluster() -> FakeCluster {
    let cluster = FakeCluster::new(3, 1);
    for (group, broker) in [("a", 1), ("b", 2), ("c", 1)] {
        cluster.coordinate(group, broker);
    }
    cluster
}

fn codes(answers: &[(String, crate::Result<()>)]) -> Vec<(&str, Option<ErrorCode>)> {
    let code = |result: &crate::Result<()>| result.as_ref().err().and_then(crate::ClientError::code);
    answers.iter().map(|(group, result)| (group.as_str(), code(result))).collect()
}

#[tokio::test]
async fn each_coordinator_is_asked_once_for_all_of_its_groups_and_remembered() {
    let cluster = cluster();
    let admin = client(&cluster).admin();
    for _ in 0..2 {
        let answers = admin.delete_groups(&["c", "a", "b"]).await.expect("answered");
        assert_eq!(codes(&answers), [("a", None), ("b", None), ("c", None)]);
    }
    let groups = &cluster.0.lock().groups;
    assert_eq!(groups.lookups, [["a", "b", "c"]]);
    let once = [(1, vec!["a".to_owned(), "c".to_owned()]), (2, vec!["b".to_owned()])];
    assert_eq!(groups.deletions, [once.clone(), once].concat());
}

#[tokio::test]
async fn a_coordinator_that_moved_is_followed_for_its_group_alone() {
    let cluster = cluster();
    let admin = client(&cluster).admin();
    admin.delete_groups(&["a", "b", "c"]).await.expect("answered");
    cluster.coordinate("c", 3);
    let answers = admin.delete_groups(&["a", "b", "c"]).await.expect("answered");
    assert_eq!(codes(&answers), [("a", None), ("b", None), ("c", None)]);
    let groups = &cluster.0.lock().groups;
    assert_eq!(groups.lookups[1..], [["c"]]);
    assert_eq!(groups.deletions.last(), Some(&(3, vec!["c".to_owned()])));
}

#[tokio::test]
async fn a_coordinator_that_loads_is_asked_again_and_a_lasting_error_is_the_groups_own() {
    let cluster = cluster();
    let loading = [ErrorCode::COORDINATOR_LOAD_IN_PROGRESS; 3].into();
    let lasting = [ErrorCode::NON_EMPTY_GROUP].into();
    cluster.0.lock().groups.errors = [("a".to_owned(), loading), ("b".to_owned(), lasting)].into();
    let admin = client(&cluster).admin();
    let answers = admin.delete_groups(&["a", "b", "c"]).await.expect("answered");
    assert_eq!(codes(&answers), [("a", None), ("b", Some(ErrorCode::NON_EMPTY_GROUP)), ("c", None)]);
    let groups = &cluster.0.lock().groups;
    assert_eq!(groups.lookups.len(), 1, "who loads is still the coordinator");
    assert_eq!(groups.deletions.len(), 5);
}

#[tokio::test]
async fn a_broker_that_is_gone_is_not_asked_for_ever() {
    let cluster = cluster();
    let admin = client(&cluster).admin();
    admin.delete_groups(&["a", "b"]).await.expect("answered");
    cluster.0.lock().brokers.retain(|broker| *broker != 2);
    cluster.coordinate("b", 3);
    // Its connection is still open, and it says that it is not the coordinator any more.
    let answers = admin.delete_groups(&["b"]).await.expect("answered");
    assert_eq!(codes(&answers), [("b", None)]);
    // Now nobody coordinates: that is waited for, not longer than the client was told to.
    let mut config: ClientConfig = super::dialogues::client(&cluster).config().clone();
    config.api_timeout = Duration::from_millis(100);
    let admin = crate::Client::new(config).admin();
    cluster.0.lock().groups.coordinators.clear();
    let error = admin.delete_groups(&["b"]).await.expect_err("nobody");
    assert_eq!(error.code(), Some(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!((error.operation(), error.group()), ("delete group", Some("b")));
}
