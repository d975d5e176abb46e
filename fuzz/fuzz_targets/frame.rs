//! See [`ottla_fuzz::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ottla_fuzz::frame::run(input));
