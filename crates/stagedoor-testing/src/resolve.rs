//! From a case to the request that it is about.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stagedoor_backstage::{EntityRef, Principal, Resource, User};
use stagedoor_core::{Entities, Request};
use stagedoor_kubernetes::admission::AdmissionRequest;
use stagedoor_kubernetes::{
    Attributes, NonResourceAttributes, PrincipalIds, ResourceAttributes, Reviewer, Subject,
    SubjectAccessReview, UndecidedError,
};

use crate::command::Command;
use crate::environment::{Platform, TestEnvironment, parse_entities};
use crate::file::{Action, Case, UserFixture};
use crate::selection::ListQuestion;

/// What a case of one platform has.
pub(crate) struct CaseKind {
    pub(crate) platform: Platform,
    /// The key that makes it one.
    pub(crate) key: &'static str,
    /// The keys that its request has.
    pub(crate) keys: &'static [&'static str],
    /// Those that it cannot do without.
    pub(crate) required: &'static [&'static str],
}

/// The cases of each platform.
pub(crate) const CASE_KINDS: [CaseKind; 4] = [
    CaseKind {
        platform: Platform::Backstage,
        key: "permission",
        keys: &["user", "service", "groups", "permission", "entity", "template", "task", "action"],
        required: &["permission"],
    },
    CaseKind {
        platform: Platform::Kubernetes,
        key: "verb",
        keys: &[
            "user",
            "groups",
            "uid",
            "extra",
            "verb",
            "apiGroup",
            "resource",
            "subresource",
            "namespace",
            "resourceName",
            "path",
        ],
        required: &["verb", "user"],
    },
    CaseKind {
        platform: Platform::Admission,
        key: "operation",
        keys: &[
            "user",
            "groups",
            "uid",
            "extra",
            "operation",
            "object",
            "oldObject",
            "apiGroup",
            "resource",
            "subresource",
            "namespace",
            "resourceName",
        ],
        required: &["operation", "user", "resource"],
    },
    CaseKind {
        platform: Platform::Cedar,
        key: "principal",
        keys: &["principal", "action", "resource", "context", "entities"],
        required: &["principal", "action", "resource"],
    },
];

/// A request, and a command that explains its decision.
pub(crate) struct Question {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
    /// Why it is refused whatever the policies say to the request.
    pub(crate) refused: Option<String>,
    pub(crate) explain: Option<String>,
}

/// Returns the platform that a case's request belongs to.
pub(crate) fn platform(case: &Case) -> Result<Platform, String> {
    let asks = |key: &str| match key {
        "permission" => case.permission.is_some(),
        "verb" => case.verb.is_some(),
        "operation" => case.operation.is_some(),
        _ => case.principal.is_some(),
    };
    let mut kinds = CASE_KINDS.iter().filter(|kind| asks(kind.key));
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return Err("a case has one of `permission` (Backstage), `verb` (Kubernetes), \
                    `operation` (Kubernetes admission) and `principal` (Cedar)"
            .to_owned());
    };
    let (platform, own) = (kind.platform, kind.keys);
    let foreign = case.foreign(own);
    if foreign.is_empty() {
        return Ok(platform);
    }
    let foreign = foreign.into_iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
    Err(format!("{} cannot stand in a {platform:?} case", foreign.join(", ")))
}

/// Returns the request that a case is about.
pub(crate) fn question(case: &Case, world: &TestEnvironment) -> Result<Question, String> {
    match platform(case)? {
        Platform::Backstage => backstage(case, world),
        Platform::Kubernetes => kubernetes(case, world),
        Platform::Admission => admission(case, world),
        Platform::Cedar => cedar(case, world),
    }
}

