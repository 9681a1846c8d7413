//! `stagedoor push`: signs a policy set and makes it the newest release of a channel.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use stagedoor_core::Limits;
use stagedoor_distribution::{
    ENVELOPE_BYTES, Location, PolicyStore, PublishError, PublishedRelease, Purpose, Release,
    SignedSet, SigningKey, Timestamp, Trust, newest, publish, publish_signed,
};
use stagedoor_source::Bundle;
use stagedoor_testing::Options;

use super::changes::Changes;
use super::loading::LoadCheckArgs;
use super::release::{self, ReleaseArgs};
use super::sign::bundle_bytes;
use super::{StoreArgs, bytes, signing_key, trust, trust_or_own};
use crate::bundle::bundle_of;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::Output;

/// Sign a policy set and publish it as the newest release of a channel.
///
/// Of a directory a bundle is made, its tests are run, and are shipped with it; then it is compared
/// with what was published before. Both stand in the signature. Nothing is published that does not
/// load, or of which a test fails. Replicas take it up when they look next.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// A directory of policies, or a bundle.
    #[arg(value_name = "DIR|BUNDLE")]
    what: PathBuf,

    /// Where to: `ghcr.io/acme/payments:staging`, `oci+http://…`, or a directory
    /// `./published/payments:staging`.
    #[arg(value_name = "STORE/SET:CHANNEL")]
    location: Location,

    /// The key that signs: Ed25519, in PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "signature")]
    key: Option<PathBuf>,

    /// In its place a signature of the bundle that somebody in `--trust` has made, by a certificate say:
    /// it has the number of the release and whatever else is said of it.
    #[arg(long, value_name = "FILE", requires = "trust", conflicts_with_all = ["key", "counter", "expires_in", "approve", "builder", "repository", "commit"])]
    signature: Option<PathBuf>,

    /// Whom to trust with what was published before; else this key alone.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,

    /// The number of the release; else the next one of the channel.
    #[arg(long, value_name = "N")]
    counter: Option<u64>,

    /// Neither run the tests of the directory nor ship them.
    #[arg(long)]
    no_tests: bool,

    /// Do not compare with what was published before.
    #[arg(long)]
    no_diff: bool,

    #[command(flatten)]
    check: LoadCheckArgs,

    #[command(flatten)]
    release: ReleaseArgs,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    load: LoadArgs,
}

pub(crate) fn run(args: &PushArgs, output: &mut Output) -> Result<Ending, Failure> {
    let key = match (&args.key, &args.signature) {
        (Some(key), _) => signing_key(key)?,
        (None, Some(signature)) => return push_signed(args, signature, output),
        (None, None) => return Err(Failure::input("there is nothing to sign with")),
    };
    let trust = trust_or_own(args.trust.as_deref(), &key)?;
    let store = args.store.open(&args.location)?;
    let channel = args.location.channel();
    let (bundle, tests) = match args.what.is_dir() {
        true => {
            let (bundle, tests) = bundle_of(&args.what, !args.no_tests, &args.load, output)?;
            (bundle.to_json().into_bytes(), tests)
        }
        false => {
            let bundle = bundle_bytes(&args.what)?;
            args.check.check(&bundle, &args.load.limits()?)?;
            (bundle, None)
        }
    };
    let tests_passed = match tests {
        Some(suite) => {
            let report = suite.run(&Options::default());
            if !report.passed() {
                let counts = report.counts();
                let message = format!("{} tests failed; nothing is published", counts.failed);
                return Err(Failure::input(message)
                    .with_help(format!("`stagedoor test {}` tells why", args.what.display())));
            }
            Some(report.counts().passed as u64)
        }
        None => None,
    };
    let before = newest(&*store, channel, &trust).map_err(failed)?;
    let counter = args.counter.unwrap_or_else(|| next(before.as_ref()));
    let mut release = args.release.release(channel.clone(), counter, &bundle);
    release.provenance.tests_passed = tests_passed;
    if let Some(before) = before.as_ref().filter(|_| !args.no_diff) {
        let old = before.verified.release.digest;
        release.provenance.predecessor = Some(old);
        release.provenance.verdict = Some(compared(args, &*store, before, &bundle)?);
    }
    publish_and_show(&*store, &key, &release, &bundle, before.as_ref(), output)
}

