//! That a set loads, before anybody signs it.

use std::path::PathBuf;

use clap::Args;
use stagedoor_core::Limits;
use stagedoor_source::Bundle;

use super::changes::engine_of;
use crate::failure::Failure;
use crate::load::limits_of;

/// Whether a bundle is loaded before it is signed.
#[derive(Debug, Args)]
pub(crate) struct SigningArgs {
    #[command(flatten)]
    check: LoadCheckArgs,

    /// Limits on what is loaded, as JSON: `{"policyBytes": 131072}`.
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
}

impl SigningArgs {
    /// As [`LoadCheckArgs::check`].
    pub(super) fn check(&self, bundle: &[u8]) -> Result<(), Failure> {
        self.check.check(bundle, &limits_of(self.limits.as_deref())?)
    }
}

/// As [`SigningArgs`], where limits are given already.
#[derive(Debug, Args)]
pub(crate) struct LoadCheckArgs {
    /// Sign the bundle without loading it: replicas take up no set that does not load.
    #[arg(long)]
    no_load: bool,
}

impl LoadCheckArgs {
    /// Fails if a bundle does not load, unless nobody wants to know.
    ///
    /// The custom rules that guard its policies need not be here.
    pub(super) fn check(&self, bundle: &[u8], limits: &Limits) -> Result<(), Failure> {
        if self.no_load {
            return Ok(());
        }
        let bundle = Bundle::from_json("the bundle", &String::from_utf8_lossy(bundle))?;
        engine_of(&bundle, limits).map(drop)
    }
}
