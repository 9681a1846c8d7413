//! A real kube-apiserver with Stagedoor in front of it: what ships is tried as it ships.
//!
//! The servers are those of `KUBEBUILDER_ASSETS`, of `target/kubernetes` (made by
//! `tests/cluster/servers/build`) or of `/usr/local/kubebuilder/bin`. Where there are none the
//! tests say that they are skipped.

#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

mod admission;
mod availability;
mod client;
mod cluster;
mod credentials;
mod deploy;
mod faces;
mod guards;
mod impersonation;
mod installations;
mod kubectl;
mod old_flags;
#[cfg(feature = "kubernetes")]
mod policy_sets;
mod process;
mod rbac;
mod servers;
mod webhook;
