//! Randomness: topic ids and fetch session ids. Seeded by the operating system here, by the seed of the
//! run in a simulation.

use rand::Rng as _;
use uuid::Uuid;

/// A fresh random (version 4) UUID.
pub fn uuid() -> Uuid {
    uuid::Builder::from_random_bytes(u128().to_be_bytes()).into_uuid()
}

/// 128 random bits.
pub fn u128() -> u128 {
    let mut rng = source();
    (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64())
}

/// A random positive `i32`, never zero: a fetch session id.
pub fn positive_i32() -> i32 {
    let bits = source().next_u32() & 0x7fff_ffff;
    i32::try_from(bits.max(1)).unwrap_or(i32::MAX)
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that draws random numbers")]
fn source() -> rand::rngs::ThreadRng {
    rand::rng()
}
