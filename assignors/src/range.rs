//! `range` of classic groups: per topic, a run of neighbouring partitions for each member.
//!
//! Members stand in one order for all topics, so topics with equal numbers of partitions and equal subscribers are divided
//! alike: partition 3 of both goes to the same member (co-partitioning, what joins need). With racks (KIP-881) members are
//! first given what stands in their rack, within the same quotas; topics of equal shape together, so that they stay
//! co-partitioned. What this is not: balanced over all topics; the first members get the remainder of every one.

use crate::input::{Member, Partition, Topic, TopicIndex, subscribers};
use crate::order::{members_by_instance, topics_by_name};
use crate::racks::Racks;
use std::collections::BTreeMap;

pub(crate) fn assign(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<Partition>> {
    let mut rows = vec![Vec::new(); members.len()];
    let mut states = states(topics, members);
    if let Some(racks) = Racks::of(topics, members)
        && states.iter().any(|state| state.racks_matter(&racks))
    {
        in_their_racks(&mut states, &racks, &mut rows);
    }
    for state in &mut states {
        state.deal(|_, _| true, &mut rows);
    }
    rows
}

/// One per topic that exists and has a subscriber, in the order of names, its members in the order of the group.
fn states(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<State> {
    let order = members_by_instance(members);
    let mut rank = vec![0; members.len()];
    for (place, member) in order.into_iter().enumerate() {
        rank[member] = place;
    }
    let mut subscribers = subscribers(topics, members);
    topics_by_name(topics)
        .into_iter()
        .filter_map(|topic| {
            let mut of_topic = std::mem::take(&mut subscribers[topic]);
            of_topic.sort_unstable_by_key(|member| rank[*member]);
            let partitions = topics[topic].partitions;
            (partitions > 0 && !of_topic.is_empty()).then(|| State::new(topic, partitions, of_topic))
        })
        .collect()
}

/// Topics that have the same members and the same number of partitions are matched together, others alone.
fn in_their_racks(states: &mut [State], racks: &Racks, rows: &mut [Vec<Partition>]) {
    let mut shapes: BTreeMap<(Vec<usize>, u32), Vec<usize>> = BTreeMap::new();
    for (index, state) in states.iter().enumerate() {
        if state.members.iter().any(|member| racks.of_member(*member).is_some()) {
            shapes.entry((state.members.clone(), state.partitions)).or_default().push(index);
        }
    }
    for ((members, partitions), alike) in shapes {
        if let [alone] = alike[..] {
            let state = &mut states[alone];
            if state.racks_matter(racks) {
                let topic = state.topic;
                state.deal(|member, partition| racks.matches(member, topic, partition), rows);
            }
        } else {
            together(states, &alike, members, partitions, racks, rows);
        }
    }
}

/// Gives partition p of all these topics to the first member with room that has a replica of each in its rack.
fn together(
    states: &mut [State],
    alike: &[usize],
    members: Vec<usize>,
    partitions: u32,
    racks: &Racks,
    rows: &mut [Vec<Partition>],
) {
    // Places in `State::members`, which is the same list for all of them.
    let mut remaining: Vec<usize> = (0..members.len()).collect();
    for partition in 0..partitions {
        let found = remaining.iter().position(|place| {
            alike.iter().all(|index| {
                let state = &states[*index];
                state.room(*place) > 0 && racks.matches(members[*place], state.topic, partition)
            })
        });
        let Some(found) = found else { continue };
        let place = remaining[found];
        for index in alike {
            states[*index].give(place, &[partition], rows);
        }
        if alike.iter().all(|index| states[*index].room(place) == 0) {
            remaining.remove(found);
        }
    }
}

/// A topic while it is divided.
struct State {
    topic: usize,
    partitions: u32,
    members: Vec<usize>,
    given: Vec<u32>,
    unassigned: Vec<u32>,
    quota: u32,
    /// How many members may still get one more than the quota.
    extras: u32,
}

impl State {
    fn new(topic: usize, partitions: u32, members: Vec<usize>) -> State {
        let count = members.len() as u32;
        State {
            topic,
            partitions,
            given: vec![0; members.len()],
            unassigned: (0..partitions).collect(),
            quota: partitions / count,
            extras: partitions % count,
            members,
        }
    }

    fn racks_matter(&self, racks: &Racks) -> bool {
        racks.matter(self.members.iter().copied(), [self.topic])
    }

    /// How many more the member at this place may get.
    fn room(&self, place: usize) -> u32 {
        (self.quota + u32::from(self.extras > 0)).saturating_sub(self.given[place])
    }

    /// Goes through the members once and gives each the first partitions that it may have.
    fn deal(&mut self, may: impl Fn(usize, u32) -> bool, rows: &mut [Vec<Partition>]) {
        for place in 0..self.members.len() {
            if self.unassigned.is_empty() {
                return;
            }
            let member = self.members[place];
            let room = self.room(place) as usize;
            let wanted = self.unassigned.iter().copied();
            let taken: Vec<u32> = wanted.filter(|partition| may(member, *partition)).take(room).collect();
            self.give(place, &taken, rows);
        }
    }

    fn give(&mut self, place: usize, partitions: &[u32], rows: &mut [Vec<Partition>]) {
        if partitions.is_empty() {
            return;
        }
        self.given[place] += partitions.len() as u32;
        if self.given[place] == self.quota + 1 {
            self.extras -= 1;
        }
        // `taken` is a subsequence of `unassigned`: one walk over both takes it out.
        let mut taken = partitions.iter().copied().peekable();
        self.unassigned.retain(|partition| taken.next_if_eq(partition).is_none());
        let topic = TopicIndex(self.topic as u32);
        rows[self.members[place]]
            .extend(partitions.iter().map(|partition| Partition { topic, partition: *partition }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<(u32, u32)>> {
        let rows = assign(topics, members);
        rows.into_iter()
            .map(|row| row.into_iter().map(|one| (one.topic.0, one.partition)).collect())
            .collect()
    }

    fn all(count: u32) -> Vec<TopicIndex> {
        (0..count).map(TopicIndex).collect()
    }

    #[test]
    fn the_first_members_get_the_remainder_of_each_topic() {
        let topics = [Topic::new("t0", 3), Topic::new("t1", 3)];
        let members = [Member::new("b", all(2)), Member::new("a", all(2))];
        assert_eq!(owners(&topics, &members), [vec![(0, 2), (1, 2)], vec![(0, 0), (0, 1), (1, 0), (1, 1)]]);
    }

    #[test]
    fn a_topic_goes_to_its_subscribers_only() {
        let topics = [Topic::new("t0", 2), Topic::new("t1", 2), Topic::new("gone", 0)];
        let members = [Member::new("a", all(3)), Member::new("b", vec![TopicIndex(1), TopicIndex(1)])];
        assert_eq!(owners(&topics, &members), [vec![(0, 0), (0, 1), (1, 0)], vec![(1, 1)]]);
    }

    #[test]
    fn a_static_member_keeps_its_place_under_a_new_id() {
        let topics = [Topic::new("t", 2)];
        let fixed = |id| Member { instance_id: Some("i"), ..Member::new(id, all(1)) };
        assert_eq!(owners(&topics, &[Member::new("m", all(1)), fixed("z")])[1], [(0, 0)]);
        assert_eq!(owners(&topics, &[Member::new("m", all(1)), fixed("a")])[1], [(0, 0)]);
    }

    #[test]
    fn members_are_given_what_stands_in_their_rack() {
        let topics = [Topic { racks: vec![vec!["x"], vec!["y"]], ..Topic::new("t", 2) }];
        let at = |id, rack| Member { rack: Some(rack), ..Member::new(id, all(1)) };
        assert_eq!(owners(&topics, &[at("a", "y"), at("b", "x")]), [[(0, 1)], [(0, 0)]]);
    }

    #[test]
    fn racks_do_not_part_topics_of_equal_shape() {
        let racks = |order: [&'static str; 2]| order.map(|rack| vec![rack]).to_vec();
        let topics = [
            Topic { racks: racks(["y", "x"]), ..Topic::new("t0", 2) },
            Topic { racks: racks(["y", "x"]), ..Topic::new("t1", 2) },
        ];
        let at = |id, rack| Member { rack: Some(rack), ..Member::new(id, all(2)) };
        assert_eq!(owners(&topics, &[at("a", "x"), at("b", "y")]), [[(0, 1), (1, 1)], [(0, 0), (1, 0)]]);
    }
}
