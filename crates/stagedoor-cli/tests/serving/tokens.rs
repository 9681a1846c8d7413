//! Bearer tokens, over HTTP.

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::serving::{Serving, eventually, shared};

struct Issuer {
    key: Ed25519KeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str) -> Result<Self> {
        let random = ring::rand::SystemRandom::new();
        let key = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| anyhow!("no key"))?;
        let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).map_err(|_| anyhow!("no key"))?;
        Ok(Self { key, id })
    }

    fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x}]}).to_string()
    }

    fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "kid": self.id, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[test]
fn tokens_are_demanded_checked_and_their_keys_reloaded() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let keys = directory.path().join("jwks.json");
    let (issuer, other) = (Issuer::new("a")?, Issuer::new("a")?);
    std::fs::write(&keys, issuer.jwks())?;
    let world = shared("worlds/certification");
    let (world, file) = (world.to_str().context("a path")?, keys.to_str().context("a path")?);
    let serving = Serving::start(&[
        "--policies",
        world,
        "--entities",
        world,
        "--jwks",
        file,
        "--audience",
        "pdp",
        "--issuer",
        "https://idp",
    ])?;
    let body = json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
    })
    .to_string();
    let ask = |token: Option<&str>| {
        let headers: Vec<_> = token.into_iter().map(|token| ("authorization", token)).collect();
        serving.post("/access/v1/evaluation", &body, &headers)
    };
    let claims = |exp: u64, aud: &str, iss: &str| json!({"iss": iss, "aud": aud, "exp": exp, "sub": "gateway"});
    let good = claims(4_000_000_000, "pdp", "https://idp");
    assert_eq!(ask(Some(&issuer.token("EdDSA", &good)))?.code, 200);
    let unsigned = issuer.token("EdDSA", &good);
    let unsigned =
        unsigned.rsplit_once('.').map(|(signed, _)| format!("{signed}.")).context("a token")?;
    let bad = [
        None,
        Some("undefined".to_owned()),
        Some("Basic YTpi".to_owned()),
        Some("Bearer".to_owned()),
        Some("Bearer x".to_owned()),
        Some(unsigned),
        Some(issuer.token("none", &good)),
        Some(issuer.token("HS256", &good)),
        Some(issuer.token("RS256", &good)),
        Some(other.token("EdDSA", &good)),
        Some(issuer.token("EdDSA", &claims(1_000, "pdp", "https://idp"))),
        Some(issuer.token("EdDSA", &claims(4_000_000_000, "other", "https://idp"))),
        Some(issuer.token("EdDSA", &claims(4_000_000_000, "pdp", "https://evil"))),
        Some(issuer.token("EdDSA", &json!({"iss": "https://idp", "aud": "pdp"}))),
    ];
    for token in &bad {
        let answered = ask(token.as_deref())?;
        assert_eq!(answered.code, 401, "{token:?}: {}", answered.text);
        let challenge = answered.headers["www-authenticate"].to_str()?;
        assert!(challenge.starts_with("Bearer "), "{challenge}");
    }
    assert_eq!(serving.get("/.well-known/authzen-configuration")?.code, 200);

    std::fs::write(&keys, "{}")?;
    eventually("the failure shows", || {
        Ok(serving.get("/readyz?verbose")?.text.contains("[!]key-reload failed"))
    })?;
    assert_eq!(ask(Some(&issuer.token("EdDSA", &good)))?.code, 200, "those before stay in force");
    std::fs::write(&keys, other.jwks())?;
    eventually("the other keys are in force", || {
        Ok(ask(Some(&other.token("EdDSA", &good)))?.code == 200)
    })?;
    assert_eq!(ask(Some(&issuer.token("EdDSA", &good)))?.code, 401);
    let (records, _) = serving.end()?;
    let decided = records.iter().find(|record| record["endpoint"] == "evaluation");
    let caller = &decided.context("a record")?["caller"];
    assert_eq!(*caller, json!({"subject": "gateway", "issuer": "https://idp"}));
    Ok(())
}
