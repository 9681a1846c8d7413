//! What answers requests, once their connection is established: paths, bounds and outcomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};

use stagedoor_audit::DecisionLog;
use tokio::sync::watch;

use crate::body::{BodyLimits, FREE};
use crate::config::ServerOptions;
use crate::health;
use crate::metrics::Metrics;
use crate::places::ConnectionLimit;
use crate::pool::{Pool, PoolError, Weight};
use crate::protocol::{Answer, Endpoint, Outcome, Protocol, Question};
use crate::refusal::Refusal;
use crate::reload::{Source, WatchedSource};
use crate::request_id::{REVISION, RequestId};
use crate::shadow::Shadow;

/// For how long a body may be awaited before its request gives way to others.
const PATIENCE: Duration = Duration::from_millis(250);

/// What requests are answered with.
pub(crate) struct House {
    pub(crate) protocol: Arc<dyn Protocol>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Option<Arc<DecisionLog>>,
    /// What is reloaded. Ready is who has loaded all of it once.
    pub(crate) watched: Arc<[WatchedSource]>,
    /// What decides beside, and is not waited for.
    pub(crate) shadow: Option<Arc<Shadow>>,
    stopping: AtomicBool,
    loaded: watch::Sender<bool>,
    places: Arc<ConnectionLimit>,
    bodies: BodyLimits,
    pool: Pool,
}

impl House {
    pub(crate) fn new(
        options: &ServerOptions,
        protocol: Arc<dyn Protocol>,
        sources: Vec<Arc<dyn Source>>,
    ) -> Arc<Self> {
        let limits = &options.limits;
        let endpoints: Vec<_> = protocol.endpoints().iter().map(|e| e.name).collect();
        let watched: Arc<[_]> = sources.into_iter().map(WatchedSource::new).collect();
        let names: Vec<_> = watched.iter().map(WatchedSource::name).collect();
        let metrics = Arc::new(Metrics::new(&endpoints, &names));
        let shadow = protocol
            .shadow()
            .map(|shadow| Arc::new(Shadow::new(shadow, Arc::clone(&metrics), limits.shadow_bytes)));
        if let Some(shadow) = &shadow {
            metrics.watch(shadow.watched.iter().map(WatchedSource::name));
            metrics.compare(protocol.endpoints().iter().filter(|e| e.is_compared).map(|e| e.name));
        }
        Arc::new(Self {
            metrics,
            protocol,
            log: options.log.clone(),
            watched,
            shadow,
            stopping: AtomicBool::new(false),
            loaded: watch::Sender::new(false),
            places: ConnectionLimit::new(limits.requests, PATIENCE),
            bodies: BodyLimits::new(limits.body, limits.body_bytes_in_flight),
            pool: Pool::new(limits.decision_threads, limits.decision_bytes, limits.turn),
        })
    }

    /// Says that everything was loaded once.
    pub(crate) fn set_loaded(&self) {
        self.loaded.send_replace(true);
    }

    /// Says that the server is shutting down: it is no longer ready.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Resolves when everything was loaded once.
    pub(crate) async fn first_load(&self) {
        // The sender lives as long as this.
        let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        let is_bad = |watched: &WatchedSource| watched.source.health().is_some_and(|h| !h.is_ready);
        self.is_loaded() && !self.is_stopping() && !self.watched.iter().any(is_bad)
    }
}

/// Returns all paths of the protocol, with those of health.
pub(crate) fn routes(house: &Arc<House>) -> Router {
    let mut router = Router::new();
    for endpoint in house.protocol.endpoints() {
        let path = endpoint.path.clone();
        let endpoint = Arc::new(endpoint);
        let handler = move |State(house): State<Arc<House>>, request: Request<Body>| async move {
            respond(&house, &endpoint, request).await
        };
        router = router.route(&path, post(handler));
    }
    for page in house.protocol.pages() {
        let content = page.content;
        router = router.route(&page.path, get(move || async move { content() }));
    }
    with_health(house, router)
}

/// Returns the paths of health alone.
pub(crate) fn health(house: &Arc<House>) -> Router {
    with_health(house, Router::new())
}

fn with_health(house: &Arc<House>, router: Router<Arc<House>>) -> Router {
    router
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/status", get(health::status))
        .fallback(not_found)
        // For the routes so far, so this stands last.
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(house))
}

