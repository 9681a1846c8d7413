//! `stagedoor verify`: says whether a bundle is what somebody trusted has signed.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use stagedoor_core::Limits;
use stagedoor_distribution::{
    Channel, ENVELOPE_BYTES, Head, Location, Purpose, SignedSet, Timestamp, Trust, VerifyError,
};

use super::release::AttestationJson;
use super::{StoreArgs, bytes, release, trust};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;
use crate::review::or_unusable;

/// Say whether a bundle is what somebody trusted has signed, and what is wrong with it.
///
/// Exits with 0 if it is, with 1 if it is not, with 2 if something cannot be read.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A bundle in a file, with `--signature` and `--as`; or what is published as
    /// STORE/SET:CHANNEL.
    #[arg(value_name = "BUNDLE|STORE/SET:CHANNEL")]
    what: String,

    /// The signature of the bundle.
    #[arg(long, value_name = "FILE", requires = "channel")]
    signature: Option<PathBuf>,

    /// The set and the channel that it must be for.
    #[arg(long = "as", value_name = "SET:CHANNEL", requires = "signature")]
    channel: Option<Channel>,

    /// Whom to trust: keys in YAML, or one public key in PEM.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,

    #[command(flatten)]
    store: StoreArgs,
}

pub(crate) fn run(args: &VerifyArgs, output: &mut Output) -> Result<Ending, Failure> {
    let ended = verify(args, output);
    or_unusable(ended, output)
}

fn verify(args: &VerifyArgs, output: &mut Output) -> Result<Ending, Failure> {
    let trust = trust(&args.trust)?;
    let mut beside = Vec::new();
    let verified = match (&args.signature, &args.channel) {
        (Some(signature), Some(channel)) => {
            let bundle = bytes(args.what.as_ref(), Limits::default().file_bytes as u64)?;
            let envelope = bytes(signature, ENVELOPE_BYTES)?;
            let purpose = Purpose::TakeUp(Timestamp::of(SystemTime::now()));
            SignedSet::verify(&trust, channel, purpose, envelope, bundle)
        }
        _ => published(args, &trust, &mut beside, output)?,
    };
    match verified {
        Ok(set) => {
            release::show_with(set.verified(), &beside, output)?;
            Ok(Ending::Done)
        }
        Err(error) => {
            output.failure(&Failure::input(error.to_string()));
            Ok(Ending::Failed)
        }
    }
}

/// Verifies what is published, and tells what lies beside it.
fn published(
    args: &VerifyArgs,
    trust: &Trust,
    beside: &mut Vec<AttestationJson>,
    output: &Output,
) -> Result<Result<SignedSet, VerifyError>, Failure> {
    let location: Location =
        args.what.parse().map_err(|error: stagedoor_distribution::LocationError| {
            Failure::input(error.to_string()).with_help(
                "a bundle in a file is verified with `--signature FILE --as SET:CHANNEL`",
            )
        })?;
    let store = args.store.open(&location)?;
    let failed = |error: stagedoor_distribution::StoreError| Failure::input(error.to_string());
    let head = store.head(location.channel(), None).map_err(failed)?;
    let Head::Found { envelope, .. } = head else {
        return Err(Failure::input(format!("{} says nothing", store.name())));
    };
    let purpose = Purpose::TakeUp(Timestamp::of(SystemTime::now()));
    let verified = match trust.verify(&envelope, location.channel(), purpose) {
        Ok(verified) => verified,
        Err(error) => return Ok(Err(error)),
    };
    let limit = Limits::default().file_bytes as u64;
    let digest = verified.release.digest;
    let bundle = store.bundle(location.channel(), digest, limit).map_err(failed)?;
    match store.attachments(location.channel()) {
        Ok(Some(attachments)) => {
            *beside = AttestationJson::all(&attachments, location.channel(), trust);
            if !attachments.is_complete {
                let read = attachments.envelopes.len();
                output.remark(&format!("more lies beside it than the {read} that were read"));
            }
        }
        Ok(None) => {}
        // Nobody but other tools needs it.
        Err(error) => output.remark(&format!("what lies beside it cannot be read: {error}")),
    }
    Ok(SignedSet::verify(trust, location.channel(), purpose, envelope, bundle))
}
