//! `/livez`, `/readyz` and `/metrics`.
//!
//! These may be asked without a certificate, so they tell where policies are broken but
//! quote nothing of them: the log has the messages.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::State;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode, Uri};
use stagedoor_core::LoadError;

use crate::app::App;
use crate::error::PoliciesError;
use crate::status::Refusal;

/// How many problems are listed.
const PROBLEMS: usize = 20;

pub(crate) async fn livez() -> Response<Body> {
    text(StatusCode::OK, "ok\n".to_owned())
}

/// Whether requests are decided: not before policies are loaded, nor while shutting down.
pub(crate) async fn readyz(State(app): State<Arc<App>>, uri: Uri) -> Response<Body> {
    let loaded = app.policies.current();
    let ready = loaded.is_some() && !app.is_stopping();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = uri.query().is_some_and(|query| {
        query.split('&').any(|part| part == "verbose" || part.starts_with("verbose="))
    });
    if !verbose {
        return text(code, if ready { "ok\n" } else { "not ready\n" }.to_owned());
    }
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = match &loaded {
        Some(loaded) => writeln!(
            page,
            "[+]policies ok: {} in force, loaded {}, revision {}",
            loaded.reviewer.engine().policies().len(),
            ago(loaded.since),
            loaded.reviewer.engine().revision()
        ),
        None => writeln!(page, "[-]policies not loaded yet"),
    };
    let _ = match app.policies.failure() {
        None => writeln!(page, "[+]policy-reload ok"),
        Some(failure) => writeln!(
            page,
            "[!]policy-reload failed {}: the files as they are now are not in force",
            ago(failure.at)
        )
        .and_then(|()| problems(&mut page, &failure.error)),
    };
    let _ = match app.certificate_failure() {
        None => writeln!(page, "[+]certificate-reload ok"),
        Some(at) => writeln!(
            page,
            "[!]certificate-reload failed {}: the certificates before are in force",
            ago(at)
        ),
    };
    let _ = match app.is_stopping() {
        false => writeln!(page, "[+]shutdown ok: not asked for"),
        true => writeln!(page, "[-]shutdown in progress"),
    };
    page.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
    text(code, page)
}

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response<Body> {
    match app.metrics.text() {
        Ok(page) => {
            let mut response = text(StatusCode::OK, page);
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, format);
            response
        }
        Err(error) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).response(),
    }
}

/// Lists where the problems are, without their messages, which may quote policies.
fn problems(page: &mut String, error: &PoliciesError) -> std::fmt::Result {
    let what = match error {
        PoliciesError::Load(error) => return places(page, error),
        PoliciesError::Rules(_) => "the rules that guard policies do not load",
        PoliciesError::Vocabulary(_) => "the schema is not one for Kubernetes",
        PoliciesError::Conditional(_) => "a policy of authorization asks for the object",
        PoliciesError::Open(_) => "policies that ask for objects cannot be taken apart",
    };
    writeln!(page, "    {what}")
}

fn places(page: &mut String, error: &LoadError) -> std::fmt::Result {
    for problem in error.problems().iter().take(PROBLEMS) {
        let place = problem.file().unwrap_or("-");
        let (line, column) = (problem.line().unwrap_or(0), problem.column().unwrap_or(0));
        writeln!(page, "    {place}:{line}:{column}: {}", problem.code())?;
    }
    let more = error.problems().len().saturating_sub(PROBLEMS) + error.unreported();
    if more > 0 { writeln!(page, "    and {more} more") } else { Ok(()) }
}

fn ago(then: SystemTime) -> String {
    let seconds = then.elapsed().unwrap_or_default().as_secs();
    format!("{seconds} s ago")
}

fn text(code: StatusCode, page: String) -> Response<Body> {
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = code;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