/// Reads a request for decisions and answers it, or refuses it.
async fn respond(
    house: &Arc<House>,
    endpoint: &Arc<Endpoint>,
    request: Request<Body>,
) -> Response<Body> {
    let in_flight = InFlight::new(house);
    let answered = read_and_answer(house, endpoint, request).await;
    drop(in_flight);
    match answered {
        Ok(answer) => {
            for outcome in answer.outcomes {
                house.metrics.answered(endpoint.name, outcome);
            }
            house.metrics.evaluation_errors.inc_by(answer.errors);
            let mut response = answer.response;
            let revision = answer.revision.map(HeaderValue::try_from);
            if let Some(Ok(revision)) = revision {
                response.headers_mut().insert(REVISION, revision);
            }
            response
        }
        Err(refusal) => {
            house.metrics.refused(refusal.code());
            house.metrics.answered(endpoint.name, Outcome::Refused);
            tracing::debug!(
                endpoint = endpoint.name,
                code = refusal.code().as_u16(),
                reason = refusal.message(),
                "refused"
            );
            house.protocol.refuse(&refusal)
        }
    }
}

async fn read_and_answer(
    house: &Arc<House>,
    endpoint: &Arc<Endpoint>,
    request: Request<Body>,
) -> Result<Answer, Refusal> {
    let full = || Refusal::unavailable("too many requests at a time");
    let place = house.places.take().ok_or_else(full)?;
    let (mut head, body) = request.into_parts();
    if let Err(refusal) = house.protocol.admit(endpoint.name, &mut head) {
        // A small body is taken off the connection, so that it serves the next request; with a
        // large one it ends.
        let _ = house.bodies.read(body, FREE, &place).await;
        return Err(refusal);
    }
    let text = house.bodies.read(body, endpoint.body_bytes, &place).await?;
    if !place.work() {
        return Err(full());
    }
    if !house.is_loaded() {
        return Err(Refusal::unavailable("the policies are not loaded yet"));
    }
    let begun = Instant::now();
    let size = text.as_str().len();
    let weight = match size > FREE || endpoint.is_heavy {
        true => Weight::Large(size.saturating_mul(endpoint.memory_per_byte)),
        false => Weight::Small,
    };
    let work = {
        let (protocol, endpoint) = (Arc::clone(&house.protocol), Arc::clone(endpoint));
        let shadow = house.shadow.clone().filter(|shadow| shadow.compares(&endpoint));
        // INVARIANT: the body's part of the budget and the request's place move with it: they
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
                is_compared: shadow.is_some(),
            };
            let mut answered = protocol.answer(&question);
            drop(place);
            if let (Some(shadow), Ok(answer)) = (&shadow, &mut answered) {
                let request_id = request_id.to_owned();
                shadow.take(&endpoint, (head, request_id, text.into_string()), answer);
            }
            answered
        }
    };
    let answered = house.pool.run(weight, work).await;
    house.metrics.took(endpoint.name, begun.elapsed());
    match answered {
        Ok(answered) => answered,
        Err(PoolError::Busy) => Err(Refusal::unavailable("too much is being decided already")),
        Err(PoolError::Panicked) => {
            house.metrics.panics.inc();
            tracing::error!(endpoint = endpoint.name, "deciding a request panicked: it is refused");
            let code = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Refusal::new(code, "the request could not be decided: this is a bug"))
        }
    }
}

async fn not_found(State(house): State<Arc<House>>, uri: Uri) -> Response<Body> {
    let message = format!("there is nothing at `{}`", uri.path());
    house.protocol.refuse(&Refusal::new(StatusCode::NOT_FOUND, message))
}

async fn wrong_method(State(house): State<Arc<House>>, method: Method, uri: Uri) -> Response<Body> {
    let asked = house.protocol.endpoints().iter().any(|endpoint| endpoint.path == uri.path());
    let allowed = if asked { "POST" } else { "GET, HEAD" };
    let message = format!("`{}` does not answer {method}, but {allowed}", uri.path());
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
        .with_header(ALLOW, HeaderValue::from_static(allowed));
    house.protocol.refuse(&refusal)
}

/// Counts a request for as long as it lives, also where its client goes away.
struct InFlight(Arc<House>);

impl InFlight {
    fn new(house: &Arc<House>) -> Self {
        house.metrics.requests_in_flight.inc();
        Self(Arc::clone(house))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.requests_in_flight.dec();
    }
}
