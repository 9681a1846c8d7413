//! Authorities, certificates, and tokens of users.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes a certificate for these names and addresses, and its key.
    pub(crate) fn write(&self, stem: &Path, names: &[&str]) -> Result<CertificateFiles> {
        let key = KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.0)?;
        let files = CertificateFiles {
            certificate: stem.with_extension("crt"),
            key: stem.with_extension("key"),
        };
        replace(&files.key, &key.serialize_pem())?;
        replace(&files.certificate, &certificate.pem())?;
        Ok(files)
    }
}

/// Where a certificate and its key are.
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Writes a file at once: nobody reads half of it.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(beside, path)?)
}

/// Somebody who has a token, which is their name.
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) groups: &'static [&'static str],
}

/// Everybody. All have UIDs, as users of most authenticators do.
pub(crate) const USERS: [User; 9] = [
    User { name: "root", groups: &["system:masters"] },
    // Bound to `cluster-admin` by RBAC.
    User { name: "ops", groups: &["ops"] },
    User { name: "petra", groups: &["platform-admins"] },
    User { name: "vera", groups: &["viewers"] },
    User { name: "alice", groups: &["team-payments"] },
    User { name: "bella", groups: &["break-glass"] },
    User { name: "carol", groups: &["developers"] },
    User { name: "dora", groups: &["developers"] },
    User { name: "nobody", groups: &[] },
];

/// Returns kube-apiserver's file of tokens.
pub(crate) fn tokens() -> String {
    USERS
        .iter()
        .map(|User { name, groups }| format!("{name},{name},uid-{name},\"{}\"\n", groups.join(",")))
        .collect()
}
