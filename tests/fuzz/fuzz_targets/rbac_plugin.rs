//! See `stagedoor_tests::fuzz::rbac_plugin`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stagedoor_tests::fuzz::rbac_plugin(bytes));
