//! Floors, load generator and criterion benches.
