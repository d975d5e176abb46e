//! Which log directories a broker has, and in which of them each of its replicas lives (KIP-858).
//!
//! A replica without a directory was never written to: its log may be made. One with a directory is there or nowhere, so
//! that a disk that comes back empty, another disk in its place, or none at all never leads to a second, empty log. The
//! broker makes the log first, and nobody writes to it before its directory is committed; what that leaves behind after a
//! crash is an empty log that is found and taken in. Nothing here looks at a disk.

use std::collections::BTreeMap;

use ottla_protocol::{BrokerId, DirectoryId};

use super::image::Image;
use super::record::{Directory, MetadataRecord};

/// A directory that holds replicas and is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentDirectory {
    /// Its id.
    pub id: DirectoryId,
    /// Where it was when it was last seen.
    pub path: Option<String>,
    /// How many replicas live in it.
    pub replica_count: usize,
}

/// Where the log of a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// In the directory that the metadata says.
    Assigned(DirectoryId),
    /// In this one, which the metadata does not say: it was made before it was assigned, or somebody has moved it.
    Found(DirectoryId),
    /// Nowhere yet: it is to be made.
    Unmade,
}

/// Why the log of a replica may neither be opened nor made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The directory that it lives in is not there; a copy elsewhere may be an old one.
    #[error("it lives in the log directory with directory.id {0}, which is not here")]
    DirectoryAbsent(DirectoryId),
    /// The directory is there, and the log is not.
    #[error("its files are gone from the log directory with directory.id {0}")]
    FilesAbsent(DirectoryId),
    /// It is there more than once, and nothing says which is the right one.
    #[error("the log directories with directory.id {0} and {1} both hold it")]
    Ambiguous(DirectoryId, DirectoryId),
}

/// Where a replica is to be opened that is assigned to a directory, or to none yet, and was found in some of those that
/// are present.
///
/// # Errors
/// It has to stay offline.
pub fn residence(
    assigned: Option<DirectoryId>,
    found: &[DirectoryId],
    is_present: impl Fn(DirectoryId) -> bool,
) -> Result<Residence, Unreachable> {
    match (assigned, found) {
        (Some(id), found) if found.contains(&id) => Ok(Residence::Assigned(id)),
        (Some(id), _) if !is_present(id) => Err(Unreachable::DirectoryAbsent(id)),
        (Some(id), []) => Err(Unreachable::FilesAbsent(id)),
        (None, []) => Ok(Residence::Unmade),
        (_, [id]) => Ok(Residence::Found(*id)),
        (_, [one, other, ..]) => Err(Unreachable::Ambiguous(*one, *other)),
    }
}

impl Image {
    /// The directories that hold replicas of `broker` and are not among those that it came up with.
    pub fn absent_directories(&self, broker: BrokerId, present: &[Directory]) -> Vec<AbsentDirectory> {
        let mut counts: BTreeMap<DirectoryId, usize> = BTreeMap::new();
        let partitions = self.topics().flat_map(|topic| &topic.partitions);
        for id in partitions.filter_map(|partition| partition.directory_on(broker)) {
            *counts.entry(id).or_default() += 1;
        }
        let known = self.broker(broker).map_or(&[][..], |broker| &broker.directories);
        let path_of = |id| known.iter().find(|known| known.id == id).map(|known| known.path.clone());
        counts
            .into_iter()
            .filter(|(id, _)| present.iter().all(|present| present.id != *id))
            .map(|(id, replica_count)| AbsentDirectory { id, path: path_of(id), replica_count })
            .collect()
    }

