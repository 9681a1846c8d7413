//! What answers requests, once their connection is established: paths, bounds and outcomes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use crate::body::BodyLimits;
use crate::config::ServerConfig;
use crate::metrics::{Answer, Metrics, Webhook};
use crate::places::Places;
use crate::policies::{Loaded, Policies};
use crate::status::Refusal;
use crate::{admission, authorize, conditional, health};

/// For how long a body may be awaited before its request gives way to others.
const PATIENCE: Duration = Duration::from_millis(250);

/// What requests are answered with.
pub(crate) struct App {
    pub(crate) policies: Policies,
    pub(crate) metrics: Metrics,
    pub(crate) no_opinion_denies: bool,
    conditional: bool,
    stopping: AtomicBool,
    certificate_failure: ArcSwapOption<SystemTime>,
    places: Arc<Places>,
    bodies: BodyLimits,
    review_bytes: usize,
    admission_bytes: usize,
}

impl App {
    pub(crate) fn new(config: &ServerConfig, metrics: Metrics) -> Arc<Self> {
        let limits = &config.limits;
        Arc::new(Self {
            policies: Policies::new(config.policies.clone(), config.experimental_conditional),
            metrics,
            no_opinion_denies: config.no_opinion_denies,
            conditional: config.experimental_conditional,
            stopping: AtomicBool::new(false),
            certificate_failure: ArcSwapOption::empty(),
            places: Places::new(limits.requests, PATIENCE),
            bodies: BodyLimits::new(limits.body, limits.body_bytes_in_flight),
            review_bytes: limits.review_bytes,
            admission_bytes: limits.admission_bytes,
        })
    }

    /// Says that the server is shutting down: it is no longer ready.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns since when the certificates in force are not those of the files.
    pub(crate) fn certificate_failure(&self) -> Option<SystemTime> {
        self.certificate_failure.load().as_deref().copied()
    }

    /// Remembers whether the certificates in force are those of the files.
    pub(crate) fn certificates_settled(&self, settled: bool) {
        let failure = (!settled).then(|| Arc::new(SystemTime::now()));
        self.certificate_failure.store(failure);
    }

    fn body_limit(&self, webhook: Webhook) -> usize {
        match webhook {
            Webhook::Authorize => self.review_bytes,
            Webhook::Admit | Webhook::Conditions => self.admission_bytes,
        }
    }
}

/// Returns the paths of the webhooks, with those of health.
pub(crate) fn webhooks(app: &Arc<App>) -> Router {
    let authorize = |State(app): State<Arc<App>>, request: Request<Body>| async move {
        answer(&app, Webhook::Authorize, request, authorize::answer).await
    };
    let admit = |State(app): State<Arc<App>>, request: Request<Body>| async move {
        answer(&app, Webhook::Admit, request, admission::answer).await
    };
    let webhooks = Router::new().route("/authorize", post(authorize)).route("/admit", post(admit));
    if !app.conditional {
        return routes(app, webhooks);
    }
    let conditions = |State(app): State<Arc<App>>, request: Request<Body>| async move {
        // From the conditions alone: the policies are not looked at.
        let respond = |app: &App, _: &Loaded, body: &str| conditional::answer(app, body);
        answer(&app, Webhook::Conditions, request, respond).await
    };
    routes(app, webhooks.route("/conditions", post(conditions)))
}

/// Returns the paths of health alone.
pub(crate) fn health(app: &Arc<App>) -> Router {
    routes(app, Router::new())
}

fn routes(app: &Arc<App>, webhooks: Router<Arc<App>>) -> Router {
    webhooks
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(not_found)
        // For the routes so far, so this stands last.
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(app))
}

/// What a webhook answers, and what that came to.
pub(crate) type Answered = Result<(Response<Body>, Answer), Refusal>;

/// Reads a request to a webhook and answers it, or refuses it.
async fn answer(
    app: &App,
    webhook: Webhook,
    request: Request<Body>,
    respond: impl FnOnce(&App, &Loaded, &str) -> Answered,
) -> Response<Body> {
    let in_flight = InFlight::new(app);
    let answered = read_and_respond(app, webhook, request, respond).await;
    drop(in_flight);
    let (response, answer) = answered.unwrap_or_else(|refusal| {
        app.metrics.refused(refusal.code());
        tracing::debug!(
            webhook = webhook.as_str(),
            code = refusal.code().as_u16(),
            reason = refusal.message(),
            "refused"
        );
        (refusal.response(), Answer::Refused)
    });
    app.metrics.answered(webhook, answer);
    response
}

async fn read_and_respond(
    app: &App,
    webhook: Webhook,
    request: Request<Body>,
    respond: impl FnOnce(&App, &Loaded, &str) -> Answered,
) -> Answered {
    let full = || Refusal::unavailable("too many requests at a time");
    let place = app.places.take().ok_or_else(full)?;
    check_content_type(request.headers())?;
    let text = app.bodies.read(request.into_body(), app.body_limit(webhook), &place).await?;
    if !place.work() {
        return Err(full());
    }
    let begun = Instant::now();
    let loaded = app
        .policies
        .current()
        .ok_or_else(|| Refusal::unavailable("the policies are not loaded yet"))?;
    let answered = respond(app, &loaded, text.as_str());
    app.metrics.took(webhook, begun.elapsed());
    answered
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only `application/json` is read"))
}

async fn not_found(uri: Uri) -> Response<Body> {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is nothing at `{}`", uri.path())).response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response<Body> {
    let message = format!("`{}` does not answer {method}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).response()
}

/// Counts a request for as long as it lives, also where its client goes away.
struct InFlight<'a>(&'a App);

impl<'a> InFlight<'a> {
    fn new(app: &'a App) -> Self {
        app.metrics.requests_in_flight.inc();
        Self(app)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.requests_in_flight.dec();
    }
}
