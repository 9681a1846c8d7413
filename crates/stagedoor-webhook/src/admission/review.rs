//! AdmissionReviews as they come over the wire.
//!
//! See [the API](https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use stagedoor_kubernetes::admission::AdmissionRequest;

use crate::status::Refusal;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

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

/// Reads the request of a review.
pub(crate) fn read(body: &str) -> Result<AdmissionRequest<'_>, Refusal> {
    // Derived code alone would also take a list, by the order of the fields.
    if !body.trim_start().starts_with('{') {
        return Err(Refusal::bad_request("not an AdmissionReview: not a JSON object"));
    }
    let review: ReviewWire<'_> = serde_json::from_str(body).map_err(|e| {
        Refusal::bad_request(format!(
            "not an AdmissionReview: {}",
            stagedoor_core::plain_reason(&e.to_string())
        ))
    })?;
    if review.kind != KIND || review.api_version != API_VERSION {
        return Err(Refusal::bad_request(format!(
            "`{}` of `{}` is given; only `{KIND}` of `{API_VERSION}` is answered",
            review.kind, review.api_version
        )));
    }
    let raw = review.request.filter(|raw| raw.get().starts_with('{'));
    let raw = raw.ok_or_else(|| Refusal::bad_request("give `request`"))?;
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let request: AdmissionRequest<'_> = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|e| {
            Refusal::bad_request(format!(
                "`request.{}`: {}",
                e.path(),
                stagedoor_core::plain_reason(&e.inner().to_string())
            ))
        })?;
    if request.uid.is_empty() {
        return Err(Refusal::bad_request("give `request.uid`: the answer repeats it"));
    }
    Ok(request)
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A review with its answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReviewReply<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ResponseStatus<'a>>,
    audit_annotations: BTreeMap<&'static str, &'a str>,
}

/// What the one who asked is told.
#[derive(Serialize)]
struct ResponseStatus<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

impl<'a> ReviewReply<'a> {
    pub(crate) fn new(response: Response<'a>) -> Self {
        Self { api_version: API_VERSION, kind: KIND, response }
    }
}

impl<'a> Response<'a> {
    /// Returns an answer; a refusal tells the reason.
    pub(crate) fn new(
        uid: &'a str,
        allowed: bool,
        reason: &'a str,
        audit_annotations: BTreeMap<&'static str, &'a str>,
    ) -> Self {
        let status = (!allowed).then_some(ResponseStatus {
            code: 403,
            reason: "Forbidden",
            message: reason,
        });
        Self { uid, allowed, status, audit_annotations }
    }
}