    /// The record that `broker` came up with these directories, if that is news. Absent ones stay known for as long as
    /// they hold replicas.
    pub fn register_directories(&self, broker: BrokerId, present: &[Directory]) -> Option<MetadataRecord> {
        let mut directories = present.to_vec();
        directories.extend(
            self.absent_directories(broker, present)
                .into_iter()
                .filter_map(|absent| Some(Directory { id: absent.id, path: absent.path? })),
        );
        let known = self.broker(broker).map(|broker| &broker.directories);
        (known != Some(&directories)).then_some(MetadataRecord::RegisterDirectories { broker, directories })
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::{LeaderEpoch, PartitionIndex, TopicId, TopicName};
    use uuid::Uuid;

    use super::*;

    const BROKER: BrokerId = BrokerId::new(1);

    fn id(number: u128) -> DirectoryId {
        DirectoryId::new(Uuid::from_u128(number))
    }

    fn directory(number: u128) -> Directory {
        Directory { id: id(number), path: format!("/d{number}") }
    }

    #[test]
    fn a_replica_is_opened_where_it_lives_and_made_only_if_it_never_was() {
        let (a, b, gone) = (id(1), id(2), id(9));
        for (assigned, found, expected) in [
            (None, &[][..], Ok(Residence::Unmade)),
            (None, &[a][..], Ok(Residence::Found(a))),
            (None, &[a, b][..], Err(Unreachable::Ambiguous(a, b))),
            (Some(a), &[a][..], Ok(Residence::Assigned(a))),
            (Some(b), &[a, b][..], Ok(Residence::Assigned(b))),
            (Some(a), &[b][..], Ok(Residence::Found(b))),
            (Some(a), &[][..], Err(Unreachable::FilesAbsent(a))),
            (Some(gone), &[][..], Err(Unreachable::DirectoryAbsent(gone))),
            (Some(gone), &[a][..], Err(Unreachable::DirectoryAbsent(gone))),
            (Some(gone), &[a, b][..], Err(Unreachable::DirectoryAbsent(gone))),
        ] {
            assert_eq!(residence(assigned, found, |id| id != gone), expected, "{assigned:?} {found:?}");
        }
    }

    /// Two directories, each with one replica.
    fn image() -> Image {
        let mut image = Image::default();
        image.apply(&MetadataRecord::RegisterBroker { broker: BROKER, rack: None });
        let registered = image.register_directories(BROKER, &[directory(1), directory(2)]);
        image.apply(&registered.expect("news"));
        let topic = TopicId::new(Uuid::from_u128(7));
        image.apply(&MetadataRecord::Topic { name: TopicName::new("t").unwrap(), id: topic });
        for (number, partition) in [(1, 0), (2, 1)] {
            let partition = PartitionIndex::new(partition);
            image.apply(&MetadataRecord::Partition {
                topic,
                partition,
                replicas: vec![BROKER],
                in_sync_replicas: vec![BROKER],
                leader: Some(BROKER),
                leader_epoch: LeaderEpoch::ZERO,
            });
            let directory = id(number);
            image.apply(&MetadataRecord::AssignDirectory { topic, partition, broker: BROKER, directory });
        }
        image
    }

    #[test]
    fn a_directory_is_missed_for_as_long_as_it_holds_replicas() {
        let mut image = image();
        let absent = AbsentDirectory { id: id(2), path: Some("/d2".to_owned()), replica_count: 1 };
        let present = [directory(1), directory(3)];
        assert_eq!(image.absent_directories(BROKER, &present), std::slice::from_ref(&absent));
        image.apply(&image.register_directories(BROKER, &present).expect("news"));
        assert_eq!(image.absent_directories(BROKER, &present), [absent]);
        assert_eq!(image.register_directories(BROKER, &present), None, "nothing new");
        image.apply(&MetadataRecord::RemoveTopic { id: TopicId::new(Uuid::from_u128(7)) });
        assert_eq!(image.absent_directories(BROKER, &present), []);
    }

    #[test]
    fn a_broker_that_registers_again_keeps_its_directories() {
        let mut image = image();
        image.apply(&MetadataRecord::RegisterBroker { broker: BROKER, rack: Some("a".to_owned()) });
        assert_eq!(image.register_directories(BROKER, &[directory(1), directory(2)]), None);
    }
}
