//! TLS of the server: certificates that can be replaced while connections go on.
//!
//! A handshake uses what was in force when it began. A connection keeps what it was
//! established with; only when the authorities of clients change are connections asked to
//! end (after what is in flight is answered), so that a client that is no longer trusted
//! does not stay.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest as _, Sha256};
use stagedoor_source::{Fingerprint, InForce, ReloadSource, Reloading};
use tokio::sync::watch;

use crate::config::TlsFiles;
use crate::error::TlsError;
use crate::reload::{LoadFailure, Reloadable, Source, SourceStatus};

/// The largest file of certificates, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The name of certificates in metrics and logs.
pub(crate) const CERTIFICATES: &str = "certificates";

/// The TLS settings in force.
#[derive(Debug)]
pub(crate) struct Tls(Arc<Reloading<Certificates>>);

/// Certificates, keys and the authorities of clients in files.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    authorities: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct Settings {
    server: Arc<rustls::ServerConfig>,
    /// Hash of everything that was read, and of the authorities alone.
    content: [u8; 32],
    authorities: [u8; 32],
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`], which names the file.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let settings = settings(&files)?;
        let certificates = Certificates { files, authorities: watch::Sender::new(0) };
        Ok(Self(Arc::new(Reloading::new(certificates).holding(settings))))
    }

    /// Returns the settings for a handshake that begins now.
    pub(crate) fn current(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.0.current().map(|settings| Arc::clone(&settings.value.server))
    }

    /// Returns whether clients have to show a certificate.
    pub(crate) fn is_mutual(&self) -> bool {
        self.0.source().files.client_ca.is_some()
    }

    /// Returns a watch of changes of the authorities of clients.
    pub(crate) fn authorities(&self) -> watch::Receiver<u64> {
        self.0.source().authorities.subscribe()
    }

    /// Returns the files as something that is reloaded.
    pub(crate) fn certificates(&self) -> Arc<dyn Reloadable> {
        Arc::<Reloading<Certificates>>::clone(&self.0)
    }
}

impl ReloadSource for Certificates {
    type Value = Settings;
    type Error = LoadFailure;

    fn fingerprint(&self) -> Fingerprint {
        let TlsFiles { certificate, key, client_ca } = &self.files;
        Fingerprint::of([certificate, key].into_iter().chain(client_ca).map(|path| path.as_path()))
    }

    fn load(&self, _: Option<&Settings>) -> Result<Settings, LoadFailure> {
        settings(&self.files).map_err(|error| {
            LoadFailure::new(error.to_string(), "certificates or keys cannot be used")
        })
    }

    fn is_same(&self, in_force: &Settings, loaded: &Settings) -> bool {
        in_force.content == loaded.content
    }

    fn replaced(&self, before: Option<&Settings>, now: &Settings) {
        if before.is_some_and(|before| before.authorities != now.authorities) {
            self.authorities.send_modify(|generation| *generation += 1);
        }
    }
}

impl Source for Certificates {
    fn name(&self) -> &'static str {
        CERTIFICATES
    }

    fn status(&self, in_force: &InForce<Settings>) -> SourceStatus {
        SourceStatus {
            summary: "certificates for new connections".to_owned(),
            revision: None,
            policies: None,
            lost_forbids: 0,
            since: in_force.since,
        }
    }
}

fn settings(files: &TlsFiles) -> Result<Settings, TlsError> {
    let certificate = read(&files.certificate)?;
    let key = read(&files.key)?;
    let client_ca = files.client_ca.as_deref().map(read).transpose()?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let file = |path: &Path, reason: String| TlsError::File { path: path.to_owned(), reason };
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| file(&files.certificate, e.to_string()))?;
    let builder = match (&files.client_ca, &client_ca) {
        (Some(path), Some(pem)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, pem)? {
                roots.add(authority).map_err(|e| file(path, e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| file(path, e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let chain = certificates(&files.certificate, &certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|e| file(&files.key, format!("no private key in PEM: {e}")))?;
    let mut server = builder.with_single_cert(chain, private).map_err(|e| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason: e.to_string(),
    })?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Settings {
        server: Arc::new(server),
        content: hash([certificate.as_slice(), &key, client_ca.as_deref().unwrap_or_default()]),
        authorities: hash([client_ca.as_deref().unwrap_or_default()]),
    })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |reason| TlsError::File { path: path.to_owned(), reason };
    let read: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| error(format!("not PEM: {e}")))?;
    if read.is_empty() { Err(error("there is no certificate in it".to_owned())) } else { Ok(read) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let error = |reason| TlsError::File { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| error(e.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(error(format!("larger than the limit of {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
