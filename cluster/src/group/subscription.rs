//! Which topics a consumer says that it reads: the head of its ConsumerProtocolSubscription, `version i16, topics [string]`.
//!
//! The broker only looks at it to know which offsets are still wanted. Everything after the topics is the clients' own.

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};
use ottla_protocol::codec::Str;

/// Adds the topics of one member's subscription; one that cannot be read adds none.
pub(crate) fn add_topics(subscription: &Bytes, topics: &mut BTreeSet<Str>) {
    let mut rest = subscription.clone();
    let Ok(_version) = rest.try_get_i16() else { return };
    let Ok(count) = rest.try_get_i32() else { return };
    for _ in 0..count {
        let Ok(length) = rest.try_get_i16() else { return };
        let Ok(length) = usize::try_from(length) else { return };
        if rest.remaining() < length {
            return;
        }
        if let Ok(topic) = Str::try_from(rest.split_to(length)) {
            topics.insert(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topics_of_a_subscription_are_read_and_a_lie_reads_nothing_more() {
        let mut topics = BTreeSet::new();
        let bytes = Bytes::from_static(b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff");
        add_topics(&bytes, &mut topics);
        assert_eq!(topics, BTreeSet::from(["a".into(), "bc".into()]));
        let lie = Bytes::from_static(b"\x00\x01\x7f\xff\xff\xff\x00\x01d\x00\x63");
        add_topics(&lie, &mut topics);
        assert_eq!(topics.len(), 3);
    }
}
