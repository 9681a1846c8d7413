//! Catalog entities as the catalog's API returns them, odd ones included.

use serde_json::{Map, Value, json};

use super::seed::Seed;

pub(crate) const KINDS: [&str; 6] = ["Component", "API", "Resource", "System", "Group", "Widget"];
pub(crate) const NAMESPACES: [&str; 3] = ["default", "shop", "ops"];
pub(crate) const OWNERS: [&str; 8] = [
    "group:default/a",
    "group:default/b",
    "group:shop/a",
    "group:default/ünal",
    "user:default/ana",
    "user:shop/bo",
    "group:default/c",
    "team:default/x",
];
pub(crate) const LABELS: [&str; 4] = ["tier", "example.com/zone", "Mixed", "empty"];
pub(crate) const ANNOTATIONS: [&str; 4] = ["a/b", "stagedoor/visibility", "long", "Note"];
pub(crate) const TEXTS: [&str; 12] = [
    "gold",
    "Gold",
    "silver",
    "",
    "production",
    "Production",
    "experimental",
    "true",
    "1.5",
    "straße",
    "ΑΣ",
    "İ",
];

/// Returns this many entities with different names.
pub(crate) fn entities(count: usize, seed: &mut Seed) -> Vec<Value> {
    (0..count).map(|number| entity(number, seed)).collect()
}

fn entity(number: usize, seed: &mut Seed) -> Value {
    let kind = seed.pick(&KINDS);
    let mut metadata = Map::new();
    // Names repeat over kinds and namespaces.
    let name = match number % 10 {
        0 => format!("Ledger-{number}"),
        _ => format!("n{number}"),
    };
    let name = if number < 4 {
        ["ledger", "Pay.api", "x", "y_1"].get(number).copied().unwrap_or("z").to_owned()
    } else {
        name
    };
    metadata.insert("name".into(), name.into());
    if seed.chance(60) {
        metadata.insert("namespace".into(), seed.pick(&NAMESPACES).into());
    }
    metadata.insert("uid".into(), format!("{number:08}-AAAA").into());
    if seed.chance(60) {
        metadata.insert("labels".into(), texts(&LABELS, 63, seed));
    }
    if seed.chance(60) {
        metadata.insert("annotations".into(), texts(&ANNOTATIONS, 300, seed));
    }
    if seed.chance(60) {
        let tags = ["java", "go", "Internal", "a.b", "x y"];
        metadata.insert("tags".into(), seed.some(&tags).into());
    }
    if seed.chance(15) {
        metadata.insert("title".into(), odd(seed, 0));
    }
    let mut entity = Map::new();
    entity.insert("apiVersion".into(), "backstage.io/v1alpha1".into());
    entity.insert("kind".into(), kind.into());
    entity.insert("metadata".into(), metadata.into());
    if seed.chance(85) {
        entity.insert("spec".into(), spec(seed));
    }
    if seed.chance(85) {
        let owners = if seed.chance(80) { seed.some(&OWNERS) } else { Vec::new() };
        let owners = owners.into_iter().take(3);
        let mut relations: Vec<Value> =
            owners.map(|o| json!({"type": "ownedBy", "targetRef": o})).collect();
        if seed.chance(30) {
            relations.push(json!({"type": "dependsOn", "targetRef": "group:default/a"}));
        }
        entity.insert("relations".into(), relations.into());
    } else {
        entity.insert("relations".into(), Value::Array(Vec::new()));
    }
    entity.into()
}

fn texts(keys: &[&str], longest: usize, seed: &mut Seed) -> Value {
    let mut map = Map::new();
    for key in seed.some(keys) {
        let text = match seed.below(12) {
            0 => "é".repeat(longest.min(200)),
            1 if longest > 200 => "x".repeat(201),
            2 if longest > 200 => "x".repeat(200),
            _ => seed.pick(&TEXTS).to_owned(),
        };
        map.insert(key.into(), text.into());
    }
    map.into()
}

fn spec(seed: &mut Seed) -> Value {
    let mut spec = Map::new();
    for key in ["lifecycle", "type", "owner", "replicas", "Tier"] {
        if seed.chance(60) {
            let value = match seed.below(6) {
                0 => odd(seed, 0),
                _ => seed.pick(&TEXTS).into(),
            };
            spec.insert(key.into(), value);
        }
    }
    if seed.chance(20) {
        spec.insert("nested".into(), json!({"a": odd(seed, 1), "list": [{"t": "x"}, {"t": "Y"}]}));
    }
    spec.into()
}

/// Returns a value that a form would not ask for.
fn odd(seed: &mut Seed, depth: usize) -> Value {
    match seed.below(if depth > 1 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => true.into(),
        2 => json!(1.5),
        3 => json!(1e21),
        4 => json!(-0.0),
        5 => "x".repeat(200 + seed.below(2)).into(),
        6 => seed.pick(&TEXTS).into(),
        7 => (0..seed.below(4)).map(|_| odd(seed, depth + 1)).collect(),
        _ => json!({"production": odd(seed, depth + 1)}),
    }
}
