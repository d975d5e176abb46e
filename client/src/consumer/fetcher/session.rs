//! The fetch session with one broker (KIP-227): what the broker remembers of our partitions, so that a fetch names only
//! those that changed and an answer only those with news.
//!
//! A plain structure. A full fetch (epoch 0) names everything and asks for a session; each fetch after it counts the
//! epoch up. Whenever the two sides may disagree (an error, an answer that never came) the next fetch is full again and
//! ends the session it replaces. A broker without room for sessions answers with session 0: then every fetch is full.
//! Invariant: what `ask` left unnamed is what the broker was last told about it.

use std::collections::BTreeMap;

use ottla_protocol::{ErrorCode, LeaderEpoch, Offset, TopicId, TopicPartition};

use crate::consumer::assignment::Wanted;

/// What the broker knows of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interest {
    topic_id: TopicId,
    fetch_offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
    fetch_epoch: Option<LeaderEpoch>,
}

impl From<&Wanted> for Interest {
    fn from(wanted: &Wanted) -> Interest {
        Interest {
            topic_id: wanted.topic_id,
            fetch_offset: wanted.fetch_offset,
            leader_epoch: wanted.leader_epoch,
            fetch_epoch: wanted.fetch_epoch,
        }
    }
}

/// See the file's header.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    /// Given by the broker; 0 without a session.
    id: i32,
    /// Of the next fetch; 0 is a full one.
    epoch: i32,
    known: BTreeMap<TopicPartition, Known>,
}

/// What both sides know of a partition.
#[derive(Debug, Clone, Copy)]
struct Known {
    interest: Interest,
    /// What the broker last told; its silence means that this still holds.
    high_watermark: Option<Offset>,
}

/// One fetch of a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    /// Places of the partitions to name among those that are wanted.
    pub(super) named: Vec<usize>,
    /// What the broker is to forget.
    pub(super) forgotten: Vec<(TopicPartition, TopicId)>,
}

impl Turn {
    /// Whether the answer tells of every partition.
    pub(super) fn is_full(&self) -> bool {
        self.session_epoch == 0
    }
}

impl FetchSession {
    /// What to say for these partitions to be fetched, and no others.
    pub(super) fn ask(&mut self, wanted: &[Wanted]) -> Turn {
        let is_full = self.epoch == 0;
        let mut before = std::mem::take(&mut self.known);
        let (mut named, mut forgotten) = (Vec::new(), Vec::new());
        for (place, wanted) in wanted.iter().enumerate() {
            let interest = Interest::from(wanted);
            let known = before.remove(&wanted.partition);
            // A topic that was created again: the broker is to forget the old one, and is told of the new one.
            let known = known.filter(|known| {
                let is_same = known.interest.topic_id == interest.topic_id;
                if !is_same && !is_full {
                    forgotten.push((wanted.partition.clone(), known.interest.topic_id));
                }
                is_same
            });
            if is_full || known.is_none_or(|known| known.interest != interest) {
                named.push(place);
            }
            let high_watermark = known.and_then(|known| known.high_watermark);
            self.known.insert(wanted.partition.clone(), Known { interest, high_watermark });
        }
        if !is_full {
            let gone = before.into_iter().map(|(partition, known)| (partition, known.interest.topic_id));
            forgotten.extend(gone);
        }
        Turn { session_id: self.id, session_epoch: self.epoch, named, forgotten }
    }

    /// The broker answered a turn with this code and session. Whether it did what it was asked to.
    pub(super) fn answered(&mut self, turn: &Turn, code: ErrorCode, session_id: i32) -> bool {
        if code == ErrorCode::FETCH_SESSION_ID_NOT_FOUND || (code.is_none() && session_id == 0) {
            *self = FetchSession::default();
        } else if code.is_error() {
            self.epoch = 0;
        } else {
            self.id = session_id;
            self.epoch = turn.session_epoch.checked_add(1).unwrap_or(1);
        }
        code.is_none()
    }

    /// The broker told this of a partition.
    pub(super) fn told(&mut self, partition: &TopicPartition, high_watermark: Option<Offset>) {
        if let Some(known) = self.known.get_mut(partition) {
            known.high_watermark = high_watermark;
        }
    }

