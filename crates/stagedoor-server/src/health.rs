//! `/livez`, `/readyz`, `/status` and `/metrics`.
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
use serde_json::json;
use stagedoor_audit::rfc3339;
use stagedoor_core::LoadError;
use stagedoor_source::{Gauge, HealthLevel};

use crate::metrics::ComparisonResult;
use crate::refusal::Refusal;
use crate::reload::LoadFailure;
use crate::state::ServerState;
use crate::watch::WatchedSource;

/// How many problems are listed.
const PROBLEMS: usize = 20;

pub(crate) async fn livez() -> Response<Body> {
    text(StatusCode::OK, "ok\n".to_owned())
}

/// Whether requests are decided: not before everything is loaded, nor while shutting down.
pub(crate) async fn readyz(State(state): State<Arc<ServerState>>, uri: Uri) -> Response<Body> {
    let ready = state.is_ready();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = uri.query().is_some_and(|query| {
        query.split('&').any(|part| part == "verbose" || part.starts_with("verbose="))
    });
    if !verbose {
        return text(code, if ready { "ok\n" } else { "not ready\n" }.to_owned());
    }
    // Writing to a string does not fail.
    let page = report(&state, ready).unwrap_or_default();
    text(code, page)
}

fn report(state: &ServerState, ready: bool) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    for watched in state.watched.iter() {
        source(&mut page, watched)?;
    }
    if let Some(shadow) = &state.shadow {
        for watched in shadow.watched.iter() {
            source(&mut page, watched)?;
        }
        let of = |result| shadow.total(result);
        let (same, different) = (of(ComparisonResult::Same), of(ComparisonResult::Different));
        let (failed, skipped) = (of(ComparisonResult::Failed), of(ComparisonResult::Skipped));
        let sign = if different + failed == 0 { '+' } else { '!' };
        writeln!(
            page,
            "[{sign}]shadow {different} of {} decisions would be others, {failed} failed, \
             {skipped} were not compared",
            same + different
        )?;
    }
    match state.is_stopping() {
        false => writeln!(page, "[+]shutdown ok: not asked for")?,
        true => writeln!(page, "[-]shutdown in progress")?,
    }
    page.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
    Ok(page)
}

/// Tells of one thing that is loaded.
fn source(page: &mut String, watched: &WatchedSource) -> std::fmt::Result {
    let (name, state) = (watched.name(), watched.state());
    match watched.source.status() {
        Some(now) => {
            write!(page, "[+]{name} ok: {} {state}, loaded {}", now.summary, ago(now.since))?;
            match now.revision {
                Some(revision) => writeln!(page, ", revision {revision}")?,
                None => writeln!(page)?,
            }
            if now.lost_forbids > 0 {
                let lost = now.lost_forbids;
                writeln!(page, "[!]forbids: {lost} lost by reloads; the log names them")?;
            }
        }
        None => writeln!(page, "[{}]{name} not loaded yet", watched.sign())?,
    }
    let reload = format!("{}-reload", singular(name));
    match watched.source.failure() {
        None => writeln!(page, "[+]{reload} ok")?,
        Some(failed) => {
            let at = ago(failed.at);
            writeln!(page, "[!]{reload} failed {at}: the files as they are now are not {state}")?;
            problems(page, &failed.error)?;
        }
    }
    for line in watched.source.health().iter().flat_map(|health| &health.lines) {
        let sign = match line.level {
            HealthLevel::Good => '+',
            HealthLevel::Notable => '!',
            HealthLevel::Bad => watched.sign(),
        };
        writeln!(page, "[{sign}]{}", line.text.replace(char::is_control, " "))?;
    }
    Ok(())
}

/// What is in force, for programs: `stagedoor fleet` compares it.
pub(crate) async fn status(State(state): State<Arc<ServerState>>) -> Response<Body> {
    let source = |watched: &WatchedSource| {
        let now = watched.source.status();
        json!({
            "name": watched.name(),
            "revision": now.as_ref().and_then(|now| now.revision.as_ref()),
            "policies": now.as_ref().and_then(|now| now.policies),
            "since": now.as_ref().map(|now| rfc3339(now.since)),
            "reloadFailed": watched.source.failure().map(|failed| rfc3339(failed.at)),
            "origin": watched.source.health().map(|health| health.details),
        })
    };
    let sources: Vec<_> = state.watched.iter().map(source).collect();
    let shadow = state.shadow.as_ref().map(|shadow| {
        let total =
            |result: ComparisonResult| (result.as_str().to_owned(), json!(shadow.total(result)));
        json!({
            "sources": shadow.watched.iter().map(source).collect::<Vec<_>>(),
            "comparisons": serde_json::Map::from_iter(ComparisonResult::ALL.map(total)),
        })
    });
    let page = json!({
        "ready": state.is_ready(),
        "stopping": state.is_stopping(),
        "version": env!("CARGO_PKG_VERSION"),
        "sources": sources,
        "shadow": shadow,
    });
    let mut response = text(StatusCode::OK, format!("{page}\n"));
    let format = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, format);
    response
}

/// Returns the name of one of several: `policy` of `policies`.
fn singular(name: &str) -> String {
    match name.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => name.strip_suffix('s').unwrap_or(name).to_owned(),
    }
}

pub(crate) async fn metrics(State(state): State<Arc<ServerState>>) -> Response<Body> {
    match state.metrics.text() {
        Ok(mut page) => {
            page.push_str(&state.log.as_ref().map(|log| log.metrics()).unwrap_or_default());
            let health = state.watched.iter().filter_map(|watched| watched.source.health());
            for Gauge { name, help, value } in health.flat_map(|health| health.gauges) {
                // Writing to a string does not fail.
                let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
            }
            let mut response = text(StatusCode::OK, page);
            let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, format);
            response
        }
        Err(error) => {
            let code = StatusCode::INTERNAL_SERVER_ERROR;
            state.protocol.refuse(&Refusal::new(code, error.to_string()))
        }
    }
}

/// Lists where the problems are, without their messages, which may quote policies.
fn problems(page: &mut String, failure: &LoadFailure) -> std::fmt::Result {
    match &failure.problems {
        Some(error) => places(page, error),
        None => writeln!(page, "    {}", failure.public),
    }
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
