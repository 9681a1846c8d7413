//! A client of kube-apiserver, with the token of a user.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::credentials::CertificateFiles;

/// Somebody's requests.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    headers: Vec<(String, String)>,
}

/// What kube-apiserver answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// The texts of the headers `Warning`, which kubectl prints.
    pub(crate) warnings: Vec<String>,
    pub(crate) body: Value,
}

impl Answer {
    /// Returns the message of a `Status`.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Returns the body of a success.
    pub(crate) fn ok(self) -> Result<Value> {
        ensure!(self.is_success(), "{}: {}", self.code, self.body);
        Ok(self.body)
    }
}

impl Client {
    /// Returns a client without credentials.
    pub(crate) fn new(base: String, authority: &str) -> Result<Self> {
        Self::connecting(base, authority, None)
    }

    /// Returns a client that shows a certificate.
    pub(crate) fn with_certificate(
        base: String,
        authority: &str,
        files: &CertificateFiles,
    ) -> Result<Self> {
        let certificate = Certificate::from_pem(&std::fs::read(&files.certificate)?)?;
        let key = PrivateKey::from_pem(&std::fs::read(&files.key)?)?;
        let shown = ClientCert::new_with_certs(&[certificate.to_owned()], key);
        Self::connecting(base, authority, Some(shown))
    }

    fn connecting(base: String, authority: &str, shown: Option<ClientCert>) -> Result<Self> {
        let root = Certificate::from_pem(authority.as_bytes())?.to_owned();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(shown)
            .build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            .timeout_global(Some(Duration::from_secs(60)))
            .build();
        Ok(Self { agent: config.into(), base, headers: Vec::new() })
    }

    /// Returns the client of a user, whose name is the token.
    pub(crate) fn of(&self, user: &str) -> Self {
        let headers = vec![("authorization".to_owned(), format!("Bearer {user}"))];
        Self { headers, ..self.clone() }
    }

    /// Returns the same, acting as somebody else: `Impersonate-User` and its kind.
    pub(crate) fn with_header(&self, name: &str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name.to_owned(), value.to_owned()));
        Self { headers, ..self.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None)
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send("POST", path, Some(("application/json", body)))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send("PUT", path, Some(("application/json", body)))
    }

    /// Applies an object, as `kubectl apply --server-side` does.
    pub(crate) fn apply(&self, path: &str, body: &Value) -> Result<Answer> {
        let path = format!("{path}?fieldManager=tests&force=true");
        self.send("PATCH", &path, Some(("application/apply-patch+yaml", body)))
    }

    fn send(&self, method: &str, path: &str, body: Option<(&str, &Value)>) -> Result<Answer> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some((kind, _)) = body {
            request = request.header("content-type", kind);
        }
        let body = body.map(|(_, body)| body.to_string()).unwrap_or_default();
        let sent = match method {
            "GET" | "DELETE" => self.agent.run(request.body(())?),
            _ => self.agent.run(request.body(body)?),
        };
        let mut answer = sent.with_context(|| format!("{method} {path}"))?;
        let warnings = answer
            .headers()
            .get_all("warning")
            .iter()
            .filter_map(|warning| warning.to_str().ok().map(str::to_owned))
            .collect();
        let code = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string()?;
        // Health is told as text.
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { code, warnings, body })
    }

    /// Returns whether somebody may do something, by what the server's authorizers say.
    pub(crate) fn may(&self, spec: &Value) -> Result<Value> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
        });
        let answered = self.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review)?;
        Ok(answered.ok()?["status"].clone())
    }

    /// Creates an object that a test stands on.
    pub(crate) fn create(&self, path: &str, body: &Value) -> Result<()> {
        let answer = self.post(path, body)?;
        if !answer.is_success() && answer.code != 409 {
            bail!("{path}: {}: {}", answer.code, answer.message());
        }
        Ok(())
    }
}
