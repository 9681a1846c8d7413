//! Signatures by certificate: whose they are, when they were made, and what the log says.

#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stagedoor_distribution::{
    Head, PollOutcome, Purpose, Replica, ReplicaOptions, SignedSet, Trust, VerifyError, newest,
    publish_signed,
};

use crate::authority::{Authority, Signing};
use crate::support::{SignedFixture, channel, key, now};

const IDENTITY: &str =
    "https://github.com/acme/policies/.github/workflows/release.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const GOOD: Signing<'static> = Signing { identity: IDENTITY, issuer: ISSUER, minute: 5 };

fn file(root: &Value, more: Value) -> Value {
    let mut entry = json!({"name": "release", "identity": IDENTITY, "issuer": ISSUER});
    for (name, value) in more.as_object().into_iter().flatten() {
        entry[name] = value.clone();
    }
    json!({"identities": [entry], "trustedRoot": root})
}

fn trust(root: &Value, more: Value) -> Result<Trust> {
    Ok(Trust::from_text(&file(root, more).to_string())?)
}

fn signed(counter: u64) -> Result<SignedFixture> {
    SignedFixture::new(counter, counter, &key()?)
}

fn verify(trust: &Trust, envelope: &Value, of: &SignedFixture) -> Result<SignedSet, VerifyError> {
    let channel = channel().map_err(|_| VerifyError::Untrusted)?;
    let (envelope, bundle) = (envelope.to_string().into_bytes(), of.bundle.clone());
    SignedSet::verify(trust, &channel, Purpose::TakeUp(now()), envelope, bundle)
}

#[test]
fn an_identity_signs_what_it_may_and_nothing_else() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let root = authority.trusted_root();
    let (all, of) = (trust(&root, json!({}))?, signed(1)?);
    let statement = of.release.to_json();
    let good = authority.sign(&statement, &GOOD)?;
    let set = verify(&all, &good, &of)?;
    ensure!(set.key() == "release" && *set.release() == of.release);

    let says = |trust: &Trust, envelope: &Value, expected: &str| {
        let error = verify(trust, envelope, &of).err().with_context(|| format!("no {expected}"))?;
        ensure!(error.to_string().contains(expected), "{expected}: {error}");
        Ok(())
    };
    // Whose it is.
    let stranger = Signing { identity: "https://github.com/mallory/x@refs/heads/main", ..GOOD };
    let stranger = authority.sign(&statement, &stranger)?;
    says(&all, &stranger, "the certificate is of `https://github.com/mallory/x@refs/heads/main`")?;
    let vouched = Signing { issuer: "https://issuer.example", ..GOOD };
    says(&all, &authority.sign(&statement, &vouched)?, "`https://issuer.example` vouches")?;
    says(&all, &other.sign(&statement, &GOOD)?, "by a certificate")?;
    // When it was: the certificate was valid from the first minute to the tenth, and is long since not.
    for minute in [-1, 0, 11, 600] {
        let late = authority.sign(&statement, &Signing { minute, ..GOOD })?;
        says(&all, &late, "by a certificate")?;
    }
    for minute in [1, 10] {
        verify(&all, &authority.sign(&statement, &Signing { minute, ..GOOD })?, &of)?;
    }
    // What it is about, and for what.
    let two = signed(2)?;
    ensure!(matches!(verify(&all, &good, &two), Err(VerifyError::Content { .. })));
    let scoped = trust(&root, json!({"channels": ["staging"]}))?;
    says(&scoped, &good, "the key `release` may not sign for `payments:production`")?;
    let ended = trust(&root, json!({"notAfter": "2026-01-01T00:00:00Z"}))?;
    says(&ended, &good, "signs nothing new after")?;
    // Keys and identities are not each other.
    let key = key()?;
    let by_key = Trust::in_key("ci", key.verifying_key());
    says(&by_key, &good, "no identities are trusted")?;
    let by_key = SignedFixture::of(of.release.clone(), 1, &key)?.envelope;
    says(&all, &serde_json::from_slice(&by_key)?, "none of the trusted keys verifies")?;
    Ok(())
}

