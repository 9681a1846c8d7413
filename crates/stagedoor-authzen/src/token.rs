//! Bearer tokens: signed JWTs, checked against the keys of their issuer.
//!
//! RFC 7515 (JWS), 7517 (JWK), 7519 (JWT) and 8725 (their best current practice): the algorithm
//! is the key's to say, never only the token's; audience and time of expiry are demanded.
//!
//! Read by hand, over the `ring` that TLS is built on here. `jsonwebtoken` has had no `ring` since its
//! version 10: it verifies by AWS-LC or by RustCrypto, a second stack of cryptography in either case
//! (of the latter, `rsa` has RUSTSEC-2023-0071), or by a provider that one writes oneself, which would
//! be `keys.rs` again. Version 9 has `ring`, and takes an `exp` or `nbf` of the wrong type as if it was
//! not there (CVE-2026-25537). What of it would be left is splitting at two dots, and claims, which
//! are read here by the strict reader of AuthZEN's bodies: a name that comes twice is no token.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stagedoor_audit::Caller;

use crate::json::{Json, Object, member};
use crate::keys::{Algorithm, Keys};

/// How much a clock may be behind for `nbf`, in seconds.
const SKEW: f64 = 5.0;

/// Whose tokens are taken, and for whom they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// Who the tokens are for: one of their `aud`.
    pub audience: String,
    /// Who gives them: their `iss`.
    pub issuer: Option<String>,
}

/// A token that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No signed JWT.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// An algorithm that is not taken, `none` among them.
    #[error("the token's algorithm is not taken")]
    Algorithm,
    /// An extension of the format that is not understood.
    #[error("the token demands an extension that is not understood")]
    Critical,
    /// None of the keys fits.
    #[error("no key fits the token")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// By somebody else.
    #[error("the token is by another issuer")]
    Issuer,
    /// No time of expiry.
    #[error("the token does not say when it expires")]
    ExpiryMissing,
    /// No longer valid.
    #[error("the token has expired")]
    Expired,
    /// Not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Checks a token, and returns whose it is.
///
/// # Errors
///
/// [`TokenError`].
pub(crate) fn verify(
    token: &str,
    keys: &Keys,
    rules: &TokenRules,
    now: SystemTime,
) -> Result<Caller, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let header = object(header)?;
    let name = text(&header, "alg")?.ok_or(TokenError::Malformed)?;
    let algorithm = Algorithm::named(name).ok_or(TokenError::Algorithm)?;
    if header.contains_key("crit") {
        return Err(TokenError::Critical);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
    let mut fitting = keys.fitting(algorithm, text(&header, "kid")?).peekable();
    if fitting.peek().is_none() {
        return Err(TokenError::UnknownKey);
    }
    if !fitting.any(|key| key.verifies(algorithm, signed.as_bytes(), &signature)) {
        return Err(TokenError::Signature);
    }
    check_claims(&object(claims)?, rules, now)
}

fn check_claims(
    claims: &Object,
    rules: &TokenRules,
    now: SystemTime,
) -> Result<Caller, TokenError> {
    let is_ours = match claims.get("aud") {
        Some(Json::String(audience)) => *audience == rules.audience,
        Some(Json::Array(audiences)) => {
            if audiences.iter().any(|audience| audience.as_str().is_none()) {
                return Err(TokenError::Malformed);
            }
            audiences.iter().any(|audience| audience.as_str() == Some(&rules.audience))
        }
        _ => false,
    };
    if !is_ours {
        return Err(TokenError::Audience);
    }
    let issuer = text(claims, "iss")?;
    if rules.issuer.is_some() && issuer != rules.issuer.as_deref() {
        return Err(TokenError::Issuer);
    }
    // A clock that is before 1970 tells nothing of what has expired.
    let Ok(since_epoch) = now.duration_since(UNIX_EPOCH) else {
        return Err(TokenError::Expired);
    };
    let now = since_epoch.as_secs_f64();
    let expiry = time(claims, "exp")?.ok_or(TokenError::ExpiryMissing)?;
    // A number which is none (it cannot be one in JSON) has expired.
    if expiry <= now || expiry.is_nan() {
        return Err(TokenError::Expired);
    }
    if time(claims, "nbf")?.is_some_and(|not_before| not_before > now + SKEW) {
        return Err(TokenError::NotYetValid);
    }
    let client = match text(claims, "client_id")? {
        Some(client) => Some(client),
        None => text(claims, "azp")?,
    };
    Ok(Caller {
        subject: text(claims, "sub")?.map(str::to_owned),
        issuer: issuer.map(str::to_owned),
        client: client.map(str::to_owned),
        certificate: None,
    })
}

