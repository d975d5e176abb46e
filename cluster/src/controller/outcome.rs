//! What a request to a record machine comes to.

/// Records to commit, and the reply that may leave once they are. Without records the reply may leave at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<Record, Reply> {
    /// To be committed together or not at all.
    pub records: Vec<Record>,
    /// To be sent after they are applied.
    pub reply: Reply,
}

impl<Record, Reply> Outcome<Record, Reply> {
    /// A reply that changes nothing.
    pub fn unchanged(reply: Reply) -> Self {
        Self { records: Vec::new(), reply }
    }
}
