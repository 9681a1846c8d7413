//! Fuzz targets for what the platforms' own files and requests say.

use std::sync::LazyLock;

use stagedoor_backstage::rbac::{Precedence, RbacFiles};
use stagedoor_backstage::{
    Catalog, DEMO_CATALOG, PermissionQuery, Permissions, PolicyDecision, PolicyEngine,
};
use stagedoor_core::{Decision, Engine, Entities};
use stagedoor_kubernetes::admission::{AdmissionRequest, ManifestOperation, reviews_of_manifests};
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};
use stagedoor_kubernetes::{Reviewer, Subject, SubjectAccessReview};

/// Reads a catalog; its entities make a store, and every reference in it is known.
pub fn catalog_yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(catalog) = Catalog::from_files([("catalog-info.yaml", text)]) {
        let store = Entities::from_entities(catalog.entities());
        assert!(store.is_ok(), "{:?} of {text:?}", store.err());
        for reference in catalog.references() {
            assert!(catalog.resource(reference).is_ok(), "{reference} of {text:?}");
        }
    }
    if let Ok(known) = Permissions::known() {
        let _ = known.with_files([("fuzz.permissions.yaml", text)]);
    }
}

/// Reads reviews and answers them; an answer is never both allowed and denied.
pub fn access_review(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut reviews = SubjectAccessReview::read_all(text).unwrap_or_default();
    reviews.extend(SubjectAccessReview::from_json(text).ok());
    if reviews.is_empty() {
        return;
    }
    let engine = Engine::builder()
        .schema("k8s.cedarschema", stagedoor_kubernetes::SCHEMA)
        .policies(
            "p.cedar",
            "permit(principal, action, resource is k8s::Resource)
             when { resource.resource == \"pods\" };
             forbid(principal, action, resource) when { principal.name == \"eve\" };",
        )
        .build();
    let Ok(Ok(reviewer)) = engine.map(Reviewer::new) else { return };
    for review in reviews {
        let status = reviewer.answer(review).status.unwrap_or_default();
        assert!(!(status.allowed && status.denied), "{status:?} of {text:?}");
        assert!(!status.allowed || status.evaluation_error.is_empty(), "{status:?}");
    }
}

/// Reads roles and bindings and imports them; what is imported loads.
pub fn rbac_yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut objects = RbacObjects::default();
    if objects.read("rbac.yaml", text).is_err() {
        return;
    }
    let Ok(resolved) = objects.resolve() else { return };
    let Ok(import) = RbacImport::of(&resolved) else { return };
    let builder = Engine::builder().schema("k8s.cedarschema", stagedoor_kubernetes::SCHEMA);
    let loaded = import.add_to(builder).build();
    assert!(loaded.is_ok(), "{:?} of {text:?}", loaded.err());
}

/// Reads an AdmissionReview, or manifests, and answers. What is not admitted says why, and what
/// went wrong is not admitted.
pub fn admission_review(bytes: &[u8]) {
    static REVIEWER: LazyLock<Option<Reviewer>> = LazyLock::new(|| {
        let engine = Engine::builder()
            .schema("k8s.cedarschema", stagedoor_kubernetes::SCHEMA)
            .schema("admission.cedarschema", stagedoor_kubernetes::admission::SCHEMA)
            .policies(
                "admission.cedar",
                include_str!("../../../policies/kubernetes/admission/admission.cedar"),
            )
            .build();
        engine.ok().and_then(|engine| Reviewer::new(engine).ok())
    });
    let reviewer = REVIEWER.as_ref();
    assert!(reviewer.is_some(), "the policies do not load");
    let Some(reviewer) = reviewer else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let answer = |json: &str| {
        let Ok(request) = AdmissionRequest::from_review(json) else { return };
        // What is kept of an object makes no difference.
        if let Ok((whole, entities)) = request.request(reviewer.vocabulary())
            && let Ok(decided) = reviewer.enforced().decide(&whole, &entities)
        {
            let kept = reviewer.admit(&request).map(|outcome| outcome.decision());
            assert_eq!(kept.ok(), Some(decided.decision()), "{text:?}");
        }
        let response = reviewer.admission(&request).response;
        let has_failed = response.audit_annotations.contains_key("evaluation-error");
        assert!(!response.allowed || !has_failed, "{response:?} of {text:?}");
        assert_eq!(response.allowed, response.status.is_none(), "{response:?} of {text:?}");
    };
    answer(text);
    let subject = Subject::new("ann");
    for operation in [ManifestOperation::Create, ManifestOperation::Delete] {
        for manifest in reviews_of_manifests(text, operation, &subject).unwrap_or_default() {
            answer(&manifest.json);
        }
    }
}

/// Reads the community RBAC plugin's file, and after a line of `====` its conditions. What is
/// imported loads.
pub fn rbac_plugin(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(permissions) = Permissions::known() else { return };
    let (csv, yaml) = match text.split_once("====\n") {
        Some((csv, yaml)) => (csv, Some(("conditions.yaml", yaml))),
        None => (text, None),
    };
    let Ok(files) = RbacFiles::read(("rbac.csv", csv), yaml, &permissions) else { return };
    for precedence in [Precedence::Basic, Precedence::Conditional] {
        let import = stagedoor_backstage::rbac::RbacImport::of(&files, precedence, &permissions);
        let loaded = Engine::builder()
            .schema("backstage.cedarschema", stagedoor_backstage::SCHEMA)
            .policies("rbac.cedar", import.to_cedar())
            .build();
        assert!(loaded.is_ok() || import.is_empty(), "{:?} of {text:?}", loaded.err());
    }
}

/// Loads policies for Backstage. What is answered for all entities is decided for each of them,
/// and what is answered in conditions is within the budget.
pub fn backstage_answers(bytes: &[u8]) {
    static CATALOG: LazyLock<Option<(Catalog, Entities)>> = LazyLock::new(|| {
        let catalog = Catalog::from_files([("catalog-info.yaml", DEMO_CATALOG)]).ok()?;
        let entities = Entities::from_entities(catalog.entities()).ok()?;
        Some((catalog, entities))
    });
    assert!(CATALOG.is_some(), "the demo's catalog does not load");
    let Some((catalog, entities)) = CATALOG.as_ref() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policies) = PolicyEngine::builder().texts([("fuzz.cedar", text)]).build() else {
        return;
    };
    let Ok(policies) = policies.with_groups(catalog.groups()) else { return };
    for user in catalog.users().take(3).filter_map(|user| catalog.user(user)) {
        let user = user.into();
        for name in ["catalog.entity.read", "catalog.entity.delete"] {
            let Ok(permission) = policies.permissions().get(name) else { continue };
            let query = PermissionQuery {
                name,
                action: permission.action().map(|action| action.as_str()),
                resource_type: permission.resource_type(),
            };
            let answer = policies.decide(&query, Some(&user));
            let is_exact = answer.findings().is_empty() && answer.errors().is_empty();
            for reference in catalog.references() {
                let Ok(resource) = catalog.resource(reference) else { continue };
                let Ok(asked) = permission.request(&user, Some(resource)) else { continue };
                let Ok(entities) = entities.with(asked.entities) else { continue };
                let single = policies.engine().decide(&asked.request, &entities);
                let allowed = single.as_ref().is_ok_and(|one| one.decision() == Decision::Allow);
                let is_right = match answer.decision() {
                    PolicyDecision::Allow => allowed,
                    PolicyDecision::Deny => !allowed || !is_exact,
                    PolicyDecision::Conditional { .. } => true,
                };
                assert!(is_right, "{answer:?}, but {single:?} for {reference} by {text:?}");
            }
        }
    }
}