/// Returns the user that a case names, with the groups that the case or a fixture gives.
fn user(case: &Case, world: &TestEnvironment) -> Result<UserFixture, String> {
    let name = case.user.as_deref().ok_or("`user` is missing: state who asks")?;
    let mut user = world
        .fixtures
        .users
        .get(name)
        .cloned()
        .unwrap_or_else(|| UserFixture { user: name.to_owned(), ..UserFixture::default() });
    if let Some(groups) = &case.groups {
        user.groups = Some(groups.clone());
    }
    user.groups = user.groups.map(|groups| {
        let expand = |group: String| match world.fixtures.groups.get(&group) {
            Some(list) => list.clone(),
            None => vec![group],
        };
        groups.into_iter().flat_map(expand).collect()
    });
    if let Some(uid) = &case.uid {
        user.uid = Some(uid.clone());
    }
    user.extra.extend(case.extra.clone());
    Ok(user)
}

/// Returns who asks in a case of Backstage.
fn principal(case: &Case, world: &TestEnvironment) -> Result<Principal, String> {
    if let Some(service) = &case.service {
        if case.user.is_some() || case.groups.is_some() {
            return Err("a `service` stands instead of `user` and `groups`".to_owned());
        }
        return Ok(Principal::Service(service.clone()));
    }
    let UserFixture { user, groups, .. } = user(case, world)?;
    let reference: EntityRef = user.parse().map_err(|e| format!("`user`: {e}"))?;
    let user = match &groups {
        Some(groups) => {
            let refs = groups.iter().map(|g| g.parse::<EntityRef>()).collect::<Result<Vec<_>, _>>();
            User::new(reference).with_ownership(refs.map_err(|e| format!("`groups`: {e}"))?)
        }
        None => world.catalog.user(&reference).unwrap_or_else(|| User::new(reference)),
    };
    Ok(user.into())
}

/// Returns the question about all resources of a permission that a case asks.
pub(crate) fn list_question(case: &Case, world: &TestEnvironment) -> Result<ListQuestion, String> {
    if platform(case)? != Platform::Backstage {
        return Err("`selects`, `criteria` and `conditional` are for Backstage".to_owned());
    }
    let name = case.permission.as_deref().unwrap_or_default();
    let permission = world.permissions.get(name).map_err(|e| format!("{e}; {}", e.help()))?;
    let has_resource = case.entity.is_some()
        || case.template.is_some()
        || case.task.is_some()
        || case.action.is_some();
    if permission.resource_type().is_none() || has_resource {
        return Err("`selects`, `criteria` and `conditional` are for a permission on resources, \
                    without saying which resource"
            .to_owned());
    }
    for entity in case.expect.selects().into_iter().flatten() {
        let known: EntityRef = entity.parse().map_err(|e| format!("`selects`: {e}"))?;
        world.catalog.resource(&known).map_err(|e| format!("`selects`: {e}"))?;
        if known.to_string() != *entity {
            return Err(format!("`selects`: write `{entity}` as `{known}`"));
        }
    }
    Ok(ListQuestion { permission: name.to_owned(), principal: principal(case, world)? })
}

