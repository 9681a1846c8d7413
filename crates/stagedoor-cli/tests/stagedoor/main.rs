//! Runs the real command.

mod conformance;
mod demo;
mod documents;
mod hostile;
mod run;
mod table;
