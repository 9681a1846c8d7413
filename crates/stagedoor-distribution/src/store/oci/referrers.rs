//! What lies beside a release in a registry, so that `cosign`, `oras` and their like find it.
//!
//! An artifact that is about another one names it as its `subject`, and the registry lists them
//! ([referrers]). Where it does not say that it does, the client keeps the list, in an index
//! under the tag `sha256-HEX` ([the fallback]).
//!
//! [referrers]: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
//! [the fallback]: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema

use ureq::http::{Method, StatusCode};

use super::manifest::{EMPTY, INDEX, Index, MANIFEST, Manifest, SIGNATURE};
use super::{Call, MANIFEST_BYTES, OciStore};
use crate::attestation::Attestation;
use crate::digest::Digest;
use crate::envelope::{ENVELOPE_BYTES, Envelope};
use crate::key::SigningKey;
use crate::statement::Release;
use crate::store::http::{body, refused};
use crate::store::{Attachments, PolicyStore as _, StoreError};

/// How often an index is written, if somebody else writes it at the same time.
const ATTEMPTS: usize = 4;
/// The most pages of a list that are read.
const PAGES: usize = 16;
/// The most that is read of what lies beside a release.
const ATTACHMENTS: usize = 64;

impl OciStore {
    /// Lays beside a manifest what its signer says of it, so that it is there before a tag leads to it.
    pub(super) fn attach(
        &self,
        manifest: &Manifest,
        envelope: &[u8],
        signer: &SigningKey,
    ) -> Result<(), StoreError> {
        let envelope = Envelope::from_json(envelope).map_err(|e| self.odd(e.to_string()))?;
        let payload = String::from_utf8_lossy(envelope.unverified_payload()).into_owned();
        let release = Release::from_json(&payload).map_err(|e| self.odd(e.to_string()))?;
        let (subject, issued) = (manifest.subject(), release.issued.to_string());
        let repository = format!("{}/{}", self.host, self.repository);
        for attestation in Attestation::all(&release, &repository, subject.digest, signer) {
            let envelope = attestation.envelope.to_json();
            for blob in [envelope.as_bytes(), EMPTY] {
                self.upload(blob)?;
            }
            let predicate_type = attestation.predicate_type;
            let about =
                Manifest::about(subject.clone(), predicate_type, &issued, envelope.as_bytes());
            let answer = self.put_manifest(&about.descriptor().digest.to_string(), &about)?;
            if answer.headers().get("oci-subject").is_none() {
                self.list_by_tag(subject.digest, &about)?;
            }
        }
        Ok(())
    }

    /// Adds a manifest to the index of what is about another one.
    fn list_by_tag(&self, subject: Digest, about: &Manifest) -> Result<(), StoreError> {
        let descriptor = about.descriptor();
        let tag = fallback_tag(subject);
        for _ in 0..ATTEMPTS {
            let mut index = self.index_by_tag(subject)?.unwrap_or_else(Index::empty);
            // Also after it was written: a registry cannot compare, and somebody else may have written
            // what was there before.
            if index.descriptors().any(|there| there.digest == descriptor.digest) {
                return Ok(());
            }
            index.push(&descriptor);
            let json = index.to_json();
            let call = Call {
                content_type: Some(INDEX),
                body: json.as_bytes(),
                ..Call::new(Method::PUT, self.url(&format!("manifests/{tag}")))
            };
            match self.call(&call)?.status() {
                StatusCode::CREATED => {}
                status => return Err(refused(&self.name(), &format!("the index `{tag}`"), status)),
            }
        }
        match self.index_by_tag(subject)? {
            Some(index) if index.descriptors().any(|it| it.digest == descriptor.digest) => Ok(()),
            _ => Err(StoreError::Changed(self.name())),
        }
    }

