//! AuthorizationConditionsReviews: what conditions come to, now that the object is there.
//!
//! The policies are not asked, so that a change of theirs between the two calls does not
//! matter. A condition that cannot be evaluated, be it somebody else's, counts against the
//! request: one that denies holds, one that allows does not.

use cedar_policy::EntityUid;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use stagedoor_core::{Entities, Entity};

use super::decision::{ConditionalDecision, EvaluatedDecision};
use super::form::{DEPTH, DecisionTypes, EnabledForm, Mode};
use super::{ATTRIBUTES, CONDITIONS};
use crate::admission::{object, resource_uid};
use crate::wire::{UniqueValue, null_is_default};

/// The group of the API; its version is not settled yet, so the answer repeats it.
const API_GROUP: &str = "authorization.k8s.io/";
const KIND: &str = "AuthorizationConditionsReview";

/// Failure to read a review of conditions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an AuthorizationConditionsReview: {0}")]
pub struct ConditionsReviewError(String);

/// Conditions with what they depend on, and the form in which they are answered.
#[derive(Debug)]
pub struct ConditionsReview<'a> {
    api_version: String,
    uid: String,
    decision: ConditionalDecision,
    form: Form,
    written: [Option<&'a RawValue>; 3],
}

/// A review of conditions with its answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ConditionsReply(Value);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Mode,
    Enabled,
    DecisionTypes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewWire<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    api_version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    kind: String,
    #[serde(borrow, default)]
    request: Option<RequestWire<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestWire<'a> {
    #[serde(borrow, default)]
    condition_sets: Option<&'a RawValue>,
    #[serde(borrow, default)]
    decision: Option<&'a RawValue>,
    #[serde(borrow, default)]
    admission_control_data: Option<WrittenWire<'a>>,
    #[serde(borrow, default)]
    admission_request: Option<WrittenWire<'a>>,
    // Not a flattened `WrittenWire`: such a one cannot keep JSON as it is written.
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    old_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    options: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenWire<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    uid: String,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    old_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    options: Option<&'a RawValue>,
}

impl<'a> ConditionsReview<'a> {
    /// Reads a review in JSON; the fields that are there tell its form.
    ///
    /// # Errors
    ///
    /// [`ConditionsReviewError`], which says what is wrong.
    pub fn from_json(json: &'a str) -> Result<Self, ConditionsReviewError> {
        Self::read(json).map_err(ConditionsReviewError)
    }

    fn read(json: &'a str) -> Result<Self, String> {
        // Derived code alone would also take a list, by the order of the fields.
        if !json.trim_start().starts_with('{') {
            return Err("not a JSON object".to_owned());
        }
        let review: ReviewWire<'a> = serde_json::from_str(json).map_err(|e| e.to_string())?;
        if review.kind != KIND || !review.api_version.starts_with(API_GROUP) {
            return Err(format!(
                "`{}` of `{}` is given; only `{KIND}` of `{API_GROUP}…` is answered",
                review.kind, review.api_version
            ));
        }
        let request = review.request.ok_or("give `request`")?;
        let RequestWire { condition_sets, decision, object, old_object, options, .. } = request;
        let (in_request, in_data) = (request.admission_request, request.admission_control_data);
        let (form, conditions, field, written) =
            match (decision, condition_sets, in_request, in_data) {
                (Some(decision), None, Some(written), None) => {
                    (Form::DecisionTypes, decision, "decision", written)
                }
                (Some(decision), None, None, Some(written)) => {
                    (Form::Enabled, decision, "decision", written)
                }
                (None, Some(sets), None, None) => {
                    let written = WrittenWire { uid: String::new(), object, old_object, options };
                    (Form::Mode, sets, "conditionSets", written)
                }
                _ => {
                    return Err("`request` is of no form that is known: give `decision` with \
                                `admissionRequest`"
                        .to_owned());
                }
            };
        let at = |reason: String| format!("`request.{field}`: {reason}");
        let UniqueValue(value) =
            serde_json::from_str(conditions.get()).map_err(|e| at(e.to_string()))?;
        let decision = match form {
            Form::DecisionTypes => DecisionTypes::read(&value, DEPTH),
            Form::Enabled => EnabledForm::read(&value, DEPTH),
            Form::Mode => Mode::read(&value),
        };
        let decision = decision.map_err(at)?;
        let count = decision.len();
        if count == 0 || count > 8 * CONDITIONS {
            return Err(at(format!("{count} conditions are given; give 1 to {}", 8 * CONDITIONS)));
        }
        let WrittenWire { uid, object, old_object, options } = written;
        let api_version = review.api_version;
        Ok(Self { api_version, uid, decision, form, written: [object, old_object, options] })
    }

    /// Returns the id of the request, in the forms that have one.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Returns the decision that hangs on conditions.
    #[must_use]
    pub fn decision(&self) -> &ConditionalDecision {
        &self.decision
    }

    /// Returns what the conditions come to.
    #[must_use]
    pub fn evaluate(&self) -> EvaluatedDecision {
        let written = self.written();
        self.decision.evaluate(written.as_ref())
    }

    /// Returns the answer, in the form of the review.
    #[must_use]
    pub fn reply(&self, evaluated: &EvaluatedDecision) -> ConditionsReply {
        let EvaluatedDecision { allowed, denied, reason, evaluation_error } = evaluated;
        let mut told = fields(json!({ "reason": reason }));
        if !evaluation_error.is_empty() {
            told.insert("evaluationError".to_owned(), json!(evaluation_error));
        }
        let response: serde_json::Value = match self.form {
            Form::Mode => {
                let mut response = fields(json!({ "allowed": allowed, "denied": denied }));
                response.extend(told);
                response.into()
            }
            Form::Enabled | Form::DecisionTypes => {
                let type_ = match (allowed, denied) {
                    (true, _) => ("Allow", "allow"),
                    (false, true) => ("Deny", "deny"),
                    (false, false) => ("NoOpinion", "noOpinion"),
                };
                if self.form == Form::Enabled {
                    told.insert("type".to_owned(), json!(type_.0));
                    json!({ "decision": told })
                } else {
                    json!({ "uid": self.uid, "decision": { "type": type_.0, type_.1: told } })
                }
            }
        };
        let reply = json!({ "apiVersion": self.api_version, "kind": KIND, "response": response });
        ConditionsReply(reply)
    }

    /// Returns the resource that conditions are about, with the entities of its objects.
    fn written(&self) -> Result<(EntityUid, Entities), String> {
        let uid = resource_uid("written");
        let mut resource = Entity::new(uid.clone());
        let mut entities = Vec::new();
        for (attribute, json) in ATTRIBUTES.into_iter().zip(self.written) {
            // Nothing is written as nothing, too.
            let Some(json) = json.filter(|json| json.get() != "null") else { continue };
            let object = object(attribute, json, &mut entities)
                .map_err(|reason| format!("`request.{attribute}`: {reason}"))?;
            resource = resource.with_attribute(attribute, object);
        }
        entities.push(resource);
        let entities = Entities::from_entities(entities).map_err(|e| e.to_string())?;
        Ok((uid, entities))
    }
}

fn fields(json: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    match json {
        serde_json::Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    }
}
