//! AuthZEN as a protocol of a server: paths, callers and words.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use stagedoor_audit::{Caller, DecisionLog};
use stagedoor_server::{
    Answer, ClientCertificate, Endpoint, MemoryCost, Outcome, Page, Protocol, Question, Reason,
    Refusal, Reloadable,
};

use crate::media_type::check_content_type;
use crate::metadata::PublicUrl;
use crate::router::{json, refuse};
use crate::service::{Operation, Recording, answer, asked};
use crate::sources::{KeyFile, KeySource, WorldLoader, WorldSource, Worlds};
use crate::token::{TokenError, TokenRules, verify};

/// What the parts of a body may cost: a batch of the shortest questions, each with its answer and its
/// record.
const MEMORY: MemoryCost =
    MemoryCost { byte: 8, member: 300, scalar: 150, object: 1_500, list: 300, empty: 300, path: 0 };

/// What [`AuthZen`] serves.
#[non_exhaustive]
pub struct AuthZenOptions {
    /// Where policies, entities and the mapping come from.
    pub loader: Box<dyn WorldLoader>,
    /// The address as callers know it.
    pub public: PublicUrl,
    /// The file with the keys of tokens, and which tokens are taken. Without, none are asked for.
    pub tokens: Option<(PathBuf, TokenRules)>,
    /// Where decisions are recorded.
    pub log: Option<Arc<DecisionLog>>,
    /// Policies that are decided beside those, and from which nothing is enforced: evaluations that
    /// they would decide otherwise are counted and logged.
    pub shadow: Option<Box<dyn WorldLoader>>,
    /// The largest body, in bytes (1 MiB).
    pub body_bytes: usize,
}

impl AuthZenOptions {
    /// Returns options with the defaults: no tokens, no records.
    #[must_use]
    pub fn new(loader: Box<dyn WorldLoader>, public: PublicUrl) -> Self {
        Self { loader, public, tokens: None, log: None, shadow: None, body_bytes: 1 << 20 }
    }
}

/// AuthZEN's Authorization API 1.0, for a [`Server`](stagedoor_server::Server).
pub struct AuthZen {
    worlds: Arc<Worlds>,
    tokens: Option<(Arc<KeyFile>, TokenRules)>,
    public: PublicUrl,
    log: Option<Arc<DecisionLog>>,
    body_bytes: usize,
    shadow: Option<Arc<AuthZen>>,
}

impl AuthZen {
    /// Returns the protocol. Nothing is read before the server runs.
    #[must_use]
    pub fn new(options: AuthZenOptions) -> Self {
        let shadow = options.shadow.map(|loader| {
            let mut shadow = AuthZenOptions::new(loader, options.public.clone());
            shadow.body_bytes = options.body_bytes;
            Arc::new(Self::new(shadow))
        });
        Self {
            shadow,
            worlds: Arc::new(Worlds::new(WorldSource(options.loader))),
            tokens: options
                .tokens
                .map(|(path, rules)| (Arc::new(KeyFile::new(KeySource(path))), rules)),
            public: options.public,
            log: options.log,
            body_bytes: options.body_bytes,
        }
    }

    /// Checks the token of a request, if tokens are asked for.
    fn caller(&self, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let Some((keys, rules)) = &self.tokens else { return Ok(None) };
        let keys = keys.current();
        let keys = keys.ok_or_else(|| Refusal::unavailable("the keys are not loaded yet"))?;
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let token = match (given.next(), given.next()) {
            (Some(value), None) => value.to_str().ok().and_then(bearer),
            _ => None,
        };
        let Some(token) = token else {
            return Err(unauthorized("a bearer token is needed", None));
        };
        verify(token, &keys.value, rules, SystemTime::now())
            .map(Some)
            .map_err(|error| unauthorized(&error.to_string(), Some(error)))
    }
}

