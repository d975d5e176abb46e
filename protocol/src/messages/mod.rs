//! The messages of the protocol, one API per file: its request, its response, and the structs within them.
//!
//! Structs and fields have the names of Kafka's message schemas, and each field names the versions that carry it. These
//! are plain claims of the other side: `-1` for "none" is still `-1` here, and nothing but the encoding is checked.

pub mod api_versions;
pub mod delete_groups;
pub mod describe_groups;
pub mod find_coordinator;
pub mod heartbeat;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod sync_group;
