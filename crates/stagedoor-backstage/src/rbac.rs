//! The community RBAC plugin's files as Cedar policies.
//!
//! `@backstage-community/plugin-rbac-backend` (8.1) reads role assignments and permission
//! policies from a CSV file, and conditions from a YAML file. [`RbacFiles`] reads both,
//! [`RbacImport`] writes Cedar policies that mean the same, and [`Parity`] runs both readings
//! against each other.
//!
//! What the files mean, as the plugin reads them:
//!
//! - A user has the roles of its own and of its groups, those above them included.
//! - A row names a permission, or a resource type for all of its permissions of that action.
//!   Rows that name the permission put rows of its resource type aside. Of what is left, one
//!   must allow and none deny.
//! - Conditions of several roles are alternatives. They put rows aside, or rows them, by
//!   [`Precedence`].
//! - Rows of users and groups themselves count for those who have no role at all, and for
//!   permissions about resources only where they name the resource type and conditions come
//!   first.
//!
//! - Super users of the plugin's configuration have every permission; everybody has the default
//!   role, and so nobody is without a role where there is one.
//!
//! Not in the files, and so not here: what was entered in the plugin's user interface.

mod app_config;
mod compare;
mod conditional_file;
mod convert;
mod emit;
mod import;
mod policy_file;
mod witnesses;

pub use compare::{Difference, Parity};
pub use import::{RbacImport, Remark};
pub use policy_file::{Precedence, RbacFiles};
