//! See `stagedoor_tests::fuzz::policies_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagedoor_tests::fuzz::policies_json(bytes));
