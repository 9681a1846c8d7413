//! What answers requests, once their connection is established: paths, bounds and outcomes.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::body::{FREE, Text};
use crate::health;
use crate::pool::{PoolError, Weight};
use crate::protocol::{Answer, Endpoint, Outcome, Question};
use crate::refusal::Refusal;
use crate::request_id::{REVISION, RequestId};
use crate::state::ServerState;

/// What is in a body of so many bytes is not counted.
const SHORT: usize = 2 << 10;
/// Memory, in bytes, that a request may cost and still count as small.
const FREE_MEMORY: usize = 2 << 20;

/// Returns all paths of the protocol, with those of health.
pub(crate) fn all(state: &Arc<ServerState>) -> Router {
    let mut router = Router::new();
    for endpoint in state.protocol.endpoints() {
        let path = endpoint.path.clone();
        let endpoint = Arc::new(endpoint);
        let handler = move |State(state): State<Arc<ServerState>>, request: Request<Body>| async move {
            respond(&state, &endpoint, request).await
        };
        router = router.route(&path, post(handler));
    }
    for page in state.protocol.pages() {
        let content = page.content;
        router = router.route(&page.path, get(move || async move { content() }));
    }
    with_health(state, router)
}

/// Returns the paths of health alone.
pub(crate) fn health(state: &Arc<ServerState>) -> Router {
    with_health(state, Router::new())
}

fn with_health(state: &Arc<ServerState>, router: Router<Arc<ServerState>>) -> Router {
    router
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/status", get(health::status))
        .fallback(not_found)
        // For the routes so far, so this stands last.
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(state))
}

/// Reads a request for decisions and answers it, or refuses it.
async fn respond(
    state: &Arc<ServerState>,
    endpoint: &Arc<Endpoint>,
    request: Request<Body>,
) -> Response<Body> {
    let in_flight = InFlight::new(state);
    let answered = read_and_answer(state, endpoint, request).await;
    drop(in_flight);
    match answered {
        Ok(answer) => {
            for outcome in answer.outcomes {
                state.metrics.answered(endpoint.name, outcome);
            }
            state.metrics.evaluation_errors.inc_by(answer.errors);
            let mut response = answer.response;
            let revision = answer.revision.map(HeaderValue::try_from);
            if let Some(Ok(revision)) = revision {
                response.headers_mut().insert(REVISION, revision);
            }
            response
        }
        Err(refusal) => {
            state.metrics.refused(refusal.code());
            state.metrics.answered(endpoint.name, Outcome::Refused);
            tracing::debug!(
                endpoint = endpoint.name,
                code = refusal.code().as_u16(),
                reason = refusal.message(),
                "refused"
            );
            state.protocol.refuse(&refusal)
        }
    }
}

