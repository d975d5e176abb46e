//! `roundrobin`: all partitions of all topics in one row, dealt to the members one by one.
//!
//! A member that did not subscribe to the topic at hand is passed over and comes again in the next round. Balanced within
//! one only if all subscribed to the same. Not sticky: one member more moves nearly everything.

use crate::input::{Member, Partition, Topic, TopicIndex};
use crate::order::{members_by_instance, topics_by_name};

pub(crate) fn assign(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<Partition>> {
    let mut rows = vec![Vec::new(); members.len()];
    let order = members_by_instance(members);
    let mut wants = vec![vec![false; topics.len()]; members.len()];
    let mut wanted = vec![false; topics.len()];
    for (member, subscription) in members.iter().enumerate() {
        for topic in &subscription.topics {
            wants[member][topic.at()] = true;
            wanted[topic.at()] = true;
        }
    }
    let mut turn = order.iter().copied().cycle();
    for topic in topics_by_name(topics).into_iter().filter(|topic| wanted[*topic]) {
        for partition in 0..topics[topic].partitions {
            let next =
                turn.find(|member| wants[*member][topic]).expect("somebody wants it, and all have turns");
            rows[next].push(Partition { topic: TopicIndex(topic as u32), partition });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> [Topic<'static>; 2] {
        [Topic::new("t1", 3), Topic::new("t0", 3)]
    }

    #[test]
    fn members_take_turns_over_all_topics() {
        let both = || vec![TopicIndex(0), TopicIndex(1)];
        let rows = assign(&topics(), &[Member::new("a", both()), Member::new("b", both())]);
        let (t0, t1) = (|p| Partition::new(1, p), |p| Partition::new(0, p));
        assert_eq!(rows[0], [t0(0), t0(2), t1(1)]);
        assert_eq!(rows[1], [t0(1), t1(0), t1(2)]);
    }

    #[test]
    fn who_did_not_subscribe_is_passed_over() {
        let one = Member::new("a", vec![TopicIndex(0)]);
        let rows =
            assign(&topics(), &[one, Member::new("b", vec![TopicIndex(1)]), Member::new("c", Vec::new())]);
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 0]);
    }
}
