//! The API as routes of one's own axum server.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use stagedoor_audit::DecisionLog;
use stagedoor_server::REQUEST_ID;

use crate::media_type::check_content_type;
use crate::metadata::PublicUrl;
use crate::service::{Operation, Recording, answer};
use crate::world::World;

/// What the routes answer by. Replace the world whenever you like.
#[derive(Clone)]
pub struct RouterState {
    /// Policies, entities and names.
    pub world: Arc<ArcSwap<World>>,
    /// Where decisions are recorded.
    pub log: Option<Arc<DecisionLog>>,
    /// The largest body, in bytes.
    pub body_bytes: usize,
}

impl RouterState {
    /// Returns a state without records, and with bodies of at most 1 MiB.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self { world: Arc::new(ArcSwap::from_pointee(world)), log: None, body_bytes: 1 << 20 }
    }
}

/// Returns the routes of the API, with the metadata for `public`.
///
/// Who may ask is for layers around them to see to. Decisions are made on the threads of the
/// runtime; [`AuthZen`](crate::AuthZen) with `stagedoor-server` keeps them apart.
///
/// # Examples
///
/// ```
/// use stagedoor_authzen::{Mapping, PublicUrl, RouterState, World, router};
/// use stagedoor_core::{Engine, Entities};
///
/// let engine = Engine::builder()
///     .schema("app.cedarschema", "
///         entity user, record;
///         action read appliesTo { principal: user, resource: record };")
///     .policies("app.cedar", r#"@id("all") permit(principal, action, resource);"#)
///     .build()?;
/// let world = World::new(engine, Entities::empty(), &Mapping::default())?;
/// let public = PublicUrl::parse("https://pdp.example.com")?;
/// let app: axum::Router = router(RouterState::new(world), &public);
/// # drop(app);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn router(state: RouterState, public: &PublicUrl) -> Router {
    let metadata: Arc<str> = public.metadata().into();
    let page = get(move || {
        let metadata = Arc::clone(&metadata);
        async move { json(StatusCode::OK, Body::from(metadata.to_string())) }
    });
    let mut router = Router::new().route(&public.metadata_path(), page);
    for operation in Operation::ALL {
        let state = state.clone();
        let handler = move |request: Request| async move {
            let id = request.headers().get(REQUEST_ID).cloned();
            let mut response = respond(&state, operation, request).await;
            if let Some(id) = id {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            response
        };
        router = router.route(operation.path(), post(handler));
    }
    router
}

async fn respond(state: &RouterState, operation: Operation, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    if let Err(message) = check_content_type(&head.headers) {
        return refuse(StatusCode::BAD_REQUEST, message);
    }
    let Ok(bytes) = to_bytes(body, state.body_bytes).await else {
        let message = format!("the body is larger than the limit of {} bytes", state.body_bytes);
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, &message);
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is not UTF-8");
    };
    let id = head.headers.get(REQUEST_ID).map(|id| String::from_utf8_lossy(id.as_bytes()));
    let recording = Recording {
        log: state.log.as_deref(),
        request_id: id.as_deref().unwrap_or_default(),
        caller: None,
        deadline: None,
        reasons: false,
    };
    match answer(&state.world.load(), operation, text, recording) {
        Ok(reply) => json(StatusCode::OK, Body::from(reply.body)),
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Returns an error message: a JSON string, which both readings of the specification take.
pub(crate) fn refuse(code: StatusCode, message: &str) -> Response<Body> {
    json(code, Body::from(serde_json::Value::from(message).to_string()))
}

/// Returns a response of JSON.
pub(crate) fn json(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
