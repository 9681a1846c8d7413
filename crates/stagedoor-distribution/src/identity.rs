//! Who has signed, by a certificate: an identity that an issuer vouches for, as Sigstore's `keyless`
//! signatures have it.
//!
//! A certificate is worth something as long as it is valid, which is minutes; that a signature is as old as
//! that says a transparency log, whose entry the bundle carries. Who may issue certificates and keep logs
//! says a [trusted root], which is given: nothing is fetched.
//!
//! [trusted root]: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto

mod provider;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, Sha256Hash, SignatureContent};
use sigstore_verify::{Error, VerificationPolicy, Verifier};

use crate::digest::Digest;

/// An identity that may sign.
#[derive(Clone)]
pub(crate) struct SigningIdentity {
    identity: String,
    issuer: String,
    root: Arc<Verifier>,
    /// The trusted root, as it was given: two roots that are equal are one.
    text: Arc<str>,
    /// Whether certificates must be in a log of certificates.
    asks_certificate_log: bool,
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningIdentity({}, {})", self.identity, self.issuer)
    }
}

impl PartialEq for SigningIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && self.issuer == other.issuer && self.text == other.text
    }
}

impl SigningIdentity {
    /// Returns an identity; the root is the JSON that Sigstore's own tools read.
    pub(crate) fn new(
        identity: String,
        issuer: String,
        root: &Value,
        has_certificate_log: bool,
    ) -> Result<Self, String> {
        provider::install();
        // YAML has it as it is in JSON, or as text.
        let text = match root {
            Value::String(text) => text.clone(),
            root => root.to_string(),
        };
        let root = TrustedRoot::from_json(&text).map_err(|error| error.to_string())?;
        if root.certificate_authorities.is_empty() {
            return Err("it has no `certificateAuthorities`".to_owned());
        }
        if root.tlogs.is_empty() {
            return Err("it has no `tlogs`, without which nothing says when something was signed"
                .to_owned());
        }
        if root.ctlogs.is_empty() && has_certificate_log {
            return Err(
                "it has no `ctlogs`: if your authority keeps none, say `certificateLog: false`"
                    .to_owned(),
            );
        }
        let verifier = Verifier::new(&root).map_err(|error| error.to_string())?;
        Ok(Self {
            identity,
            issuer,
            root: Arc::new(verifier),
            text: text.into(),
            asks_certificate_log: has_certificate_log,
        })
    }

    /// Verifies a Sigstore bundle around a statement about something: the signature, the certificate at
    /// the time that the log says, whose it is, and that the log has it.
    pub(crate) fn verify(&self, bundle: &str, payload: &[u8], about: Digest) -> Result<(), String> {
        let bundle = Bundle::from_json(bundle).map_err(|error| error.to_string())?;
        // INVARIANT: what is verified is what is read, even if two readers of JSON should differ in what
        // that is.
        match &bundle.content {
            SignatureContent::DsseEnvelope(dsse) if dsse.payload.as_bytes() == payload => {}
            _ => return Err("what is signed in it is told twice".to_owned()),
        }
        if bundle.verification_material.tlog_entries.is_empty() {
            return Err("it has no entry of a transparency log".to_owned());
        }
        let digest = Sha256Hash::from_hex(&about.hex()).map_err(|error| error.to_string())?;
        let policy = VerificationPolicy::new(self.identity.as_str(), self.issuer.as_str());
        let policy = if self.asks_certificate_log { policy } else { policy.skip_sct() };
        let verified =
            self.root.verify(digest, &bundle, &policy).map_err(|error| reason(&error))?;
        // INVARIANT: the policy asks for all of these. Whatever becomes of the library, what is
        // taken was looked at.
        let is_whole = verified.certificate_verified()
            && verified.tlog_verified()
            && verified.identity_policy_checked()
            && (verified.sct_verified() || !self.asks_certificate_log);
        if is_whole { Ok(()) } else { Err("not all of it was verified".to_owned()) }
    }
}

/// Returns what is wrong, with whose certificate it is where that is the reason.
fn reason(error: &Error) -> String {
    match error {
        Error::IdentityMismatch { actual, .. } => {
            let actual = actual.as_ref().map_or("nobody", |identity| identity.as_str());
            format!("the certificate is of `{actual}`")
        }
        Error::IssuerMismatch { actual, .. } => {
            let actual = actual.as_deref().unwrap_or("nobody");
            format!("`{actual}` vouches for whom the certificate is of")
        }
        error => error.to_string(),
    }
}
