//! A permission, a principal and a resource as a Cedar request.

use cedar_policy::EntityUid;
use stagedoor_core::{Entity, Request};

use crate::names;
use crate::permission::Permission;
use crate::principal::Principal;
use crate::schema::entity_type;

/// What a permission is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    uid: EntityUid,
    entities: Vec<Entity>,
}

impl Resource {
    /// Returns a resource that the entities of the decision hold already, as
    /// [`Catalog::entities`](crate::Catalog::entities) hold those of a catalog.
    #[must_use]
    pub fn known(uid: EntityUid) -> Self {
        Self { uid, entities: Vec::new() }
    }

    /// Returns a resource by its description, with entities that it refers to.
    #[must_use]
    pub fn described(entity: Entity, parts: impl IntoIterator<Item = Entity>) -> Self {
        let uid = entity.uid.clone();
        Self { uid, entities: std::iter::once(entity).chain(parts).collect() }
    }

    /// Returns the Cedar id.
    #[must_use]
    pub fn uid(&self) -> &EntityUid {
        &self.uid
    }

    /// Returns what describes the resource, unless it was known.
    pub(crate) fn entities(&self) -> &[Entity] {
        &self.entities
    }
}

/// A request to decide, with the entities that belong to it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermissionRequest {
    /// The request.
    pub request: Request,
    /// The principal, and the resource unless it was known. Lay them over the
    /// others with [`Entities::with`](stagedoor_core::Entities::with).
    pub entities: Vec<Entity>,
}

/// A permission and a resource that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionRequestError {
    /// A resource permission without a resource.
    #[error("permission `{permission}` is about a `{resource_type}`: state which one")]
    ResourceMissing {
        /// The permission.
        permission: String,
        /// The type of its resources.
        resource_type: String,
    },
    /// A basic permission with a resource.
    #[error("permission `{0}` is basic: it is not about any resource, so state none")]
    ResourceUnexpected(String),
    /// A resource of another type.
    #[error("permission `{permission}` is about a `{resource_type}`, which `{resource}` is not")]
    ResourceType {
        /// The permission.
        permission: String,
        /// The type of its resources.
        resource_type: String,
        /// What was stated.
        resource: String,
    },
}

impl Permission {
    /// Returns the request whether `principal` has this permission on `resource`;
    /// a basic permission is about its plugin as a whole.
    ///
    /// # Errors
    ///
    /// [`PermissionRequestError`] if the permission is not about such a resource.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_backstage::{Permissions, User};
    ///
    /// let alice = User::new("user:default/alice".parse()?);
    /// let asked = Permissions::known()?.get("kubernetes.proxy")?.request(&alice.into(), None)?;
    /// assert_eq!(asked.request.resource.to_string(), r#"Backstage::Plugin::"kubernetes""#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request(
        &self,
        principal: &Principal,
        resource: Option<Resource>,
    ) -> Result<PermissionRequest, PermissionRequestError> {
        let resource = self.resource(resource)?;
        let mut entities = vec![principal.to_entity()];
        entities.extend(resource.entities);
        Ok(PermissionRequest {
            request: Request::new(principal.uid(), self.uid(), resource.uid),
            entities,
        })
    }

    /// Returns the resource of a request: the plugin, for a basic permission.
    pub(crate) fn resource(
        &self,
        resource: Option<Resource>,
    ) -> Result<Resource, PermissionRequestError> {
        let permission = || self.name().to_owned();
        match (self.resource_type(), resource) {
            (None, None) => Ok(Resource::known(names::plugin(self.plugin_id()))),
            (None, Some(_)) => Err(PermissionRequestError::ResourceUnexpected(permission())),
            (Some(resource_type), None) => {
                let (permission, resource_type) = (permission(), resource_type.to_owned());
                Err(PermissionRequestError::ResourceMissing { permission, resource_type })
            }
            (Some(resource_type), Some(resource)) => {
                let of_type = resource.uid.type_name();
                let fits = of_type.namespace() == names::NAMESPACE
                    && entity_type(resource_type).as_deref() == Some(of_type.basename());
                if !fits {
                    return Err(PermissionRequestError::ResourceType {
                        permission: permission(),
                        resource_type: resource_type.to_owned(),
                        resource: resource.uid.to_string(),
                    });
                }
                Ok(resource)
            }
        }
    }
}
