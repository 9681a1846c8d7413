//! The keys that tokens are signed with: a JWK Set, RFC 7517.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

use crate::json::{Json, Object, member};

/// The most keys that are read.
const KEYS: usize = 100;

/// An algorithm of RFC 7518 and 8037 that is taken: none with a shared secret, and not `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::EdDsa => return None,
        })
    }
}

/// The keys of a set that can verify signatures.
#[derive(Debug, Default)]
pub struct Keys {
    keys: Vec<Key>,
    /// What of the set is not used, and why.
    skipped: Vec<String>,
}

/// A public key.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    /// The one algorithm that it says it is for.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A set of keys that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a JWK Set: {0}")]
pub struct KeysError(String);

impl Keys {
    /// Reads a JWK Set. Keys of kinds that are not used (shared secrets, those for encryption)
    /// are left out.
    ///
    /// # Errors
    ///
    /// [`KeysError`] if it is none, or no key in it can verify a token.
    pub fn from_json(text: &str) -> Result<Self, KeysError> {
        let set = Json::parse(text).map_err(|e| KeysError(e.to_string()))?;
        let list = set.as_object().and_then(|set| set.get("keys"));
        let Some(Json::Array(list)) = list else {
            return Err(KeysError("give an object with a list `keys`".to_owned()));
        };
        if list.len() > KEYS {
            return Err(KeysError(format!("{} keys are more than {KEYS}", list.len())));
        }
        let mut keys = Self::default();
        for (n, key) in list.iter().enumerate() {
            match key.as_object().ok_or("it is not an object").and_then(Key::read) {
                Ok(key) => keys.keys.push(key),
                Err(reason) => keys.skipped.push(format!("keys[{n}]: {reason}")),
            }
        }
        if keys.keys.is_empty() {
            let reasons = keys.skipped.join("; ");
            return Err(KeysError(format!("no key in it can verify a token ({reasons})")));
        }
        Ok(keys)
    }

    /// Returns how many keys can verify tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether no key can.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys that are not used, and why.
    pub fn skipped(&self) -> impl Iterator<Item = &str> {
        self.skipped.iter().map(String::as_str)
    }

    /// Returns the keys that may have signed a token.
    pub(crate) fn fitting(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            // A token that names its key is verified by that one alone.
            let is_named = id.is_none() || key.id.as_deref() == id;
            is_named
                && key.material.is_for(algorithm)
                && key.algorithm.is_none_or(|a| a == algorithm)
        })
    }
}

impl Key {
    fn read(object: &Object) -> Result<Self, &'static str> {
        let text = |name| match member(object, name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or("a member is not a string"),
        };
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Err("it is not for signatures");
        }
        if let Some(Json::Array(operations)) = member(object, "key_ops")
            && !operations.iter().any(|operation| operation.as_str() == Some("verify"))
        {
            return Err("it is not for verifying");
        }
        let algorithm = match text("alg")? {
            None => None,
            Some(name) => Some(Algorithm::named(name).ok_or("its algorithm is not taken")?),
        };
        let number = |name| {
            let text = text(name)?.ok_or("a number of it is missing")?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| "a number of it is not base64url")
        };
        let point = |size: usize| {
            let (x, y) = (number("x")?, number("y")?);
            if x.len() != size || y.len() != size {
                return Err("its point is not one of the curve");
            }
            Ok([&[4], x.as_slice(), y.as_slice()].concat())
        };
        let material = match (text("kty")?, text("crv")?) {
            (Some("RSA"), _) => Material::Rsa { modulus: number("n")?, exponent: number("e")? },
            (Some("EC"), Some("P-256")) => Material::P256(point(32)?),
            (Some("EC"), Some("P-384")) => Material::P384(point(48)?),
            (Some("OKP"), Some("Ed25519")) => Material::Ed25519(number("x")?),
            (Some("oct"), _) => return Err("shared secrets are not taken"),
            _ => return Err("its kind or curve is not known"),
        };
        if algorithm.is_some_and(|algorithm| !material.is_for(algorithm)) {
            return Err("its algorithm is not for its kind");
        }
        Ok(Self { id: text("kid")?.map(str::to_owned), algorithm, material })
    }

    /// Returns whether a signature is this key's.
    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { modulus, exponent } => algorithm.rsa().is_some_and(|parameters| {
                // A number in base64url may begin with zeros, which `ring` does not take.
                let n = modulus.iter().position(|b| *b != 0).and_then(|at| modulus.get(at..));
                let key = RsaPublicKeyComponents { n: n.unwrap_or_default(), e: exponent };
                key.verify(parameters, signed, signature).is_ok()
            }),
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
            Material::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
            Material::Ed25519(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(signed, signature).is_ok()
            }
        }
    }
}

impl Material {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => algorithm.rsa().is_some(),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }
}
