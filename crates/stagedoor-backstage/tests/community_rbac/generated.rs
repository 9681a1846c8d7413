//! Random files: what comes of them decides as the plugin would, or more narrowly.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use crate::seed::Seed;
use crate::{PRECEDENCES, imported};

const ROLES: [&str; 4] =
    ["role:default/a", "role:default/B", "role:shop/c.d_e", "role:default/nobody"];
const MEMBERS: [&str; 7] = [
    "user:default/ana",
    "user:default/Bo",
    "group:default/x",
    "group:default/y",
    "group:shop/z",
    "user:shop/eve",
    "group:default/w",
];
/// Names, resource types, and actions that go with them or not.
const OBJECTS: [(&str, &str); 16] = [
    ("catalog-entity", "read"),
    ("catalog-entity", "delete"),
    ("catalog-entity", "update"),
    ("catalog-entity", "create"),
    ("catalog.entity.read", "read"),
    ("catalog.entity.delete", "delete"),
    ("catalog.entity.refresh", "read"),
    ("kubernetes.proxy", "use"),
    ("catalog.entity.create", "create"),
    ("scaffolder-action", "use"),
    ("scaffolder.action.execute", "use"),
    ("scaffolder-task", "read"),
    ("scaffolder-template", "read"),
    ("policy-entity", "create"),
    ("policy.entity.create", "create"),
    ("policy-entity", "read"),
];