/// Returns the token of an `Authorization: Bearer`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Returns the refusal of somebody who may not ask, as RFC 6750 has it.
fn unauthorized(message: &str, error: Option<TokenError>) -> Refusal {
    let challenge = match error {
        None => r#"Bearer realm="stagedoor""#.to_owned(),
        Some(error) => format!(
            r#"Bearer realm="stagedoor", error="invalid_token", error_description="{error}""#
        ),
    };
    // The descriptions are plain text without quotes.
    let plain = HeaderValue::from_static(r#"Bearer realm="stagedoor""#);
    let challenge = HeaderValue::from_str(&challenge).unwrap_or(plain);
    Refusal::new(StatusCode::UNAUTHORIZED, message).with_header(WWW_AUTHENTICATE, challenge)
}

impl Protocol for AuthZen {
    fn endpoints(&self) -> Vec<Endpoint> {
        let path = self.public.path();
        // A proxy may leave the path of the public URL, or take it away.
        let prefixes = if path.is_empty() { vec![""] } else { vec!["", path] };
        let endpoint = |prefix: &str, operation: Operation| Endpoint {
            name: operation.name(),
            path: format!("{prefix}{}", operation.path()),
            body_bytes: self.body_bytes,
            memory: MEMORY,
            is_heavy: operation.is_search(),
            // Lists have no single outcome.
            is_compared: !operation.is_search(),
        };
        prefixes
            .into_iter()
            .flat_map(|prefix| Operation::ALL.map(|operation| endpoint(prefix, operation)))
            .collect()
    }

    fn pages(&self) -> Vec<Page> {
        let metadata: Arc<str> = self.public.metadata().into();
        let content = move || json(StatusCode::OK, Body::from(metadata.to_string()));
        vec![Page { path: self.public.metadata_path(), content: Arc::new(content) }]
    }

    fn sources(&self) -> Vec<Arc<dyn Reloadable>> {
        let mut sources: Vec<Arc<dyn Reloadable>> = vec![Arc::<Worlds>::clone(&self.worlds)];
        if let Some((keys, _)) = &self.tokens {
            sources.push(Arc::<KeyFile>::clone(keys));
        }
        sources
    }

    fn admit(&self, _: &'static str, head: &mut Parts) -> Result<(), Refusal> {
        let mut caller = self.caller(&head.headers)?;
        if let Some(certificate) = head.extensions.get::<ClientCertificate>() {
            let caller = caller.get_or_insert_default();
            caller.certificate = Some(certificate.fingerprint().to_owned());
        }
        if let Some(caller) = caller {
            head.extensions.insert(caller);
        }
        check_content_type(&head.headers).map_err(Refusal::bad_request)
    }

    fn answer(&self, question: &Question<'_>) -> Result<Answer, Refusal> {
        let unknown = || Refusal::new(StatusCode::NOT_FOUND, "there is no such operation");
        let operation = Operation::named(question.endpoint).ok_or_else(unknown)?;
        let loaded = self.worlds.current();
        let loaded =
            loaded.ok_or_else(|| Refusal::unavailable("the policies are not loaded yet"))?;
        let recording = Recording {
            log: self.log.as_deref(),
            request_id: question.request_id,
            caller: question.head.extensions.get::<Caller>(),
            deadline: Some(question.part_deadline),
            reasons: question.is_compared,
        };
        let reply = answer(&loaded.value.world, operation, question.body, recording)
            .map_err(|error| Refusal::bad_request(error.to_string()))?;
        let outcomes = match operation.is_search() {
            true => vec![Outcome::Listed],
            false => reply.decisions.iter().map(|allowed| outcome(*allowed)).collect(),
        };
        let response = json(StatusCode::OK, Body::from(reply.body));
        let revision = Some(loaded.value.world.engine().revision().to_owned());
        let reason = |text| Reason { text, rest: String::new() };
        let reasons = reply.reasons.into_iter().map(reason).collect();
        Ok(Answer { response, outcomes, errors: reply.errors, revision, reasons })
    }

    fn shadow(&self) -> Option<Arc<dyn Protocol>> {
        self.shadow.clone().map(|shadow| shadow as Arc<dyn Protocol>)
    }

    fn asked(&self, question: &Question<'_>, decision: usize) -> String {
        asked(question.body, decision).unwrap_or_default()
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let mut response = refuse(refusal.code(), refusal.message());
        response.headers_mut().extend(refusal.headers().clone());
        response
    }
}

fn outcome(allowed: bool) -> Outcome {
    if allowed { Outcome::Allowed } else { Outcome::Denied }
}
