//! What the controller decides: which topics, partitions, configs and producer ids there are.
//!
//! A record machine. A request is answered by [`Outcome`]: records, and the reply that may leave once they are
//! committed; only a committed record changes the [`Image`], by [`Image::apply`]. So an image is whatever its records
//! say, on every broker alike, and there is no undo. It is *not* the quorum that commits the records, and it chooses no
//! random ids: those are handed in.

mod assignment;
mod configs;
mod directories;
mod image;
mod names;
mod outcome;
mod placement;
mod producer_ids;
mod record;
mod topics;

pub use directories::{AbsentDirectory, Residence, Unreachable, residence};
pub use image::{Broker, Image, Partition, Topic};
pub use outcome::Outcome;
pub use placement::Placement;
pub use producer_ids::{PRODUCER_ID_BLOCK, ProducerIdBlock};
pub use record::{ConfigResource, Directory, MetadataRecord};