fn csv(seed: &mut Seed) -> String {
    let mut lines = BTreeSet::new();
    for role in &ROLES[..3] {
        for member in seed.some(&MEMBERS) {
            lines.insert(format!("g, {member}, {role}"));
        }
    }
    let mut rows = BTreeSet::new();
    for _ in 0..seed.below(24) {
        let subject = match seed.chance(12) {
            true => seed.pick(&MEMBERS).to_lowercase(),
            false => seed.pick(&ROLES).to_owned(),
        };
        let (object, action) = OBJECTS.get(seed.below(OBJECTS.len())).copied().unwrap_or_default();
        if rows.insert((subject.clone(), object, action)) {
            let effect = if seed.chance(70) { "allow" } else { "deny" };
            lines.insert(format!("p, {subject}, {object}, {action}, {effect}"));
        }
    }
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

/// A rule; with `odd`, one that policies may say only in a narrower way.
fn rule(seed: &mut Seed, of_type: &str, odd: bool) -> String {
    let pick = |seed: &mut Seed, items: &[&str]| seed.pick(items).to_owned();
    let (rule, params) = match of_type {
        "catalog-entity" => match seed.below(6) {
            0 => (
                "IS_ENTITY_KIND",
                pick(seed, &["kinds: [API]", "kinds: [component, Api]", "kinds: []"]),
            ),
            1 if odd => {
                ("IS_ENTITY_OWNER", "claims: [Group:default/X, group:default/y]".to_owned())
            }
            1 => (
                "IS_ENTITY_OWNER",
                pick(
                    seed,
                    &[
                        "claims: [$ownerRefs]",
                        "claims: [$currentUser, group:default/x]",
                        "claims: []",
                    ],
                ),
            ),
            2 => (
                "HAS_ANNOTATION",
                pick(
                    seed,
                    &[
                        "annotation: Acme/Key, value: Some",
                        "annotation: acme/key",
                        "annotation: acme/user, value: $currentUser",
                    ],
                ),
            ),
            3 => ("HAS_LABEL", pick(seed, &["label: tier, value: \"1\"", "label: Tier"])),
            4 => (
                "HAS_METADATA",
                pick(seed, &["key: tags, value: java", "key: tags.java", "key: title"]),
            ),
            _ => (
                "HAS_SPEC",
                pick(
                    seed,
                    &[
                        "key: Lifecycle, value: Production",
                        "key: deep.field, value: x",
                        "key: type",
                    ],
                ),
            ),
        },
        "scaffolder-action" => match seed.below(if odd { 5 } else { 2 }) {
            0 => (
                "HAS_ACTION_ID",
                pick(seed, &["actionId: 'publish:github'", "actionId: 'debug:log'"]),
            ),
            1 => (
                "HAS_STRING_PROPERTY",
                pick(
                    seed,
                    &[
                        "key: repo, value: Acme",
                        "key: owner, value: acme",
                        "key: by, value: $currentUser",
                    ],
                ),
            ),
            2 => (
                "HAS_STRING_PROPERTY",
                pick(seed, &["key: repo", "key: owner, value: Acme", "key: size, value: '5'"]),
            ),
            3 => ("HAS_NUMBER_PROPERTY", pick(seed, &["key: size, value: 5", "key: size"])),
            _ => {
                ("HAS_BOOLEAN_PROPERTY", pick(seed, &["key: private, value: true", "key: private"]))
            }
        },
        "scaffolder-task" => (
            "IS_TASK_OWNER",
            pick(
                seed,
                &["createdBy: [$currentUser]", "createdBy: ['user:default/ana', $ownerRefs]"],
            ),
        ),
        _ => ("HAS_TAG", pick(seed, &["tag: secret", "tag: Admin"])),
    };
    format!("{{rule: {rule}, resourceType: {of_type}, params: {{{params}}}}}")
}

fn criteria(seed: &mut Seed, of_type: &str, odd: bool, depth: usize) -> String {
    let inner = |seed: &mut Seed| {
        let count = 1 + seed.below(3);
        let items: Vec<String> =
            (0..count).map(|_| criteria(seed, of_type, odd, depth - 1)).collect();
        items.join(", ")
    };
    match seed.below(if depth == 0 { 1 } else { 4 }) {
        1 => format!("{{allOf: [{}]}}", inner(seed)),
        2 => format!("{{anyOf: [{}]}}", inner(seed)),
        3 => format!("{{not: {}}}", criteria(seed, of_type, odd, depth - 1)),
        _ => rule(seed, of_type, odd),
    }
}

fn yaml(seed: &mut Seed, odd: bool) -> String {
    let mut documents = Vec::new();
    for role in ROLES {
        for (of_type, mappings) in [
            (
                "catalog-entity",
                &[
                    "[read]",
                    "[read, update]",
                    "[{name: catalog.entity.read, action: read}]",
                    "[delete]",
                ][..],
            ),
            ("scaffolder-action", &["[use]"]),
            ("scaffolder-task", &["[read, use]", "[{name: scaffolder.task.read, action: read}]"]),
            (
                "scaffolder-template",
                &["[read]", "[{name: scaffolder.template.step.read, action: read}]"],
            ),
        ] {
            if !seed.chance(30) {
                continue;
            }
            let mapping = seed.pick(mappings);
            let criteria = criteria(seed, of_type, odd, 3);
            documents.push(format!(
                "result: CONDITIONAL\nroleEntityRef: {role}\npluginId: x\nresourceType: {of_type}\n\
                 permissionMapping: {mapping}\nconditions: {criteria}\n"
            ));
        }
    }
    documents.join("---\n")
}

#[test]
fn both_readings_agree() -> Result<()> {
    let mut seed = Seed::new(20_261_122);
    let (mut decisions, mut narrower) = (0, 0);
    for number in 0..60 {
        let odd = number % 3 == 2;
        let (csv, yaml) = (csv(&mut seed), yaml(&mut seed, odd));
        for precedence in PRECEDENCES {
            let told = || format!("{precedence:?}\n{csv}\n{yaml}");
            let (import, parity) = imported(&csv, Some(&yaml), precedence).with_context(told)?;
            decisions += parity.decisions;
            let cedar = import.to_cedar();
            ensure!(parity.wider == 0, "{:#?}\n{}\n{cedar}", parity.differences, told());
            ensure!(parity.uncompared == 0, "{}", told());
            let closes = import.remarks().iter().any(|remark| remark.closes);
            ensure!(
                parity.different == 0 || closes,
                "{:#?}\n{}\n{cedar}",
                parity.differences,
                told()
            );
            narrower += usize::from(parity.different > 0);
        }
    }
    // Both the exact and the narrower way were met.
    ensure!(decisions > 200_000 && narrower > 3, "{decisions} decisions, {narrower} narrower");
    println!("{decisions} decisions, {narrower} imports were narrower");
    Ok(())
}