    /// What still holds of a partition that the broker is silent about.
    pub(super) fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.known.get(partition)?.high_watermark
    }

    /// No answer came: nobody knows what the broker remembers.
    pub(super) fn lost(&mut self) {
        self.epoch = 0;
    }

    /// The session to close, if there is one.
    pub(super) fn open_id(&self) -> Option<i32> {
        (self.id != 0).then_some(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::{BrokerId, PartitionIndex, TopicName};
    use uuid::Uuid;

    fn wanted(index: i32, fetch_offset: i64) -> Wanted {
        let topic = TopicName::new("flights").expect("a legal name");
        Wanted {
            partition: TopicPartition::new(topic, PartitionIndex::new(index)),
            era: 0,
            broker: BrokerId::new(1),
            topic_id: TopicId::new(Uuid::from_u128(1)),
            fetch_offset: Offset::new(fetch_offset),
            leader_epoch: Some(LeaderEpoch::ZERO),
            fetch_epoch: None,
        }
    }

    /// A session with id 7 that was told of partitions 0 and 1.
    fn open() -> FetchSession {
        let mut session = FetchSession::default();
        let turn = session.ask(&[wanted(0, 10), wanted(1, 20)]);
        assert_eq!((turn.session_id, turn.session_epoch, turn.named.len()), (0, 0, 2));
        assert!(session.answered(&turn, ErrorCode::NONE, 7));
        session
    }

    #[test]
    fn only_what_changed_is_named_and_what_is_no_longer_wanted_is_forgotten() {
        let mut session = open();
        let turn = session.ask(&[wanted(0, 15), wanted(1, 20)]);
        assert_eq!((turn.session_id, turn.session_epoch), (7, 1));
        assert_eq!((turn.named.as_slice(), turn.forgotten.len()), (&[0][..], 0));
        assert!(session.answered(&turn, ErrorCode::NONE, 7));
        let turn = session.ask(&[wanted(1, 20), wanted(2, 0)]);
        assert_eq!(turn.session_epoch, 2);
        assert_eq!(turn.named, [1]);
        assert_eq!(turn.forgotten, [(wanted(0, 0).partition, wanted(0, 0).topic_id)]);
    }

    #[test]
    fn what_the_broker_told_holds_until_it_tells_something_else_or_forgets_the_partition() {
        let mut session = open();
        session.told(&wanted(0, 0).partition, Some(Offset::new(30)));
        let turn = session.ask(&[wanted(0, 12)]);
        session.answered(&turn, ErrorCode::NONE, 7);
        assert_eq!(session.high_watermark(&wanted(0, 0).partition), Some(Offset::new(30)));
        session.ask(&[wanted(1, 20)]);
        assert_eq!(session.high_watermark(&wanted(0, 0).partition), None);
    }

    #[test]
    fn a_topic_created_again_is_forgotten_and_named() {
        let mut session = open();
        let again = Wanted { topic_id: TopicId::new(Uuid::from_u128(2)), ..wanted(0, 10) };
        let turn = session.ask(&[again, wanted(1, 20)]);
        assert_eq!(turn.named, [0]);
        assert_eq!(turn.forgotten, [(wanted(0, 0).partition, wanted(0, 0).topic_id)]);
    }

    #[test]
    fn after_any_disagreement_the_next_fetch_names_everything() {
        for (code, replaces) in [
            (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0),
            (ErrorCode::INVALID_FETCH_SESSION_EPOCH, 7),
            (ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR, 7),
        ] {
            let mut session = open();
            let turn = session.ask(&[wanted(0, 10), wanted(1, 20)]);
            assert!(turn.named.is_empty() && !turn.is_full());
            assert!(!session.answered(&turn, code, 0));
            let turn = session.ask(&[wanted(0, 10), wanted(1, 20)]);
            assert_eq!((turn.session_id, turn.session_epoch, turn.named.len()), (replaces, 0, 2), "{code:?}");
        }
        let mut session = open();
        session.ask(&[wanted(0, 11)]);
        session.lost();
        let turn = session.ask(&[wanted(0, 11)]);
        assert_eq!((turn.session_id, turn.session_epoch, turn.forgotten.len()), (7, 0, 0));
    }

    #[test]
    fn a_broker_without_room_for_sessions_is_told_everything_each_time() {
        let mut session = FetchSession::default();
        for _ in 0..2 {
            let turn = session.ask(&[wanted(0, 10)]);
            assert_eq!((turn.session_id, turn.session_epoch, turn.named.len()), (0, 0, 1));
            assert!(session.answered(&turn, ErrorCode::NONE, 0));
        }
        assert_eq!(session.open_id(), None);
    }

    #[test]
    fn the_epoch_wraps_to_one_because_zero_is_a_full_fetch() {
        let mut session = open();
        session.epoch = i32::MAX;
        let turn = session.ask(&[]);
        assert!(session.answered(&turn, ErrorCode::NONE, 7));
        assert_eq!(session.ask(&[]).session_epoch, 1);
    }
}