/// Publishes a bundle with a signature that was made elsewhere.
fn push_signed(args: &PushArgs, signature: &Path, output: &mut Output) -> Result<Ending, Failure> {
    let Some(trusted) = &args.trust else {
        return Err(Failure::input("say by `--trust` who may have signed it"));
    };
    let (trust, channel) = (trust(trusted)?, args.location.channel());
    let bundle = bundle_bytes(&args.what)?;
    args.check.check(&bundle, &args.load.limits()?)?;
    let envelope = bytes(signature, ENVELOPE_BYTES)?;
    let purpose = Purpose::TakeUp(Timestamp::of(SystemTime::now()));
    let signed = SignedSet::verify(&trust, channel, purpose, envelope, bundle);
    let signed = signed.map_err(|error| Failure::input(error.to_string()))?;
    let store = args.store.open(&args.location)?;
    let before = newest(&*store, channel, &trust).map_err(failed)?;
    publish_signed(&*store, &signed, before.as_ref()).map_err(failed)?;
    release::show(signed.verified(), output)?;
    Ok(Ending::Done)
}

/// Compares a bundle with the one that was published before.
fn compared(
    args: &PushArgs,
    store: &dyn PolicyStore,
    before: &PublishedRelease,
    bundle: &[u8],
) -> Result<String, Failure> {
    let old = fetch(store, before, args.location.channel())?;
    let read = |bytes: &[u8]| Bundle::from_json("the bundle", &String::from_utf8_lossy(bytes));
    let limits = args.load.limits()?;
    let changes = Changes::between_bundles(&read(&old)?, &read(bundle)?, &limits)?;
    Ok(changes.verdict().to_owned())
}

/// Fetches the bundle of a release that was published, and verifies it.
pub(super) fn fetch(
    store: &dyn PolicyStore,
    published: &PublishedRelease,
    channel: &stagedoor_distribution::Channel,
) -> Result<Vec<u8>, Failure> {
    let digest = published.verified.release.digest;
    fetch_digest(store, digest, channel)
}

/// Fetches a bundle by its digest, and verifies it.
pub(super) fn fetch_digest(
    store: &dyn PolicyStore,
    digest: stagedoor_distribution::Digest,
    channel: &stagedoor_distribution::Channel,
) -> Result<Vec<u8>, Failure> {
    let limit = Limits::default().file_bytes as u64;
    let bundle = store.bundle(channel, digest, limit);
    let bundle = bundle.map_err(|error| Failure::input(error.to_string()))?;
    let found = stagedoor_distribution::Digest::of(&bundle);
    match found == digest {
        true => Ok(bundle),
        false => Err(Failure::input(format!("{} has {found} as {digest}", store.name()))),
    }
}

/// Returns the number of the next release.
pub(super) fn next(before: Option<&PublishedRelease>) -> u64 {
    before.map_or(1, |before| before.verified.release.counter.saturating_add(1))
}

pub(super) fn failed(error: PublishError) -> Failure {
    let help = match &error {
        PublishError::Newest(_) => "give `--trust` with the keys that have signed it",
        _ => return Failure::input(error.to_string()),
    };
    Failure::input(error.to_string()).with_help(help)
}

/// Publishes a release and tells what it is.
pub(super) fn publish_and_show(
    store: &dyn PolicyStore,
    key: &SigningKey,
    release: &Release,
    bundle: &[u8],
    after: Option<&PublishedRelease>,
    output: &mut Output,
) -> Result<Ending, Failure> {
    publish(store, key, release, bundle, after).map_err(failed)?;
    let own = Trust::in_key("own", key.verifying_key());
    let published = newest(store, &release.channel, &own).map_err(failed)?;
    if let Some(published) = published {
        release::show(&published.verified, output)?;
    }
    Ok(Ending::Done)
}
