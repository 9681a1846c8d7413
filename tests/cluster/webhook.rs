//! `stagedoor serve kubernetes`, with certificates and policies that change.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::credentials::{Authority, CertificateFiles, replace};
use crate::process::{Process, eventually, free_address};
use crate::servers::repository;

/// The name in the webhook's certificate: that of its Service.
pub(crate) const NAME: &str = "stagedoor.stagedoor.svc";

/// The webhook's files, and the process where it runs.
pub(crate) struct Webhook {
    directory: TempDir,
    pub(crate) address: SocketAddr,
    health: SocketAddr,
    /// Signs the webhook's certificate.
    pub(crate) authority: Authority,
    /// Signs what kube-apiserver shows.
    pub(crate) clients: Authority,
    pub(crate) client: CertificateFiles,
    more: Vec<String>,
    process: Option<Process>,
}

impl Webhook {
    /// Writes certificates; policies are to be added.
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::create_dir(directory.path().join("policies"))?;
        let clients = Authority::new("clients of the webhook")?;
        let client = clients.write(&directory.path().join("client"), &["kube-apiserver"])?;
        let webhook = Self {
            address: free_address()?,
            health: free_address()?,
            authority: Authority::new("the webhook")?,
            clients,
            client,
            more: Vec::new(),
            process: None,
            directory,
        };
        webhook.renew()?;
        std::fs::write(webhook.path("clients.crt"), webhook.clients.pem())?;
        std::fs::write(webhook.path("ca.crt"), webhook.authority.pem())?;
        Ok(webhook)
    }

    /// Returns the webhook with the policies that ship.
    pub(crate) fn shipped() -> Result<Self> {
        let webhook = Self::new()?;
        for entry in std::fs::read_dir(repository("policies/kubernetes"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "cedar" || e == "cedarschema") {
                std::fs::copy(&path, webhook.policies().join(name_of(&path)?))?;
            }
        }
        let admission = webhook.policies().join("admission");
        std::fs::create_dir(&admission)?;
        for name in ["admission.cedar", "admission.cedarschema"] {
            let from = repository("policies/kubernetes/admission").join(name);
            std::fs::copy(from, admission.join(name))?;
        }
        Ok(webhook)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.path("policies")
    }

    /// Adds a file of policies, or replaces it.
    pub(crate) fn write_policy(&self, name: &str, text: &str) -> Result<()> {
        // Beside the policies, where no half of it is looked at.
        let beside = self.path("policy.new");
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(beside, self.policies().join(name))?)
    }

    /// Writes a new certificate of the same authority.
    pub(crate) fn renew(&self) -> Result<()> {
        self.authority.write(&self.path("tls"), &[NAME, "127.0.0.1"])?;
        Ok(())
    }

    /// Writes another authority whose clients get in.
    pub(crate) fn write_client_authority(&self, authority: &Authority) -> Result<()> {
        replace(&self.path("clients.crt"), &authority.pem())
    }

    /// Adds arguments of the next start.
    pub(crate) fn with_args(mut self, args: &[&str]) -> Self {
        self.more.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Starts the webhook, and waits until it is ready.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
        command
            .current_dir(self.directory.path())
            .args(["serve", "kubernetes", "--policies", "policies"])
            .args(["--tls-cert", "tls.crt", "--tls-key", "tls.key", "--client-ca", "clients.crt"])
            .arg(format!("--listen={}", self.address))
            .arg(format!("--health-listen={}", self.health))
            .args(["--reload-interval", "1"])
            .args(&self.more);
        let mut process = Process::start(&mut command, &self.path("stagedoor.log"))?;
        eventually("the webhook", || {
            process.check()?;
            Ok(self.health("/readyz").is_ok_and(|answer| answer.code == 200).then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends the process as if its machine had gone.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// Returns the address of the webhook's health.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn health_address(&self) -> SocketAddr {
        self.health
    }

    /// Asks for the webhook's health.
    pub(crate) fn health(&self, path: &str) -> Result<Answer> {
        Client::new(format!("http://{}", self.health), &self.authority.pem())?.get(path)
    }

    /// Waits until this is told of the webhook's health.
    pub(crate) fn wait_for_health(&self, path: &str, text: &str) -> Result<()> {
        eventually(text, || {
            let told = self.health(path)?.body;
            let told = told.as_str().map_or_else(|| told.to_string(), str::to_owned);
            Ok(told.contains(text).then_some(()))
        })
    }

    /// Waits until policies are in force that were changed since these were.
    pub(crate) fn wait_for_change(&self, revision: &str) -> Result<()> {
        eventually("a reload", || Ok((self.revision()? != revision).then_some(())))
    }

    /// Returns the revision of the policies in force.
    pub(crate) fn revision(&self) -> Result<String> {
        let told = self.health("/metrics")?.body;
        let told = told.as_str().context("metrics are text")?.to_owned();
        let (_, after) =
            told.split_once("stagedoor_policy_info{revision=\"").context(told.clone())?;
        let (revision, _) = after.split_once('"').context("a revision")?;
        Ok(revision.to_owned())
    }

    /// Returns what the webhook has written.
    pub(crate) fn log(&self) -> Result<String> {
        self.process.as_ref().context("the webhook does not run")?.log()
    }

    /// Runs another command of Stagedoor's beside the webhook.
    pub(crate) fn command(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_stagedoor"))
            .current_dir(self.directory.path())
            .args(args)
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{args:?}: {told}");
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn name_of(path: &Path) -> Result<&std::ffi::OsStr> {
    path.file_name().context("a file has a name")
}
