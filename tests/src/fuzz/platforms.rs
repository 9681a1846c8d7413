//! Fuzz targets for what the platforms' own files and requests say.

use stagedoor_backstage::{Catalog, Permissions};
use stagedoor_core::{Engine, Entities};
use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};
use stagedoor_kubernetes::{Reviewer, SubjectAccessReview};

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
