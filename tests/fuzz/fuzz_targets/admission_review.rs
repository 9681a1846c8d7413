//! See `stagedoor_tests::fuzz::admission_review`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagedoor_tests::fuzz::admission_review(bytes));
