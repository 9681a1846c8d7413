//! The JSON Schema of test files accepts what the runner accepts, and nothing else.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::run::stagedoor;

/// Returns whether a value conforms to a schema, of which it knows the keywords that test files' has.
fn conforms(value: &Value, schema: &Value, root: &Value) -> Result<bool> {
    let Value::Object(keywords) = schema else { return Ok(schema.as_bool() == Some(true)) };
    let all = |schemas: &Value| -> Result<Vec<bool>> {
        let schemas = schemas.as_array().context("no list of schemas")?;
        schemas.iter().map(|schema| conforms(value, schema, root)).collect()
    };
    let length = |least: &Value| least.as_u64().and_then(|n| usize::try_from(n).ok());
    for (keyword, says) in keywords {
        let holds = match (keyword.as_str(), value) {
            ("description" | "title" | "$schema" | "$defs" | "default" | "format", _) => true,
            ("type", _) => match says {
                Value::Array(types) => types.iter().any(|name| is_of(value, name)),
                name => is_of(value, name),
            },
            ("enum", _) => says.as_array().context("enum")?.contains(value),
            ("const", _) => says == value,
            ("$ref", _) => {
                let place = says.as_str().and_then(|text| text.strip_prefix('#'));
                let schema = place.and_then(|place| root.pointer(place)).context("$ref")?;
                conforms(value, schema, root)?
            }
            ("allOf", _) => all(says)?.into_iter().all(|holds| holds),
            ("anyOf", _) => all(says)?.into_iter().any(|holds| holds),
            ("oneOf", _) => all(says)?.into_iter().filter(|holds| *holds).count() == 1,
            ("not", _) => !conforms(value, says, root)?,
            ("required", Value::Object(object)) => {
                let keys = says.as_array().context("required")?;
                keys.iter().all(|key| key.as_str().is_some_and(|key| object.contains_key(key)))
            }
            ("properties", Value::Object(object)) => {
                let mut holds = true;
                for (key, schema) in says.as_object().context("properties")? {
                    if let Some(value) = object.get(key) {
                        holds &= conforms(value, schema, root)?;
                    }
                }
                holds
            }
            ("additionalProperties", Value::Object(object)) => {
                let known = keywords.get("properties").and_then(Value::as_object);
                let mut holds = true;
                for (key, value) in object {
                    if !known.is_some_and(|known| known.contains_key(key)) {
                        holds &= conforms(value, says, root)?;
                    }
                }
                holds
            }
            ("propertyNames", Value::Object(object)) => {
                let mut holds = true;
                for key in object.keys() {
                    holds &= conforms(&Value::String(key.clone()), says, root)?;
                }
                holds
            }
            ("minProperties", Value::Object(object)) => {
                length(says).is_some_and(|n| object.len() >= n)
            }
            ("maxProperties", Value::Object(object)) => {
                length(says).is_some_and(|n| object.len() <= n)
            }
            ("maxItems", Value::Array(items)) => length(says).is_some_and(|n| items.len() <= n),
            ("uniqueItems", Value::Array(items)) => {
                let mut before = items.iter().enumerate();
                before.all(|(at, item)| !items.iter().take(at).any(|other| other == item))
            }
            ("items", Value::Array(items)) => {
                let mut holds = true;
                for item in items {
                    holds &= conforms(item, says, root)?;
                }
                holds
            }
            (
                "required"
                | "properties"
                | "additionalProperties"
                | "propertyNames"
                | "minProperties"
                | "maxProperties"
                | "maxItems"
                | "uniqueItems"
                | "items",
                _,
            ) => true,
            (other, _) => bail!("this test does not know `{other}`"),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_of(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => false,
    }
}

const POLICIES: &str = "permit (principal is Backstage::User, action, resource);";

/// Returns a file with one case, and whether a runner takes it.
fn cases() -> Vec<(Value, bool)> {
    let read = "catalog.entity.read";
    let (ana, app) = ("user:default/ana", "component:default/app");
    [
        (json!({ "permission": read, "user": ana, "entity": app }), true),
        (json!({ "permission": read, "user": ana, "entity": app, "verb": null }), true),
        (json!({ "permission": read, "user": ana, "entity": app, "context": {} }), true),
        (json!({ "permission": read, "user": ana, "entity": app, "verb": "get" }), false),
        (json!({ "permission": read, "user": ana, "entity": app, "path": "/x" }), false),
        (json!({ "permission": read, "user": ana, "entity": app, "context": { "a": 1 } }), false),
        (json!({ "permission": read, "entity": app }), false),
        (json!({ "permission": read, "service": "plugin:catalog", "entity": app }), true),
        (json!({ "permission": read, "service": "p", "user": ana, "entity": app }), false),
        (json!({ "permission": read, "service": "p", "groups": [], "entity": app }), false),
        (json!({ "permission": read, "user": ana, "entity": app, "task": {} }), false),
        (json!({ "permission": "scaffolder.action.execute", "user": ana, "action": "a" }), false),
        (
            json!({ "permission": "scaffolder.action.execute", "user": ana, "action": { "id": "a" } }),
            true,
        ),
        (json!({ "verb": "get", "user": "ana", "resource": "pods" }), true),
        (json!({ "verb": "get", "user": "ana", "path": "/healthz" }), true),
        (json!({ "verb": "get", "user": "ana" }), false),
        (json!({ "verb": "get", "user": "ana", "resource": "pods", "path": "/healthz" }), false),
        (json!({ "verb": "get", "resource": "pods" }), false),
        (json!({ "verb": "get", "user": "ana", "resource": "pods", "principal": "x" }), false),
        (json!({ "operation": "create", "user": "ana", "resource": "pods" }), true),
        (json!({ "operation": "create", "user": "ana" }), false),
        (json!({ "user": "ana" }), false),
        (json!({}), false),
    ]
    .into_iter()
    .map(|(mut case, taken)| {
        if let Some(case) = case.as_object_mut() {
            case.insert("name".to_owned(), "c".into());
            case.insert("expect".to_owned(), "allow".into());
        }
        (json!({ "cases": [case] }), taken)
    })
    .collect()
}

/// Returns files of whatever else there is.
fn files() -> Vec<(Value, bool)> {
    let case = |expect: Value| {
        json!({ "cases": [{
            "name": "c", "permission": "catalog.entity.read", "user": "user:default/ana",
            "entity": "component:default/app", "expect": expect,
        }] })
    };
    let list = |expect: Value| {
        json!({ "cases": [{
            "name": "c", "permission": "catalog.entity.read", "user": "user:default/ana",
            "expect": expect,
        }] })
    };
    let bound = |bound: Value| json!({ "bounds": [bound] });
    let all = "(principal, action, resource)";
    let table = |with: Value, columns: &str| {
        let grid = "| user |\n| allow |".replace("user", "user:default/ana");
        json!({ "tables": [{ "name": "t", "columns": columns, "with": with, "grid": grid }] })
    };
    let invariant = |over: Value, except: Value| json!({ "invariants": [{ "name": "i", "never": "deny", "over": over, "except": except }] });
    let with = json!({ "permission": "catalog.entity.read", "entity": "component:default/app" });
    let over = json!({
        "permission": "catalog.entity.read", "entity": "component:default/app",
        "user": ["user:default/ana", "user:default/bob"],
    });
    vec![
        (case(json!("deny")), true),
        (case(json!("denied")), false),
        (case(json!({ "decision": "allow" })), true),
        (case(json!({ "reasons": [] })), false),
        (list(json!("conditional")), true),
        (list(json!({ "decision": "conditional" })), true),
        (list(json!({ "selects": [] })), true),
        (bound(json!({ "name": "b", "never": all })), true),
        (bound(json!({ "name": "b", "always": all })), true),
        (bound(json!({ "name": "b", "always": all, "never": null })), true),
        (bound(json!({ "name": "b", "always": all, "never": all })), false),
        (bound(json!({ "name": "b" })), false),
        (
            bound(json!({
                "name": "b", "always": "(principal, action == Backstage::Action::\"catalog.entity.read\", resource)",
                "ifAllowed": "Backstage::Action::\"catalog.entity.delete\"",
            })),
            true,
        ),
        (table(with.clone(), "user"), true),
        (table(with, "usr"), false),
        (table(json!({ "permision": "catalog.entity.read" }), "user"), false),
        (invariant(over.clone(), json!([])), true),
        (invariant(over.clone(), json!([{ "user": "user:default/bob" }])), true),
        (invariant(over.clone(), json!([{ "usr": "user:default/bob" }])), false),
        (invariant(over, json!([{}])), false),
        (invariant(json!({}), json!([])), false),
        (json!({ "case": [] }), false),
    ]
}

#[test]
fn the_schema_of_test_files_accepts_what_the_runner_accepts() -> Result<()> {
    let printed = stagedoor(std::path::Path::new("/"), ["test", "--file-schema"], b"")?;
    let schema: Value = serde_json::from_str(&printed.stdout)?;
    let catalog = json!([
        { "apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": { "name": "app" },
          "spec": { "type": "service", "lifecycle": "production", "owner": "user:default/ana" } },
        { "apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": { "name": "ana" },
          "spec": { "memberOf": [] } },
        { "apiVersion": "backstage.io/v1alpha1", "kind": "User", "metadata": { "name": "bob" },
          "spec": { "memberOf": [] } },
    ]);
    for (mut file, taken) in cases().into_iter().chain(files()) {
        let place = tempfile::tempdir()?;
        std::fs::write(place.path().join("p.cedar"), POLICIES)?;
        if let Some(file) = file.as_object_mut() {
            file.insert("fixtures".to_owned(), json!({ "catalogEntities": catalog }));
        }
        let text = serde_json::to_string(&file)?;
        std::fs::write(place.path().join("a.test.json"), &text)?;
        let run = stagedoor(place.path(), ["test", "."], b"")?;
        ensure!((run.exit != 2) == taken, "the runner: {text}\n{}{}", run.stdout, run.stderr);
        ensure!(conforms(&file, &schema, &schema)? == taken, "the schema: {text}");
    }
    Ok(())
}
