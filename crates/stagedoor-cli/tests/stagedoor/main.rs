//! Runs the real command.

mod conformance;
mod demo;
mod discover;
mod documents;
mod hostile;
mod import;
mod policy_tests;
mod run;
mod serve;
mod table;
