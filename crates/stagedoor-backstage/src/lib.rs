//! Backstage's users, catalog entities and permissions in Cedar's words.
mod catalog;
mod catalog_entity;
mod entity_ref;
mod file_error;
mod names;
mod permission;
mod permission_file;
mod principal;
mod relations;
mod request;
mod scaffolder;
mod schema;
mod search_rows;
mod starter;
mod yaml;

pub use catalog::{Catalog, UnknownEntity};
pub use entity_ref::{EntityRef, EntityRefError};
pub use file_error::{FileError, FileProblem};
pub use permission::{Permission, PermissionAction, Permissions, UnknownPermission};
pub use principal::{Principal, User};
pub use request::{PermissionRequest, PermissionRequestError, Resource};
pub use schema::SCHEMA;
pub use starter::{DEMO_CATALOG, STARTER_POLICIES};
