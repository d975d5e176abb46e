//! Which member of a consumer group reads which partition: Kafka's assignors, each as one pure function.
//!
//! What this is not: it knows no wire, no group and no clock. Who asks has already turned names into indexes. Invariants of
//! every [`Assignor`]: the same input gives the same output, in whatever order members and topics are listed; no partition
//! has two owners; nobody is given a topic that they did not subscribe to; and for the assignors that Kafka has, too, the
//! owners are those that Kafka's own would choose. Sources: KIP-54, KIP-341, KIP-429, KIP-792, KIP-848, KIP-881.
//!
//! ```
//! use ottla_assignors::{Assignor, Member, Partition, Topic, TopicIndex};
//!
//! let topics = [Topic::new("flights", 3)];
//! let members = [Member::new("a", vec![TopicIndex(0)]), Member::new("b", vec![TopicIndex(0)])];
//! let rows = Assignor::Range.assign(&topics, &members);
//! assert_eq!(rows[0], [Partition::new(0, 0), Partition::new(0, 1)]);
//! assert_eq!(rows[1], [Partition::new(0, 2)]);
//! ```

mod input;
mod order;
mod racks;
mod range;
mod round_robin;
mod sticky;
mod uniform;

pub use input::{Member, Partition, Topic, TopicIndex};

/// How a group's partitions are divided.
///
/// The leader of a classic group runs one of [`Assignor::CLIENT`], the coordinator of a consumer group (KIP-848) one of
/// [`Assignor::SERVER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assignor {
    /// Per topic, a run of neighbouring partitions for each member; equal topics are divided alike. Follows racks if the
    /// input names any (KIP-881); Kafka's coordinator does not.
    Range,
    /// All partitions of all topics, dealt to the members one by one.
    RoundRobin,
    /// Balanced, and what balance allows stays with its owner; for eager groups.
    Sticky,
    /// As sticky, but what another member still owns is withheld until that member has revoked it.
    CooperativeSticky,
    /// Balanced, and nobody loses more than balance needs. Only for the coordinator, whose target assignment it reads.
    Uniform,
}

impl Assignor {
    /// What a client may offer in JoinGroup.
    pub const CLIENT: &[Assignor] =
        &[Assignor::Range, Assignor::RoundRobin, Assignor::Sticky, Assignor::CooperativeSticky];

    /// What a coordinator may offer to consumer groups; the first is what it takes if nobody asks for one.
    pub const SERVER: &[Assignor] = &[Assignor::Uniform, Assignor::Range, Assignor::RoundRobin];

    /// The name that stands on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::Sticky => "sticky",
            Assignor::CooperativeSticky => "cooperative-sticky",
            Assignor::Uniform => "uniform",
        }
    }

    /// Whether members keep what they own while they rebalance (KIP-429). If so, a member that lost something revokes it
    /// and joins again, and only then is it handed out.
    pub fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }

    /// The assignor of this name that runs in the leader of a classic group.
    pub fn client_named(name: &str) -> Option<Assignor> {
        Self::CLIENT.iter().copied().find(|assignor| assignor.name() == name)
    }

    /// The assignor of this name that runs in the coordinator of a consumer group.
    pub fn server_named(name: &str) -> Option<Assignor> {
        Self::SERVER.iter().copied().find(|assignor| assignor.name() == name)
    }

    /// Divides the partitions of `topics` among `members`: one row per member, in the order given, each sorted by the
    /// topic's index and the partition's number.
    ///
    /// A topic of 0 partitions stands for one that does not exist. A topic listed twice in a subscription counts once.
    ///
    /// # Panics
    ///
    /// If a [`TopicIndex`] lies outside `topics`, or if two members have the same id.
    pub fn assign(self, topics: &[Topic<'_>], members: &[Member<'_>]) -> Vec<Vec<Partition>> {
        input::check(topics, members);
        let mut rows = match self {
            Assignor::Range => range::assign(topics, members),
            Assignor::RoundRobin => round_robin::assign(topics, members),
            Assignor::Sticky => sticky::assign(topics, members),
            Assignor::CooperativeSticky => sticky::assign_cooperatively(topics, members),
            Assignor::Uniform => uniform::assign(topics, members),
        };
        for row in &mut rows {
            row.sort_unstable();
        }
        rows
    }
}
