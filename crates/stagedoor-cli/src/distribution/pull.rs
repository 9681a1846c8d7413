//! `stagedoor pull`: writes what is published to a file, once it is verified.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use stagedoor_core::Limits;
use stagedoor_distribution::{
    Digest, Follower, Location, Purpose, Replica, ReplicaOptions, SignedSet, Timestamp, Trust,
    newest,
};

use super::push::{failed, fetch_digest};
use super::release;
use super::{StoreArgs, trust};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::log_args::LogArgs;
use crate::output::Output;

/// How soon a change is written after it was seen.
const LOOK: Duration = Duration::from_millis(200);

/// Write the newest release of a channel to a file, once it is verified.
///
/// The file is replaced as a whole or not at all. With `--state`, what was pulled before is known:
/// an older release is refused. With `--follow`, the file is kept up to date until the command is
/// told to end: so Backstage's `permission.stagedoor.bundle`, and whatever else reads a bundle,
/// follows a channel.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Where from.
    #[arg(value_name = "STORE/SET:CHANNEL")]
    location: Location,

    /// Whom to trust: keys in YAML, or one public key in PEM.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,

    /// The file for the bundle.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// A directory of its own, where the last good sets are kept.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Keep the file up to date.
    #[arg(long, requires = "state")]
    follow: bool,

    /// How often to look, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86400))]
    poll_interval: u64,

    /// The one bundle that may be written, whatever its number is.
    #[arg(long, value_name = "DIGEST", requires = "state")]
    pin: Option<Digest>,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: &PullArgs, output: &mut Output) -> Result<Ending, Failure> {
    let trust = trust(&args.trust)?;
    let store = args.store.open(&args.location)?;
    let channel = args.location.channel().clone();
    let Some(state) = &args.state else {
        let set = once(args, &trust)?;
        write(args, set.bytes())?;
        release::show(set.verified(), output)?;
        return Ok(Ending::Done);
    };
    let mut options = ReplicaOptions::new(channel, state);
    options.pin = args.pin;
    let replica = Replica::open(options, store, trust);
    let replica = replica.map_err(|error| Failure::input(error.to_string()))?;
    if args.follow {
        args.log.start();
        return follow(args, replica);
    }
    let looked = replica.poll();
    let Some(set) = replica.to_load() else {
        let reason = looked.err().map(|error| error.to_string()).unwrap_or_default();
        return Err(Failure::input(reason));
    };
    replica.admit(&set).map_err(Failure::input)?;
    write(args, set.bytes())?;
    release::show(set.verified(), output)?;
    match looked {
        Ok(_) => Ok(Ending::Done),
        // The file is as new as it can be, which is not what was asked for.
        Err(error) => Err(Failure::input(format!("the last good release is written: {error}"))),
    }
}

/// Reads the newest release without knowing any before it.
fn once(args: &PullArgs, trust: &Trust) -> Result<SignedSet, Failure> {
    let store = args.store.open(&args.location)?;
    let channel = args.location.channel();
    let published = newest(&*store, channel, trust).map_err(failed)?;
    let published = published
        .ok_or_else(|| Failure::input(format!("nothing is published as `{}`", args.location)))?;
    let bundle = fetch_digest(&*store, published.verified.release.digest, channel)?;
    let purpose = Purpose::TakeUp(Timestamp::of(SystemTime::now()));
    SignedSet::verify(trust, channel, purpose, published.envelope, bundle)
        .map_err(|error| Failure::input(error.to_string()))
}

/// Writes each release that is taken up, until a signal ends the process.
fn follow(args: &PullArgs, replica: Replica) -> Result<Ending, Failure> {
    let interval = Duration::from_secs(args.poll_interval);
    let follower = Follower::start(replica, Some(args.trust.clone()), interval)
        .map_err(|e| Failure::input(format!("no thread can be had: {e}")))?;
    let replica = follower.replica();
    let mut written = None;
    loop {
        if let Some(set) = replica.to_load().filter(|set| written != Some(set.statement())) {
            match replica
                .admit(&set)
                .and_then(|()| write(args, set.bytes()).map_err(|failure| failure.to_string()))
            {
                Ok(()) => {
                    written = Some(set.statement());
                    let (counter, digest) = (set.release().counter, set.release().digest);
                    tracing::info!(counter, %digest, "written to `{}`", args.output.display());
                }
                Err(reason) => {
                    tracing::error!("{reason}");
                    replica.refuse(&set, &reason);
                }
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn write(args: &PullArgs, bundle: &[u8]) -> Result<(), Failure> {
    let text = String::from_utf8_lossy(bundle);
    debug_assert!(bundle.len() <= Limits::default().file_bytes);
    crate::fmt::replace(&args.output, &text)
        .map_err(|e| Failure::input(format!("`{}` cannot be written: {e}", args.output.display())))
}
