//! RBAC in Cedar against a reference evaluator of RBAC, which lives here only.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that the tests themselves write or have checked"
)]

mod access;
mod audit;
mod chains;
mod cluster;
mod controller;
mod dangers;
mod default_roles;
mod goldens;
mod granted;
mod pairs;
mod property;
mod random;
mod reading;
mod reference;
mod request;
mod scale;
mod upstream;
