//! Who may say that a partition is theirs, where members disagree.
//!
//! Two claims in different generations: the later one holds. Two in the same generation cannot both be true, so neither
//! counts, and what is given to whoever gets it counts as moved. Claims to what does not exist are dropped.

use super::Group;
use crate::input::Partition;
use std::collections::{HashMap, HashSet};

/// What a member that says no generation is taken to mean.
pub(super) const NO_GENERATION: i32 = -1;

/// The claims of all members, settled.
pub(super) struct Claims {
    /// Per member.
    pub(super) owned: Vec<Vec<Partition>>,
    /// Claimed twice in one generation.
    pub(super) disputed: HashSet<Partition>,
    /// The owner before the newest generation, of partitions claimed by a member that missed it.
    pub(super) previous: HashMap<Partition, usize>,
}

impl Claims {
    pub(super) fn of(group: &Group<'_>) -> Claims {
        let generation = |member: usize| group.members[member].generation.unwrap_or(NO_GENERATION);
        let mut owned = vec![Vec::new(); group.members.len()];
        let mut disputed = HashSet::new();
        let mut owners: HashMap<Partition, usize> = HashMap::new();
        for member in group.asked.iter().copied() {
            let mut claimed: Vec<Partition> = group.members[member].owned.clone();
            claimed.sort_unstable();
            claimed.dedup();
            claimed.retain(|one| group.exists(*one));
            for one in claimed {
                let Some(other) = owners.get(&one).copied() else {
                    owned[member].push(one);
                    owners.insert(one, member);
                    continue;
                };
                if generation(member) < generation(other) {
                    continue;
                }
                if generation(member) == generation(other) {
                    disputed.insert(one);
                } else {
                    owned[member].push(one);
                }
                owned[other].retain(|held: &Partition| *held != one);
                owners.insert(one, member);
            }
        }
        Claims { owned, disputed, previous: previous(group) }
    }
}

fn previous(group: &Group<'_>) -> HashMap<Partition, usize> {
    let newest = group.members.iter().filter_map(|member| member.generation).max().unwrap_or(NO_GENERATION);
    let mut previous: HashMap<Partition, (usize, i32)> = HashMap::new();
    for member in group.asked.iter().copied() {
        let generation = group.members[member].generation.unwrap_or(NO_GENERATION);
        if generation >= newest {
            continue;
        }
        for one in &group.members[member].owned {
            let known = previous.entry(*one).or_insert((member, generation));
            if generation > known.1 {
                *known = (member, generation);
            }
        }
    }
    previous.into_iter().map(|(one, (member, _))| (one, member)).collect()
}
