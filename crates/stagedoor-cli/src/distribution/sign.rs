//! `stagedoor sign`: signs a bundle for a channel.

use std::path::{Path, PathBuf};

use clap::Args;
use stagedoor_core::Limits;
use stagedoor_distribution::{Channel, Envelope, KeyError, SigningKey};
use stagedoor_source::Bundle;

use super::loading::SigningArgs;
use super::release::ReleaseArgs;
use super::{bytes, signing_key};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Sign a bundle for one channel of a policy set.
///
/// The signature says which bundle it is about, the set and the channel that it is for, its number
/// among the releases of the channel, when it expires and where it comes from: an in-toto
/// statement in a Sigstore bundle. A bundle that does not load is not signed. `stagedoor push` signs
/// and publishes in one.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The bundle, as `stagedoor bundle` writes it.
    #[arg(value_name = "BUNDLE", required_unless_present = "new_key")]
    bundle: Option<PathBuf>,

    /// The set and the channel that it is for.
    #[arg(long = "as", value_name = "SET:CHANNEL", required_unless_present = "new_key")]
    channel: Option<Channel>,

    /// The number of the release: higher than that of each one before it in the channel.
    #[arg(long, value_name = "N", required_unless_present = "new_key")]
    counter: Option<u64>,

    /// The key that signs: Ed25519, in PEM.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["new_key", "statement"])]
    key: Option<PathBuf>,

    /// Write the statement alone, for another tool to sign: `cosign attest-blob --statement`, say, which
    /// needs no key. `stagedoor push --signature` publishes what comes of it.
    #[arg(long, conflicts_with = "key")]
    statement: bool,

    #[command(flatten)]
    release: ReleaseArgs,

    #[command(flatten)]
    signing: SigningArgs,

    /// Make a new key instead: FILE, which only its owner can read, and FILE.pub.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "channel", "counter", "key", "statement"])]
    new_key: Option<PathBuf>,
}

pub(crate) fn run(args: &SignArgs, output: &mut Output) -> Result<Ending, Failure> {
    if let Some(path) = &args.new_key {
        return new_key(path, output);
    }
    let SignArgs { bundle: Some(path), channel: Some(channel), .. } = args else {
        return Err(Failure::input("there is nothing to sign"));
    };
    let Some(counter) = args.counter else {
        return Err(Failure::input("say which number the release has"));
    };
    let bundle = bundle_bytes(path)?;
    args.signing.check(&bundle)?;
    let release = args.release.release(channel.clone(), counter, &bundle);
    let Some(key) = &args.key else {
        output.line(release.to_json())?;
        return Ok(Ending::Done);
    };
    let envelope = Envelope::sign(&release.to_json(), &signing_key(key)?);
    output.line(envelope.to_json())?;
    output.remark(&format!("signed {} as release {counter} of {channel}", release.digest));
    Ok(Ending::Done)
}

/// Reads a bundle: its bytes, once it is sure that they are one.
pub(super) fn bundle_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let bundle = bytes(path, Limits::default().file_bytes as u64)?;
    let text = std::str::from_utf8(&bundle)
        .map_err(|_| Failure::input(format!("`{}` is not a bundle", path.display())))?;
    Bundle::from_json(&path.display().to_string(), text)?;
    Ok(bundle)
}

fn new_key(path: &Path, output: &Output) -> Result<Ending, Failure> {
    let failed = |error: KeyError| Failure::input(error.to_string());
    let pem = SigningKey::generate().map_err(failed)?;
    let public = SigningKey::from_pem(pem.as_bytes()).map_err(failed)?.verifying_key();
    let mut public_path = path.as_os_str().to_owned();
    public_path.push(".pub");
    write_new(path, &pem, 0o600)?;
    write_new(Path::new(&public_path), &public.to_pem(), 0o644)?;
    output.remark(&format!(
        "`{}` signs; `{}` is what others trust",
        path.display(),
        Path::new(&public_path).display()
    ));
    Ok(Ending::Done)
}

/// Writes a file that must not be there: a key is never overwritten.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    use std::io::Write as _;

    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Failure::input(format!("`{}` cannot be written: {e}", path.display())))
}
