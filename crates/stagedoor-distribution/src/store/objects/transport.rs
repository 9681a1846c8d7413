//! How object stores are spoken to: by the client that all stores have, with its limits.
//!
//! `object_store` signs requests and reads answers. What it would bring to send them is a second HTTP
//! client with a second TLS.

use std::io::Read as _;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

use crate::store::http::{HttpOptions, HttpOptionsError};

/// What answers may have that are no objects: tokens, and what is wrong.
const OTHER_BYTES: u64 = 1 << 20;

/// The largest answer to a request, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerLimit(pub(super) u64);

/// Sends requests.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    agent: Agent,
    /// Whether it may be without TLS.
    allows_http: bool,
}

#[derive(Debug, thiserror::Error)]
enum TransportError {
    #[error("{0} is asked without TLS: set AWS_ALLOW_HTTP, if that is meant")]
    WithoutTls(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(u64),
}

impl Transport {
    pub(super) fn new(options: &HttpOptions) -> Result<Self, HttpOptionsError> {
        Ok(Self { agent: options.agent()?, allows_http: false })
    }

    fn send(
        agent: &Agent,
        request: Request<Vec<u8>>,
        limit: u64,
    ) -> Result<HttpResponse, HttpError> {
        let has_body = !matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE);
        let response = match has_body {
            true => agent.run(request),
            false => agent.run(request.map(drop)),
        };
        let response = response.map_err(failed)?;
        let (head, body) = read(response, limit)?.into_parts();
        Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body)))
    }
}

impl HttpConnector for Transport {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows = options.get_config_value(&ClientConfigKey::AllowHttp);
        let allows_http = allows.is_some_and(|allows| allows == "true");
        Ok(HttpClient::new(Self { agent: self.agent.clone(), allows_http }))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if !self.allows_http && request.uri().scheme_str() != Some("https") {
            let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            return Err(HttpError::new(HttpErrorKind::Unknown, TransportError::WithoutTls(host)));
        }
        let limit = request.extensions().get().map_or(OTHER_BYTES, |limit: &AnswerLimit| {
            // Whoever asks is told that there is more than that.
            limit.0.saturating_add(1).max(OTHER_BYTES)
        });
        let (mut head, body) = request.into_parts();
        head.extensions.clear();
        let body = body.collect().await?.to_bytes().to_vec();
        let (agent, request) = (self.agent.clone(), Request::from_parts(head, body));
        let sent = tokio::task::spawn_blocking(move || Self::send(&agent, request, limit)).await;
        sent.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?
    }
}

fn read(response: Response<Body>, limit: u64) -> Result<Response<Vec<u8>>, HttpError> {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let reader = body.with_config().limit(u64::MAX).reader();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
    if bytes.len() as u64 > limit {
        return Err(HttpError::new(HttpErrorKind::Decode, TransportError::TooLarge(limit)));
    }
    Ok(Response::from_parts(head, bytes))
}

fn failed(error: ureq::Error) -> HttpError {
    let kind = match &error {
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => HttpErrorKind::Connect,
        ureq::Error::Io(_) => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}
