//! Conditional decisions: what policies say of resources, in Backstage's rules.

mod answers;
mod closed;
mod policies;
