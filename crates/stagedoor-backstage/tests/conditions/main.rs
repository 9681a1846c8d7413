//! Conditional decisions: what policies say of resources, in Backstage's rules.

mod agreement;
mod answers;
mod closed;
mod fitting;
mod policies;
mod random;
mod rules;
