//! Incremental fetch sessions (KIP-227): what a consumer or follower fetches is remembered between its requests.
//!
//! A session keeps the partitions a client asked for, in the client's order, and what was last told of each, so that a
//! request names only what changed and a response only what is new. The cache is bounded by
//! `max.incremental.fetch.session.cache.slots`; when full, the session unused for longest makes room, but only after
//! [`EVICTION_IDLE_MIN`]. Sessions are an optimisation: a client that loses one begins again with a full fetch.
//! Invariant: the epoch of a session names its next request, and a request with another epoch changes nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use ottla_protocol::{ErrorCode, Offset};

use crate::time::Monotonic;

/// How long a session must have been unused before another may take its slot.
pub const EVICTION_IDLE_MIN: Duration = Duration::from_secs(120);

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// First offset it has not seen.
    pub fetch_offset: Offset,
    /// The client's idea of the log start, of followers only.
    pub log_start_offset: Option<Offset>,
    /// The leader epoch it knows, or -1.
    pub current_leader_epoch: i32,
    /// The epoch of the last record it has, or -1.
    pub last_fetched_epoch: i32,
    /// The most bytes it takes of this partition.
    pub partition_max_bytes: i32,
}

/// What the last response said of a partition: it is named again only when this would differ or records flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The high watermark.
    pub high_watermark: i64,
    /// The log start offset.
    pub log_start_offset: i64,
    /// The error, if any. An error is told every time.
    pub error_code: ErrorCode,
}

/// What a request wants with sessions, from its session id and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionRequest {
    /// A full fetch outside any session: epoch -1.
    Sessionless,
    /// A full fetch that asks for a new session: epoch 0. An old one under this id is closed.
    Begin {
        /// The session to close, if any.
        replaces: Option<i32>,
    },
    /// An incremental fetch within a session.
    Continue {
        /// The session.
        id: i32,
        /// Which request of it this is.
        epoch: i32,
    },
    /// A full fetch that closes its session: epoch -1 with an id.
    Close {
        /// The session.
        id: i32,
    },
}

impl SessionRequest {
    /// Reads the two fields of a fetch request.
    pub fn new(session_id: i32, session_epoch: i32) -> Self {
        match (session_id, session_epoch) {
            (0, -1) => SessionRequest::Sessionless,
            (id, -1) => SessionRequest::Close { id },
            (0, 0) => SessionRequest::Begin { replaces: None },
            (id, 0) => SessionRequest::Begin { replaces: Some(id) },
            (id, epoch) => SessionRequest::Continue { id, epoch },
        }
    }
}

#[derive(Clone, Debug)]
struct Slot<P> {
    partition: P,
    interest: Interest,
    told: Option<Told>,
}

/// One session. `P` names a partition as the client does: by topic name or by topic id.
#[derive(Clone, Debug)]
struct Session<P> {
    next_epoch: i32,
    used_at: Monotonic,
    slots: Vec<Slot<P>>,
}

/// The sessions of one broker.
#[derive(Debug)]
pub struct FetchSessions<P> {
    slots_max: usize,
    sessions: HashMap<i32, Session<P>>,
}

impl<P: Clone + Eq + Hash> FetchSessions<P> {
    /// A cache of at most `slots_max` sessions; 0 turns them off.
    pub fn new(slots_max: usize) -> Self {
        Self { slots_max, sessions: HashMap::new() }
    }

    /// How many sessions are held.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Opens a session over `partitions` under an id that the shell drew at random, positive and hopefully unused.
    /// `None` when there is no room: the client is then told session id 0 and keeps sending full fetches.
    pub fn begin(
        &mut self,
        now: Monotonic,
        id: i32,
        partitions: impl IntoIterator<Item = (P, Interest)>,
    ) -> Option<i32> {
        if id <= 0 || self.slots_max == 0 || self.sessions.contains_key(&id) {
            return None;
        }
        if self.sessions.len() >= self.slots_max {
            let (&oldest, session) =
                self.sessions.iter().min_by_key(|(id, session)| (session.used_at, **id))?;
            if now.since(session.used_at) < EVICTION_IDLE_MIN {
                return None;
            }
            self.sessions.remove(&oldest);
        }
        let slots = partitions.into_iter();
        let slots = slots.map(|(partition, interest)| Slot { partition, interest, told: None }).collect();
        self.sessions.insert(id, Session { next_epoch: 1, used_at: now, slots });
        Some(id)
    }

    /// Forgets a session; an unknown one is no matter.
    pub fn close(&mut self, id: i32) {
        self.sessions.remove(&id);
    }

    /// Applies an incremental request to its session and answers all that the session now fetches, in order.
    pub fn resume(
        &mut self,
        now: Monotonic,
        id: i32,
        epoch: i32,
        changed: impl IntoIterator<Item = (P, Interest)>,
        forgotten: impl IntoIterator<Item = P>,
    ) -> Result<Vec<(P, Interest)>, ErrorCode> {
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.next_epoch != epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        session.next_epoch = next_epoch(epoch);
        session.used_at = now;
        session.forget(forgotten);
        session.change(changed);
        Ok(session.slots.iter().map(|slot| (slot.partition.clone(), slot.interest)).collect())
    }

