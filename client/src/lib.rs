//! The Kafka client that Rust programs embed: connection, metadata, producer, consumer, admin.
