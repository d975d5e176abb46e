//! The orders in which Kafka walks members and topics.
//!
//! Java compares strings by UTF-16 units, Rust by bytes. They disagree only where a character beyond U+FFFF meets one
//! between U+E000 and U+FFFF, but a member id begins with a `client.id`, which may hold anything.

use crate::input::{Member, Topic};
use std::cmp::Ordering;

/// Java's `String.compareTo`.
pub(crate) fn by_utf16(left: &str, right: &str) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        return left.cmp(right);
    }
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Static members first, by instance id; then the others, by member id (KIP-345).
pub(crate) fn by_instance(left: &Member<'_>, right: &Member<'_>) -> Ordering {
    match (left.instance_id, right.instance_id) {
        (Some(one), Some(other)) => by_utf16(one, other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => by_utf16(left.member_id, right.member_id),
    }
}

/// The indexes of all topics, in the order of their names.
pub(crate) fn topics_by_name(topics: &[Topic<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..topics.len()).collect();
    order.sort_by(|left, right| by_utf16(topics[*left].name, topics[*right].name));
    order
}

/// The indexes of all members, in the order of their ids.
pub(crate) fn members_by_id(members: &[Member<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|left, right| by_utf16(members[*left].member_id, members[*right].member_id));
    order
}

/// The indexes of all members, static ones first.
pub(crate) fn members_by_instance(members: &[Member<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by(|left, right| by_instance(&members[*left], &members[*right]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_surrogate_pair_sorts_before_a_private_character() {
        assert_eq!(by_utf16("\u{1F980}", "\u{E000}"), Ordering::Less);
        assert_eq!("\u{1F980}".cmp("\u{E000}"), Ordering::Greater);
    }

    #[test]
    fn static_members_go_first() {
        let dynamic = Member::new("a", Vec::new());
        let named = Member { instance_id: Some("z"), ..Member::new("b", Vec::new()) };
        assert_eq!(by_instance(&named, &dynamic), Ordering::Less);
        assert_eq!(members_by_instance(&[dynamic.clone(), named.clone()]), [1, 0]);
    }
}
