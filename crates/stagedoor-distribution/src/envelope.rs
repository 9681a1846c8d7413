//! A signed statement: DSSE in a Sigstore bundle, version 0.3.
//!
//! What `cosign` and others of that family read and write, so that a set may be signed and
//! verified without this project. Bundles of this crate carry no entry of a transparency log: they
//! are made and verified by keys alone, without a network. Those that others have made by a certificate
//! carry one, and are verified without a network as well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::key::{SigningKey, VerifyingKey};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The largest envelope that is read, in bytes.
pub const ENVELOPE_BYTES: u64 = 1 << 20;

/// A payload with a signature that may be right or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signature: Vec<u8>,
    signer: Signer,
}

/// By what something is signed, as the signer says. It proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Signer {
    /// A key of this name.
    Key(String),
    /// A certificate: the whole bundle, which has it, as it was read.
    Certificate(String),
}

/// Why text is no envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is no JSON of the form.
    #[error("it is not a Sigstore bundle of version 0.3: {0}")]
    Json(String),
    /// A part is not base64.
    #[error("`{0}` is not base64")]
    Base64(&'static str),
    /// It is a bundle of another version, or none.
    #[error("it is `{0}`, not `{BUNDLE}`")]
    MediaType(String),
    /// It is signed by nothing that is known.
    #[error("it names neither a key nor a certificate")]
    Signer,
    /// It signs something else than a statement.
    #[error("it signs `{0}`, not a statement (`{PAYLOAD}`)")]
    Payload(String),
    /// It has no signature, or several.
    #[error("it has {0} signatures; a bundle has one")]
    Signatures(usize),
    /// Its two names for the key differ.
    #[error("it names two keys: `{hint}` and `{keyid}`")]
    Keys {
        /// The name in the verification material.
        hint: String,
        /// The name beside the signature.
        keyid: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Dsse,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<PublicKey>,
    /// What is in it, the library reads that verifies it.
    #[serde(default, skip_serializing)]
    certificate: Option<IgnoredAny>,
    /// As earlier versions have it.
    #[serde(default, skip_serializing)]
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
struct PublicKey {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    sig: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
}

impl Envelope {
    /// Signs a statement.
    #[must_use]
    pub fn sign(statement: &str, key: &SigningKey) -> Self {
        let payload = statement.as_bytes().to_vec();
        let signature = key.sign(&signed(&payload));
        Self { payload, signature, signer: Signer::Key(key.verifying_key().hint()) }
    }

    /// Reads an envelope. Its signature is not looked at.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`].
    pub fn from_json(text: &[u8]) -> Result<Self, EnvelopeError> {
        let bundle: Bundle = serde_json::from_slice(text).map_err(|error| {
            EnvelopeError::Json(stagedoor_core::plain_reason(&error.to_string()))
        })?;
        if bundle.media_type != BUNDLE {
            return Err(EnvelopeError::MediaType(bundle.media_type));
        }
        let material = bundle.verification_material;
        let has_certificate =
            material.certificate.is_some() || material.x509_certificate_chain.is_some();
        let signer = match material.public_key {
            Some(key) if !has_certificate => Signer::Key(key.hint),
            None if has_certificate => {
                Signer::Certificate(String::from_utf8_lossy(text).into_owned())
            }
            Some(_) | None => return Err(EnvelopeError::Signer),
        };
        let dsse = bundle.dsse_envelope;
        if dsse.payload_type != PAYLOAD {
            return Err(EnvelopeError::Payload(dsse.payload_type));
        }
        let [signature] = <[Signature; 1]>::try_from(dsse.signatures)
            .map_err(|signatures| EnvelopeError::Signatures(signatures.len()))?;
        if let Signer::Key(hint) = &signer
            && !signature.keyid.is_empty()
            && signature.keyid != *hint
        {
            let hint = hint.clone();
            return Err(EnvelopeError::Keys { hint, keyid: signature.keyid });
        }
        let decode =
            |text: &str, part| STANDARD.decode(text).map_err(|_| EnvelopeError::Base64(part));
        Ok(Self {
            payload: decode(&dsse.payload, "payload")?,
            signature: decode(&signature.sig, "sig")?,
            signer,
        })
    }

    /// Returns the envelope as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let hint = match &self.signer {
            Signer::Key(hint) => hint,
            Signer::Certificate(bundle) => return bundle.clone(),
        };
        let bundle = Bundle {
            media_type: BUNDLE.to_owned(),
            verification_material: Material {
                public_key: Some(PublicKey { hint: hint.clone() }),
                certificate: None,
                x509_certificate_chain: None,
            },
            dsse_envelope: Dsse {
                payload: STANDARD.encode(&self.payload),
                payload_type: PAYLOAD.to_owned(),
                signatures: vec![Signature {
                    sig: STANDARD.encode(&self.signature),
                    keyid: hint.clone(),
                }],
            },
        };
        // Texts are always JSON.
        serde_json::to_string(&bundle).unwrap_or_default()
    }

    /// Returns what is signed, if the signature is one of this key.
    #[must_use]
    pub fn verified_by(&self, key: &VerifyingKey) -> Option<&[u8]> {
        let is_by_key = matches!(self.signer, Signer::Key(_));
        let verifies = || key.verifies(&signed(&self.payload), &self.signature);
        (is_by_key && verifies()).then_some(self.payload.as_slice())
    }

    /// Returns the bundle, if it is signed by a certificate.
    pub(crate) fn by_certificate(&self) -> Option<&str> {
        match &self.signer {
            Signer::Key(_) => None,
            Signer::Certificate(bundle) => Some(bundle),
        }
    }

    /// Returns what is signed, whoever has signed it: to show it, and nothing else.
    #[must_use]
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }
}

/// Returns the bytes that a signature is about: DSSE's `PAE`.
fn signed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
