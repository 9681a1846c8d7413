//! Who shows a client certificate, as records tell it.

use std::fmt::Write as _;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

/// The certificate that a client has shown, in the extensions of the heads of its requests. It
/// was verified when the connection was established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    fingerprint: Arc<str>,
}

impl ClientCertificate {
    /// Returns what tells the first certificate of a chain from all others; none if there is no
    /// chain.
    pub(crate) fn of(chain: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let first = chain?.first()?;
        let mut fingerprint = "sha256:".to_owned();
        for byte in Sha256::digest(first) {
            // A text takes whatever is written.
            let _ = write!(fingerprint, "{byte:02x}");
        }
        Some(Self { fingerprint: fingerprint.into() })
    }

    /// Returns the fingerprint, as `openssl x509 -fingerprint -sha256` has it: `sha256:5e88…`, in
    /// lower case and without colons.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}
