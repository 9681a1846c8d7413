//! What is signed, by whom and for what: every way in which it can be wrong.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stagedoor_distribution::{
    Digest, Envelope, Purpose, Release, SignedSet, SigningKey, Trust, VerifyError, VerifyingKey,
};

use crate::support::{SignedFixture, bundle, channel, key, now};

fn verify(
    trust: &Trust,
    signed: &SignedFixture,
    purpose: Purpose,
) -> Result<SignedSet, VerifyError> {
    let channel = "payments:production".parse().map_err(|_| VerifyError::Untrusted)?;
    SignedSet::verify(trust, &channel, purpose, signed.envelope.clone(), signed.bundle.clone())
}

fn trust(keys: &[(&str, &VerifyingKey, &str)]) -> Result<Trust> {
    let mut text = "keys:\n".to_owned();
    for (name, key, more) in keys {
        let pem: String = key.to_pem().lines().map(|line| format!("      {line}\n")).collect();
        text.push_str(&format!("  - name: {name}\n    publicKey: |\n{pem}"));
        more.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    Ok(Trust::from_text(&text)?)
}

#[test]
fn what_is_signed_by_whom_may_sign_it_is_taken_and_nothing_else() -> Result<()> {
    let (own, foreign) = (key()?, key()?);
    let public = own.verifying_key();
    let good = SignedFixture::new(1, 2, &own)?;
    let take_up = Purpose::TakeUp(now());
    let words =
        |trust: &Trust, signed: &SignedFixture, purpose| match verify(trust, signed, purpose) {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string(),
        };
    let all = trust(&[("ci", &public, "")])?;
    ensure!(words(&all, &good, take_up) == "taken");

    // Who, and for what.
    let scopes = [
        ("", "taken"),
        ("sets: [payments]\nchannels: [production, staging]", "taken"),
        ("channels: [staging]", "may not sign"),
        ("sets: [billing]", "may not sign"),
        ("sets: []", "may not sign"),
        ("notAfter: 2027-01-01T00:00:00Z", "taken"),
        ("notAfter: 2026-03-01T12:00:00Z", "nothing new after"),
        ("notBefore: 2026-03-01T12:00:01Z", "nothing new before"),
    ];
    for (more, expected) in scopes {
        let said = words(&trust(&[("ci", &public, more)])?, &good, take_up);
        ensure!(said.contains(expected), "{more}: {said}");
    }
    // A key that has expired since leaves in force what was taken up.
    let expired = trust(&[("ci", &public, "notAfter: 2026-03-01T12:00:00Z")])?;
    ensure!(words(&expired, &good, Purpose::Keep) == "taken");
    let others = trust(&[("other", &foreign.verifying_key(), "")])?;
    for purpose in [take_up, Purpose::Keep] {
        ensure!(words(&others, &good, purpose).contains("nobody trusted"));
    }

    // What is signed.
    let mut late = good.release.clone();
    late.expires = Some(now());
    let late = SignedFixture::of(late, 2, &own)?;
    ensure!(words(&all, &late, take_up).contains("has expired"));
    ensure!(words(&all, &late, Purpose::Keep) == "taken");
    for other in ["payments:staging", "billing:production"] {
        let release = Release::new(other.parse()?, 1, bundle(2).as_bytes(), now());
        let said = words(&all, &SignedFixture::of(release, 2, &own)?, take_up);
        ensure!(said.contains(&format!("signed for `{other}`")), "{said}");
    }
    let mut release = good.release.clone();
    release.bytes += 1;
    let said = words(&all, &SignedFixture::of(release, 2, &own)?, take_up);
    ensure!(said.contains("signed is sha256:"));
    let other_bundle = SignedFixture { bundle: bundle(3).into_bytes(), ..good };
    ensure!(words(&all, &other_bundle, take_up).contains("signed is sha256:"));
    let none = Release::new(channel()?, 1, b"{}", now());
    let none = SignedFixture { bundle: b"{}".to_vec(), ..SignedFixture::of(none, 0, &own)? };
    ensure!(words(&all, &none, take_up).contains("what is signed is not a bundle"));
    Ok(())
}

/// A signed statement that is not one of ours is not passed over, whoever has signed it.
#[test]
fn statements_of_another_form_are_refused() -> Result<()> {
    let own = key()?;
    let trust = Trust::in_key("ci", own.verifying_key());
    let good = SignedFixture::new(1, 2, &own)?.release.to_json();
    let cases = [
        (good.clone(), None),
        (good.replace("policy-set/v1", "policy-set/v2"), Some("of the kind")),
        (good.replace("in-toto.io/Statement/v1", "in-toto.io/Statement/v2"), Some("of the kind")),
        (good.replace("\"counter\":1", "\"counter\":-1"), Some("not a statement")),
        (good.replace("\"counter\":1", "\"counter\":1,\"counter\":2"), Some("not a statement")),
        (good.replace("\"counter\":1", "\"counter\":1,\"onlyFor\":\"x\""), Some("not a statement")),
        (
            good.replace("\"name\":\"payments\"", "\"name\":\"billing\""),
            Some("it is about `billing`"),
        ),
        (
            good.replace(
                "\"subject\":[",
                "\"subject\":[{\"name\":\"x\",\"digest\":{\"sha256\":\"\"}},",
            ),
            Some("about 2 things"),
        ),
        ("{}".to_owned(), Some("not a statement")),
        ("\u{0}".to_owned(), Some("not a statement")),
    ];
    for (statement, expected) in cases {
        let envelope = Envelope::sign(&statement, &own).to_json();
        let said = trust.verify(envelope.as_bytes(), &channel()?, Purpose::Keep);
        match expected {
            None => ensure!(said.is_ok(), "{statement}"),
            Some(expected) => {
                let error = said.err().with_context(|| format!("taken: {statement}"))?.to_string();
                ensure!(error.contains(expected), "{statement}: {error}");
            }
        }
    }
    Ok(())
}

/// No byte of an envelope can change so that something else is taken.
#[test]
fn each_byte_of_a_signature_counts() -> Result<()> {
    let own = key()?;
    let trust = Trust::in_key("ci", own.verifying_key());
    let good = SignedFixture::new(1, 2, &own)?;
    let expected = trust.verify(&good.envelope, &channel()?, Purpose::Keep)?;
    let mut changed = good.envelope.clone();
    for at in 0..good.envelope.len() {
        for flip in [1, 0x20] {
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= flip;
            }
            if let Ok(taken) = trust.verify(&changed, &channel()?, Purpose::Keep) {
                // Only what says nothing may differ: the name of the key.
                ensure!(taken == expected, "byte {at}");
            }
            changed.clone_from(&good.envelope);
        }
        let cut = good.envelope.get(..at).unwrap_or_default();
        ensure!(trust.verify(cut, &channel()?, Purpose::Keep).is_err(), "cut at {at}");
    }
    Ok(())
}

