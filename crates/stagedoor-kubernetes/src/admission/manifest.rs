//! AdmissionReviews of manifests, as kube-apiserver would ask about them.

use serde_json::{Value, json};

use crate::api_resources::resource_of_kind;
use crate::review_body::{ReviewError, read_documents};
use crate::subject::Subject;

/// What is done with a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ManifestOperation {
    /// It is created.
    #[default]
    Create,
    /// It is replaced by itself: what it would be is what it is.
    Update,
    /// It is deleted.
    Delete,
}

/// An AdmissionReview made of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestReview {
    /// The review, in JSON.
    pub json: String,
    /// What is done, such as `create pods web in payments`.
    pub question: String,
    /// The resource, if it is a guess.
    pub guessed: Option<String>,
}

/// Returns the AdmissionReviews of the manifests of a YAML stream, lists taken apart, or of JSON.
///
/// Kubernetes' own kinds have their resources; of others the resource is guessed by the rules
/// of English, as most of them are named.
///
/// # Errors
///
/// Which document cannot be read, or is no manifest.
///
/// # Examples
///
/// ```
/// use stagedoor_kubernetes::Subject;
/// use stagedoor_kubernetes::admission::{ManifestOperation, reviews_of_manifests};
///
/// let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: a }\n";
/// let reviews = reviews_of_manifests(pod, ManifestOperation::Create, &Subject::new("ann"))?;
/// assert_eq!(reviews[0].question, "create pods a in default");
/// assert_eq!(reviews[0].guessed, None);
/// # Ok::<(), stagedoor_kubernetes::ReviewError>(())
/// ```
pub fn reviews_of_manifests(
    text: &str,
    operation: ManifestOperation,
    subject: &Subject,
) -> Result<Vec<ManifestReview>, ReviewError> {
    let mut reviews = Vec::new();
    for (n, document) in read_documents(text)?.into_iter().enumerate() {
        let items = match document.get("items").and_then(Value::as_array) {
            Some(items) if document.get("kind").is_some_and(|kind| kind == "List") => items.clone(),
            _ => vec![document],
        };
        for manifest in items {
            let review = review_of(&manifest, operation, subject).map_err(|reason| {
                ReviewError::Document { document: n + 1, path: String::new(), reason }
            })?;
            reviews.push(review);
        }
    }
    if reviews.is_empty() { Err(ReviewError::Empty) } else { Ok(reviews) }
}

fn review_of(
    manifest: &Value,
    operation: ManifestOperation,
    subject: &Subject,
) -> Result<ManifestReview, String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text(manifest.get("apiVersion")), text(manifest.get("kind")));
    if api_version.is_empty() || kind.is_empty() {
        return Err("give `apiVersion` and `kind`".to_owned());
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let known = resource_of_kind(group, &kind);
    let resource = known.map_or_else(|| plural(&kind), |known| known.resource.clone());
    let metadata = manifest.get("metadata");
    let mut namespace = text(metadata.and_then(|meta| meta.get("namespace")));
    // `kubectl` sends what names no namespace into `default`.
    if namespace.is_empty() && known.is_some_and(|known| known.namespaced == Some(true)) {
        "default".clone_into(&mut namespace);
    }
    let (operation, object, old) = match operation {
        ManifestOperation::Create => ("CREATE", Some(manifest), None),
        ManifestOperation::Update => ("UPDATE", Some(manifest), Some(manifest)),
        ManifestOperation::Delete => ("DELETE", None, Some(manifest)),
    };
    let name = text(metadata.and_then(|meta| meta.get("name")));
    let place = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
    let named = if name.is_empty() { String::new() } else { format!(" {name}") };
    let suffix = if group.is_empty() { String::new() } else { format!(".{group}") };
    let question = format!("{} {resource}{suffix}{named}{place}", operation.to_lowercase());
    let Subject { user, groups, uid, extra } = subject;
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "manifest",
            "kind": { "group": group, "version": version, "kind": kind },
            "resource": { "group": group, "version": version, "resource": resource },
            "name": name,
            "namespace": namespace,
            "operation": operation,
            "userInfo": { "username": user, "groups": groups, "uid": uid, "extra": extra },
            "object": object,
            "oldObject": old,
            "dryRun": false,
        },
    });
    let guessed = known.is_none().then_some(resource);
    Ok(ManifestReview { json: review.to_string(), question, guessed })
}

fn plural(kind: &str) -> String {
    let singular = kind.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| singular.ends_with(ending));
    match singular.strip_suffix('y') {
        Some(stem) if !ends(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        _ if ends(&["s", "x", "z", "ch", "sh"]) => format!("{singular}es"),
        _ => format!("{singular}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::plural;

    #[test]
    fn kinds_have_plurals() {
        for (kind, resource) in [
            ("Widget", "widgets"),
            ("Policy", "policies"),
            ("Gateway", "gateways"),
            ("Ingress", "ingresses"),
            ("Mesh", "meshes"),
        ] {
            assert_eq!(plural(kind), resource);
        }
    }
}