#[test]
fn a_byte_that_is_another_one_is_refused() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let (all, of) = (trust(&authority.trusted_root(), json!({}))?, signed(1)?);
    let good = authority.sign(&of.release.to_json(), &GOOD)?;
    let elsewhere = other.sign(&of.release.to_json(), &GOOD)?;
    let unrelated = authority.sign(&signed(2)?.release.to_json(), &GOOD)?;
    verify(&all, &good, &of)?;

    let entry = "/verificationMaterial/tlogEntries/0";
    let flipped = |text: &str| -> Result<Value> {
        let mut bytes = STANDARD.decode(text)?;
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("a byte")? ^= 1;
        Ok(STANDARD.encode(bytes).into())
    };
    // Each part of the material, with one bit turned over.
    for path in [
        "/verificationMaterial/certificate/rawBytes".to_owned(),
        "/dsseEnvelope/payload".to_owned(),
        "/dsseEnvelope/signatures/0/sig".to_owned(),
        format!("{entry}/canonicalizedBody"),
        format!("{entry}/inclusionPromise/signedEntryTimestamp"),
        format!("{entry}/inclusionProof/rootHash"),
        format!("{entry}/inclusionProof/hashes/0"),
        format!("{entry}/logId/keyId"),
    ] {
        let mut changed = good.clone();
        let part = changed.pointer_mut(&path).with_context(|| path.clone())?;
        *part = flipped(part.as_str().context("text")?)?;
        ensure!(verify(&all, &changed, &of).is_err(), "{path}");
    }
    // Another time than the log has signed, another place in it, another size of it.
    for (path, value) in [
        (format!("{entry}/integratedTime"), json!("1740830760")),
        (format!("{entry}/inclusionProof/logIndex"), json!("1")),
        (format!("{entry}/inclusionProof/treeSize"), json!("3")),
        (format!("{entry}/kindVersion/kind"), json!("hashedrekord")),
        // What there is of it elsewhere, or of something else.
        (entry.to_owned(), elsewhere["verificationMaterial"]["tlogEntries"][0].clone()),
        (entry.to_owned(), unrelated["verificationMaterial"]["tlogEntries"][0].clone()),
        ("/dsseEnvelope".to_owned(), unrelated["dsseEnvelope"].clone()),
        ("/verificationMaterial".to_owned(), unrelated["verificationMaterial"].clone()),
        // What is not there.
        ("/verificationMaterial/tlogEntries".to_owned(), json!([])),
        (format!("{entry}/inclusionPromise"), Value::Null),
        (format!("{entry}/inclusionProof"), Value::Null),
        (format!("{entry}/inclusionProof/checkpoint"), Value::Null),
        ("/verificationMaterial/certificate".to_owned(), Value::Null),
    ] {
        let mut changed = good.clone();
        *changed.pointer_mut(&path).with_context(|| path.clone())? = value;
        ensure!(verify(&all, &changed, &of).is_err(), "{path}");
    }
    // Both a key and a certificate, and one thing told twice.
    let mut both = good.clone();
    both["verificationMaterial"]["publicKey"] = json!({"hint": "x"});
    ensure!(verify(&all, &both, &of).is_err());
    let mut twice = good;
    twice["dsse_envelope"] = unrelated["dsseEnvelope"].clone();
    let taken = verify(&all, &twice, &of);
    ensure!(taken.is_err() || taken.is_ok_and(|set| set.release().counter == 1));
    Ok(())
}