#[test]
fn envelopes_of_other_kinds_are_told_apart() -> Result<()> {
    let own = key()?;
    let good = String::from_utf8(SignedFixture::new(1, 2, &own)?.envelope)?;
    let json: serde_json::Value = serde_json::from_str(&good)?;
    let change = |pointer: &str, value: serde_json::Value| -> Result<String> {
        let mut json = json.clone();
        *json.pointer_mut(pointer).context("a part")? = value;
        Ok(json.to_string())
    };
    let signature = json.pointer("/dsseEnvelope/signatures/0").context("a signature")?.clone();
    let cases = [
        (
            change("/mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.1".into())?,
            "version=0.1",
        ),
        (
            change(
                "/verificationMaterial",
                serde_json::json!({"publicKey": {"hint": "a"}, "certificate": {"rawBytes": "AA=="}}),
            )?,
            "neither a key nor a certificate",
        ),
        (
            change("/verificationMaterial", serde_json::json!({}))?,
            "neither a key nor a certificate",
        ),
        (change("/dsseEnvelope/payloadType", "text/plain".into())?, "text/plain"),
        (change("/dsseEnvelope/signatures", serde_json::json!([]))?, "0 signatures"),
        (
            change("/dsseEnvelope/signatures", serde_json::json!([signature, signature]))?,
            "2 signatures",
        ),
        (change("/dsseEnvelope/signatures/0/keyid", "other".into())?, "two keys"),
        (change("/dsseEnvelope/payload", "*".into())?, "not base64"),
        ("[]".to_owned(), "not a Sigstore bundle"),
    ];
    for (text, expected) in cases {
        let error = Envelope::from_json(text.as_bytes()).err().with_context(|| text.clone())?;
        ensure!(error.to_string().contains(expected), "{text}: {error}");
    }
    // One by a certificate is one, and nobody's as long as no identity is trusted.
    let material = serde_json::json!({"certificate": {"rawBytes": "AA=="}});
    let certified = change("/verificationMaterial", material)?;
    ensure!(Envelope::from_json(certified.as_bytes())?.to_json() == certified);
    let trust = Trust::in_key("ci", own.verifying_key());
    let error = trust.verify(certified.as_bytes(), &channel()?, Purpose::Keep).err();
    ensure!(matches!(error, Some(VerifyError::Certificate(_))), "{error:?}");
    Ok(())
}

