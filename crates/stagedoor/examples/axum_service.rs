//! A web service that asks before it answers: `cargo run -p stagedoor --example axum_service`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Request as HttpRequest, StatusCode};
use axum::routing::get;
use stagedoor::{Decision, Engine, EngineHolder, Entities, Entity, Request, uid};
use tower::ServiceExt as _;

const SCHEMA: &str = "
    entity Team; entity User in [Team];
    entity Document { owner: Team, draft: Bool };
    action read, delete appliesTo { principal: User, resource: Document };";

const POLICIES: &str = r#"
    @id("anybody-reads") permit (principal, action == Action::"read", resource);
    @id("owners") permit (principal, action, resource) when { principal in resource.owner };
    @id("drafts-are-private") forbid (principal, action, resource)
    when { resource.draft } unless { principal in resource.owner };"#;

/// Policies, which a reload may replace at any time, and who is in which team.
struct App {
    policies: EngineHolder,
    people: Entities,
}

/// In a program: `axum::serve(listener, service(app)).await`.
fn service(app: Arc<App>) -> Router {
    Router::new().route("/documents/{id}", get(document).delete(document)).with_state(app)
}

/// Answers what the caller may have. Whatever fails on the way there is a refusal.
async fn document(
    State(app): State<Arc<App>>,
    method: Method,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<String, (StatusCode, String)> {
    let name = headers.get("x-user").and_then(|name| name.to_str().ok());
    let name = name.ok_or((StatusCode::UNAUTHORIZED, "who are you?".to_owned()))?;
    let action = if method == Method::DELETE { "delete" } else { "read" };
    let allowed = app.decide(name, action, &id).map_err(|error| {
        // A request that cannot be decided is denied, and the reason is for the log.
        eprintln!("{error}");
        (StatusCode::FORBIDDEN, "not allowed".to_owned())
    })?;
    match allowed {
        Ok(by) => Ok(format!("{action} {id}, by {by}")),
        Err(by) => Err((StatusCode::FORBIDDEN, format!("not allowed: {by}"))),
    }
}

impl App {
    /// Returns which policy allows it, or what keeps it from being allowed.
    fn decide(
        &self,
        name: &str,
        action: &str,
        id: &str,
    ) -> Result<Result<String, String>, Box<dyn std::error::Error>> {
        // A database in a program.
        let document = Entity::new(uid("Document", id)?)
            .with_attribute("owner", uid("Team", "payments")?)
            .with_attribute("draft", id.starts_with("draft"));
        let request =
            Request::new(uid("User", name)?, uid("Action", action)?, document.uid.clone());
        let outcome = self.policies.current().decide(&request, &self.people.with([document])?)?;
        let by: Vec<_> = outcome.reasons().map(|policy| policy.id().to_owned()).collect();
        Ok(match outcome.decision() {
            Decision::Allow => Ok(by.join(", ")),
            Decision::Deny if by.is_empty() => Err("nothing permits it".to_owned()),
            Decision::Deny => Err(by.join(", ")),
        })
    }
}

/// Asks the service as its clients do.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::builder()
        .schema("documents.cedarschema", SCHEMA)
        .policies("documents.cedar", POLICIES)
        .build()?;
    let people = Entities::from_entities([
        Entity::new(uid("User", "ana")?).with_parent(uid("Team", "payments")?),
        Entity::new(uid("User", "bob")?),
    ])?;
    let app = Arc::new(App { policies: EngineHolder::new(engine), people });
    let expected = [
        ("ana", Method::GET, "plan", StatusCode::OK),
        ("bob", Method::GET, "plan", StatusCode::OK),
        ("bob", Method::DELETE, "plan", StatusCode::FORBIDDEN),
        ("ana", Method::DELETE, "plan", StatusCode::OK),
        ("ana", Method::GET, "draft-plan", StatusCode::OK),
        ("bob", Method::GET, "draft-plan", StatusCode::FORBIDDEN),
        // Nobody of this name is known, and so in no team.
        ("eve", Method::DELETE, "plan", StatusCode::FORBIDDEN),
        ("", Method::GET, "plan", StatusCode::UNAUTHORIZED),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for (name, method, id, expected) in expected {
        let mut request = HttpRequest::builder().method(&method).uri(format!("/documents/{id}"));
        if !name.is_empty() {
            request = request.header("x-user", name);
        }
        let answer = service(Arc::clone(&app)).oneshot(request.body(Body::empty())?);
        let answer = runtime.block_on(answer)?;
        println!("{name} {method} {id}: {}", answer.status());
        assert_eq!(answer.status(), expected, "{name} {method} {id}");
    }
    Ok(())
}
