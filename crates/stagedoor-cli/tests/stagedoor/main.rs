//! Runs the real command.

mod conformance;
mod demo;
mod diff;
mod discover;
mod documents;
mod formats;
mod guide;
mod hostile;
mod hostile_bodies;
mod import;
mod integrations;
mod languages;
mod lint;
mod list;
mod loading;
mod meaning;
mod policy_tests;
mod report;
mod rule;
mod rule_compile;
mod run;
mod scaffold;
mod serve;
mod snapshots;
mod table;
mod wire;
