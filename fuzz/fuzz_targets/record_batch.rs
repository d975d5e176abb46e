//! See [`ottla_fuzz::record_batch`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ottla_fuzz::record_batch::run(input));
