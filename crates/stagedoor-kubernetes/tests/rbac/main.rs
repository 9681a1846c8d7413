//! RBAC in Cedar against a reference evaluator of RBAC, which lives here only.

mod access;
mod audit;
mod cluster;
mod default_roles;
mod goldens;
mod property;
mod random;
mod reading;
mod reference;
mod request;
mod scale;
