//! The Kafka wire protocol: frames, messages, record batches. No files, sockets or clocks.
