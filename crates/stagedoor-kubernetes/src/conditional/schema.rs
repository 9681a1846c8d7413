//! The schema of authorization with the attributes that come later.

use cedar_policy::SchemaFragment;
use serde_json::{Value, json};

use super::ATTRIBUTES;
use crate::starter::SCHEMA;

/// The type of what is written.
const OBJECT: &str = "k8s::admission::AdmittedObject";

/// Failure to add the attributes to a schema.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the schema of authorization cannot be extended: {0}")]
pub struct ExtendSchemaError(String);

/// Returns the schema of authorization that ships, whose resources may have the
/// [`ATTRIBUTES`] that come later.
///
/// # Examples
///
/// ```
/// let schema = stagedoor_kubernetes::conditional::schema()?;
/// assert!(schema.contains("oldObject"));
/// # Ok::<(), stagedoor_kubernetes::conditional::ExtendSchemaError>(())
/// ```
///
/// # Errors
///
/// [`ExtendSchemaError`], never for the schema that ships.
pub fn schema() -> Result<String, ExtendSchemaError> {
    extended(SCHEMA)
}

fn extended(text: &str) -> Result<String, ExtendSchemaError> {
    fn failed(error: impl std::fmt::Display) -> ExtendSchemaError {
        ExtendSchemaError(error.to_string())
    }
    let (fragment, _) = SchemaFragment::from_cedarschema_str(text).map_err(failed)?;
    let mut json = fragment.to_json_value().map_err(failed)?;
    let attributes = json
        .pointer_mut("/k8s/entityTypes/Resource/shape/attributes")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| failed("it has no `k8s::Resource` with attributes"))?;
    for name in ATTRIBUTES {
        let later = json!({ "type": "EntityOrCommon", "name": OBJECT, "required": false });
        if attributes.insert(name.to_owned(), later).is_some() {
            return Err(failed(format_args!("`k8s::Resource` has `{name}` already")));
        }
    }
    SchemaFragment::from_json_value(json).map_err(failed)?.to_cedarschema().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::{ATTRIBUTES, extended, schema};
    use crate::admission;

    #[test]
    fn the_schema_has_the_attributes_that_come_later() -> Result<(), Box<dyn std::error::Error>> {
        let text = format!("{}\n{}", schema()?, admission::SCHEMA);
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(&text)?;
        for attribute in ATTRIBUTES {
            let policy = format!(
                "permit(principal, action == k8s::Action::\"create\", resource is k8s::Resource) \
                 when {{ resource has {attribute} && resource.{attribute}.hasTag(\"/spec\") }};"
            );
            let set: cedar_policy::PolicySet = policy.parse()?;
            let validator = cedar_policy::Validator::new(schema.clone());
            let result = validator.validate(&set, cedar_policy::ValidationMode::Strict);
            assert!(result.validation_passed(), "{attribute}: {result}");
        }
        Ok(())
    }

    /// However it is written, and not in silence where there is nothing to extend.
    #[test]
    fn what_cannot_be_extended_is_refused() {
        let written = |resource: &str| format!("namespace k8s {{ entity {resource}; }}");
        assert!(extended(&written("Resource = { apiGroup:   String }")).is_ok());
        for refused in ["Other = { a: String }", "Resource", "Resource = { options: String }"] {
            assert!(extended(&written(refused)).is_err(), "{refused}");
        }
    }
}
