//! What signs without keys: an authority for certificates, a log of certificates and a transparency log, all
//! made here, and nobody else's.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
    SerialNumber, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use stagedoor_distribution::Digest;

const PAYLOAD: &str = "application/vnd.in-toto+json";
/// Fulcio's name for who vouches for an identity.
const ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
/// What a log of certificates gives for one.
const SCTS: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
/// 1 March 2025, 12:00.
const NOON: i64 = 1_740_830_400;

/// A log, by its key.
struct Log(KeyPair);

impl Log {
    fn new() -> Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    fn id(&self) -> Vec<u8> {
        sha256(&self.0.subject_public_key_info())
    }

    /// Returns what a trusted root says of it.
    fn trusted(&self) -> Value {
        json!({
            "baseUrl": "https://log.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(self.0.subject_public_key_info()),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": { "start": "2025-01-01T00:00:00Z" },
            },
            "logId": { "keyId": STANDARD.encode(self.id()) },
        })
    }
}

/// Who issues certificates, and the logs beside it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    certificates: Log,
    entries: Log,
}

/// What is signed, and what is wrong about it.
pub struct Signing<'a> {
    pub identity: &'a str,
    pub issuer: &'a str,
    /// The minute after noon in which the log has it; the certificate is valid from the first to the
    /// tenth.
    pub minute: i64,
}

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2035, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer, certificates: Log::new()?, entries: Log::new()? })
    }

    /// Returns what Sigstore's tools take as whom to trust.
    pub fn trusted_root(&self) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.entries.trusted()],
            "ctlogs": [self.certificates.trusted()],
            "certificateAuthorities": [{
                "uri": "https://authority.example",
                "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(self.issuer.der()) }] },
                "validFor": { "start": "2025-01-01T00:00:00Z" },
            }],
        })
    }

    fn certificate(&self, key: &KeyPair, signing: &Signing<'_>) -> Result<rcgen::Certificate> {
        let mut params = CertificateParams::default();
        let minutes = |minutes: u64| {
            date_time_ymd(2025, 3, 1) + Duration::from_secs((12 * 60 + minutes) * 60)
        };
        params.serial_number = Some(SerialNumber::from_slice(&[7, 8, 9]));
        (params.not_before, params.not_after) = (minutes(1), minutes(10));
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(signing.identity.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let issuer = der(0x0c, signing.issuer.as_bytes());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&ISSUER, issuer)];
        // The log of certificates signs what the certificate is without its signature.
        let before = params.signed_by(key, &self.issuer)?;
        let scts = self.timestamps(inner(before.der())?)?;
        params.custom_extensions.push(CustomExtension::from_oid_content(&SCTS, scts));
        Ok(params.signed_by(key, &self.issuer)?)
    }

    /// Returns the extension that says that a certificate is in the log (RFC 6962).
    fn timestamps(&self, certificate: &[u8]) -> Result<Vec<u8>> {
        let time = (u64::try_from(NOON)? * 1000).to_be_bytes();
        let length = u32::try_from(certificate.len())?.to_be_bytes();
        let issuer = sha256(&self.issuer.key().subject_public_key_info());
        let length = length.get(1..).context("three bytes")?;
        let signed = [&[0, 0], time.as_slice(), &[0, 1], &issuer, length, certificate, &[0, 0]];
        let signature = self.certificates.0.sign(&signed.concat())?;
        let (id, signature) = (self.certificates.id(), sized(&signature)?);
        let parts: [&[u8]; 5] = [&[0], &id, &time, &[0, 0, 4, 3], &signature];
        let timestamp = parts.concat();
        Ok(der(0x04, &sized(&sized(&timestamp)?)?))
    }

    /// Signs a statement as Sigstore's tools do without keys.
    pub fn sign(&self, statement: &str, signing: &Signing<'_>) -> Result<Value> {
        let key = KeyPair::generate()?;
        let certificate = self.certificate(&key, signing)?;
        let head = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), statement.len());
        let signature = STANDARD.encode(key.sign(format!("{head}{statement}").as_bytes())?);
        let envelope = json!({
            "payload": STANDARD.encode(statement),
            "payloadType": PAYLOAD,
            "signatures": [{ "sig": signature }],
        });
        let hash =
            |bytes: &[u8]| json!({ "algorithm": "sha256", "value": Digest::of(bytes).hex() });
        let entry = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": hash(envelope.to_string().as_bytes()),
                "payloadHash": hash(statement.as_bytes()),
                "signatures": [{ "signature": signature, "verifier": STANDARD.encode(certificate.pem()) }],
            },
        });
        Ok(json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": STANDARD.encode(certificate.der()) },
                "tlogEntries": [self.logged(entry.to_string().as_bytes(), signing.minute)?],
            },
            "dsseEnvelope": envelope,
        }))
    }

    /// Returns an entry of the log: the first one of two.
    fn logged(&self, entry: &[u8], minute: i64) -> Result<Value> {
        let time = NOON + 60 * minute;
        let id = self.entries.id();
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let promise = json!({
            "body": STANDARD.encode(entry),
            "integratedTime": time,
            "logID": hex,
            "logIndex": 0,
        });
        let promise = self.entries.0.sign(promise.to_string().as_bytes())?;
        let other = sha256(b"another entry");
        let leaf = sha256(&[&[0], entry].concat());
        let root = sha256(&[&[1], leaf.as_slice(), &other].concat());
        let note = format!("log.example - 1\n2\n{}\n", STANDARD.encode(&root));
        let hint = id.get(..4).context("four bytes")?;
        let signed = [hint, &self.entries.0.sign(note.as_bytes())?].concat();
        let note = format!("{note}\n\u{2014} log.example {}\n", STANDARD.encode(signed));
        Ok(json!({
            "logIndex": "0",
            "logId": { "keyId": STANDARD.encode(&id) },
            "kindVersion": { "kind": "dsse", "version": "0.0.1" },
            "integratedTime": time.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": STANDARD.encode(promise) },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": STANDARD.encode(&root),
                "treeSize": "2",
                "hashes": [STANDARD.encode(&other)],
                "checkpoint": { "envelope": note },
            },
            "canonicalizedBody": STANDARD.encode(entry),
        }))
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let hex = Digest::of(bytes).hex();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | digit(*half)))
        .collect()
}

/// Returns bytes after their number, in two bytes.
fn sized(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok([&u16::try_from(bytes.len())?.to_be_bytes(), bytes].concat())
}

/// Returns an element in DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let head = match length {
        0..=127 => vec![tag, low],
        128..=255 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

/// Returns the first element within a sequence in DER of some hundred bytes, as it is.
fn inner(sequence: &[u8]) -> Result<&[u8]> {
    let content = sequence.get(4..).context("a sequence")?;
    let [0x30, 0x82, high, low, ..] = content else { anyhow::bail!("another form of DER") };
    let length = usize::from(u16::from_be_bytes([*high, *low])) + 4;
    content.get(..length).context("a whole sequence")
}
