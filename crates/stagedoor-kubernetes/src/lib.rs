//! Kubernetes authorization requests in Cedar's words.
//!
//! A [`SubjectAccessReview`] is a question of Kubernetes: may this subject do this? This
//! crate reads it, makes of it a principal, an action and a resource of the namespace
//! `k8s`, and, with [`Reviewer`], has an engine's policies answer it. The names are those of
//! the authorization schema of [`cedar-access-control-for-k8s`], so that policies written for
//! that project load unchanged. The schema is [`SCHEMA`].
//!
//! | Kubernetes | Cedar |
//! |---|---|
//! | user `alice` | `k8s::User`, `name` is `alice` |
//! | user `system:serviceaccount:ci:bot` | `k8s::ServiceAccount`, `namespace` is `ci`, `name` is `bot` |
//! | user `system:node:worker-1` | `k8s::Node`, `name` is `worker-1` |
//! | groups | `k8s::Group`, parents of the principal |
//! | the user name, whole | `k8s::UserName`, a parent of the principal too |
//! | namespace of a service account or a resource | `k8s::Namespace`, a parent |
//! | verb `get` | `k8s::Action::"get"` |
//! | `resourceAttributes` | `k8s::Resource`, whose id is the path of the API |
//! | `nonResourceAttributes` | `k8s::NonResourceURL` |
//! | verb `impersonate` | the resource is the `k8s::User`, `ServiceAccount`, `Node`, `Group`, `PrincipalUID` or `Extra` that one wants to be |
//! | verbs `impersonate:MODE` | the same, with the verb in `context.verb` |
//! | verbs `impersonate-on:MODE:VERB` | the action is `impersonate` too, with the verb in `context.verb`; the resource is the one that is asked for |
//!
//! # Verbs that nobody declared
//!
//! Every string is a legal verb in Kubernetes, while strict Cedar decides only requests whose
//! action the schema declares for the resource. So a verb that is not declared, or not for this
//! kind of resource (`list` on a path, `impersonate` on pods), is asked as the action
//! `k8s::Action::"unlistedVerb"`, with the verb itself in `context.verb`:
//!
//! - A policy that names no action covers it, as the verb `*` of a role does.
//! - A policy about such verbs in general names `unlistedVerb`, and `context.verb` for a certain one.
//! - To name a verb as an action of its own, declare it in a `.cedarschema` file beside the
//!   policies. [`Vocabulary::of`] finds it in the engine's schema; nothing else is needed.
//!
//!   ```text
//!   namespace k8s {
//!     action "frobnicate" appliesTo {
//!       principal: [User, ServiceAccount, Node, Group], resource: [Resource],
//!     };
//!   }
//!   ```
//!
//! Groups of verbs (`readOnly`, `write`) are no verbs: a request that calls its verb `readOnly`
//! is decided as an unlisted one.
//!
//! [`cedar-access-control-for-k8s`]: https://github.com/awslabs/cedar-access-control-for-k8s

pub mod access;
pub mod admission;
mod api_resources;
mod attributes;
pub mod conditional;
mod deciding;
mod forbids;
mod impersonation;
mod mentions;
mod mode;
mod names;
mod policy_mode;
mod prepared;
pub mod rbac;
mod resource;
mod review;
mod review_body;
mod reviewer;
mod ruling;
mod selector;
mod starter;
mod subject;
mod to_wire;
mod undecided;
mod version;
mod vocabulary;
mod wire;

pub use attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
pub use deciding::DecidingRequest;
pub use mode::{ModeCeiling, enforced_policies};
pub use policy_mode::{PolicyMode, UnknownMode};
pub use review::{
    ConditionsMode, ReviewVersion, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
pub use review_body::{Review, ReviewError};
pub use reviewer::Reviewer;
pub use ruling::{ReviewOutcome, Ruling};
pub use selector::{FieldSelectorAttributes, LabelSelectorAttributes, SelectorRequirement};
pub use starter::{DEPLOY_MANIFESTS, POLICY_SET_MANIFESTS, SCHEMA, STARTER_POLICIES, VOCABULARY};
pub use subject::{Principal, PrincipalIds, Subject};
pub use undecided::UndecidedError;
pub use version::{KubernetesVersion, UnknownVersion};
pub use vocabulary::{AttributesError, Vocabulary, VocabularyError};