fn backstage(case: &Case, world: &TestEnvironment) -> Result<Question, String> {
    let name = case.permission.as_deref().unwrap_or_default();
    let permission = world.permissions.get(name).map_err(|e| format!("{e}; {}", e.help()))?;
    let principal = principal(case, world)?;
    let resource = match (&case.entity, &case.template, &case.task, &case.action) {
        (None, None, None, None) => None,
        (Some(entity), None, None, None) => {
            let entity: EntityRef = entity.parse().map_err(|e| format!("`entity`: {e}"))?;
            Some(world.catalog.resource(&entity).map_err(|e| e.to_string())?)
        }
        (None, Some(template), None, None) => {
            Some(Resource::scaffolder_template("template", &template.tags))
        }
        (None, None, Some(task), None) => {
            Some(Resource::scaffolder_task("task", task.created_by.as_deref()))
        }
        (None, None, None, Some(Action::Scaffolder(action))) => {
            Some(Resource::scaffolder_action("step", &action.id, &action.input))
        }
        (None, None, None, Some(Action::Cedar(_))) => {
            return Err("`action` of a Backstage case is a map with `id` and `input`".to_owned());
        }
        _ => return Err("a case is about one resource".to_owned()),
    };
    let asked = permission.request(&principal, resource).map_err(|e| e.to_string())?;
    let entities = world.catalog_store.with(asked.entities).map_err(|e| e.to_string())?;
    let in_words = case.template.is_none() && case.task.is_none() && case.action.is_none();
    let user = match &principal {
        Principal::User(user) if in_words => Some(user),
        _ => None,
    };
    let groups = user.map(|_| self::user(case, world)).transpose()?.and_then(|user| user.groups);
    let explain = user.map(|user| {
        let mut command = Command::new("stagedoor explain backstage");
        command.paths("--policies", &world.policies);
        command.paths("--catalog", &world.catalog_files);
        command.words("--user", [user.reference().to_string()]);
        command.words("--group", groups.unwrap_or_default());
        command.words("--permission", [name.to_owned()]);
        command.words("--entity", case.entity.clone());
        command.text
    });
    Ok(Question { request: asked.request, entities, refused: None, explain })
}

fn kubernetes(case: &Case, world: &TestEnvironment) -> Result<Question, String> {
    let reviewer = world.reviewer.as_ref().map_err(Clone::clone)?;
    let UserFixture { user, groups, uid, extra } = user(case, world)?;
    let mut subject = Subject::new(user);
    for group in groups.unwrap_or_default() {
        subject = subject.with_group(group);
    }
    if let Some(uid) = uid {
        subject = subject.with_uid(uid);
    }
    for (key, values) in extra {
        subject = subject.with_extra(key, values);
    }
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let verb = word(&case.verb);
    let attributes: Attributes = match (&case.path, &case.resource) {
        (Some(path), None) => NonResourceAttributes::new(verb, path).into(),
        (None, Some(resource)) => ResourceAttributes::new(verb, word(&case.api_group), resource)
            .with_subresource(word(&case.subresource))
            .with_namespace(word(&case.namespace))
            .with_name(word(&case.resource_name))
            .into(),
        _ => return Err("a Kubernetes case has either a `resource` or a `path`".to_owned()),
    };
    let (request, entities, refused) = match reviewer.deciding_request(&subject, &attributes) {
        Ok((request, entities)) => (request, entities, None),
        Err(error) => {
            let (request, entities) = undecided(reviewer, &subject, &attributes, &error)?;
            // What does not fit the schema is told when the case is run.
            let is_refused = !matches!(error, UndecidedError::Request(_));
            (request, entities, is_refused.then(|| error.to_string()))
        }
    };
    let review = SubjectAccessReview::new(subject, attributes);
    let explain = serde_json::to_string(&review).ok().map(|review| {
        let mut command = Command::piped(&review, "stagedoor explain kubernetes");
        command.paths("--policies", &world.policies);
        command.words("--review", ["-".to_owned()]);
        command.text
    });
    Ok(Question { request, entities, refused, explain })
}

/// Returns the request of what is not decided.
fn undecided(
    reviewer: &Reviewer,
    subject: &Subject,
    attributes: &Attributes,
    error: &UndecidedError,
) -> Result<(Request, Entities), String> {
    let by_id = reviewer.vocabulary().clone();
    // Who is somebody else by UID than whom the request is about may be both by name.
    let by_name = by_id.clone().with_principal_ids(PrincipalIds::UserName);
    let made = [by_id, by_name].into_iter().find_map(|vocabulary| {
        let principal = vocabulary.principal(subject).ok()?;
        vocabulary.request(&principal, attributes).ok()
    });
    made.ok_or_else(|| error.to_string())
}