fn object(part: &str) -> Result<Object, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| TokenError::Malformed)?;
    match Json::parse(text) {
        Ok(Json::Object(object)) => Ok(object),
        _ => Err(TokenError::Malformed),
    }
}

fn text<'o>(object: &'o Object, name: &str) -> Result<Option<&'o str>, TokenError> {
    let Some(value) = member(object, name) else { return Ok(None) };
    value.as_str().map(Some).ok_or(TokenError::Malformed)
}

/// Reads a time in seconds since 1970.
fn time(claims: &Object, name: &str) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        #[expect(clippy::cast_precision_loss, reason = "times of the next 200 million years fit")]
        Some(Json::Integer(seconds)) => Ok(Some(*seconds as f64)),
        Some(Json::Number(seconds)) => Ok(Some(*seconds)),
        Some(_) => Err(TokenError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };
    use serde_json::{Value, json};

    use super::{TokenError, TokenRules, verify};
    use crate::keys::Keys;

    type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

    const NOW: u64 = 1_800_000_000;

    struct Signer {
        random: SystemRandom,
        ec: EcdsaKeyPair,
        ed: Ed25519KeyPair,
    }

    impl Signer {
        fn new() -> Result<Self> {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let ec = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| "no key")?;
            let ec = EcdsaKeyPair::from_pkcs8(algorithm, ec.as_ref(), &random);
            let ed = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| "no key")?;
            let ed = Ed25519KeyPair::from_pkcs8(ed.as_ref());
            Ok(Self { ec: ec.map_err(|_| "no key")?, ed: ed.map_err(|_| "no key")?, random })
        }

        fn jwks(&self) -> Value {
            let point = self.ec.public_key().as_ref();
            let part = |range| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
            json!({"keys": [
                {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": part(1..33), "y": part(33..65)},
                {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA",
                 "x": URL_SAFE_NO_PAD.encode(self.ed.public_key().as_ref())},
                {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            ]})
        }

        fn keys(&self) -> Result<Keys> {
            Ok(Keys::from_json(&self.jwks().to_string())?)
        }

        fn sign(&self, header: &Value, claims: &Value) -> Result<String> {
            let signed = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(header.to_string()),
                URL_SAFE_NO_PAD.encode(claims.to_string())
            );
            let signature = match header["alg"].as_str() {
                Some("EdDSA") => self.ed.sign(signed.as_bytes()).as_ref().to_vec(),
                Some("none") => Vec::new(),
                _ => {
                    let signature = self.ec.sign(&self.random, signed.as_bytes());
                    signature.map_err(|_| "not signed")?.as_ref().to_vec()
                }
            };
            Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
        }
    }

    fn rules() -> TokenRules {
        TokenRules { audience: "pdp".to_owned(), issuer: Some("https://idp".to_owned()) }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn claims() -> Value {
        json!({"iss": "https://idp", "sub": "gateway", "aud": ["x", "pdp"], "exp": NOW + 60})
    }

    #[test]
    fn tokens_of_known_keys_are_taken() -> Result<()> {
        let signer = Signer::new()?;
        let keys = signer.keys()?;
        for header in [
            json!({"alg": "ES256", "kid": "ec"}),
            json!({"alg": "ES256"}),
            json!({"alg": "EdDSA", "kid": "ed", "typ": "at+jwt"}),
        ] {
            let token = signer.sign(&header, &claims())?;
            let caller = verify(&token, &keys, &rules(), now());
            assert_eq!(caller.map(|c| c.subject), Ok(Some("gateway".to_owned())), "{header}");
        }
        Ok(())
    }

    #[test]
    fn the_example_of_rfc_7515_is_verified_with_rsa() -> Result<()> {
        // Appendix A.2: RS256 over claims without an audience, which expired in 2011.
        let keys = Keys::from_json(include_str!("../tests/data/rfc7515-a2.jwks.json"))?;
        let token = include_str!("../tests/data/rfc7515-a2.jwt").trim();
        assert_eq!(verify(token, &keys, &rules(), now()), Err(TokenError::Audience));
        let mut forged = token.to_owned();
        forged.truncate(token.len() - 2);
        forged.push_str("AA");
        assert_ne!(forged, token);
        assert_eq!(verify(&forged, &keys, &rules(), now()), Err(TokenError::Signature));
        Ok(())
    }

    #[test]
    fn wrong_algorithms_keys_and_claims_are_refused() -> Result<()> {
        let signer = Signer::new()?;
        let keys = signer.keys()?;
        let ec = json!({"alg": "ES256", "kid": "ec"});
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            if let Some(members) = claims.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
            claims
        };
        let cases = [
            (json!({"alg": "none"}), claims(), TokenError::Algorithm),
            (json!({"alg": "HS256", "kid": "secret"}), claims(), TokenError::Algorithm),
            (json!({"alg": "ES256", "kid": "ed"}), claims(), TokenError::UnknownKey),
            (json!({"alg": "ES256", "kid": "other"}), claims(), TokenError::UnknownKey),
            (json!({"alg": "ES384", "kid": "ec"}), claims(), TokenError::UnknownKey),
            (json!({"alg": "RS256", "kid": "ec"}), claims(), TokenError::UnknownKey),
            (json!({"alg": "ES256", "crit": ["b64"]}), claims(), TokenError::Critical),
            (json!({"alg": 1}), claims(), TokenError::Malformed),
            (ec.clone(), with("aud", json!("other")), TokenError::Audience),
            (ec.clone(), with("aud", json!(null)), TokenError::Audience),
            (ec.clone(), with("aud", json!(["pdp", 1])), TokenError::Malformed),
            (ec.clone(), with("iss", json!("https://evil")), TokenError::Issuer),
            (ec.clone(), with("exp", json!(NOW)), TokenError::Expired),
            (ec.clone(), with("exp", json!(0)), TokenError::Expired),
            (ec.clone(), with("exp", json!("9999999999")), TokenError::Malformed),
            (ec.clone(), with("exp", json!(null)), TokenError::Malformed),
            (ec.clone(), with("nbf", json!(NOW + 600)), TokenError::NotYetValid),
            (ec.clone(), with("nbf", json!("later")), TokenError::Malformed),
            (ec.clone(), json!({"iss": "https://idp", "aud": "pdp"}), TokenError::ExpiryMissing),
        ];
        for (header, claims, expected) in cases {
            let token = signer.sign(&header, &claims)?;
            let verified = verify(&token, &keys, &rules(), now());
            assert_eq!(verified, Err(expected), "{header} {claims}");
        }
        let other = Signer::new()?;
        let token = other.sign(&ec, &claims())?;
        assert_eq!(verify(&token, &keys, &rules(), now()), Err(TokenError::Signature));
        for token in ["", "a", "a.b", "..", "a.b.c.d", "é.é.é"] {
            assert!(verify(token, &keys, &rules(), now()).is_err(), "{token}");
        }
        Ok(())
    }
}
