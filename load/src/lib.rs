//! Load for any Kafka broker, and what came of it.
//!
//! `ottla bench` is its face. Batches are prepared ahead and sent over raw connections by threads that block, so that the
//! generator is not what is measured; the same load can go through `ottla-client` instead. In a *closed loop* a client
//! keeps so many requests in flight and sends the next when one is answered. In an *open loop* requests are sent at
//! fixed times whatever the broker does, and each latency counts from the time at which its request *should* have been
//! sent: a stall counts against the broker (no coordinated omission). A run that breaks off reports what it measured
//! up to then. Not here: starting brokers, floors, other systems; those are `benches`.

mod consume;
mod end_to_end;
mod error;
mod journey;
mod pace;
mod plan;
mod prepared;
mod process;
mod produce;
mod reader;
mod run;
mod tally;
mod through_client;
mod wire;

pub use consume::consume;
pub use end_to_end::end_to_end;
pub use error::{LoadError, Result};
pub use journey::STAMP_BYTES;
pub use pace::Pace;
pub use plan::{ConsumePlan, Leader, ProducePlan, RecordSize, Shape, Target, Window};
pub use process::make_room_for;
pub use produce::produce;
pub use run::Run;
pub use tally::Tally;
pub use through_client::{consume_through_client, end_to_end_through_client, produce_through_client};
pub use wire::idle_connections;