async fn read_and_answer(
    state: &Arc<ServerState>,
    endpoint: &Arc<Endpoint>,
    request: Request<Body>,
) -> Result<Answer, Refusal> {
    let full = || Refusal::unavailable("too many requests at a time");
    let permit = state.requests.acquire().ok_or_else(full)?;
    let (mut head, body) = request.into_parts();
    if let Err(refusal) = state.protocol.admit(endpoint.name, &mut head) {
        // A small body is taken off the connection, so that it serves the next request; with a
        // large one it ends.
        let _ = state.bodies.read(body, FREE, &permit).await;
        return Err(refusal);
    }
    let text = state.bodies.read(body, endpoint.body_bytes, &permit).await?;
    if !permit.work() {
        return Err(full());
    }
    if !state.is_loaded() {
        return Err(Refusal::unavailable("the policies are not loaded yet"));
    }
    let begun = Instant::now();
    let weight = weight(state, endpoint, &text).await;
    let work = {
        let (protocol, endpoint) = (Arc::clone(&state.protocol), Arc::clone(endpoint));
        let for_parts = state.decision * 3 / 4;
        let shadow = state.shadow.clone().filter(|shadow| shadow.compares(&endpoint));
        // INVARIANT: the body's part of the budget and the request's permit move with it: they
        // stay claimed until the thread is done, also if the client has gone.
        move || {
            let made_up;
            let request_id = match head.extensions.get::<RequestId>() {
                Some(id) => id.as_str(),
                None => {
                    made_up = RequestId::of(&head.headers);
                    made_up.as_str()
                }
            };
            let question = Question {
                endpoint: endpoint.name,
                head: &head,
                request_id,
                body: text.as_str(),
                part_deadline: Instant::now() + for_parts,
                is_compared: shadow.is_some(),
            };
            let mut answered = protocol.answer(&question);
            drop(permit);
            if let (Some(shadow), Ok(answer)) = (&shadow, &mut answered) {
                let request_id = request_id.to_owned();
                shadow.take(&endpoint, (head, request_id, text.into_string()), answer);
            }
            answered
        }
    };
    let answered = state.pool.run(weight, work).await;
    state.metrics.took(endpoint.name, begun.elapsed());
    match answered {
        Ok(answered) => answered,
        Err(PoolError::TooLarge { bytes, most }) => {
            let (mebibytes, most) = (bytes.div_ceil(1 << 20), most >> 20);
            Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "deciding what is in this body may take {mebibytes} MiB of memory, and there \
                     are {most} MiB"
                ),
            ))
        }
        Err(PoolError::Full) => Err(Refusal::unavailable(
            "too many large requests at a time: there is no memory left for this one",
        )),
        Err(PoolError::Busy) => Err(Refusal::unavailable("too much is being decided already")),
        Err(PoolError::Overdue) => {
            let time = state.decision;
            tracing::warn!(
                endpoint = endpoint.name,
                ?time,
                "a decision took too long: it is refused"
            );
            Err(Refusal::unavailable(format!("the decision took longer than {time:?}")))
        }
        Err(PoolError::Panicked) => {
            state.metrics.panics.inc();
            tracing::error!(endpoint = endpoint.name, "deciding a request panicked: it is refused");
            let code = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Refusal::new(code, "the request could not be decided: this is a bug"))
        }
    }
}

/// Returns what a request may take while it is decided.
async fn weight(state: &ServerState, endpoint: &Endpoint, text: &Text) -> Weight {
    let text = text.as_str();
    // However its parts are arranged, so short a body costs little.
    let is_short = text.len() <= SHORT && !endpoint.is_heavy;
    let bytes = match is_short {
        true => 0,
        false => state.protocol.memory(endpoint).of_pieces(text).await,
    };
    match text.len() > FREE || bytes > FREE_MEMORY || endpoint.is_heavy {
        true => Weight::Large(bytes),
        false => Weight::Small,
    }
}

async fn not_found(State(state): State<Arc<ServerState>>, uri: Uri) -> Response<Body> {
    let message = format!("there is nothing at `{}`", uri.path());
    state.protocol.refuse(&Refusal::new(StatusCode::NOT_FOUND, message))
}

async fn wrong_method(
    State(state): State<Arc<ServerState>>,
    method: Method,
    uri: Uri,
) -> Response<Body> {
    let asked = state.protocol.endpoints().iter().any(|endpoint| endpoint.path == uri.path());
    let allowed = if asked { "POST" } else { "GET, HEAD" };
    let message = format!("`{}` does not answer {method}, but {allowed}", uri.path());
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
        .with_header(ALLOW, HeaderValue::from_static(allowed));
    state.protocol.refuse(&refusal)
}

/// Counts a request for as long as it lives, also where its client goes away.
struct InFlight(Arc<ServerState>);

impl InFlight {
    fn new(state: &Arc<ServerState>) -> Self {
        state.metrics.requests_in_flight.inc();
        Self(Arc::clone(state))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.requests_in_flight.dec();
    }
}
