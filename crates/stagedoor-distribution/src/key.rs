//! Keys that sign and verify: Ed25519, and ECDSA P-256 as `cosign` makes them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, Ed25519KeyPair, KeyPair as _};
use ring::signature::{UnparsedPublicKey, VerificationAlgorithm};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};

/// What stands before the 32 bytes of an Ed25519 key in its DER (RFC 8410).
const ED25519_DER: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
/// What stands before the 65 bytes of a P-256 key in its DER (RFC 5480).
const P256_DER: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0,
];

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is no PEM of a private key.
    #[error("it is not a private key in PEM (`-----BEGIN PRIVATE KEY-----`): {0}")]
    PrivatePem(String),
    /// It is no PEM of a public key.
    #[error("it is not a public key in PEM (`-----BEGIN PUBLIC KEY-----`): {0}")]
    PublicPem(String),
    /// It is a private key of another kind.
    #[error("it is not an Ed25519 key ({0}): `stagedoor sign --new-key FILE` makes one")]
    PrivateKind(String),
    /// It is a public key of another kind.
    #[error("it is neither an Ed25519 nor an ECDSA P-256 key")]
    PublicKind,
    /// The system has no randomness to give.
    #[error("no key can be made: the system gives no random bytes")]
    Random,
}

/// A key that signs: Ed25519.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifying_key().hint())
    }
}

impl SigningKey {
    /// Returns a new key, in PEM.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`].
    pub fn generate() -> Result<String, KeyError> {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        Ok(pem("PRIVATE KEY", der.map_err(|_| KeyError::Random)?.as_ref()))
    }

    /// Reads a key in PEM (PKCS#8), as [`generate`](Self::generate) and `openssl genpkey
    /// -algorithm ed25519` write it.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text)
            .map_err(|error| KeyError::PrivatePem(error.to_string()))?;
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        key.map(Self).map_err(|error| KeyError::PrivateKind(error.to_string()))
    }

    /// Returns the key that verifies what this one signs.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut der = ED25519_DER.to_vec();
        der.extend_from_slice(self.0.public_key().as_ref());
        VerifyingKey { algorithm: Algorithm::Ed25519, der }
    }

    /// Signs a message.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Algorithm {
    Ed25519,
    EcdsaP256,
}

/// A key that verifies signatures.
///
/// # Examples
///
/// ```
/// use stagedoor_distribution::{SigningKey, VerifyingKey};
///
/// let key = SigningKey::from_pem(SigningKey::generate()?.as_bytes())?.verifying_key();
/// assert_eq!(VerifyingKey::from_pem(key.to_pem().as_bytes())?, key);
/// # Ok::<(), stagedoor_distribution::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    der: Vec<u8>,
}

impl VerifyingKey {
    /// Reads a public key in PEM: Ed25519 or ECDSA P-256.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text)
            .map_err(|error| KeyError::PublicPem(error.to_string()))?;
        let der = der.to_vec();
        let algorithm = match &der {
            der if der.starts_with(ED25519_DER) && der.len() == ED25519_DER.len() + 32 => {
                Algorithm::Ed25519
            }
            der if der.starts_with(P256_DER) && der.len() == P256_DER.len() + 65 => {
                Algorithm::EcdsaP256
            }
            _ => return Err(KeyError::PublicKind),
        };
        Ok(Self { algorithm, der })
    }

    /// Returns the key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.der)
    }

    /// Returns the name that Sigstore has for the key: SHA-256 of its DER, in base64.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(Sha256::digest(&self.der))
    }

    /// Returns whether a signature is one of this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (prefix, algorithm): (_, &dyn VerificationAlgorithm) = match self.algorithm {
            Algorithm::Ed25519 => (ED25519_DER, &ED25519),
            Algorithm::EcdsaP256 => (P256_DER, &ECDSA_P256_SHA256_ASN1),
        };
        let key = self.der.get(prefix.len()..).unwrap_or_default();
        UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap_or_default())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
