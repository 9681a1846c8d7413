//! See `stagedoor_tests::fuzz::bundle`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagedoor_tests::fuzz::bundle(bytes));
