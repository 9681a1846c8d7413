//! What the fuzz targets do with their bytes: nothing may panic, hang or be taken in part.
//!
//! `fuzz/` wraps each function in a cargo-fuzz target; the tests run them on mutated seeds.

use std::str::FromStr as _;

use cedar_policy::PolicySet;
use stagedoor_core::{Engine, Entities, Request};

use crate::conformance::Answer;
use crate::equality::{self, TypedTrials};
use crate::trial::{Seeds, Trial};
use crate::typed;

mod authzen;
mod platforms;
mod sets;

pub use authzen::authzen;
pub use platforms::{
    access_review, admission_review, backstage_answers, catalog_yaml, rbac_plugin, rbac_yaml,
};
pub use sets::{bundle, formatting, manifest, test_file};

/// A fuzz target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets but [`rulings`], which takes long for each input and whose comparisons the test
/// `equality` makes. Each one's seeds lie in the folder of its name.
pub const TARGETS: [Target; 17] = [
    ("policies", policies),
    ("policies_json", policies_json),
    ("schema", schema),
    ("request_json", request_json),
    ("entities_json", entities_json),
    ("decisions", decisions),
    ("catalog_yaml", catalog_yaml),
    ("access_review", access_review),
    ("rbac_yaml", rbac_yaml),
    ("admission_review", admission_review),
    ("rbac_plugin", rbac_plugin),
    ("backstage_answers", backstage_answers),
    ("bundle", bundle),
    ("manifest", manifest),
    ("formatting", formatting),
    ("test_file", test_file),
    ("authzen", authzen),
];

/// Loads policies. What loads is what Cedar reads as one text; what Cedar reads loads,
/// unless a limit is passed.
pub fn policies(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let loaded = Engine::builder().policies("fuzz.cedar", text).exact_cedar().build();
    let cedar = PolicySet::from_str(text);
    match (&loaded, &cedar) {
        (Ok(engine), _) => {
            assert!(cedar.is_ok(), "Cedar refuses {text:?}: {:?}", cedar.err());
            let set = cedar.unwrap_or_default();
            assert_eq!(engine.policies().len(), set.policies().count(), "policies of {text:?}");
            for policy in engine.policies() {
                let same = set.policy(&cedar_policy::PolicyId::new(policy.id()));
                let same = same.is_some_and(|other| other.effect() == policy.effect());
                assert!(same, "policy {} of {text:?}", policy.id());
                assert!(policy.line().is_some_and(|line| line > 0), "no line in {text:?}");
            }
        }
        (Err(error), Ok(_)) => {
            let limits = error.problems().iter().all(|p| p.code().starts_with("limit::"));
            assert!(limits, "Cedar takes {text:?}, but {error}");
        }
        (Err(error), Err(_)) => assert!(!error.problems().is_empty(), "no problem in {text:?}"),
    }
    // Validation reads on where parsing has succeeded.
    let strict = Engine::builder().schema("typed.cedarschema", typed::SCHEMA);
    let _ = strict.policies("fuzz.cedar", text).build();
}

/// Loads policies in JSON form. What loads, Cedar takes, too, but for parts left out.
pub fn policies_json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let loaded = Engine::builder().policies_json("fuzz.json", text).exact_cedar().build();
    if let Ok(engine) = loaded {
        let cedar = PolicySet::from_json_str(text);
        match &cedar {
            Ok(set) => assert_eq!(engine.policies().len(), set.policies().count(), "{text:?}"),
            Err(error) => {
                let error = format!("{error:?}");
                assert!(error.contains("missing field"), "Cedar refuses {text:?}: {error}");
            }
        }
    }
}

/// Loads a schema, as Cedar text and as JSON.
pub fn schema(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Engine::builder().schema("fuzz.cedarschema", text).build();
    let _ = Engine::builder().schema_json("fuzz.cedarschema.json", text).build();
}

/// Reads a request; what was read can be decided.
pub fn request_json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policy = "permit(principal, action, resource) when { context.a == principal };";
    let Ok(engine) = Engine::builder().policies("p", policy).exact_cedar().build() else { return };
    if let Ok(request) = Request::from_json_str(text, None) {
        let _ = engine.decide(&request, &Entities::empty());
    }
    if let Ok(schema) = typed::schema() {
        let _ = Request::from_json_str(text, Some(&schema));
    }
}

/// Reads entities; what was read is what Cedar reads.
pub fn entities_json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(entities) = Entities::from_json_str(text, None) {
        let cedar = cedar_policy::Entities::from_json_str(text, None);
        assert!(cedar.is_ok(), "Cedar refuses {text:?}: {:?}", cedar.err());
        let count = cedar.map_or(0, |entities| entities.iter().count());
        assert_eq!(entities.len(), count, "{text:?}");
    }
    if let Ok(schema) = typed::schema() {
        let _ = Entities::from_json_str(text, Some(&schema));
    }
}

/// Makes policies, entities and requests of the bytes and holds the engine against Cedar.
pub fn decisions(bytes: &[u8]) {
    let seeds = Seeds::from_bytes(bytes);
    let Ok(trial) = Trial::loose(&seeds) else { return };
    let (Ok(expected), Ok(engine), Ok(entities)) = (
        trial.expected(None),
        trial.builder().exact_cedar().build(),
        Entities::from_entities(trial.entities.clone()),
    ) else {
        return;
    };
    for (request, expected) in trial.requests.iter().zip(&expected) {
        let outcome = engine.decide(request, &entities);
        let given = outcome.as_ref().map(Answer::from);
        assert!(
            given.is_ok_and(|given| given == *expected),
            "{outcome:?}, not {expected:?}: {trial:?}"
        );
    }
}

/// As [`decisions`], with and without a schema, by every way of asking.
pub fn rulings(bytes: &[u8]) {
    let Ok(typed) = TypedTrials::new() else { return };
    let seeds = Seeds::from_bytes(bytes);
    let held = equality::holds(&seeds, &typed, &equality::Comparisons::default());
    assert!(held.is_ok(), "{:?}: {seeds:?}", held.err());
}
