//! The server's certificates as something that is reloaded.

use std::sync::Arc;

use crate::reload::{Commit, InForce, LoadFailure, Source};
use crate::tls::Tls;
use stagedoor_source::Fingerprint;

/// The name of certificates in metrics and logs.
pub(crate) const CERTIFICATES: &str = "certificates";

/// Certificates, keys and the authorities of clients.
pub(crate) struct Certificates(pub(crate) Arc<Tls>);

impl Source for Certificates {
    fn name(&self) -> &'static str {
        CERTIFICATES
    }

    fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    fn load(&self) -> Result<Commit, LoadFailure> {
        let settings = self.0.read().map_err(|error| {
            LoadFailure::new(error.to_string(), "certificates or keys cannot be used")
        })?;
        let tls = Arc::clone(&self.0);
        Ok(Box::new(move || Ok(tls.put_in_force(settings))))
    }

    fn in_force(&self) -> Option<InForce> {
        let summary = "certificates for new connections".to_owned();
        Some(InForce {
            summary,
            revision: None,
            policies: None,
            lost_forbids: 0,
            since: self.0.since(),
        })
    }
}
