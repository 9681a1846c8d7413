//! The rules of the catalog and of the scaffolder, as `@backstage/plugin-catalog-backend` 4.0.0 and
//! `@backstage/plugin-scaffolder-backend` 4.2.0 apply them in memory.

use serde_json::{Map, Value};

/// Returns whether the entity meets the criteria.
pub(crate) fn meets(entity: &Value, criteria: &Value) -> anyhow::Result<bool> {
    let object = criteria.as_object().ok_or_else(|| anyhow::anyhow!("no object: {criteria}"))?;
    let list = |name: &str| object.get(name).and_then(Value::as_array);
    if let Some(items) = list("allOf") {
        anyhow::ensure!(items.len() > 1, "allOf of {}", items.len());
        for item in items {
            if !meets(entity, item)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if let Some(items) = list("anyOf") {
        anyhow::ensure!(items.len() > 1, "anyOf of {}", items.len());
        for item in items {
            if meets(entity, item)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if let Some(item) = object.get("not") {
        return Ok(!meets(entity, item)?);
    }
    rule(entity, object)
}

fn rule(entity: &Value, condition: &Map<String, Value>) -> anyhow::Result<bool> {
    let params = condition.get("params").and_then(Value::as_object);
    let params = params.ok_or_else(|| anyhow::anyhow!("no params"))?;
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or_default();
    let value = params.get("value").and_then(Value::as_str);
    let items = |name: &str| -> anyhow::Result<Vec<&str>> {
        let items = params.get(name).and_then(Value::as_array);
        let items: Vec<&str> = items.into_iter().flatten().filter_map(Value::as_str).collect();
        anyhow::ensure!(!items.is_empty(), "an empty list");
        Ok(items)
    };
    let metadata = entity.get("metadata");
    Ok(match condition.get("rule").and_then(Value::as_str).unwrap_or_default() {
        "IS_ENTITY_KIND" => {
            let kind =
                entity.get("kind").and_then(Value::as_str).unwrap_or_default().to_lowercase();
            items("kinds")?.iter().any(|k| k.to_lowercase() == kind)
        }
        "IS_ENTITY_OWNER" => {
            let relations = entity.get("relations").and_then(Value::as_array);
            let claims = items("claims")?;
            relations.into_iter().flatten().any(|relation| {
                relation.get("type") == Some(&"ownedBy".into())
                    && relation
                        .get("targetRef")
                        .and_then(Value::as_str)
                        .is_some_and(|t| claims.contains(&t))
            })
        }
        "HAS_LABEL" => has_text(metadata.and_then(|m| m.get("labels")), text("label"), value),
        "HAS_ANNOTATION" => {
            has_text(metadata.and_then(|m| m.get("annotations")), text("annotation"), value)
        }
        "HAS_METADATA" => has_row(entity, &format!("metadata.{}", text("key")), value),
        "HAS_SPEC" => has_row(entity, &format!("spec.{}", text("key")), value),
        "HAS_TAG" => {
            let tags = entity.get("backstage:permissions").and_then(|p| p.get("tags"));
            tags.and_then(Value::as_array).is_some_and(|tags| tags.contains(&text("tag").into()))
        }
        "HAS_ACTION_ID" => entity.get("action") == params.get("actionId"),
        "IS_TASK_OWNER" => {
            let created_by = entity.get("createdBy").and_then(Value::as_str);
            let created_by = created_by.filter(|text| !text.is_empty());
            created_by
                .is_some_and(|user| items("createdBy").is_ok_and(|users| users.contains(&user)))
        }
        "HAS_STRING_PROPERTY" => has_property(entity, params, Value::is_string),
        "HAS_NUMBER_PROPERTY" => has_property(entity, params, Value::is_number),
        "HAS_BOOLEAN_PROPERTY" => has_property(entity, params, Value::is_boolean),
        other => anyhow::bail!("unknown rule {other}"),
    })
}

fn has_property(step: &Value, params: &Map<String, Value>, is_type: fn(&Value) -> bool) -> bool {
    let key = params.get("key").and_then(Value::as_str).unwrap_or_default();
    let found = key.split('.').try_fold(step.get("input").unwrap_or(&Value::Null), |v, k| v.get(k));
    let Some(found) = found.filter(|found| is_type(found)) else { return false };
    let Some(value) = params.get("value") else { return true };
    if let (Some(found), Some(value)) = (found.as_str(), value.as_str()) {
        let action = step.get("action").and_then(Value::as_str).unwrap_or_default();
        let segments: Vec<&str> = action.split(':').collect();
        let integrations = ["gitlab", "github", "bitbucket", "bitbucketCloud", "bitbucketServer"];
        let is_caseless = ["owner", "repoName", "projectId", "repoUrl"].contains(&key)
            || segments.contains(&"group") && key == "path";
        if is_caseless && segments.iter().any(|segment| integrations.contains(segment)) {
            return found.to_lowercase() == value.to_lowercase();
        }
    }
    match (found.as_f64(), value.as_f64()) {
        (Some(found), Some(value)) => found == value,
        _ => found == value,
    }
}

fn has_text(texts: Option<&Value>, key: &str, value: Option<&str>) -> bool {
    texts.and_then(Value::as_object).into_iter().flatten().any(|(k, v)| {
        k.to_lowercase() == key.to_lowercase()
            && value.is_none_or(|value| {
                v.as_str().is_some_and(|v| v.to_lowercase() == value.to_lowercase())
            })
    })
}

fn has_row(entity: &Value, key: &str, value: Option<&str>) -> bool {
    let mut rows = Vec::new();
    visit("", entity, &mut rows);
    let metadata =
        |field: &str| entity.get("metadata").and_then(|m| m.get(field)).and_then(Value::as_str);
    for field in ["name", "namespace", "uid"] {
        rows.push((format!("metadata.{field}"), metadata(field).map(ToOwned::to_owned)));
    }
    if metadata("namespace").is_none() {
        rows.push(("metadata.namespace".into(), Some("default".into())));
    }
    let long = |text: &str| text.encode_utf16().count() > 200;
    rows.iter().any(|(k, v)| {
        let k = k.to_lowercase();
        let v = v.as_ref().map(|v| v.to_lowercase()).filter(|v| !long(v));
        !long(&k)
            && k == key.to_lowercase()
            && value.is_none_or(|value| v == Some(value.to_lowercase()))
    })
}

fn visit(path: &str, value: &Value, rows: &mut Vec<(String, Option<String>)>) {
    let special = [
        "attachments",
        "relations",
        "status",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.etag",
    ];
    if special.contains(&path) {
        return;
    }
    match value {
        Value::Null => rows.push((path.into(), None)),
        Value::Bool(b) => rows.push((path.into(), Some(b.to_string()))),
        Value::String(text) => rows.push((path.into(), Some(text.clone()))),
        Value::Number(number) => {
            let text = match number.as_f64() {
                Some(0.0) => "0".to_owned(),
                Some(1e21) => "1e+21".to_owned(),
                _ => number.to_string(),
            };
            rows.push((path.into(), Some(text)));
        }
        Value::Array(items) => {
            for item in items {
                visit(path, item, rows);
                if let Some(text) = item.as_str() {
                    rows.push((format!("{path}.{text}"), Some("true".into())));
                }
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                visit(&path, value, rows);
            }
        }
    }
}