#[test]
fn a_trusted_root_that_is_none_is_told() -> Result<()> {
    let authority = Authority::new()?;
    let root = authority.trusted_root();
    let without = |name: &str| {
        let mut root = root.clone();
        root[name] = json!([]);
        root
    };
    let cases = [
        (file(&json!({}), json!({})), "the `trustedRoot` cannot be used"),
        (file(&json!("no JSON"), json!({})), "the `trustedRoot` cannot be used"),
        (file(&without("certificateAuthorities"), json!({})), "no `certificateAuthorities`"),
        (file(&without("tlogs"), json!({})), "no `tlogs`"),
        (file(&without("ctlogs"), json!({})), "say `certificateLog: false`"),
        (file(&root, json!({"colour": 1})), "colour"),
        (
            json!({"identities": [{"name": "a", "identity": "b", "issuer": "c"}]}),
            "as `trustedRoot`",
        ),
        (json!({"identities": []}), "it has no keys"),
    ];
    for (text, expected) in cases {
        let error = Trust::from_text(&text.to_string()).err().context(expected)?;
        ensure!(error.to_string().contains(expected), "{expected}: {error}");
    }
    // One identity twice, by whatever names.
    let mut twice = file(&root, json!({}));
    let mut other = twice["identities"][0].clone();
    other["name"] = json!("other");
    twice["identities"].as_array_mut().context("identities")?.push(other);
    ensure!(Trust::from_text(&twice.to_string()).is_err());

    // An authority that keeps no log of certificates, which is said.
    let of = signed(1)?;
    let good = authority.sign(&of.release.to_json(), &GOOD)?;
    let unlogged = trust(&without("ctlogs"), json!({"certificateLog": false}))?;
    verify(&unlogged, &good, &of)?;
    // As text, as files of JSON are pasted into YAML.
    verify(&trust(&json!(root.to_string()), json!({}))?, &good, &of)?;
    // And where there is one, another one's word does not count.
    let mut foreign = root.clone();
    foreign["ctlogs"] = Authority::new()?.trusted_root()["ctlogs"].clone();
    ensure!(verify(&trust(&foreign, json!({}))?, &good, &of).is_err());
    Ok(())
}

#[test]
fn what_is_signed_elsewhere_is_published_and_kept() -> Result<()> {
    let (authority, root) = (Authority::new()?, tempfile::tempdir()?);
    let trust = trust(&authority.trusted_root(), json!({}))?;
    let location = format!("{}/store/payments:production", root.path().display());
    let store = location.parse::<stagedoor_distribution::Location>()?.open(&Default::default())?;
    let state = root.path().join("state");
    let open = |trust: &Trust| -> Result<Replica> {
        let options = ReplicaOptions::new(channel()?, &state);
        let store = location.parse::<stagedoor_distribution::Location>()?;
        Ok(Replica::open(options, store.open(&Default::default())?, trust.clone())?)
    };
    for counter in 1..3 {
        let of = signed(counter)?;
        let envelope = authority.sign(&of.release.to_json(), &GOOD)?;
        let before = newest(&*store, &channel()?, &trust)?;
        publish_signed(&*store, &verify(&trust, &envelope, &of)?, before.as_ref())?;
        let Head::Found { envelope: there, .. } = store.head(&channel()?, None)? else {
            anyhow::bail!("unchanged, which was not asked");
        };
        ensure!(there == envelope.to_string().into_bytes());
        let replica = open(&trust)?;
        let PollOutcome::Candidate(set) = replica.poll()? else { anyhow::bail!("no candidate") };
        replica.admit(&set).map_err(anyhow::Error::msg)?;
    }
    // After a restart without the source it decides, as long as whoever has signed it is trusted.
    std::fs::remove_dir_all(root.path().join("store"))?;
    let replica = open(&trust)?;
    ensure!(replica.to_load().is_some_and(|set| set.release().counter == 2));
    drop(replica);
    let others = self::trust(&Authority::new()?.trusted_root(), json!({}))?;
    let replica = open(&others)?;
    ensure!(replica.to_load().is_none());
    ensure!(replica.status().problem.is_some_and(|it| it.contains("by a certificate")));
    Ok(())
}
