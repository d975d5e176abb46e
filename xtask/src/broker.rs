//! The broker that a task judges: ottla, Apache Kafka as the oracle, or one that is already there.

use crate::apache::ApacheBroker;
use crate::failure::Failure;
use crate::ottla::OttlaBroker;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The broker of this run. Dropping it ends it, unless it was there before.
pub(crate) enum Broker {
    /// Ours, with its files on this machine.
    Ottla(OttlaBroker),
    /// The oracle.
    Apache(ApacheBroker),
    /// Somebody else's.
    Elsewhere(SocketAddr),
}

impl Broker {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Ottla(broker) => broker.address,
            Self::Apache(broker) => broker.address,
            Self::Elsewhere(address) => *address,
        }
    }

    /// Its log directory, if it is on this machine.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        match self {
            Self::Ottla(broker) => Some(broker.data.clone()),
            Self::Apache(broker) => Some(broker.data.clone()),
            Self::Elsewhere(_) => None,
        }
    }

    /// SIGKILL, and a new start on its files; returns once it listens again.
    pub(crate) fn kill_and_restart(&mut self) -> Result<(), Failure> {
        match self {
            Self::Ottla(broker) => broker.kill_and_restart(),
            Self::Apache(broker) => broker.kill_and_restart(),
            Self::Elsewhere(_) => {
                Err(Failure::Claim("somebody else's broker is not ours to kill".to_owned()))
            }
        }
    }

    /// Ends it cleanly, so that its files are complete.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Ottla(broker) => broker.stop(),
            Self::Apache(broker) => broker.stop(),
            Self::Elsewhere(_) => Ok(()),
        }
    }
}
