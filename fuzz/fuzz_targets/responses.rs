//! See [`ottla_fuzz::responses`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ottla_fuzz::responses::run(input));
