//! What publishing and following policy sets have in common: stores, keys, whom to trust.

mod changes;
mod gates;
mod loading;
#[cfg(feature = "kubernetes")]
mod policy_set_review;
pub(crate) mod promote;
pub(crate) mod pull;
pub(crate) mod push;
mod release;
pub(crate) mod sign;
pub(crate) mod source;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use stagedoor_distribution::store::oci::Credentials;
use stagedoor_distribution::{Location, PolicyStore, SigningKey, StoreOptions, Trust, read_trust};

use crate::failure::Failure;
use crate::input::{Input, unreadable};

/// Keys, tokens and configurations are not larger.
const SMALL_BYTES: usize = 1 << 20;

/// How stores are reached.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Authorities of the store's server, in PEM, instead of those that browsers know.
    #[arg(long, value_name = "FILE")]
    store_ca: Option<PathBuf>,

    /// A file with a bearer token for a web server, or the password of a database.
    #[arg(long, value_name = "FILE")]
    store_token: Option<PathBuf>,

    /// Names and passwords for registries, in the form of Docker's `config.json`
    /// (`$DOCKER_CONFIG/config.json`).
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,

    /// Time for one answer of the store, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    store_timeout: u64,
}

impl StoreArgs {
    fn options(&self) -> Result<StoreOptions, Failure> {
        let mut options = StoreOptions::default();
        options.http.timeout = Duration::from_secs(self.store_timeout);
        if let Some(path) = &self.store_ca {
            options.http.authorities = Some(small(path)?.into_bytes());
        }
        if let Some(path) = &self.store_token {
            options.http.token = Some(small(path)?.trim().to_owned());
        }
        let config = self.registry_config.clone().or_else(|| {
            let directory = std::env::var_os("DOCKER_CONFIG")?;
            Some(Path::new(&directory).join("config.json")).filter(|path| path.exists())
        });
        if let Some(path) = config {
            let credentials = Credentials::from_json(&small(&path)?);
            options.credentials = credentials.map_err(|error| named(&path, &error))?;
        }
        Ok(options)
    }

    /// Opens the store of a location.
    pub(crate) fn open(&self, location: &Location) -> Result<Box<dyn PolicyStore>, Failure> {
        location.open(&self.options()?).map_err(|error| Failure::input(error.to_string()))
    }
}

/// Reads a small file.
fn small(path: &Path) -> Result<String, Failure> {
    Input::default().text(path, SMALL_BYTES)
}

/// Reads a file as it is.
fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    use stagedoor_source::{FileSystem as _, RealFileSystem};

    let name = path.display().to_string();
    let bytes = RealFileSystem.read(path, limit).map_err(|error| unreadable(&name, &error))?;
    match bytes.len() as u64 > limit {
        true => Err(Failure::input(format!("`{name}` is larger than the limit of {limit} bytes"))),
        false => Ok(bytes),
    }
}

fn named(path: &Path, error: &impl std::fmt::Display) -> Failure {
    Failure::input(format!("`{}`: {error}", path.display()))
}

fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    SigningKey::from_pem(small(path)?.as_bytes()).map_err(|error| named(path, &error))
}

pub(crate) fn trust(path: &Path) -> Result<Trust, Failure> {
    read_trust(path).map_err(Failure::input)
}

/// Returns whom to trust with what lies where something is published: a file says it, or else it
/// is who publishes.
fn trust_or_own(path: Option<&Path>, key: &SigningKey) -> Result<Trust, Failure> {
    path.map_or_else(|| Ok(Trust::in_key("own", key.verifying_key())), trust)
}
