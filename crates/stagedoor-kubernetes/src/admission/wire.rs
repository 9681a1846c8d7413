//! What an AdmissionReview of `admission.k8s.io/v1` asks.
//!
//! See [the API](https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::Subject;

/// A request to write an object, or to connect to one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AdmissionRequest<'a> {
    /// Identifies the request; the answer repeats it.
    pub uid: String,
    /// What kind of object it is about.
    pub kind: GroupVersionKind,
    /// The resource under which the object is.
    pub resource: GroupVersionResource,
    /// The subresource, or nothing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub sub_resource: String,
    /// The object's name, or nothing where the server makes one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// The namespace, or nothing.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespace: String,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: String,
    /// Who asks.
    pub user_info: UserInfo,
    /// The object as it is to be.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// The object as it is.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
    /// The options of the operation.
    #[serde(borrow, default)]
    pub options: Option<&'a RawValue>,
    /// Whether nothing is stored.
    #[serde(default, deserialize_with = "null_is_default")]
    pub dry_run: bool,
}

/// A kind with the group and version of its API.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct GroupVersionKind {
    /// The API group; empty for the core group.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind, in the singular.
    pub kind: String,
}

/// A resource with the group and version of its API.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct GroupVersionResource {
    /// The API group; empty for the core group.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: String,
    /// The version.
    pub version: String,
    /// The resource, in the plural.
    pub resource: String,
}

/// Who asks. Unlike a SubjectAccessReview it calls the name `username`.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct UserInfo {
    /// The user name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub username: String,
    #[serde(default, deserialize_with = "null_is_default")]
    uid: String,
    #[serde(default, deserialize_with = "null_is_default")]
    groups: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// Returns the subject that this is.
    #[must_use]
    pub fn subject(&self) -> Subject {
        let mut subject = Subject::new(self.username.as_str()).with_uid(self.uid.as_str());
        subject.groups.clone_from(&self.groups);
        subject.extra.clone_from(&self.extra);
        subject
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
