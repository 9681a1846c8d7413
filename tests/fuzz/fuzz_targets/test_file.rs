//! See `stagedoor_tests::fuzz::test_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagedoor_tests::fuzz::test_file(bytes));
