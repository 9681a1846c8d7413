//! The objects that releases are in a cluster: a `PolicySet` for each channel, and for each bundle as
//! many `PolicySetPart`s as it takes, since an object has at most 1.5 MiB.
//!
//! Their schemas are in the manifests that ship (`policysets.yaml`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::channel::{Channel, Name};
use crate::digest::Digest;
use crate::envelope::{ENVELOPE_BYTES, Envelope};
use crate::statement::Release;

/// The group of the objects.
pub(super) const GROUP: &str = "stagedoor.dev";
/// The version of their schemas.
pub(super) const VERSION: &str = "v1alpha1";

/// So many bytes of a bundle are in one part: 1.2 MB in base64.
pub(super) const PART_BYTES: usize = 900_000;
/// The most parts of a bundle.
const PARTS: u64 = 256;

/// What a `PolicySet` says: the newest release of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PolicySetSpec {
    /// The policy set.
    pub(super) set: Name,
    /// The channel.
    pub(super) channel: Name,
    /// The number of the release. As the bundle, it is for people: what counts is signed.
    pub(super) release: u64,
    /// The bundle.
    pub(super) bundle: BundleReference,
    /// The signature: a Sigstore bundle, as JSON.
    pub(super) signature: String,
}

/// Which bundle it is, and how large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BundleReference {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
}

/// What a `PolicySetPart` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartSpec {
    /// The bundle that it is a part of.
    pub(super) bundle: Digest,
    /// The number of the part, from 0.
    pub(super) index: u64,
    /// How many there are.
    pub(super) parts: u64,
    /// The size of the whole bundle.
    pub(super) bytes: u64,
    /// The bytes, in base64.
    pub(super) data: String,
}

/// Returns the name of the object of a channel. No name has two `-` in a row, so that no two channels
/// have one object.
pub(super) fn object_name(channel: &Channel) -> Result<String, String> {
    let name = format!("{}--{}", channel.set, channel.channel);
    if name.contains('_') || name.len() > 253 {
        return Err(format!(
            "`{channel}` cannot be the name of an object: it may have no `_`, and not more than 251 \
             characters"
        ));
    }
    Ok(name)
}

/// Returns the name of a part of a bundle.
pub(super) fn part_name(bundle: Digest, index: u64) -> String {
    format!("sha256-{}-{index}", bundle.hex())
}

/// Reads a spec.
pub(super) fn spec_of<T: serde::de::DeserializeOwned>(data: &Value) -> Result<T, String> {
    let spec = data.get("spec").ok_or("it has no `spec`")?;
    T::deserialize(spec).map_err(|error| stagedoor_core::plain_reason(&error.to_string()))
}

impl PolicySetSpec {
    /// Returns what says that a release is the newest one.
    pub(super) fn of(channel: &Channel, envelope: &[u8], bundle: &[u8]) -> Result<Self, String> {
        let signature = String::from_utf8(envelope.to_vec()).map_err(|e| e.to_string())?;
        let release = release_of(&signature)?;
        Ok(Self {
            set: channel.set.clone(),
            channel: channel.channel.clone(),
            release: release.counter,
            bundle: BundleReference { digest: release.digest, bytes: bundle.len() as u64 },
            signature,
        })
    }

    /// Returns the channel that it is said to be for.
    pub(super) fn channel(&self) -> Channel {
        Channel { set: self.set.clone(), channel: self.channel.clone() }
    }

    /// Fails where people would read something else than what is signed.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        let channel = self.channel();
        if object_name(&channel)? != name {
            return Err(format!("it is called `{name}`, and says that it is of `{channel}`"));
        }
        if self.signature.len() as u64 > ENVELOPE_BYTES {
            return Err(format!("its signature is larger than {ENVELOPE_BYTES} bytes"));
        }
        let Release { counter, digest, bytes, .. } = release_of(&self.signature)?;
        let said = (self.release, self.bundle.digest, self.bundle.bytes);
        if said != (counter, digest, bytes) {
            return Err(format!(
                "it says release {} with {}, and signed is release {counter} with {digest}",
                self.release, self.bundle.digest
            ));
        }
        Ok(())
    }

    /// Returns the object's `spec`.
    pub(super) fn to_json(&self) -> Value {
        json!({ "spec": self })
    }
}

/// Returns what is signed, whoever has signed it.
fn release_of(signature: &str) -> Result<Release, String> {
    let envelope = Envelope::from_json(signature.as_bytes()).map_err(|e| e.to_string())?;
    let payload = String::from_utf8_lossy(envelope.unverified_payload()).into_owned();
    Release::from_json(&payload).map_err(|e| e.to_string())
}

impl PartSpec {
    /// Returns the parts of a bundle.
    pub(super) fn all(digest: Digest, bundle: &[u8]) -> Result<Vec<Self>, String> {
        let parts = (bundle.len().div_ceil(PART_BYTES).max(1)) as u64;
        if parts > PARTS {
            return Err(format!("the bundle takes {parts} objects, and may take {PARTS}"));
        }
        // An empty bundle is one empty part.
        let chunks = bundle.chunks(PART_BYTES).chain(bundle.is_empty().then_some(bundle));
        let part = |(index, bytes)| Self {
            bundle: digest,
            index,
            parts,
            bytes: bundle.len() as u64,
            data: STANDARD.encode(bytes),
        };
        Ok((0..).zip(chunks).map(part).collect())
    }

    /// Fails if it is another part than the one that is asked for.
    pub(super) fn check(&self, bundle: Digest, index: u64) -> Result<(), String> {
        if (self.bundle, self.index) != (bundle, index) {
            return Err(format!("part {} of {} as part {index}", self.index, self.bundle));
        }
        if self.parts == 0 || self.parts > PARTS {
            return Err(format!("{} parts of one bundle: there may be {PARTS}", self.parts));
        }
        Ok(())
    }

    /// Returns the bytes.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let decoded = STANDARD.decode(&self.data);
        decoded.map_err(|_| format!("part {} of {} is not base64", self.index, self.bundle))
    }

    /// Returns the object's `spec`.
    pub(super) fn to_json(&self) -> Value {
        json!({ "spec": self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_the_bytes_of_its_parts() -> Result<(), String> {
        for bytes in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 5] {
            let bundle: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
            let digest = Digest::of(&bundle);
            let parts = PartSpec::all(digest, &bundle)?;
            let mut whole = Vec::new();
            for (index, part) in (0..).zip(&parts) {
                part.check(digest, index)?;
                assert!(part.check(digest, index + 1).is_err());
                assert!(part.data.len() <= 1_200_000, "the schema allows no more");
                whole.extend(part.bytes()?);
            }
            assert_eq!(whole, bundle);
        }
        let too_large = vec![0; PART_BYTES * 256 + 1];
        assert!(PartSpec::all(Digest::of(&too_large), &too_large).is_err());
        Ok(())
    }

    #[test]
    fn channels_have_objects_of_their_own() -> Result<(), String> {
        let name =
            |text: &str| object_name(&text.parse::<Channel>().map_err(|error| error.to_string())?);
        assert_eq!(name("a-b:c.d")?, "a-b--c.d");
        assert_ne!(name("a-b:c")?, name("a:b-c")?);
        assert!(name("a_b:c").is_err());
        assert!(name(&format!("{}:{}", "a".repeat(128), "b".repeat(128))).is_err());
        Ok(())
    }
}
