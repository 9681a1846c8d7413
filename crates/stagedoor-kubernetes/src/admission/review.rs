//! AdmissionReviews as they come over the wire, and their answers.
//!
//! See [the API](https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stagedoor_core::plain_reason;

use super::wire::AdmissionRequest;
use crate::reviewer::Reviewer;
use crate::ruling::Ruling;
use crate::wire::null_is_default;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The longest warning, in characters: longer ones are cut by kube-apiserver where there is much.
const WARNING: usize = 256;
/// The most of all warnings that kube-apiserver passes on, in characters.
const WARNINGS: usize = 4096;

/// Failure to read an AdmissionReview.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AdmissionReviewError(String);

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

impl<'a> AdmissionRequest<'a> {
    /// Reads the request of a review in JSON.
    ///
    /// # Errors
    ///
    /// [`AdmissionReviewError`], which names the field that is wrong.
    pub fn from_review(json: &'a str) -> Result<Self, AdmissionReviewError> {
        Self::read(json).map_err(AdmissionReviewError)
    }

    fn read(json: &'a str) -> Result<Self, String> {
        // Derived code alone would also take a list, by the order of the fields.
        if !json.trim_start().starts_with('{') {
            return Err("not an AdmissionReview: not a JSON object".to_owned());
        }
        let review: ReviewWire<'a> = serde_json::from_str(json)
            .map_err(|e| format!("not an AdmissionReview: {}", plain_reason(&e.to_string())))?;
        if review.kind != KIND || review.api_version != API_VERSION {
            return Err(format!(
                "`{}` of `{}` is given; only `{KIND}` of `{API_VERSION}` is answered",
                review.kind, review.api_version
            ));
        }
        let raw = review.request.filter(|raw| raw.get().starts_with('{'));
        let raw = raw.ok_or("give `request`")?;
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        let request: Self = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
            let path = match e.path().to_string().as_str() {
                "." => "request".to_owned(),
                path => format!("request.{path}"),
            };
            let reason = plain_reason(&e.inner().to_string());
            // The place would be one in the request alone.
            let reason = reason.split(" at line ").next().unwrap_or_default();
            format!("`{path}`: {reason}")
        })?;
        if request.uid.is_empty() {
            return Err("give `request.uid`: the answer repeats it".to_owned());
        }
        Ok(request)
    }
}

/// The answer to an AdmissionReview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AdmissionResponse {
    /// That of the request.
    pub uid: String,
    /// Whether the object is admitted.
    pub allowed: bool,
    /// What the one who asked is told, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<AdmissionStatus>,
    /// What kubectl shows besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What kube-apiserver writes down.
    pub audit_annotations: BTreeMap<&'static str, String>,
}

/// Why an object is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AdmissionStatus {
    /// The HTTP code.
    pub code: u16,
    /// Kubernetes' word for it.
    pub reason: &'static str,
    /// Which policies forbid it, in their own words.
    pub message: String,
}

/// A review with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AdmissionReply {
    api_version: &'static str,
    kind: &'static str,
    /// The answer.
    pub response: AdmissionResponse,
}

impl Reviewer {
    /// Answers an AdmissionReview: what policies forbid, and what none permits, is not admitted.
    #[must_use]
    pub fn admission(&self, request: &AdmissionRequest<'_>) -> AdmissionReply {
        self.admission_reply(request, self.admission_ruling(request))
    }

    /// Returns the answer that a ruling comes to.
    #[must_use]
    pub fn admission_reply(
        &self,
        request: &AdmissionRequest<'_>,
        ruling: Ruling,
    ) -> AdmissionReply {
        let Ruling { allowed, reason, evaluation_error, warnings, unenforced, .. } = ruling;
        let mut audit_annotations = BTreeMap::from([
            ("decision", reason.clone()),
            ("policy-revision", self.engine().revision().to_owned()),
        ]);
        if !evaluation_error.is_empty() {
            audit_annotations.insert("evaluation-error", evaluation_error);
        }
        if !unenforced.is_empty() {
            audit_annotations.insert("not-enforced", unenforced.join(", "));
        }
        let status = AdmissionStatus { code: 403, reason: "Forbidden", message: reason };
        let response = AdmissionResponse {
            uid: request.uid.clone(),
            allowed,
            status: (!allowed).then_some(status),
            warnings: shown(&warnings),
            audit_annotations,
        };
        AdmissionReply { api_version: API_VERSION, kind: KIND, response }
    }
}

/// Returns as much of warnings as kube-apiserver passes on; the last says what is left out.
fn shown(warnings: &[String]) -> Vec<String> {
    let mut shown = Vec::new();
    let mut room = WARNINGS - WARNING;
    for (number, warning) in warnings.iter().enumerate() {
        let length = warning.chars().count().min(WARNING);
        let Some(rest) = room.checked_sub(length) else {
            shown.push(format!("and {} more warnings", warnings.len() - number));
            return shown;
        };
        room = rest;
        let cut: String = warning.chars().take(WARNING - 1).collect();
        shown.push(if cut.len() == warning.len() || length < WARNING {
            warning.clone()
        } else {
            format!("{cut}…")
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{WARNING, WARNINGS, shown};

    #[test]
    fn warnings_keep_to_what_is_passed_on() {
        assert_eq!(shown(&["a".to_owned(), "b".to_owned()]), ["a", "b"]);
        let long = shown(&["ü".repeat(1000)]);
        assert_eq!(long.iter().map(|w| w.chars().count()).collect::<Vec<_>>(), [WARNING]);
        let many = shown(&vec!["w".repeat(200); 100]);
        assert!(many.iter().map(|w| w.chars().count()).sum::<usize>() <= WARNINGS);
        assert_eq!(many.last().map(String::as_str), Some("and 81 more warnings"));
    }
}
