//! Which broker coordinates which group, and asking each of them for all of its groups at once.
//!
//! Remembered until a broker says that it is another one or cannot be reached. A group whose coordinator moves or loads
//! is asked for again with the others that are still open, until the client's `api_timeout`. Not here: what is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use foldhash::fast::RandomState;
use ottla_protocol::codec::Request;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::{BrokerId, ErrorCode};
use parking_lot::Mutex;

use super::group_error;
use crate::admin::{Admin, PerResource};
use crate::client::AutoCreate;
use crate::error::{ClientError, ErrorKind, Result};

const FIND: &str = "find the group's coordinator";

/// FindCoordinator's `key_type` of groups.
const GROUP: i8 = 0;

/// So many groups go into one request, and so many coordinators are remembered.
const GROUPS_MAX: usize = 1_000;
const KNOWN_MAX: usize = 100_000;

/// An API that a group's coordinator answers.
pub(super) trait GroupCall {
    /// The API.
    type Api: Request;
    /// What is learnt of one group.
    type Answer;
    /// The words of its errors.
    const OPERATION: &'static str;
    /// The last version whose meaning is what is written here.
    const VERSION_MAX: i16 = i16::MAX;

    /// How many groups fit into one request of this version.
    fn groups_max(&self, _version: i16) -> usize {
        GROUPS_MAX
    }

    /// Asks for these groups.
    fn request(&self, groups: &[String], version: i16) -> Self::Api;

    /// What this broker said about each of the groups.
    fn answers(
        &self,
        response: <Self::Api as Request>::Response,
        groups: &[String],
        broker: BrokerId,
    ) -> PerResource<Self::Answer>;
}

/// The coordinators that are known.
#[derive(Debug, Default)]
pub(in crate::admin) struct Coordinators(Mutex<HashMap<String, BrokerId, RandomState>>);

impl Coordinators {
    fn get(&self, group: &str) -> Option<BrokerId> {
        self.0.lock().get(group).copied()
    }

    fn learn(&self, group: &str, broker: BrokerId) {
        let mut known = self.0.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(group.to_owned(), broker);
    }

    fn forget(&self, group: &str) {
        self.0.lock().remove(group);
    }
}

/// What is still open, and what has been answered.
struct Round<A> {
    open: BTreeSet<String>,
    answers: BTreeMap<String, Result<A>>,
    /// Why something is still open.
    failure: Option<ClientError>,
}

impl<A> Round<A> {
    fn answer(&mut self, group: &str, result: Result<A>) {
        if self.open.remove(group) {
            self.answers.insert(group.to_owned(), result);
        }
    }
}

impl Admin {
    /// Asks the coordinators of these groups. Answers come in the order of ids, one per group.
    pub(super) async fn ask_coordinators<C: GroupCall>(
        &self,
        groups: &[&str],
        call: &C,
    ) -> Result<PerResource<C::Answer>> {
        let started = Instant::now();
        let open = groups.iter().map(|group| (*group).to_owned()).collect();
        let mut round = Round { open, answers: BTreeMap::new(), failure: None };
        let mut attempt = 0;
        while !round.open.is_empty() {
            round.failure = None;
            for (broker, mine) in self.by_coordinator(C::OPERATION, &mut round).await {
                self.ask_coordinator(broker, &mine, call, &mut round).await;
            }
            if round.open.is_empty() {
                break;
            }
            let nobody = || ClientError::broker(C::OPERATION, ErrorCode::COORDINATOR_NOT_AVAILABLE, None);
            let error = round.failure.take().unwrap_or_else(nobody);
            attempt = self.client.pause_or_give_up(started, attempt, false, error).await?;
        }
        Ok(round.answers.into_iter().collect())
    }

    async fn ask_coordinator<C: GroupCall>(
        &self,
        broker: BrokerId,
        groups: &[String],
        call: &C,
        round: &mut Round<C::Answer>,
    ) {
        let connection = match self.client.pool().broker(broker).await {
            Ok(connection) => connection,
            Err(error) => return self.unreachable(groups, error.during(C::OPERATION), round),
        };
        let groups_max = match connection.version::<C::Api>() {
            Ok(version) => call.groups_max(version.min(C::VERSION_MAX)),
            Err(error) => return self.unreachable(groups, error.during(C::OPERATION), round),
        };
        for some in groups.chunks(groups_max) {
            let request = |version| call.request(some, version);
            let answer = connection.call_versioned(C::VERSION_MAX, request, self.request_timeout()).await;
            match answer {
                Ok(response) => self.take(call.answers(response, some, broker), round),
                Err(error) => return self.unreachable(groups, error.during(C::OPERATION), round),
            }
        }
    }

