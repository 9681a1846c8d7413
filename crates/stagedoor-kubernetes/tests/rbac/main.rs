//! RBAC in Cedar against a reference evaluator of RBAC, which lives here only.

mod cluster;
mod property;
mod random;
mod reference;
