//! `uniform` of consumer groups (KIP-848): balanced first, then sticky.
//!
//! Runs in the coordinator, so what members own is the current target assignment and cannot contradict itself. If all
//! subscribed to the same topics, quotas say it all (here); if not, see [`heterogeneous`]. Not rack-aware, as Kafka's is
//! not. Kafka walks members and topics in the order of hash tables, which depends on random ids; here it is the order of
//! member ids and topic names, and with ids that hash in that order both give the same answer.

mod heterogeneous;
mod load;

use crate::input::{Member, Partition, Topic, TopicIndex};
use crate::order::{members_by_id, topics_by_name};

pub(crate) fn assign(topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<Partition>> {
    let Some(first) = members.first() else { return Vec::new() };
    let wanted = subscription(first);
    if members.iter().all(|member| subscription(member) == wanted) {
        homogeneous(topics, members, &wanted)
    } else {
        heterogeneous::assign(topics, members)
    }
}

fn subscription(member: &Member<'_>) -> Vec<TopicIndex> {
    let mut topics = member.topics.clone();
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// The partitions that a member holds and may keep, by the rank of the topic's name and the partition's number. What two
/// members claim belongs to the one that is asked first.
fn kept(
    member: &Member<'_>,
    rank: &[usize],
    topics: &[Topic<'_>],
    taken: &mut [Vec<bool>],
    wanted: impl Fn(TopicIndex) -> bool,
) -> Vec<Partition> {
    let mut owned = member.owned.clone();
    owned.retain(|one| {
        let exists = one.partition < topics[one.topic.at()].partitions && wanted(one.topic);
        exists && !std::mem::replace(&mut taken[one.topic.at()][one.partition as usize], true)
    });
    owned.sort_unstable_by_key(|one| (rank[one.topic.at()], one.partition));
    owned
}

/// One flag for each partition of each topic.
fn nobody(topics: &[Topic<'_>]) -> Vec<Vec<bool>> {
    topics.iter().map(|topic| vec![false; topic.partitions as usize]).collect()
}

/// For each topic, its place in the order of names.
fn ranks(by_name: &[usize]) -> Vec<usize> {
    let mut rank = vec![0; by_name.len()];
    for (place, topic) in by_name.iter().enumerate() {
        rank[*topic] = place;
    }
    rank
}

/// Everybody keeps what they hold up to a quota; the rest goes to those below theirs.
fn homogeneous(topics: &[Topic<'_>], members: &[Member<'_>], wanted: &[TopicIndex]) -> Vec<Vec<Partition>> {
    let mut by_name = topics_by_name(topics);
    let rank = ranks(&by_name);
    by_name.retain(|topic| wanted.binary_search(&TopicIndex(*topic as u32)).is_ok());
    let total: usize = by_name.iter().map(|topic| topics[*topic].partitions as usize).sum();
    let quota = total / members.len();
    let mut extras = total % members.len();

    let mut taken = nobody(topics);
    let mut rows = vec![Vec::new(); members.len()];
    let mut unfilled = Vec::new();
    let mut revoked = Vec::new();
    for (place, member) in members_by_id(members).into_iter().enumerate() {
        let mut extra = extras > 0;
        let mut room = quota + usize::from(extra);
        let mine =
            kept(&members[member], &rank, topics, &mut taken, |topic| wanted.binary_search(&topic).is_ok());
        // A later topic that fits whole is kept even if an earlier one did not: only what is too much goes.
        for of_topic in mine.chunk_by(|left, right| left.topic == right.topic) {
            let keep = of_topic.len().min(room);
            room -= keep;
            rows[member].extend_from_slice(&of_topic[..keep]);
            revoked.extend_from_slice(&of_topic[keep..]);
        }
        // Who does not hold one partition more already leaves it to somebody who may, while there are enough of them.
        if extra && room > 0 && members.len() - place > extras {
            extra = false;
            room -= 1;
        }
        extras -= usize::from(extra);
        if room > 0 {
            unfilled.push((member, room));
        }
    }

    let free = by_name.iter().flat_map(|topic| {
        let nobodys = taken[*topic].iter().zip(0..).filter(|(taken, _)| !**taken);
        nobodys.map(|(_, partition)| Partition::new(*topic as u32, partition))
    });
    let mut unassigned = free.chain(revoked);
    for (member, room) in unfilled {
        rows[member].extend(unassigned.by_ref().take(room));
    }
    assert!(unassigned.next().is_none(), "quotas do not cover all partitions");
    rows
}
