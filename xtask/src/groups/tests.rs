//! Hand-made histories for the tests of the checker's passes.

use super::history::{End, Event, Life, Line, Moment, Outcome, Story};

/// A run over two partitions with sessions of six seconds.
pub(super) fn story(lives: Vec<Life>) -> Story {
    Story { partition_count: 2, session_timeout_ms: 6_000, lives, ..Story::default() }
}

/// A process that never ended.
pub(super) fn life(name: &str, lines: Vec<Line>) -> Life {
    Life { name: name.to_owned(), lines, ..Life::default() }
}

/// The same, killed.
pub(super) fn died(life: Life, at: Moment) -> Life {
    Life { end: Some((at, End::Killed)), ..life }
}

/// Partitions for a member that had none.
pub(super) fn assigned(at: Moment, generation: i32, partitions: &[i32]) -> Line {
    let (partitions, owned) = (partitions.to_vec(), partitions.to_vec());
    Line { at, event: Event::Assigned { generation, partitions, owned } }
}

/// Given back.
pub(super) fn revoked(at: Moment, partitions: &[i32]) -> Line {
    Line { at, event: Event::Revoked { partitions: partitions.to_vec() } }
}

/// Thrown out.
pub(super) fn lost(at: Moment, partitions: &[i32]) -> Line {
    Line { at, event: Event::Lost { partitions: partitions.to_vec() } }
}

/// Processed.
pub(super) fn records(at: Moment, partition: i32, offset: i64, values: &[u64]) -> Line {
    Line { at, event: Event::Records { partition, offset, values: values.to_vec() } }
}

/// A commit of one offset, answered one later.
pub(super) fn commit(
    at: Moment,
    id: u64,
    partition: i32,
    offset: i64,
    outcome: Option<Outcome>,
) -> Vec<Line> {
    let mut lines = vec![Line { at, event: Event::Committing { id, offsets: vec![(partition, offset)] } }];
    lines.extend(outcome.map(|outcome| Line { at: at + 1, event: Event::Committed { id, outcome } }));
    lines
}

/// A producer whose values were all acknowledged, on partition 0, each at its own offset.
pub(super) fn sent(values: &[u64]) -> Vec<Line> {
    let below = values.iter().max().map_or(0, |most| most + 1);
    let mut lines = vec![Line { at: 1, event: Event::Sending { below } }];
    lines.extend(values.iter().map(|value| {
        let event = Event::Acknowledged { partition: 0, offset: *value as i64, value: *value };
        Line { at: 2, event }
    }));
    lines
}