/// Returns the request that an AdmissionReview makes.
fn admission(case: &Case, world: &TestEnvironment) -> Result<Question, String> {
    let reviewer = world.reviewer.as_ref().map_err(Clone::clone)?;
    let UserFixture { user, groups, uid, extra } = user(case, world)?;
    let object = case.object.as_ref().map(|object| named_object(object, world)).transpose()?;
    let old = case.old_object.as_ref().map(|object| named_object(object, world)).transpose()?;
    let known = object.or(old);
    let word = |object: Option<&Value>, key: &str| {
        object.and_then(|object| object.get(key)?.as_str()).unwrap_or_default().to_owned()
    };
    let (group, version) = match word(known, "apiVersion") {
        path if path.is_empty() => (case.api_group.clone().unwrap_or_default(), "v1".to_owned()),
        path => match path.split_once('/') {
            Some((group, version)) => (group.to_owned(), version.to_owned()),
            None => (String::new(), path),
        },
    };
    let metadata = known.and_then(|object| object.get("metadata"));
    let review = json!({
        "uid": "test",
        "kind": { "group": group, "version": version, "kind": word(known, "kind") },
        "resource": {
            "group": case.api_group.as_ref().unwrap_or(&group),
            "version": version,
            "resource": case.resource.as_deref().ok_or("`resource` is missing")?,
        },
        "subResource": case.subresource,
        "name": case.resource_name.clone().unwrap_or_else(|| word(metadata, "name")),
        "namespace": case.namespace.clone().unwrap_or_else(|| word(metadata, "namespace")),
        "operation": case.operation.as_deref().unwrap_or_default().to_uppercase(),
        "userInfo": { "username": user, "groups": groups, "uid": uid, "extra": extra },
        "object": object,
        "oldObject": old,
    });
    let review = review.to_string();
    let review: AdmissionRequest<'_> =
        serde_json::from_str(&review).map_err(|e| stagedoor_core::plain_reason(&e.to_string()))?;
    let (request, entities) = match reviewer.deciding_admission(&review) {
        // What does not fit the schema is told when the case is run.
        Err(UndecidedError::Request(_)) => review.request(reviewer.vocabulary())?,
        made => made.map_err(|e| e.to_string())?,
    };
    Ok(Question { request, entities, refused: None, explain: None })
}

/// Returns an object: written out, or of the fixtures.
fn named_object<'a>(object: &'a Value, world: &'a TestEnvironment) -> Result<&'a Value, String> {
    let Value::String(name) = object else { return Ok(object) };
    world.objects.get(name).ok_or_else(|| format!("there is no object `{name}` in the fixtures"))
}

fn cedar(case: &Case, world: &TestEnvironment) -> Result<Question, String> {
    let action = match &case.action {
        Some(Action::Cedar(action)) => action,
        _ => return Err("`action` of a Cedar case is an id, as `Action::\"read\"`".to_owned()),
    };
    let resource = case.resource.as_deref().ok_or("`resource` is missing")?;
    let mut context: BTreeMap<String, Value> = world.fixtures.context.clone();
    context.extend(case.context.clone());
    let request = json!({
        "principal": case.principal, "action": action, "resource": resource, "context": context,
    });
    let text = request.to_string();
    let request =
        Request::from_json_str(&text, world.engine.schema()).map_err(|e| e.to_string())?;
    if world.checks_requests {
        world.engine.validate_request(&request).map_err(|e| e.to_string())?;
    }
    let own = parse_entities(&case.entities, &world.engine)?;
    // Cedar adds the schema's actions, which the fixtures have, too.
    let own = own.iter().filter(|entity| entity.uid.type_name().basename() != "Action");
    let entities = world.entities.with(own.cloned()).map_err(|e| e.to_string())?;
    let only_files = world.fixtures.entities.is_empty()
        && case.entities.is_empty()
        && world.entity_files.len() <= 1;
    let explain = only_files.then(|| {
        let mut command = Command::piped(&text, "stagedoor explain");
        command.paths("--policies", &world.policies);
        command.paths("--entities", &world.entity_files);
        command.words("--request", ["-".to_owned()]);
        command.text
    });
    Ok(Question { request, entities, refused: None, explain })
}