    /// Takes in what one coordinator said of its groups.
    fn take<A>(&self, answers: PerResource<A>, round: &mut Round<A>) {
        for (group, result) in answers {
            let code = result.as_ref().err().and_then(ClientError::code);
            let Err(error) = &result else {
                round.answer(&group, result);
                continue;
            };
            if matches!(code, Some(ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE)) {
                self.coordinators.forget(&group);
            }
            if error.is_retriable() {
                round.failure = Some(error.clone());
            } else {
                round.answer(&group, result);
            }
        }
    }

    /// A coordinator gave no answer at all: it is looked for again, unless that is no use.
    fn unreachable<A>(&self, groups: &[String], error: ClientError, round: &mut Round<A>) {
        for group in groups {
            self.coordinators.forget(group);
            if !error.is_retriable() {
                round.answer(group, Err(error.clone().for_group(group)));
            }
        }
        round.failure = Some(error);
    }

    /// The open groups by coordinator. Those without one stay open; those that cannot have one are answered.
    async fn by_coordinator<A>(
        &self,
        operation: &'static str,
        round: &mut Round<A>,
    ) -> BTreeMap<BrokerId, Vec<String>> {
        let unknown: Vec<String> =
            round.open.iter().filter(|group| self.coordinators.get(group).is_none()).cloned().collect();
        for some in unknown.chunks(GROUPS_MAX) {
            match self.find_coordinators(some).await {
                Ok(failures) => {
                    for error in failures {
                        let group = error.group().unwrap_or_default().to_owned();
                        if error.is_retriable() {
                            round.failure = Some(error.during(operation));
                        } else {
                            round.answer(&group, Err(error.during(operation)));
                        }
                    }
                }
                Err(error) => round.failure = Some(error.during(operation)),
            }
        }
        let mut by_broker: BTreeMap<BrokerId, Vec<String>> = BTreeMap::new();
        for group in &round.open {
            if let Some(broker) = self.coordinators.get(group) {
                by_broker.entry(broker).or_default().push(group.clone());
            }
        }
        by_broker
    }

    /// Learns the coordinators of these groups. What went wrong with single groups is returned.
    async fn find_coordinators(&self, groups: &[String]) -> Result<Vec<ClientError>> {
        let connection = self.client.pool().any().await?;
        // Up to version 3 one group is asked for, from 4 on a list.
        let groups_max = if connection.version::<FindCoordinatorRequest>()? < 4 { 1 } else { GROUPS_MAX };
        let mut failures = Vec::new();
        for some in groups.chunks(groups_max) {
            let request = |version| find(some, version);
            let response = connection.call_versioned(6, request, self.request_timeout()).await?;
            if response.coordinators.is_empty() {
                let message = response.error_message.as_deref();
                failures.extend(self.found(&some[0], response.node_id, response.error_code, message).err());
            }
            for row in &response.coordinators {
                let message = row.error_message.as_deref();
                failures.extend(self.found(&row.key, row.node_id, row.error_code, message).err());
            }
        }
        let known = |group: &String| {
            let broker = self.coordinators.get(group);
            broker.is_none_or(|broker| self.client.metadata().broker(broker).is_some())
        };
        if !groups.iter().all(known) {
            let generation = self.client.metadata().generation();
            self.client.refresh(&[], AutoCreate::Forbidden, generation).await?;
        }
        Ok(failures)
    }

    fn found(&self, group: &str, node_id: i32, code: ErrorCode, message: Option<&str>) -> Result<()> {
        if code.is_error() {
            return Err(group_error(FIND, group, code, message));
        }
        let broker = BrokerId::known(node_id).ok_or_else(|| {
            let reason = "a coordinator without an id".to_owned();
            ClientError::new(FIND, ErrorKind::Malformed { reason }).for_group(group)
        })?;
        self.coordinators.learn(group, broker);
        Ok(())
    }
}

fn find(groups: &[String], version: i16) -> FindCoordinatorRequest {
    if version < 4 {
        let key = groups[0].as_str().into();
        return FindCoordinatorRequest { key, key_type: GROUP, ..Default::default() };
    }
    let coordinator_keys = groups.iter().map(|group| group.as_str().into()).collect();
    FindCoordinatorRequest { key_type: GROUP, coordinator_keys, ..Default::default() }
}
