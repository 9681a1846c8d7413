//! The Cedar request of an AdmissionReview.

use std::sync::LazyLock;

use cedar_policy::EntityTypeName;
use stagedoor_core::{Entities, Entity, Request};

use super::objects::{mentioned, name, uid};
use super::wire::AdmissionRequest;
use crate::Vocabulary;
use crate::mentions::Mentions;

/// The types of the namespace `k8s::admission`.
static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    action: name("k8s::admission::Action"),
    resource: name("k8s::admission::Resource"),
});

struct Names {
    action: EntityTypeName,
    resource: EntityTypeName,
}

impl AdmissionRequest<'_> {
    /// Returns the request and everything that policies may look at.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or too much.
    pub fn request(&self, vocabulary: &Vocabulary) -> Result<(Request, Entities), String> {
        self.mentioned_request(vocabulary, &Mentions::every())
    }

    /// Returns the same with what these mention of it.
    pub(crate) fn mentioned_request(
        &self,
        vocabulary: &Vocabulary,
        mentions: &Mentions,
    ) -> Result<(Request, Entities), String> {
        let review = self;
        let principal = vocabulary.mentioned_principal(&review.user_info.subject(), mentions);
        let principal = principal.map_err(|e| e.to_string())?;
        let action = match review.operation.as_str() {
            "CREATE" => "create",
            "UPDATE" => "update",
            "DELETE" => "delete",
            "CONNECT" => "connect",
            other => return Err(format!("the operation `{other}` is none of admission's")),
        };
        let resource_uid = uid(&NAMES.resource, &path(review));
        let mut resource = Entity::new(resource_uid.clone())
            .with_attribute("apiGroup", review.resource.group.as_str())
            .with_attribute("version", review.resource.version.as_str())
            .with_attribute("resource", review.resource.resource.as_str())
            .with_attribute("kind", review.kind.kind.as_str())
            .with_attribute("kindGroup", review.kind.group.as_str())
            .with_attribute("kindVersion", review.kind.version.as_str())
            .with_attribute("dryRun", review.dry_run);
        let optional = [
            ("namespace", &review.namespace),
            ("name", &review.name),
            ("subresource", &review.sub_resource),
        ];
        for (attribute, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
            resource = resource.with_attribute(attribute, value.as_str());
        }
        let mut entities = Vec::new();
        let objects = [
            ("object", review.object),
            ("oldObject", review.old_object),
            ("options", review.options),
        ];
        for (attribute, json) in objects {
            let Some(json) = json else { continue };
            let object = mentioned(attribute, json, &mentions.fields, &mut entities)
                .map_err(|reason| format!("`request.{attribute}`: {reason}"))?;
            resource = resource.with_attribute(attribute, object);
        }
        entities.push(resource);
        let entities = principal.entities().with(entities).map_err(|e| e.to_string())?;
        let action = uid(&NAMES.action, action);
        Ok((Request::new(principal.uid().clone(), action, resource_uid), entities))
    }
}

/// Returns the path of the API that serves the object; `/` and `%` within a part are escaped.
fn path(review: &AdmissionRequest<'_>) -> String {
    let AdmissionRequest { resource, namespace, name, sub_resource, .. } = review;
    let parts = [
        &resource.group,
        &resource.version,
        "namespaces",
        namespace,
        &resource.resource,
        name,
        sub_resource,
    ];
    let escaped = parts.map(|part| part.replace('%', "%25").replace('/', "%2F"));
    format!("/apis/{}", escaped.join("/"))
}
