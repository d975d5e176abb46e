//! What a request makes the broker allocate does not grow with the data it moves.
//!
//! The broker that counts runs in a process of its own, so that only its allocations are counted.

use std::process::Command;

use serde_json::Value;

/// A batch up to this size is copied into the answer to a fetch; a larger one is sent from its file.
const COPIED_BYTES_MAX: f64 = 16.0 * 1024.0;
/// Timers and the like allocate now and then, whoever asks for what.
const NOISE_BYTES: f64 = 512.0;
/// Pieces for one request, whatever is in it. Raise it only with a reason.
const PIECES_MAX: f64 = 20.0;

fn counted() -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_ottla-benches"))
        .arg("allocations")
        .arg(env!("CARGO_BIN_EXE_ottla-counting-broker"))
        .output()
        .expect("the benches start");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("counts as JSON")
}

#[test]
fn what_produce_and_fetch_allocate_does_not_grow_with_the_data() {
    let counted = counted();
    for (request, copied_bytes_max) in [("produce", 0.0), ("fetch", COPIED_BYTES_MAX)] {
        let of: Vec<&Value> = counted.iter().filter(|counted| counted["request"] == request).collect();
        let (least, most) = (of.first().unwrap(), of.last().unwrap());
        let grown = most["batch_bytes"].as_f64().unwrap() / least["batch_bytes"].as_f64().unwrap();
        assert!(grown > 1_000.0, "the test moves too little to show anything: {grown} times");
        let bound = least["bytes"].as_f64().unwrap() + copied_bytes_max + NOISE_BYTES;
        for counted in of {
            assert!(counted["bytes"].as_f64().unwrap() <= bound, "more than {bound} bytes: {counted}");
            assert!(counted["pieces"].as_f64().unwrap() <= PIECES_MAX, "{counted}");
        }
    }
}
