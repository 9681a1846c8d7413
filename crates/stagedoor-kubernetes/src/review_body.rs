//! Reading reviews: one as kube-apiserver sends it, or a file of them as people write it.

use serde::Deserialize;
use stagedoor_core::plain_reason;

use crate::admission::AdmissionRequest;
use crate::review::{SubjectAccessReview, check_type};
use crate::wire::{Object, UniqueValue, null_is_default};

/// The largest input that is read, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// Failure to read a review.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewError {
    /// The input is larger than reviews are.
    #[error("the input of {given} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Size of the input, in bytes.
        given: usize,
        /// The largest that is read.
        limit: usize,
    },
    /// The input is not JSON, or not a review.
    #[error("{}not a SubjectAccessReview: {}", place(.path), .reason)]
    Json {
        /// The field that is wrong, such as `spec.user`, or nothing.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A document of a stream is not YAML or JSON.
    #[error("document {document}: {reason}")]
    Syntax {
        /// Which document of the stream, counted from 1.
        document: usize,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A document of a stream is not a review.
    #[error("document {document}: {}{}", place(.path), .reason)]
    Document {
        /// Which document of the stream, counted from 1.
        document: usize,
        /// The field that is wrong, such as `spec.user`, or nothing.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The stream holds no document.
    #[error("the input holds no review")]
    Empty,
}

fn place(path: &str) -> String {
    if path.is_empty() || path == "." { String::new() } else { format!("`{path}`: ") }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeMeta {
    #[serde(default, deserialize_with = "null_is_default")]
    api_version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    kind: String,
}

impl SubjectAccessReview {
    /// Reads one review in JSON, as kube-apiserver sends it.
    ///
    /// Fields that are not known are passed over, since a newer Kubernetes may send them.
    ///
    /// # Errors
    ///
    /// [`ReviewError`], which names the field that is wrong.
    pub fn from_json(json: &str) -> Result<Self, ReviewError> {
        check_size(json)?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let read = serde_path_to_error::deserialize::<_, Object<Self>>(&mut deserializer).map_err(
            |e| {
                // That it is another kind of object says more than which field such objects lack.
                let other = serde_json::from_str::<TypeMeta>(json)
                    .ok()
                    .and_then(|meta| check_type(&meta.api_version, &meta.kind).err());
                match other {
                    Some(reason) => ReviewError::Json { path: String::new(), reason },
                    None => ReviewError::Json {
                        path: e.path().to_string(),
                        reason: plain_reason(&e.inner().to_string()),
                    },
                }
            },
        )?;
        deserializer.end().map_err(|e| ReviewError::Json {
            path: String::new(),
            reason: plain_reason(&e.to_string()),
        })?;
        Ok(read.0)
    }

    /// Reads the reviews of a YAML stream, or of JSON, as people write them.
    ///
    /// Unlike [`from_json`](Self::from_json) it takes no field that reviews do not have: a
    /// misspelt one would silently turn the question into another.
    ///
    /// # Errors
    ///
    /// [`ReviewError`], which names the document and the field that is wrong. Either all
    /// documents are read or none.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_kubernetes::SubjectAccessReview;
    ///
    /// let error = SubjectAccessReview::read_all(
    ///     "apiVersion: authorization.k8s.io/v1\n\
    ///      kind: SubjectAccessReview\n\
    ///      spec:\n  user: alice\n  resourceAttributes: { verb: get, resources: pods }\n",
    /// )
    /// .map(|_| ())
    /// .map_err(|e| e.to_string());
    /// assert_eq!(
    ///     error,
    ///     Err("document 1: `spec.resourceAttributes.resources`: no such field".to_owned())
    /// );
    /// ```
    pub fn read_all(text: &str) -> Result<Vec<Self>, ReviewError> {
        let documents = read_documents(text)?.into_iter().enumerate();
        let reviews = documents.map(|(n, document)| read_document(n + 1, document));
        let reviews: Vec<Self> = reviews.collect::<Result<_, _>>()?;
        if reviews.is_empty() { Err(ReviewError::Empty) } else { Ok(reviews) }
    }
}

/// A review of either kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Review {
    /// A SubjectAccessReview.
    SubjectAccess(Box<SubjectAccessReview>),
    /// An AdmissionReview, in JSON.
    Admission(String),
}

impl Review {
    /// Reads reviews of either kind, as [`SubjectAccessReview::read_all`] reads those of one.
    ///
    /// # Errors
    ///
    /// [`ReviewError`], which names the document and the field that is wrong.
    pub fn read_all(text: &str) -> Result<Vec<Self>, ReviewError> {
        let mut reviews = Vec::new();
        for (n, document) in read_documents(text)?.into_iter().enumerate() {
            let n = n + 1;
            let is_admission = document.get("kind").is_some_and(|kind| kind == "AdmissionReview");
            if !is_admission {
                reviews.push(Self::SubjectAccess(Box::new(read_document(n, document)?)));
                continue;
            }
            let json = document.to_string();
            AdmissionRequest::from_review(&json).map_err(|e| ReviewError::Document {
                document: n,
                path: String::new(),
                reason: e.to_string(),
            })?;
            reviews.push(Self::Admission(json));
        }
        if reviews.is_empty() { Err(ReviewError::Empty) } else { Ok(reviews) }
    }
}

/// Reads the documents of a YAML stream, or JSON objects one after the other.
pub(crate) fn read_documents(text: &str) -> Result<Vec<serde_json::Value>, ReviewError> {
    check_size(text)?;
    let mut documents = Vec::new();
    let syntax = |document: usize, reason: String| ReviewError::Syntax { document, reason };
    if text.trim_start().starts_with('{') {
        let stream = serde_json::Deserializer::from_str(text).into_iter::<UniqueValue>();
        for (n, document) in stream.enumerate() {
            documents.push(document.map_err(|e| syntax(n + 1, e.to_string()))?.0);
        }
        return Ok(documents);
    }
    let mut bytes = text.as_bytes();
    let stream = serde_saphyr::read_with_options::<_, UniqueValue>(&mut bytes, yaml_options());
    for (n, document) in stream.enumerate() {
        let UniqueValue(document) =
            document.map_err(|e| syntax(n + 1, e.without_snippet().to_string()))?;
        if !document.is_null() {
            documents.push(document);
        }
    }
    Ok(documents)
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 10_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_depth: 32,
            flow_nesting_limit: 32,
        },
    }
}

fn read_document(
    n: usize,
    document: serde_json::Value,
) -> Result<SubjectAccessReview, ReviewError> {
    let error = |path: String, reason: String| ReviewError::Document { document: n, path, reason };
    let text = |field| document.get(field).and_then(|v| v.as_str()).unwrap_or_default();
    check_type(text("apiVersion"), text("kind")).map_err(|reason| error(String::new(), reason))?;
    let mut unknown = None;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(document, &mut track);
    let read: Result<Object<SubjectAccessReview>, _> =
        serde_ignored::deserialize(tracked, |path| {
            unknown.get_or_insert_with(|| path.to_string());
        });
    let Object(review) =
        read.map_err(|e| error(track.path().to_string(), plain_reason(&e.to_string())))?;
    match unknown {
        // An optional field on the way shows as `?`.
        Some(path) => Err(error(path.replace(".?", ""), "no such field".to_owned())),
        None => Ok(review),
    }
}

fn check_size(text: &str) -> Result<(), ReviewError> {
    if text.len() > MAX_BYTES {
        return Err(ReviewError::TooLarge { given: text.len(), limit: MAX_BYTES });
    }
    Ok(())
}
