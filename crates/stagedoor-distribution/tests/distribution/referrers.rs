//! What lies beside a release for other tools: with a registry that lists it, by a server of a few lines,
//! and with Debian's, which does not.

#![expect(clippy::indexing_slicing, reason = "a field that is not there reads as `null`")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stagedoor_distribution::{
    Digest, Location, PolicyStore, Publication, SigningKey, StoreOptions, Trust, VerifyError,
    newest, publish,
};

use crate::oci::Registry;
use crate::support::{SignedFixture, channel, key, lock};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const SIGSTORE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const KINDS: [&str; 3] = [
    "https://sigstore.dev/cosign/sign/v1",
    "https://slsa.dev/provenance/v1",
    "https://in-toto.io/attestation/test-result/v0.1",
];

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    /// What was asked: method and path.
    asked: Vec<String>,
}

/// A registry that lists what is about a manifest, one on each page, and of all kinds.
#[derive(Clone)]
struct ListingRegistry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl ListingRegistry {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let registry = Self { address: listener.local_addr()?, state: Arc::default() };
        let serving = registry.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away has its reasons.
                let _ = serving.serve(stream);
            }
        });
        Ok(registry)
    }

    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if lines.by_ref().take(65_536).read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        lines.read_exact(&mut body)?;
        let mut words = head.split(' ');
        let (method, path) = (words.next().context("a method")?, words.next().context("a path")?);
        let (code, headers, sent) = self.answer(method, path, body)?;
        let kind = if method == "HEAD" { Vec::new() } else { sent.clone() };
        write!(
            stream,
            "HTTP/1.1 {code}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            sent.len()
        )?;
        Ok(stream.write_all(&kind)?)
    }

    fn answer(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(&'static str, String, Vec<u8>)> {
        let mut state = lock(&self.state);
        state.asked.push(format!("{method} {path}"));
        let path = path.strip_prefix("/v2/acme/payments/").context("a repository")?;
        let found = |bytes: Option<&Vec<u8>>, kind: &str| match bytes {
            Some(bytes) => ("200 OK", format!("content-type: {kind}\r\n"), bytes.clone()),
            None => ("404 Not Found", String::new(), Vec::new()),
        };
        let digest = || Digest::of(&body).to_string();
        Ok(match (method, path.split_once('/').context("a kind")?) {
            ("POST", ("blobs", _)) => {
                let place = "location: /v2/acme/payments/uploads/1\r\n";
                ("202 Accepted", place.to_owned(), Vec::new())
            }
            ("PUT", ("uploads", _)) => {
                state.blobs.insert(digest(), body);
                ("201 Created", String::new(), Vec::new())
            }
            ("PUT", ("manifests", reference)) => {
                let manifest: Value = serde_json::from_slice(&body)?;
                let about = manifest["subject"]["digest"].as_str();
                let header = about.map(|about| format!("oci-subject: {about}\r\n"));
                state.manifests.insert(digest(), body.clone());
                state.manifests.insert(reference.to_owned(), body);
                ("201 Created", header.unwrap_or_default(), Vec::new())
            }
            (_, ("blobs", digest)) => found(state.blobs.get(digest), "application/octet-stream"),
            (_, ("manifests", reference)) => found(state.manifests.get(reference), MANIFEST),
            (_, ("referrers", rest)) => {
                let (subject, query) = rest.split_once('?').unwrap_or((rest, ""));
                let page: usize = match query.split_once("page=") {
                    Some((_, page)) => page.parse()?,
                    None => 0,
                };
                let mut about = Vec::new();
                for (digest, bytes) in state.manifests.iter().filter(|(key, _)| key.contains(':')) {
                    let manifest: Value = serde_json::from_slice(bytes)?;
                    if manifest["subject"]["digest"] == subject {
                        about.push(json!({
                            "mediaType": MANIFEST,
                            "digest": digest,
                            "size": bytes.len(),
                            "artifactType": manifest["artifactType"],
                        }));
                    }
                }
                let next = format!(
                    "link: </v2/acme/payments/referrers/{subject}?page={}>; rel=\"next\"\r\n",
                    page + 1
                );
                let next = if page + 1 < about.len() { next } else { String::new() };
                let shown: Vec<Value> = about.into_iter().skip(page).take(1).collect();
                let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": shown});
                ("200 OK", format!("content-type: {INDEX}\r\n{next}"), index.to_string().into())
            }
            _ => ("405 Method Not Allowed", String::new(), Vec::new()),
        })
    }

    fn store(&self) -> Result<Box<dyn PolicyStore>> {
        let location = format!("oci+http://{}/acme/payments:production", self.address);
        Ok(location.parse::<Location>()?.open(&StoreOptions::default())?)
    }
}

/// A release that says who has built it, and that its tests have passed.
fn release(counter: u64, key: &SigningKey) -> Result<SignedFixture> {
    let mut release = SignedFixture::new(counter, counter, key)?.release;
    release.provenance.builder = Some("https://ci.example/7".to_owned());
    release.provenance.repository = Some("https://git.example/acme/policies".to_owned());
    release.provenance.commit = Some("4f1c2aa".to_owned());
    release.provenance.tests_passed = Some(12);
    SignedFixture::of(release, counter, key)
}

