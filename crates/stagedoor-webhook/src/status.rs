//! Refusals as Kubernetes writes them: a `Status` of kind `v1`.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

pub(crate) use stagedoor_server::Refusal;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: serde_json::Map<String, serde_json::Value>,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    code: u16,
}

/// Returns a refusal as Kubernetes writes it.
pub(crate) fn response(refusal: &Refusal) -> Response<Body> {
    let status = Status {
        api_version: "v1",
        kind: "Status",
        metadata: serde_json::Map::new(),
        status: "Failure",
        message: refusal.message(),
        reason: reason(refusal.code()),
        code: refusal.code().as_u16(),
    };
    let mut response = json(refusal.code(), &status);
    response.headers_mut().extend(refusal.headers().clone());
    response
}

/// Returns a response with a JSON body.
pub(crate) fn json(code: StatusCode, body: &impl Serialize) -> Response<Body> {
    // Nothing that is answered has map keys or values that JSON lacks.
    let (code, body) = match serde_json::to_vec(body) {
        Ok(body) => (code, body),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Vec::new()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns Kubernetes' word for a code.
fn reason(code: StatusCode) -> &'static str {
    match code {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::REQUEST_TIMEOUT => "Timeout",
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UnsupportedMediaType",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::INTERNAL_SERVER_ERROR => "InternalError",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are those of `metav1.StatusReason`, which clients tell refusals apart by.
    #[test]
    fn refusals_have_the_reason_that_kubernetes_gives_their_code() {
        for (code, word) in [
            (400, "BadRequest"),
            (404, "NotFound"),
            (405, "MethodNotAllowed"),
            (408, "Timeout"),
            (413, "RequestEntityTooLarge"),
            (415, "UnsupportedMediaType"),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (418, ""),
        ] {
            let told = StatusCode::from_u16(code).map(reason);
            assert_eq!(told.ok(), Some(word), "{code}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_code_and_headers() {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not yet");
        let refusal = refusal.with_header(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
        let response = response(&refusal);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header(http::header::RETRY_AFTER), Some("1"));
        assert_eq!(header(CONTENT_TYPE), Some("application/json"));
    }
}
