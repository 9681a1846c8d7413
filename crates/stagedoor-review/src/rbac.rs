//! Roles and bindings of Kubernetes as policies to review.

use std::sync::Arc;

use cedar_policy::{Schema, SchemaFragment};
use stagedoor_backstage::Permissions;
use stagedoor_core::Engine;
use stagedoor_kubernetes::rbac::{RbacImport, ResolvedRbac};
use stagedoor_kubernetes::{SCHEMA, Vocabulary};

use crate::absent_rules::AbsentRules;
use crate::loading::{LoadingError, Policies};
use crate::platform::Platform;

impl Policies {
    /// Imports roles and bindings. Verbs that only `beside` names are declared as well, so that
    /// both can be compared: to grant a verb to somebody is no news of the verb.
    ///
    /// # Errors
    ///
    /// [`LoadingError`], never for roles that the import takes.
    pub fn of_rbac(
        rbac: &ResolvedRbac,
        beside: Option<&ResolvedRbac>,
    ) -> Result<Self, LoadingError> {
        let mut schemas = vec![SCHEMA.to_owned()];
        // One schema of the verbs of both, so that both sides get the same.
        let all = [Some(rbac), beside].into_iter().flatten();
        schemas.extend(RbacImport::schema_of(all, &vocabulary(&schemas)?));
        let import = RbacImport::for_vocabulary(rbac, &vocabulary(&schemas)?);
        let mut builder = Engine::builder().rules(Arc::new(AbsentRules));
        for (number, schema) in schemas.into_iter().enumerate() {
            builder = builder.schema(format!("(schema {number}) kubernetes.cedarschema"), schema);
        }
        let engine = import.add_to(builder).build()?;
        let (enforced, permissions) = (engine.clone(), Permissions::known()?);
        Ok(Self { engine, enforced, permissions, platform: Platform::Kubernetes })
    }
}

/// Takes schemas together by fragments: one text cannot open the namespace `k8s` twice.
fn vocabulary(schemas: &[String]) -> Result<Vocabulary, LoadingError> {
    let mut fragments = Vec::with_capacity(schemas.len());
    for text in schemas {
        let (fragment, _) = SchemaFragment::from_cedarschema_str(text)
            .map_err(|e| LoadingError::Rbac(e.to_string()))?;
        fragments.push(fragment);
    }
    let schema =
        Schema::from_schema_fragments(fragments).map_err(|e| LoadingError::Rbac(e.to_string()))?;
    Vocabulary::of(&schema).map_err(|e| LoadingError::Rbac(e.to_string()))
}
