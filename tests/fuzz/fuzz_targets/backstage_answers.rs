//! See `stagedoor_tests::fuzz::backstage_answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagedoor_tests::fuzz::backstage_answers(bytes));
