//! Policies about catalog entities.

use super::entities::{ANNOTATIONS, KINDS, LABELS, NAMESPACES, OWNERS, TEXTS};
use super::seed::Seed;

const ROWS: [&str; 14] = [
    "spec.lifecycle",
    "spec.type",
    "spec.owner",
    "spec.replicas",
    "spec.tier",
    "spec.nested.a",
    "spec.nested.list.t",
    "spec.lifecycle.production",
    "metadata.tags",
    "metadata.tags.java",
    "metadata.title",
    "metadata.labels.tier",
    "metadata.name",
    "metadata.annotations.long",
];
const GROUPS: [&str; 4] =
    ["group:default/a", "group:default/b", "group:shop/a", "group:default/top"];

/// Returns a policy set. Not every one is valid.
pub(crate) fn policies(seed: &mut Seed) -> String {
    let count = 1 + seed.below(4);
    let mut text: String = (0..count).map(|n| policy("permit", n, seed)).collect();
    for number in 0..seed.below(3) {
        text.push_str(&policy("forbid", number, seed));
    }
    text
}

fn policy(effect: &str, number: usize, seed: &mut Seed) -> String {
    let principal = match seed.below(5) {
        0 => format!(r#"principal in Backstage::Group::"{}""#, seed.pick(&GROUPS)),
        _ => "principal is Backstage::User".to_owned(),
    };
    let principal = match seed.below(4) {
        0 => principal.replace("principal in", "principal is Backstage::User in"),
        _ => principal,
    };
    let mut text = format!(
        "@id(\"{effect}-{number}\")\n{effect} ({principal},\n  action == \
         Backstage::Action::\"catalog.entity.read\",\n  resource is Backstage::CatalogEntity)\n"
    );
    // Without it, `principal` in a group may be a service, which has no claims.
    let guard = "principal is Backstage::User && ";
    for _ in 0..1 + seed.below(2) {
        let clause = if seed.chance(75) { "when" } else { "unless" };
        let guard = if clause == "when" { guard } else { "" };
        text.push_str(&format!("{clause} {{ {guard}({}) }}\n", condition(3, seed)));
    }
    text.push_str(";\n");
    text
}

fn condition(depth: usize, seed: &mut Seed) -> String {
    if depth == 0 || seed.chance(35) {
        return fact(seed);
    }
    let mut next = || condition(depth - 1, seed);
    let (a, b, c) = (next(), next(), next());
    match seed.below(8) {
        0..=2 => format!("({a} && {b})"),
        3..=5 => format!("({a} || {b})"),
        6 => format!("!({a})"),
        _ => format!("(if {a} then {b} else {c})"),
    }
}

fn list(items: &[&str]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(", "))
}

fn fact(seed: &mut Seed) -> String {
    let texts = seed.some(&TEXTS);
    let text = format!("{:?}", seed.pick(&TEXTS));
    let row = seed.pick(&ROWS);
    let operator = seed.pick(&["containsAny", "containsAll"]);
    let equals = seed.pick(&["==", "!="]);
    let lower: Vec<String> = KINDS.iter().map(|kind| kind.to_lowercase()).collect();
    let kind = lower.get(seed.below(lower.len())).cloned().unwrap_or_default();
    match seed.below(24) {
        0 => format!(r#"resource.kind {equals} "{kind}""#),
        1 => format!(r#"["component", "{kind}", "API"].contains(resource.kind)"#),
        2 => format!(r#"resource.namespace {equals} "{}""#, seed.pick(&NAMESPACES)),
        3 => format!(
            r#"resource.name {equals} "{}""#,
            seed.pick(&["ledger", "pay.api", "x", "X", "n7"])
        ),
        4 => format!("resource.owners.{operator}({})", list(&seed.some(&OWNERS))),
        5 | 6 => "resource.owners.containsAny(principal.claims)".to_owned(),
        7 => "principal in resource.ownerGroups".to_owned(),
        8 => {
            format!(r#"resource.ownerGroups.contains(Backstage::Group::"{}")"#, seed.pick(&OWNERS))
        }
        9 => format!("resource.hasTag({row:?})"),
        10 => format!("(resource.hasTag({row:?}) && resource.getTag({row:?}).contains({text}))"),
        11 => format!(
            "(resource.hasTag({row:?}) && resource.getTag({row:?}).{operator}({}))",
            list(&texts)
        ),
        12 => format!("(!resource.hasTag({row:?}) || resource.getTag({row:?}).contains({text}))"),
        13 | 14 => {
            let key = seed.pick(&LABELS).to_lowercase();
            format!(
                "(resource.labels.hasTag({key:?}) && resource.labels.getTag({key:?}) {equals} {text})"
            )
        }
        15 => {
            let key = seed.pick(&ANNOTATIONS).to_lowercase();
            format!(
                "(resource.annotations.hasTag({key:?}) && {}.contains(resource.annotations.getTag({key:?})))",
                list(&texts)
            )
        }
        16 => {
            let key = seed.pick(&ANNOTATIONS);
            format!("resource.annotations.hasTag({key:?})")
        }
        17 => format!(r#"principal in Backstage::Group::"{}""#, seed.pick(&GROUPS)),
        18 => format!(r#"principal.claims.contains("{}")"#, seed.pick(&OWNERS)),
        19 => format!(
            r#"resource {equals} Backstage::CatalogEntity::"{}""#,
            seed.pick(&["component:default/ledger", "api:shop/pay.api", "Component:default/x"])
        ),
        20 => unsupported(seed),
        21 => "9223372036854775807 + 1 > 0".to_owned(),
        22 => format!(r#"resource.name like "{}""#, seed.pick(&["*", "x", "n1*"])),
        _ => format!("(resource.hasTag({row:?}) == {})", seed.pick(&["true", "false"])),
    }
}

/// What Backstage's rules cannot say.
fn unsupported(seed: &mut Seed) -> String {
    let long = "x".repeat(201);
    let long = format!(
        "(resource.annotations.hasTag(\"long\") && resource.annotations.getTag(\"long\") == {long:?})"
    );
    seed.pick(&[
        "resource.owners.isEmpty()",
        "principal.claims.containsAll(resource.owners)",
        "resource.name == resource.namespace",
        r#"resource.kind like "*e*""#,
        &long,
    ])
    .to_owned()
}