    fn index_by_tag(&self, subject: Digest) -> Result<Option<Index>, StoreError> {
        let tag = fallback_tag(subject);
        let call = Call {
            accept: Some(INDEX),
            ..Call::new(Method::GET, self.url(&format!("manifests/{tag}")))
        };
        let response = self.call(&call)?;
        let what = format!("the index `{tag}`");
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => {
                let bytes = body(response, MANIFEST_BYTES, &what, &self.name())?;
                Index::from_json(&bytes).map(Some).map_err(|reason| self.odd(reason))
            }
            status => Err(refused(&self.name(), &what, status)),
        }
    }

    /// Returns what is signed about a manifest, as far as the registry says; none of it is verified.
    pub(super) fn attached(&self, manifest: Digest) -> Result<Attachments, StoreError> {
        let mut envelopes = Vec::new();
        let (referrers, is_listed) = self.referrers(manifest)?;
        let is_complete = is_listed && referrers.len() <= ATTACHMENTS;
        for digest in referrers.into_iter().take(ATTACHMENTS) {
            let what = format!("the manifest `{digest}`");
            let call = Call {
                accept: Some(MANIFEST),
                ..Call::new(Method::GET, self.url(&format!("manifests/{digest}")))
            };
            let response = self.call(&call)?;
            let bytes = match response.status() {
                StatusCode::OK => body(response, MANIFEST_BYTES, &what, &self.name())?,
                status => return Err(refused(&self.name(), &what, status)),
            };
            if Digest::of(&bytes) != digest {
                return Err(self.odd(format!("another manifest than `{digest}`")));
            }
            // What others have said to be about it, and is not, is nobody's signature.
            let Some(signature) = Manifest::signature_about(&bytes, manifest) else { continue };
            let envelope = self.blob(signature, ENVELOPE_BYTES)?;
            if Digest::of(&envelope) != signature {
                return Err(self.odd(format!("another blob than `{signature}`")));
            }
            envelopes.push(envelope);
        }
        Ok(Attachments { manifest, envelopes, is_complete })
    }

    /// Returns the manifests of signatures and attestations about a manifest, and whether those are all.
    fn referrers(&self, subject: Digest) -> Result<(Vec<Digest>, bool), StoreError> {
        let kind: String = SIGNATURE.replace('+', "%2B");
        let mut url = self.url(&format!("referrers/{subject}?artifactType={kind}"));
        let mut found = Vec::new();
        for page in 0..PAGES {
            let call = Call { accept: Some(INDEX), ..Call::new(Method::GET, url.clone()) };
            let response = self.call(&call)?;
            let next = response.headers().get("link").and_then(|link| link.to_str().ok());
            let next = next.and_then(|link| self.next_page(link));
            let index = match response.status() {
                StatusCode::OK => {
                    let what = format!("the list of what is about `{subject}`");
                    let bytes = body(response, MANIFEST_BYTES, &what, &self.name())?;
                    Index::from_json(&bytes).map_err(|reason| self.odd(reason))?
                }
                // The registry keeps no lists.
                StatusCode::NOT_FOUND if page == 0 => {
                    self.index_by_tag(subject)?.unwrap_or_else(Index::empty)
                }
                status => return Err(refused(&self.name(), "a list of manifests", status)),
            };
            // A registry need not choose by the kind.
            let signatures = index.descriptors().filter(|it| it.is_signature());
            found.extend(signatures.map(|it| it.digest));
            match next {
                Some(next) => url = next,
                None => return Ok((found, true)),
            }
        }
        Ok((found, false))
    }

    /// Returns the address of the next page that a header `Link` names.
    fn next_page(&self, link: &str) -> Option<String> {
        let (address, parameters) = link.strip_prefix('<')?.split_once('>')?;
        let address = match address.starts_with('/') {
            true => format!("{}://{}{address}", self.scheme, self.host),
            false => address.to_owned(),
        };
        (parameters.contains("next") && self.is_own(&address)).then_some(address)
    }
}

/// Returns the tag under which the list lies, where a registry has none.
fn fallback_tag(subject: Digest) -> String {
    subject.to_string().replace(':', "-")
}
