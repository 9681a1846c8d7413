//! A real registry: Debian's `docker-registry`, where it is installed.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use stagedoor_distribution::store::oci::Credentials;
use stagedoor_distribution::{
    Location, PolicyStore, PollOutcome, Replica, ReplicaOptions, StoreError, StoreOptions, Trust,
    newest, publish,
};

use crate::stores::behaves;
use crate::support::{SignedFixture, channel, key};

/// A registry that ends with the test.
pub struct Registry {
    child: Child,
    directory: tempfile::TempDir,
    pub address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Registry {
    /// Starts one, with names and passwords in the form of `htpasswd` or without; `None` where none
    /// is installed.
    pub fn start(passwords: Option<&str>) -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let root = directory.path().join("blobs");
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{address}', secret: s}}\n",
            root.display()
        );
        if let Some(passwords) = passwords {
            let path = directory.path().join("htpasswd");
            std::fs::write(&path, passwords)?;
            config += &format!("auth: {{htpasswd: {{realm: r, path: {}}}}}\n", path.display());
        }
        let path = directory.path().join("config.yml");
        std::fs::File::create(&path)?.write_all(config.as_bytes())?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("skipped: there is no docker-registry");
            return Ok(None);
        };
        let registry = Self { child, directory, address };
        let begun = Instant::now();
        while std::net::TcpStream::connect(&registry.address).is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(30), "the registry does not start");
            std::thread::yield_now();
        }
        Ok(Some(registry))
    }

    pub fn store(&self, options: &StoreOptions) -> Result<Box<dyn PolicyStore>> {
        let location = format!("oci+http://{}/acme/payments:production", self.address);
        Ok(location.parse::<Location>()?.open(options)?)
    }
}

#[test]
fn a_registry_is_a_store() -> Result<()> {
    let Some(registry) = Registry::start(None)? else { return Ok(()) };
    let (key, state) = (key()?, tempfile::tempdir()?);
    let store = registry.store(&StoreOptions::default())?;
    behaves(&*store, &key)?;

    let trust = Trust::in_key("ci", key.verifying_key());
    let options = ReplicaOptions::new(channel()?, state.path());
    let replica = Replica::open(options, registry.store(&StoreOptions::default())?, trust.clone())?;
    let PollOutcome::Candidate(set) = replica.poll()? else { anyhow::bail!("no candidate") };
    replica.admit(&set).map_err(anyhow::Error::msg)?;
    ensure!(set.release().counter == 2 && matches!(replica.poll()?, PollOutcome::Confirmed));

    // Whoever has the registry's disk changes a byte of the bundle.
    let before = newest(&*store, &channel()?, &trust)?;
    let three = SignedFixture::new(3, 3, &key)?;
    publish(&*store, &key, &three.release, &three.bundle, before.as_ref())?;
    let hex = three.release.digest.hex();
    let blob = format!(
        "blobs/docker/registry/v2/blobs/sha256/{}/{hex}/data",
        hex.get(..2).unwrap_or_default()
    );
    let path = registry.directory.path().join(blob);
    let text = std::fs::read_to_string(&path)?;
    std::fs::write(&path, text.replace("\"u0\\\"", "\"u9\\\""))?;
    let refused = replica.poll();
    ensure!(refused.is_err(), "a tampered bundle is offered");
    ensure!(replica.in_force().is_some_and(|set| set.release().counter == 2));
    std::fs::write(&path, text)?;
    ensure!(matches!(replica.poll()?, PollOutcome::Candidate(_)));
    Ok(())
}

#[test]
fn a_registry_is_told_who_asks() -> Result<()> {
    // bcrypt of `p`.
    let passwords = "u:$2b$05$6N7UhRSR/9yibjvonNvSSuEnOX0w493WaG7.U9v8U0gYm7wdzLH2C\n";
    let Some(registry) = Registry::start(Some(passwords))? else { return Ok(()) };
    let head = |options: &StoreOptions| -> Result<String> {
        let error = registry.store(options)?.head(&channel()?, None).err();
        Ok(error.context("there is something")?.to_string())
    };
    ensure!(head(&StoreOptions::default())?.contains("`--registry-config`"));
    let with = |pair: &str| -> Result<StoreOptions> {
        let auth = base64::engine::general_purpose::STANDARD.encode(pair);
        let config = serde_json::json!({"auths": {&registry.address: {"auth": auth}}});
        let mut options = StoreOptions::default();
        options.credentials = Credentials::from_json(&config.to_string())?;
        Ok(options)
    };
    ensure!(head(&with("u:wrong")?)?.contains("does not let this caller in"));
    let store = registry.store(&with("u:p")?)?;
    let missing = store.head(&channel()?, None);
    ensure!(matches!(missing, Err(StoreError::Missing { .. })), "{missing:?}");
    behaves(&*store, &key()?)
}
