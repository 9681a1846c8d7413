//! TLS of the server: certificates that can be replaced while connections go on.
//!
//! A handshake uses what was in force when it began. A connection keeps what it was
//! established with; only when the authorities of clients change are connections asked to
//! end (after what is in flight is answered), so that a client that is no longer trusted
//! does not stay.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::config::TlsFiles;
use crate::error::TlsError;
use crate::reload::Replaced;
use stagedoor_source::Fingerprint;

/// The largest file of certificates, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The TLS settings in force.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    current: ArcSwap<Settings>,
    authorities: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct Settings {
    server: Arc<rustls::ServerConfig>,
    /// Hash of everything that was read, and of the authorities alone.
    content: [u8; 32],
    authorities: [u8; 32],
    since: SystemTime,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`], which names the file.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let settings = settings(&files)?;
        Ok(Self {
            files,
            current: ArcSwap::from_pointee(settings),
            authorities: watch::Sender::new(0),
        })
    }

    /// Returns the settings for a handshake that begins now.
    pub(crate) fn current(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    /// Returns since when the settings are in force.
    pub(crate) fn since(&self) -> SystemTime {
        self.current.load().since
    }

    /// Returns whether clients have to show a certificate.
    pub(crate) fn is_mutual(&self) -> bool {
        self.files.client_ca.is_some()
    }

    /// Returns a watch of changes of the authorities of clients.
    pub(crate) fn authorities(&self) -> watch::Receiver<u64> {
        self.authorities.subscribe()
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); what was in force stays.
    pub(crate) fn read(&self) -> Result<Settings, TlsError> {
        settings(&self.files)
    }

    /// Puts in force what was read.
    pub(crate) fn put_in_force(&self, new: Settings) -> Replaced {
        let old = self.current.load();
        if old.content == new.content {
            return Replaced::Same;
        }
        let other_authorities = old.authorities != new.authorities;
        let old = self.current.swap(Arc::new(new));
        if other_authorities {
            self.authorities.send_modify(|generation| *generation += 1);
        }
        Replaced::With(Box::new(old))
    }

    /// Returns what the files look like now.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.files)
    }
}

fn fingerprint(files: &TlsFiles) -> Fingerprint {
    let TlsFiles { certificate, key, client_ca } = files;
    Fingerprint::of([certificate, key].into_iter().chain(client_ca).map(|path| path.as_path()))
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
        since: SystemTime::now(),
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