/// Returns what lies beside the newest release: each kind, verified, and its statement.
fn beside(store: &dyn PolicyStore, trust: &Trust) -> Result<Vec<(String, Value)>> {
    let attachments = store.attachments(&channel()?)?.context("a place for it")?;
    let mut found = Vec::new();
    for envelope in &attachments.envelopes {
        let verified = trust.verify_attestation(envelope, &channel()?, attachments.manifest)?;
        ensure!(verified.key == "ci", "{verified:?}");
        let bundle: Value = serde_json::from_slice(envelope)?;
        let payload = bundle["dsseEnvelope"]["payload"].as_str().context("a payload")?;
        let statement: Value = serde_json::from_slice(&STANDARD.decode(payload)?)?;
        ensure!(statement["subject"][0]["digest"]["sha256"] == attachments.manifest.hex());
        found.push((verified.predicate_type, statement["predicate"].clone()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn publishes(store: &dyn PolicyStore, key: &SigningKey) -> Result<()> {
    let trust = Trust::in_key("ci", key.verifying_key());
    let one = release(1, key)?;
    publish(store, key, &one.release, &one.bundle, None)?;
    let found = beside(store, &trust)?;
    let kinds: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
    let mut expected = KINDS;
    expected.sort_unstable();
    ensure!(kinds == expected, "{kinds:?}");
    let predicate = |kind: &str| {
        let found = found.iter().find(|(there, _)| there == kind);
        found.map(|(_, predicate)| predicate.clone()).context("a predicate")
    };
    let [signature, provenance, tests] = KINDS.map(predicate);
    ensure!(signature? == json!({}));
    let provenance = provenance?;
    ensure!(provenance["runDetails"]["builder"]["id"] == "https://ci.example/7", "{provenance}");
    let source = &provenance["buildDefinition"]["resolvedDependencies"][0];
    ensure!(source["digest"]["gitCommit"] == "4f1c2aa", "{provenance}");
    let tests = tests?;
    ensure!(tests["result"] == "PASSED", "{tests}");
    ensure!(tests["configuration"][0]["digest"]["sha256"] == one.release.digest.hex(), "{tests}");

    // What lies beside the first release is not beside the second one; a release that says neither who
    // has built it nor that it was tested is signed, and no more.
    let before = newest(store, &channel()?, &trust)?;
    let first = store.attachments(&channel()?)?.context("attachments")?;
    let two = SignedFixture::new(2, 2, key)?;
    publish(store, key, &two.release, &two.bundle, before.as_ref())?;
    let found = beside(store, &trust)?;
    let [(kind, _)] = found.as_slice() else { anyhow::bail!("{found:?}") };
    ensure!(*kind == KINDS[0], "{kind}");
    let second = store.attachments(&channel()?)?.context("attachments")?;
    let envelope = first.envelopes.first().context("an envelope")?;
    let error = trust.verify_attestation(envelope, &channel()?, second.manifest).err();
    ensure!(matches!(error, Some(VerifyError::Subject(_))), "{error:?}");

    // Nor is it anybody's, or for any set.
    let foreign = Trust::in_key("other", crate::support::key()?.verifying_key());
    let error = foreign.verify_attestation(envelope, &channel()?, first.manifest).err();
    ensure!(matches!(error, Some(VerifyError::Untrusted)), "{error:?}");
    let pem = key.verifying_key().to_pem();
    let scoped = json!({"keys": [{"name": "ci", "publicKey": pem, "sets": ["billing"]}]});
    let scoped = Trust::from_text(&scoped.to_string())?;
    let error = scoped.verify_attestation(envelope, &channel()?, first.manifest).err();
    ensure!(matches!(error, Some(VerifyError::Scope { .. })), "{error:?}");
    // No statement about a manifest passes for a release.
    for envelope in first.envelopes.iter().chain(&second.envelopes) {
        let purpose = stagedoor_distribution::Purpose::Keep;
        let error = trust.verify(envelope, &channel()?, purpose).err();
        ensure!(matches!(error, Some(VerifyError::Statement(_))), "{error:?}");
    }
    Ok(())
}

#[test]
fn a_registry_lists_signatures_and_attestations() -> Result<()> {
    let (registry, key) = (ListingRegistry::start()?, key()?);
    publishes(&*registry.store()?, &key)?;
    let asked = std::mem::take(&mut lock(&registry.state).asked);
    ensure!(!asked.iter().any(|asked| asked.contains("manifests/sha256-")), "{asked:?}");
    // All is there before the tag leads to it.
    let put = |part: &str| -> Vec<usize> {
        let is_it = |asked: &str| asked.starts_with("PUT ") && asked.contains(part);
        (0..).zip(&asked).filter(|(_, asked)| is_it(asked)).map(|(place, _)| place).collect()
    };
    let tagged = *put("manifests/production").first().context("a tag")?;
    let before = put("manifests/sha256:").into_iter().filter(|place| *place < tagged).count();
    ensure!(before == 4, "{asked:?}");

    // A list that says of something else that it is a signature about this.
    let manifest = registry.store()?.attachments(&channel()?)?.context("attachments")?.manifest;
    let other = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SIGSTORE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::of(b"{}"), "size": 2},
        "layers": [], "subject": {"mediaType": MANIFEST, "digest": manifest, "size": 1},
    });
    let bytes = other.to_string().into_bytes();
    lock(&registry.state).manifests.insert(Digest::of(&bytes).to_string(), bytes);
    let trust = Trust::in_key("ci", key.verifying_key());
    ensure!(beside(&*registry.store()?, &trust)?.len() == 1);

    // More pages than are read: that something is left out is told.
    let is_complete = || -> Result<bool> {
        Ok(registry.store()?.attachments(&channel()?)?.context("attachments")?.is_complete)
    };
    ensure!(is_complete()?);
    for number in 0..20 {
        let mut other = other.clone();
        other["annotations"] = json!({"number": number.to_string()});
        let bytes = other.to_string().into_bytes();
        lock(&registry.state).manifests.insert(Digest::of(&bytes).to_string(), bytes);
    }
    ensure!(!is_complete()?);
    Ok(())
}

#[test]
fn without_a_list_it_is_found_by_a_tag() -> Result<()> {
    let Some(registry) = Registry::start(None)? else { return Ok(()) };
    let (key, store) = (key()?, registry.store(&StoreOptions::default())?);
    publishes(&*store, &key)?;
    let manifest = store.attachments(&channel()?)?.context("attachments")?.manifest;
    let tag = manifest.to_string().replace(':', "-");
    let url = format!("http://{}/v2/acme/payments/manifests/{tag}", registry.address);
    let read = || -> Result<Value> {
        let mut answer = ureq::get(&url).header("accept", INDEX).call()?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    };
    let mut index = read()?;
    ensure!(index["manifests"][0]["artifactType"] == SIGSTORE, "{index}");
    let annotations = &index["manifests"][0]["annotations"];
    ensure!(annotations["dev.sigstore.bundle.predicateType"] == KINDS[0], "{index}");
    // What others have written there stays, word for word, and is passed over.
    let theirs = json!({
        "mediaType": MANIFEST,
        "digest": manifest,
        "size": 1,
        "artifactType": "application/vnd.example.sbom.v1",
        "x-theirs": true,
    });
    let ours = std::mem::replace(&mut index["manifests"], json!([theirs]));
    index["annotations"] = json!({"theirs": "too"});
    ureq::put(&url).content_type(INDEX).send(index.to_string())?;
    let trust = Trust::in_key("ci", key.verifying_key());
    ensure!(beside(&*store, &trust)?.is_empty());
    let two = newest(&*store, &channel()?, &trust)?.context("a release")?;
    let bundle = store.bundle(&channel()?, two.verified.release.digest, 1 << 20)?;
    let publication = Publication {
        envelope: &two.envelope,
        digest: two.verified.release.digest,
        bundle: &bundle,
        after: Some(&two.envelope),
        signer: Some(&key),
    };
    for _ in 0..2 {
        store.publish(&channel()?, &publication)?;
        let index = read()?;
        ensure!(index["manifests"] == json!([theirs, ours[0]]), "{index}");
        ensure!(index["annotations"]["theirs"] == "too", "{index}");
    }
    ensure!(beside(&*store, &trust)?.len() == 1);
    Ok(())
}

#[test]
fn many_that_list_at_one_time_lose_nothing_of_their_own() -> Result<()> {
    let Some(registry) = Registry::start(None)? else { return Ok(()) };
    let (key, store) = (key()?, registry.store(&StoreOptions::default())?);
    let one = release(1, &key)?;
    publish(&*store, &key, &one.release, &one.bundle, None)?;
    let before = store.attachments(&channel()?)?.context("attachments")?;
    // The same release in other channels is another manifest only where its signature is: here the
    // bundle's bytes are the same, and each tag has its own.
    let trust = Trust::in_key("ci", key.verifying_key());
    std::thread::scope(|scope| -> Result<()> {
        let publishing: Vec<_> = (0..4)
            .map(|number| {
                let (registry, key) = (&registry, &key);
                scope.spawn(move || -> Result<usize> {
                    let name = format!("c{number}");
                    let place = format!("oci+http://{}/acme/payments:{name}", registry.address);
                    let place: Location = place.parse()?;
                    let store = place.open(&StoreOptions::default())?;
                    let mut release = release(1, key)?.release;
                    release.channel = place.channel().clone();
                    let signed = SignedFixture::of(release, 1, key)?;
                    publish(&*store, key, &signed.release, &signed.bundle, None)?;
                    Ok(store.attachments(place.channel())?.context("attachments")?.envelopes.len())
                })
            })
            .collect();
        for thread in publishing {
            let found = thread.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
            ensure!(found == KINDS.len(), "{found}");
        }
        Ok(())
    })?;
    ensure!(store.attachments(&channel()?)? == Some(before) && beside(&*store, &trust)?.len() == 3);
    Ok(())
}
