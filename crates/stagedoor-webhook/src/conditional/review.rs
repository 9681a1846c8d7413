//! Conditions and AuthorizationConditionsReviews as they come over the wire.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::status::Refusal;

/// The group of the API; its version is not settled yet, so the answer repeats it.
const API_GROUP: &str = "authorization.k8s.io/";
const KIND: &str = "AuthorizationConditionsReview";
/// The most conditions of one review.
const CONDITIONS: usize = 1024;

/// The conditions of one authorizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConditionSet {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) authorizer_name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) failure_mode: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) conditions: Vec<Condition>,
}

/// One condition, and what it means for the request if it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) id: String,
    pub(crate) effect: ConditionEffect,
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    pub(crate) type_: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) condition: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ConditionEffect {
    Allow,
    Deny,
    NoOpinion,
}

/// Conditions with what they depend on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConditionsRequest<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) condition_sets: Vec<ConditionSet>,
    #[serde(borrow, default)]
    pub(crate) object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) old_object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) options: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewWire<'a> {
    #[serde(default, deserialize_with = "null_is_default")]
    api_version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    kind: String,
    #[serde(borrow, default)]
    request: Option<&'a RawValue>,
}

/// A review with its answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewReply<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) response: Response,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    pub(crate) allowed: bool,
    pub(crate) denied: bool,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) evaluation_error: String,
}

impl<'a> ReviewReply<'a> {
    pub(crate) fn new(api_version: &'a str, response: Response) -> Self {
        Self { api_version, kind: KIND, response }
    }
}

/// Reads a review; returns its version and its request.
pub(crate) fn read(body: &str) -> Result<(String, ConditionsRequest<'_>), Refusal> {
    let refused = |reason: String| Refusal::bad_request(format!("not an {KIND}: {reason}"));
    // Derived code alone would also take a list, by the order of the fields.
    if !body.trim_start().starts_with('{') {
        return Err(refused("not a JSON object".to_owned()));
    }
    let review: ReviewWire<'_> = serde_json::from_str(body)
        .map_err(|e| refused(stagedoor_core::plain_reason(&e.to_string())))?;
    if review.kind != KIND || !review.api_version.starts_with(API_GROUP) {
        return Err(Refusal::bad_request(format!(
            "`{}` of `{}` is given; only `{KIND}` of `{API_GROUP}…` is answered",
            review.kind, review.api_version
        )));
    }
    let raw = review.request.filter(|raw| raw.get().starts_with('{'));
    let raw = raw.ok_or_else(|| Refusal::bad_request("give `request`"))?;
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let request: ConditionsRequest<'_> = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|e| {
            Refusal::bad_request(format!(
                "`request.{}`: {}",
                e.path(),
                stagedoor_core::plain_reason(&e.inner().to_string())
            ))
        })?;
    let count: usize = request.condition_sets.iter().map(|set| set.conditions.len()).sum();
    if count == 0 || count > CONDITIONS {
        return Err(Refusal::bad_request(format!(
            "`request.conditionSets`: {count} conditions are given; give 1 to {CONDITIONS}"
        )));
    }
    Ok((review.api_version, request))
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
