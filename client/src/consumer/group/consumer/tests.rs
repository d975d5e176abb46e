//! Dialogues of a member with an imaginary coordinator.
