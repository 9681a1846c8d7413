//! Runs the real command.

mod conformance;
mod demo;
mod documents;
mod hostile;
mod policy_tests;
mod run;
mod table;
