//! See `stagedoor_tests::fuzz::authzen`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagedoor_tests::fuzz::authzen(bytes));
