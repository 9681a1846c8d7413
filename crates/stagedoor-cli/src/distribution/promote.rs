//! `stagedoor promote`: makes what is published in one channel the newest release of another, or
//! takes a channel back to what it was.

use std::path::PathBuf;

use clap::Args;
use stagedoor_distribution::{Digest, Location, Rollback, newest};

use super::loading::SigningArgs;
use super::push::{failed, fetch, fetch_digest, next, publish_and_show};
use super::release::ReleaseArgs;
use super::{StoreArgs, signing_key, trust};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Publish what is in one channel in another one, or take a channel back.
///
/// `promote FROM TO` signs the bundle that FROM has now for TO: the same bytes. `promote WHERE
/// --pin DIGEST --reason TEXT` makes a bundle that was published before the newest release once
/// more; that it takes something back stands in the signature. Replicas never go back by
/// themselves. A bundle that does not load is not signed.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The channel that is promoted, or taken back.
    #[arg(value_name = "STORE/SET:CHANNEL")]
    from: Location,

    /// The channel that it is promoted to.
    #[arg(
        value_name = "STORE/SET:CHANNEL",
        required_unless_present = "pin",
        conflicts_with = "pin"
    )]
    to: Option<Location>,

    /// The digest of the bundle to go back to.
    #[arg(long, value_name = "DIGEST", requires = "reason")]
    pin: Option<Digest>,

    /// Why.
    #[arg(long, value_name = "TEXT", requires = "pin")]
    reason: Option<String>,

    /// The key that signs: Ed25519, in PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Whom to trust with what is published.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,

    #[command(flatten)]
    release: ReleaseArgs,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(args: &PromoteArgs, output: &mut Output) -> Result<Ending, Failure> {
    let (key, trust) = (signing_key(&args.key)?, trust(&args.trust)?);
    let store = args.store.open(&args.from)?;
    let channel = args.from.channel();
    let current = newest(&*store, channel, &trust).map_err(failed)?;
    let current = current
        .ok_or_else(|| Failure::input(format!("nothing is published as `{}`", args.from)))?;
    if let (Some(digest), Some(reason)) = (args.pin, &args.reason) {
        let bundle = fetch_digest(&*store, digest, channel)?;
        args.signing.check(&bundle)?;
        let counter = next(Some(&current));
        let mut release = args.release.release(channel.clone(), counter, &bundle);
        let from = current.verified.release.counter;
        release.rollback = Some(Rollback { from, reason: reason.clone() });
        return publish_and_show(&*store, &key, &release, &bundle, Some(&current), output);
    }
    let Some(to) = &args.to else {
        return Err(Failure::input("say which channel it is promoted to"));
    };
    if to.channel().set != channel.set {
        let (from, to) = (&channel.set, &to.channel().set);
        return Err(Failure::input(format!("`{to}` is another set than `{from}`"))
            .with_help("a set keeps its name in all of its channels"));
    }
    let bundle = fetch(&*store, &current, channel)?;
    args.signing.check(&bundle)?;
    let target = args.store.open(to)?;
    let before = newest(&*target, to.channel(), &trust).map_err(failed)?;
    let counter = next(before.as_ref());
    let mut release = args.release.release(to.channel().clone(), counter, &bundle);
    ReleaseArgs::inherit(&mut release, &current.verified.release);
    publish_and_show(&*target, &key, &release, &bundle, before.as_ref(), output)
}
