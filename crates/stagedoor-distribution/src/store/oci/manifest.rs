//! The manifest of a policy set in a registry.
//!
//! [OCI image manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::channel::Channel;
use crate::digest::Digest;
use crate::store::Publication;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const ARTIFACT: &str = "application/vnd.stagedoor.policyset.v1";
const BUNDLE: &str = "application/vnd.stagedoor.policyset.bundle.v1+json";
/// Signatures and attestations, here and in artifacts of their own.
pub(super) const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The configuration of an artifact that has none.
pub(super) const EMPTY: &[u8] = b"{}";
/// What files of layers are called, by custom.
const TITLE: &str = "org.opencontainers.image.title";

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
    /// What this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: String,
    pub(super) digest: Digest,
    size: u64,
    /// What kind of artifact it is, where indexes name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    fn with_title(mut self, title: String) -> Self {
        self.annotations.insert(TITLE.to_owned(), title);
        self
    }

    /// Returns whether it is a Sigstore bundle about something, as an index says.
    pub(super) fn is_signature(&self) -> bool {
        self.media_type == MANIFEST && self.artifact_type.as_deref() == Some(SIGNATURE)
    }
}

/// What refers to something, as a registry lists it, or as it lies under a tag where a registry has no
/// such list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    #[serde(default)]
    media_type: String,
    /// Each as it is there: others write them too, and say more of them.
    #[serde(default)]
    manifests: Vec<Value>,
    /// What else is there.
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl Index {
    /// Returns an index of nothing.
    pub(super) fn empty() -> Self {
        let rest = [("schemaVersion".to_owned(), 2.into())].into_iter().collect();
        Self { media_type: INDEX.to_owned(), manifests: Vec::new(), rest }
    }

    /// Reads an index.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let index: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("no index: {}", stagedoor_core::plain_reason(&error.to_string()))
        })?;
        match index.media_type == INDEX {
            true => Ok(index),
            false => Err(format!("`{}` instead of an index", index.media_type)),
        }
    }

    pub(super) fn to_json(&self) -> String {
        let mut fields = self.rest.clone();
        fields.insert("mediaType".to_owned(), self.media_type.clone().into());
        fields.insert("manifests".to_owned(), self.manifests.clone().into());
        Value::Object(fields).to_string()
    }

    /// Returns what is in it, as far as it is known what that is.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = Descriptor> {
        self.manifests.iter().filter_map(|manifest| Descriptor::deserialize(manifest).ok())
    }

    pub(super) fn push(&mut self, descriptor: &Descriptor) {
        self.manifests.push(json!(descriptor));
    }
}

impl Manifest {
    /// Returns the manifest of a release.
    pub(super) fn of(channel: &Channel, publication: &Publication<'_>) -> Self {
        let (set, bundle, envelope) = (&channel.set, publication.bundle, publication.envelope);
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: ARTIFACT.to_owned(),
            config: Descriptor::of(EMPTY_TYPE, EMPTY),
            layers: vec![
                Descriptor::of(BUNDLE, bundle).with_title(format!("{set}.bundle.json")),
                Descriptor::of(SIGNATURE, envelope).with_title(format!("{set}.sigstore.json")),
            ],
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Returns the manifest of a signature or attestation about another manifest, as cosign lays it down.
    pub(super) fn about(
        subject: Descriptor,
        predicate_type: &str,
        issued: &str,
        envelope: &[u8],
    ) -> Self {
        let annotations = [
            ("dev.sigstore.bundle.content", "dsse-envelope"),
            ("dev.sigstore.bundle.predicateType", predicate_type),
            ("org.opencontainers.image.created", issued),
        ];
        let annotations =
            annotations.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: SIGNATURE.to_owned(),
            config: Descriptor::of(EMPTY_TYPE, EMPTY),
            layers: vec![Descriptor::of(SIGNATURE, envelope)],
            subject: Some(subject),
            annotations: annotations.collect(),
        }
    }

    /// Returns what an index says of it.
    pub(super) fn descriptor(&self) -> Descriptor {
        let (artifact_type, annotations) = (self.artifact_type.clone(), self.annotations.clone());
        Descriptor {
            artifact_type: Some(artifact_type),
            annotations,
            ..Descriptor::of(&self.media_type, self.to_json().as_bytes())
        }
    }

    /// Returns what names it, and nothing that it says of itself.
    pub(super) fn subject(&self) -> Descriptor {
        Descriptor::of(&self.media_type, self.to_json().as_bytes())
    }

    /// Reads the manifest of a signature or attestation, and returns the digest of what is signed; nothing
    /// if it is about something else, or is something else.
    pub(super) fn signature_about(bytes: &[u8], subject: Digest) -> Option<Digest> {
        let manifest: Self = serde_json::from_slice(bytes).ok()?;
        let is_about = manifest.subject.as_ref().is_some_and(|it| it.digest == subject);
        manifest.signature().ok().filter(|_| is_about && manifest.artifact_type == SIGNATURE)
    }

    /// Reads a manifest.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!("no manifest: {}", stagedoor_core::plain_reason(&error.to_string()))
        })?;
        if manifest.media_type != MANIFEST || manifest.artifact_type != ARTIFACT {
            let kind = [&manifest.artifact_type, &manifest.media_type];
            let kind = kind.into_iter().find(|kind| !kind.is_empty());
            return Err(format!(
                "`{}`, which is not a policy set: publish by `stagedoor push`",
                kind.map_or("an artifact without a type", String::as_str)
            ));
        }
        Ok(manifest)
    }

    pub(super) fn to_json(&self) -> String {
        // Texts and numbers are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns the digest of the signature.
    pub(super) fn signature(&self) -> Result<Digest, String> {
        let mut signatures = self.layers.iter().filter(|layer| layer.media_type == SIGNATURE);
        match (signatures.next(), signatures.next()) {
            (Some(signature), None) => Ok(signature.digest),
            (None, _) => Err("a policy set without a signature".to_owned()),
            (Some(_), Some(_)) => Err("a policy set with several signatures".to_owned()),
        }
    }
}