/// Keys of other programs: both forms of Ed25519 keys, and the ECDSA keys that `cosign` makes.
#[test]
fn keys_of_openssl_sign_and_verify() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let openssl = |args: &[&str]| -> Result<Option<Vec<u8>>> {
        let run = std::process::Command::new("openssl").args(args).current_dir(&directory).output();
        match run {
            Ok(run) if run.status.success() => Ok(Some(run.stdout)),
            Ok(run) => anyhow::bail!("{}", String::from_utf8_lossy(&run.stderr)),
            Err(_) => Ok(None),
        }
    };
    if openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"])?.is_none() {
        eprintln!("skipped: there is no openssl");
        return Ok(());
    }
    let public = openssl(&["pkey", "-in", "ed.pem", "-pubout"])?.context("a key")?;
    let key = SigningKey::from_pem(&std::fs::read(directory.path().join("ed.pem"))?)?;
    let signed = SignedFixture::new(1, 2, &key)?;
    let trust = Trust::from_text(std::str::from_utf8(&public)?)?;
    ensure!(verify(&trust, &signed, Purpose::Keep).is_ok());

    // As `cosign` signs: ECDSA over the same bytes.
    let ec =
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ec.pem"];
    openssl(&ec)?;
    let public = openssl(&["pkey", "-in", "ec.pem", "-pubout"])?.context("a key")?;
    let statement = signed.release.to_json();
    let kind = "application/vnd.in-toto+json";
    let message = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
    std::fs::write(directory.path().join("message"), message)?;
    openssl(&["dgst", "-sha256", "-sign", "ec.pem", "-out", "sig", "message"])?;
    let base64 = |name: &str| -> Result<String> {
        let text = openssl(&["base64", "-A", "-in", name])?.context("base64")?;
        Ok(String::from_utf8(text)?)
    };
    std::fs::write(directory.path().join("payload"), &statement)?;
    let envelope = serde_json::json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "cosign"}, "tlogEntries": []},
        "dsseEnvelope": {"payload": base64("payload")?, "payloadType": kind,
                         "signatures": [{"sig": base64("sig")?}]},
    });
    let signed = SignedFixture { envelope: envelope.to_string().into_bytes(), ..signed };
    let trust = Trust::from_text(std::str::from_utf8(&public)?)?;
    ensure!(verify(&trust, &signed, Purpose::Keep).is_ok());
    ensure!(verify(&Trust::in_key("ed", key.verifying_key()), &signed, Purpose::Keep).is_err());

    openssl(&["genpkey", "-algorithm", "RSA", "-out", "rsa.pem"])?;
    let rsa = openssl(&["pkey", "-in", "rsa.pem", "-pubout"])?.context("a key")?;
    ensure!(VerifyingKey::from_pem(&rsa).is_err());
    ensure!(SigningKey::from_pem(&std::fs::read(directory.path().join("rsa.pem"))?).is_err());
    Ok(())
}

#[test]
fn files_that_do_not_say_whom_to_trust_are_refused() -> Result<()> {
    let pem = key()?.verifying_key().to_pem();
    let quoted = serde_json::to_string(&pem)?;
    let entry = format!("{{name: a, publicKey: {quoted}}}");
    let cases = [
        (format!("keys: [{entry}]"), None),
        (pem, None),
        (String::new(), Some("no keys")),
        ("[]".to_owned(), Some("does not say")),
        ("keys: []\ncolour: 1".to_owned(), Some("does not say")),
        ("keys: []".to_owned(), Some("no keys")),
        (format!("keys: [{entry}, {entry}]"), Some("twice")),
        (format!("keys: [{{name: a, publicKey: {quoted}, channel: b}}]"), Some("does not say")),
        (format!("keys: [{{name: a, publicKey: {quoted}, sets: [A]}}]"), Some("not a name")),
        ("keys: [{name: a, publicKey: x}]".to_owned(), Some("cannot be used")),
        (
            "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n".to_owned(),
            Some("neither"),
        ),
        (SigningKey::generate()?, Some("not a public key")),
    ];
    for (text, expected) in cases {
        match (Trust::from_text(&text), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) if error.to_string().contains(expected) => {}
            (said, _) => anyhow::bail!("{text}: {said:?}"),
        }
    }
    Ok(())
}

#[test]
fn times_are_whole() -> Result<()> {
    ensure!(now().to_string() == "2026-03-01T12:00:00Z");
    ensure!(now().after(Duration::MAX).to_string() == "9999-12-31T23:59:59Z");
    for text in ["", "2026", "2026-03-01", "1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z"] {
        ensure!(text.parse::<stagedoor_distribution::Timestamp>().is_err(), "{text}");
    }
    ensure!(Digest::of(b"a") != Digest::of(b"b"));
    Ok(())
}
