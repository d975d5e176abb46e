//! The configuration: one table of keys, the layers in which values are set, and the typed views that the broker reads.
//!
//! Kafka's keys, defaults and meaning. A key is declared once, in [`table`]; everything else here is derived from it.

pub mod row;
pub mod table;
pub mod value;
