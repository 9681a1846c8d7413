//! What is signed, where it lies, and what replicas promise: by simulation, on disks that fail and
//! stores that lie, and against a real registry where there is one.

#[cfg(feature = "kubernetes")]
mod api_server;
#[cfg(feature = "sigstore")]
mod authority;
#[cfg(feature = "objects")]
mod bucket;
#[cfg(feature = "kubernetes")]
mod cluster;
#[cfg(feature = "postgres")]
mod database;
mod disk;
mod fleet;
mod http;
#[cfg(feature = "sigstore")]
mod keyless;
mod oci;
mod referrers;
mod replica;
mod size;
mod stores;
mod support;
mod verify;
