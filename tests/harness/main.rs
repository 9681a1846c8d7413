//! The test harness of policies, held to what it is for.

mod cedar_files;
mod coverage;
mod expectations;
mod findings;
mod guards;
mod lint;
mod mistakes;
mod mutation;
mod names;
mod place;
mod shipped;