    /// Whether `partition` is to be in the response, remembering what it says. A partition with records always is.
    /// `place` is where the session listed it: the look-up of a session of thousands stays one step each.
    pub fn tell(&mut self, id: i32, place: usize, partition: &P, told: Told, has_records: bool) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return true };
        let Some(slot) = session.slots.get_mut(place).filter(|slot| slot.partition == *partition) else {
            return true;
        };
        let news = has_records || told.error_code != ErrorCode::NONE || slot.told != Some(told);
        slot.told = Some(told);
        news
    }

    /// Moves the partitions that just sent records behind the others, so that each gets its turn under `max_bytes`.
    pub fn rotate(&mut self, id: i32, served: impl Fn(&P) -> bool) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.slots.sort_by_key(|slot| served(&slot.partition));
        }
    }
}

impl<P: Clone + Eq + Hash> Session<P> {
    fn forget(&mut self, forgotten: impl IntoIterator<Item = P>) {
        let forgotten: std::collections::HashSet<P> = forgotten.into_iter().collect();
        if !forgotten.is_empty() {
            self.slots.retain(|slot| !forgotten.contains(&slot.partition));
        }
    }

    fn change(&mut self, changed: impl IntoIterator<Item = (P, Interest)>) {
        let mut changed = changed.into_iter().peekable();
        if changed.peek().is_none() {
            return;
        }
        let mut places: HashMap<P, usize> =
            self.slots.iter().enumerate().map(|(place, slot)| (slot.partition.clone(), place)).collect();
        for (partition, interest) in changed {
            match places.get(&partition) {
                Some(&place) => self.slots[place].interest = interest,
                None => {
                    places.insert(partition.clone(), self.slots.len());
                    self.slots.push(Slot { partition, interest, told: None });
                }
            }
        }
    }
}

/// The epoch after `epoch`: they count from 1 and begin again there after the greatest.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_millis(millis)
    }

    fn interest(fetch_offset: i64) -> Interest {
        Interest {
            fetch_offset: Offset::new(fetch_offset),
            log_start_offset: None,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
            partition_max_bytes: 1024,
        }
    }

    fn told(high_watermark: i64) -> Told {
        Told { high_watermark, log_start_offset: 0, error_code: ErrorCode::NONE }
    }

    fn sessions() -> FetchSessions<&'static str> {
        let mut sessions = FetchSessions::new(2);
        assert_eq!(sessions.begin(at(0), 7, [("a", interest(0)), ("b", interest(0))]), Some(7));
        sessions
    }

    #[test]
    fn an_incremental_fetch_names_only_what_changed_and_keeps_the_order() {
        let mut sessions = sessions();
        let all = sessions.resume(at(1), 7, 1, [("b", interest(5)), ("c", interest(9))], []).unwrap();
        assert_eq!(all, [("a", interest(0)), ("b", interest(5)), ("c", interest(9))]);
        let all = sessions.resume(at(2), 7, 2, [], ["a"]).unwrap();
        assert_eq!(all, [("b", interest(5)), ("c", interest(9))]);
    }

    #[test]
    fn a_wrong_epoch_changes_nothing_and_an_unknown_id_is_not_found() {
        let mut sessions = sessions();
        let wrong = sessions.resume(at(1), 7, 2, [], ["a"]);
        assert_eq!(wrong, Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        assert_eq!(sessions.resume(at(1), 8, 1, [], []), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert_eq!(sessions.resume(at(1), 7, 1, [], []).map(|all| all.len()), Ok(2));
    }

    #[test]
    fn a_partition_is_told_again_only_with_news() {
        let mut sessions = sessions();
        assert!(sessions.tell(7, 0, &"a", told(3), false), "the first word is news");
        assert!(!sessions.tell(7, 0, &"a", told(3), false));
        assert!(sessions.tell(7, 0, &"a", told(4), false));
        assert!(sessions.tell(7, 0, &"a", told(4), true));
        let error = Told { error_code: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..told(4) };
        assert!(sessions.tell(7, 0, &"a", error, false) && sessions.tell(7, 0, &"a", error, false));
    }

    #[test]
    fn a_full_cache_evicts_only_what_has_been_idle_for_long() {
        let mut sessions = sessions();
        assert_eq!(sessions.begin(at(10), 8, []), Some(8));
        assert_eq!(sessions.begin(at(20), 9, []), None);
        let later = at(0) + EVICTION_IDLE_MIN;
        assert_eq!(sessions.begin(later, 9, []), Some(9));
        assert_eq!(sessions.resume(later, 7, 1, [], []), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert_eq!(sessions.session_count(), 2);
    }

    #[test]
    fn partitions_that_were_served_go_to_the_back() {
        let mut sessions = sessions();
        sessions.rotate(7, |partition| *partition == "a");
        let all = sessions.resume(at(1), 7, 1, [], []).unwrap();
        assert_eq!(all.first().map(|(partition, _)| *partition), Some("b"));
    }

    #[test]
    fn the_epoch_after_the_greatest_is_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
        assert_eq!(SessionRequest::new(0, -1), SessionRequest::Sessionless);
        assert_eq!(SessionRequest::new(4, -1), SessionRequest::Close { id: 4 });
        assert_eq!(SessionRequest::new(4, 0), SessionRequest::Begin { replaces: Some(4) });
        assert_eq!(SessionRequest::new(4, 3), SessionRequest::Continue { id: 4, epoch: 3 });
    }
}
