//! The manifest of a policy set in a registry.
//!
//! [OCI image manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::digest::Digest;
use crate::store::Publication;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ARTIFACT: &str = "application/vnd.stagedoor.policyset.v1";
const BUNDLE: &str = "application/vnd.stagedoor.policyset.bundle.v1+json";
const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
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
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Returns the manifest of a release.
    pub(super) fn of(channel: &Channel, publication: &Publication<'_>) -> Self {
        let layer = |media_type: &str, bytes: &[u8], title: Option<String>| Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: title.map(|title| (TITLE.to_owned(), title)).into_iter().collect(),
        };
        let (set, bundle, envelope) = (&channel.set, publication.bundle, publication.envelope);
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: ARTIFACT.to_owned(),
            config: layer(EMPTY_TYPE, EMPTY, None),
            layers: vec![
                layer(BUNDLE, bundle, Some(format!("{set}.bundle.json"))),
                layer(SIGNATURE, envelope, Some(format!("{set}.sigstore.json"))),
            ],
        }
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
