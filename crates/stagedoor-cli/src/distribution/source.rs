//! Servers that follow a channel instead of reading files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use stagedoor_distribution::{Digest, Follower, Location, Replica, ReplicaOptions};
use stagedoor_source::PolicyOrigin;

use super::gates::{ChangeGate, TestGate};
use super::release::Change;
use super::{StoreArgs, trust};
use crate::failure::Failure;
use crate::load::LoadArgs;

/// Where the policies of a server come from.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Policies and schemas: files or directories.
    #[arg(long, value_name = "PATH", required_unless_present = "source", num_args = 1..)]
    pub(crate) policies: Vec<PathBuf>,

    /// Follow a channel instead, such as `ghcr.io/acme/payments:production`: policies that
    /// somebody in `--trust` has signed for it, whole and never backwards.
    #[arg(long, value_name = "STORE/SET:CHANNEL", conflicts_with = "policies", requires_all = ["trust", "state"])]
    source: Option<Location>,

    /// Whom to trust: keys in YAML, or one public key in PEM. It is read again when it changes.
    #[arg(long, value_name = "FILE", requires = "source")]
    trust: Option<PathBuf>,

    /// A directory of this server's own, where the last good sets are kept: with them it starts
    /// without the source.
    #[arg(long, value_name = "DIR", requires = "source")]
    state: Option<PathBuf>,

    /// How often to look at the source, in seconds, a fifth more or less.
    #[arg(long, value_name = "SECONDS", requires = "source", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400))]
    poll_interval: u64,

    /// Not ready when the source has not confirmed what is in force for so many seconds, or when it
    /// has expired. By default both are only told.
    #[arg(long, value_name = "SECONDS", requires = "source", value_parser = clap::value_parser!(u64).range(1..))]
    max_staleness: Option<u64>,

    /// The one bundle that may be in force, whatever its number is.
    #[arg(long, value_name = "DIGEST", requires = "source")]
    pin: Option<Digest>,

    /// What becomes of the tests that a set brings.
    #[arg(long, value_enum, requires = "source", default_value_t = Tests::Run)]
    set_tests: Tests,

    /// Take up no set that changes access in this way against the one in force, unless its signature
    /// approves of it; nor one of which that is not decided.
    #[arg(long, value_enum, value_name = "CHANGE", requires = "source")]
    refuse_change: Vec<Change>,

    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tests {
    /// They are run; a set of which one fails is not taken up.
    Run,
    /// As before, and a set without tests is not taken up either.
    Required,
    /// They are not run.
    Skip,
}

impl SourceArgs {
    /// Returns where the rules are that guard the policies, unless directories of rules are named.
    pub(crate) fn rule_paths(&self) -> Vec<PathBuf> {
        match (&self.source, &self.state) {
            (Some(_), Some(state)) => vec![state.join("set")],
            _ => self.policies.clone(),
        }
    }

    /// Returns who reviews the policy sets of a cluster, if it is one that is followed.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn reviewer(
        &self,
        load: &LoadArgs,
    ) -> Result<Option<Arc<dyn stagedoor_webhook::PolicySetReviewer>>, Failure> {
        let (Some(location), Some(trust)) = (&self.source, &self.trust) else { return Ok(None) };
        super::policy_set_review::reviewer(location, trust, &self.store, load.limits()?)
    }

    /// Returns where the policies come from. A channel is followed from now on.
    pub(crate) fn origin(&self, load: &LoadArgs) -> Result<Arc<dyn PolicyOrigin>, Failure> {
        let (Some(location), Some(trusted), Some(state)) = (&self.source, &self.trust, &self.state)
        else {
            return Ok(load.origin(&self.policies));
        };
        let mut options = ReplicaOptions::new(location.channel().clone(), state);
        options.pin = self.pin;
        options.max_staleness = self.max_staleness.map(Duration::from_secs);
        options.bundle_bytes = load.limits()?.file_bytes as u64;
        let store = self.store.open(location)?;
        let replica = Replica::open(options, store, trust(trusted)?);
        let mut replica = replica.map_err(|error| Failure::input(error.to_string()))?;
        if self.set_tests != Tests::Skip {
            replica = replica.with_gate(Arc::new(TestGate {
                is_required: self.set_tests == Tests::Required,
                directory: state.join("tests"),
                shipped: state.join("set"),
                rules: load.rules.clone(),
                rule_host: load.rule_host.clone(),
                limits: load.limits()?,
            }));
        }
        if !self.refuse_change.is_empty() {
            let refuses = self.refuse_change.iter().map(|change| (*change).into()).collect();
            replica = replica.with_gate(Arc::new(ChangeGate { refuses }));
        }
        let interval = Duration::from_secs(self.poll_interval);
        let follower = Follower::start(replica, Some(trusted.clone()), interval);
        let follower =
            follower.map_err(|e| Failure::input(format!("no thread can be had: {e}")))?;
        Ok(Arc::new(follower))
    }
}
