//! Users of 1 to 2,000 groups, and policies with thousands of grants: what is answered fits, is
//! within what Cedar allows, and is not nothing while something of it fits.

use serde_json::{Value, json};
use stagedoor_backstage::{
    Budget, Catalog, Criteria, FindingCode, OwnerCounts, PolicyDecision, PolicyEngine, Principal,
    User,
};
use stagedoor_core::{Decision, Entities};

use crate::policies::{ask, policy};
use crate::random::Seed;
use crate::rules::meets;

const READ: &str = "catalog.entity.read";
const GROUP_COUNTS: [usize; 7] = [1, 8, 40, 60, 150, 600, 2_000];

/// Returns a number from a few to some thousands, small ones as often as large ones.
fn some_count(seed: &mut Seed) -> usize {
    let most = [5, 40, 70, 300, 2_500].get(seed.below(5)).copied().unwrap_or(5);
    1 + seed.below(most)
}

/// Entities whose owners, kinds, names and labels the policies speak of.
fn entities(seed: &mut Seed) -> Vec<Value> {
    let kinds = ["Component", "API", "Resource", "System"];
    (0..120)
        .map(|number| {
            let owner = match number % 4 {
                0 => format!("group:default/g{:04}", seed.below(2_000)),
                1 => format!("group:default/g{:04}", seed.below(60)),
                2 => "user:default/u".to_owned(),
                _ => format!("user:default/other{}", seed.below(5)),
            };
            let tier = seed.pick(&["gold", "silver", "hidden"]);
            json!({
                "apiVersion": "backstage.io/v1alpha1",
                "kind": seed.pick(&kinds),
                "metadata": {
                    "name": format!("repo-{number:04}"),
                    "namespace": seed.pick(&["default", "shop"]),
                    "labels": { "tier": tier },
                },
                "spec": { "lifecycle": seed.pick(&["production", "experimental"]) },
                "relations": [{ "type": "ownedBy", "targetRef": owner }],
            })
        })
        .collect()
}

fn policies(entities: &[Value], seed: &mut Seed) -> String {
    let mut text = String::new();
    let mut add = |effect: &str, number: usize, condition: &str| {
        text.push_str(&format!(
            "@id(\"{effect}-{number}\")\n{effect} (principal is Backstage::User, action == \
             Backstage::Action::\"{READ}\", resource is Backstage::CatalogEntity)\nwhen {{ \
             {condition} }};\n"
        ));
    };
    for number in 0..1 + seed.below(3) {
        let condition = permit_condition(entities, seed);
        add("permit", number, &condition);
    }
    if seed.chance(30) {
        // A grant for each of many repositories.
        for number in 100..100 + some_count(seed) {
            add("permit", number, &one_entity(entities, seed));
        }
    }
    for number in 0..seed.below(3) {
        let condition = match seed.below(4) {
            0 => r#"resource.labels.hasTag("tier") && resource.labels.getTag("tier") == "hidden" &&
                 !resource.owners.containsAny(principal.claims)"#
                .to_owned(),
            1 => r#"resource.kind == "system""#.to_owned(),
            2 => {
                r#"resource.namespace == "shop" && !(principal in resource.ownerGroups)"#.to_owned()
            }
            _ => format!("({})", one_entity(entities, seed)),
        };
        add("forbid", number, &condition);
    }
    text
}

fn permit_condition(entities: &[Value], seed: &mut Seed) -> String {
    match seed.below(7) {
        0 => "resource.owners.containsAny(principal.claims)".to_owned(),
        1 => "principal in resource.ownerGroups".to_owned(),
        2 => r#"resource.kind == "api""#.to_owned(),
        3 => {
            let names: Vec<String> = (0..some_count(seed))
                .map(|_| format!("\"repo-{:04}\"", seed.below(3_000)))
                .collect();
            format!("[{}].contains(resource.name)", names.join(", "))
        }
        4 => r#"resource.owners.containsAny(principal.claims) &&
             ["component", "api"].contains(resource.kind)"#
            .to_owned(),
        5 => {
            let (one, other) = (one_entity(entities, seed), one_entity(entities, seed));
            format!("({one}) || ({other} && resource.kind != \"api\")")
        }
        _ => r#"(resource.labels.hasTag("tier") && resource.labels.getTag("tier") == "gold") ||
             (resource.owners.containsAny(principal.claims) && resource.name like "repo-00*")"#
            .to_owned(),
    }
}

fn one_entity(entities: &[Value], seed: &mut Seed) -> String {
    let entity = entities.get(seed.below(entities.len())).cloned().unwrap_or_default();
    let text = |pointer: &str| {
        entity.pointer(pointer).and_then(Value::as_str).unwrap_or("x").to_lowercase()
    };
    let (kind, namespace) = (text("/kind"), text("/metadata/namespace"));
    let name = match seed.chance(30) {
        true => text("/metadata/name"),
        false => format!("other-{}", seed.below(100_000)),
    };
    format!(r#"resource == Backstage::CatalogEntity::"{kind}:{namespace}/{name}""#)
}

fn user(groups: usize) -> anyhow::Result<Principal> {
    let refs = (0..groups).map(|number| format!("group:default/g{number:04}"));
    Ok(User::new("user:default/u".parse()?).with_ownership_refs(refs).into())
}

fn fits(criteria: &Criteria, budget: Budget) -> anyhow::Result<()> {
    let length = serde_json::to_string(criteria)?.len();
    anyhow::ensure!(
        criteria.leaves() <= budget.leaves
            && criteria.depth() <= budget.depth
            && length <= budget.bytes,
        "{} rules, {} levels, {length} bytes",
        criteria.leaves(),
        criteria.depth(),
    );
    Ok(())
}

#[test]
fn what_is_answered_fits_and_is_within_what_cedar_allows() -> anyhow::Result<()> {
    let mut seed = Seed::new(20_261_129);
    let (mut asked, mut cut, mut kept, mut allowed_in_all, mut slowest) = (0, 0, 0, 0, 0);
    for (round, groups) in GROUP_COUNTS.into_iter().cycle().take(40).enumerate() {
        let entities = entities(&mut seed);
        let catalog = Catalog::from_files([("entities.json", serde_json::to_string(&entities)?)])?;
        let store = Entities::from_entities(catalog.entities())?;
        let text = policies(&entities, &mut seed);
        let with_owners = policy(&text)?.with_owners(catalog.owners());
        let without = policy(&text)?;
        let owners = round % 2 == 0;
        let engine = if owners { &with_owners } else { &without };
        let principal = user(groups)?;
        let allowed = allowed(engine, &principal, &catalog, &store)?;
        let started = std::time::Instant::now();
        let answer = ask(engine, READ, &principal)?;
        slowest = slowest.max(started.elapsed().as_millis());
        let is_cut = answer.findings().iter().any(|f| f.code == FindingCode::OverBudget);
        let is_exact = answer.findings().is_empty();
        let criteria = match answer.decision() {
            PolicyDecision::Conditional { conditions, .. } => {
                fits(conditions, Budget::default())?;
                Some(serde_json::to_value(conditions)?)
            }
            _ => None,
        };
        asked += 1;
        cut += usize::from(is_cut);
        for (entity, cedar) in entities_in_order(&entities).iter().zip(&allowed) {
            let applied = match &criteria {
                Some(criteria) => meets(entity, criteria)?,
                None => *answer.decision() == PolicyDecision::Allow,
            };
            kept += usize::from(applied);
            allowed_in_all += usize::from(*cedar);
            let is_right = if is_exact { applied == *cedar } else { *cedar || !applied };
            anyhow::ensure!(
                is_right,
                "Cedar says {cedar}, the rules say {applied} (exact: {is_exact}, {groups} groups)\n\
                 {entity}\n{:?}\n{text}",
                answer.findings()
            );
        }
        if is_cut {
            not_empty_while_a_permit_fits(engine, &text, &principal, &answer)?;
        }
    }
    println!(
        "{asked} answers, {cut} of them cut; {kept} of {allowed_in_all} resources that Cedar \
         allows are answered; the slowest took {slowest} ms"
    );
    assert!(cut > 5 && cut < asked && kept * 2 > allowed_in_all, "{cut} {kept} {allowed_in_all}");
    Ok(())
}

/// Where a permit alone, beside all forbids, is answered, so is something of the whole.
fn not_empty_while_a_permit_fits(
    engine: &PolicyEngine,
    text: &str,
    principal: &Principal,
    answer: &stagedoor_backstage::PolicyAnswer,
) -> anyhow::Result<()> {
    if *answer.decision() != PolicyDecision::Deny {
        return Ok(());
    }
    let all: Vec<&str> = text.split_inclusive(";\n").collect();
    let forbids: String = all.iter().copied().filter(|p| p.contains("@id(\"forbid")).collect();
    for permit in all.iter().filter(|policy| policy.contains("@id(\"permit")) {
        let alone = policy(&format!("{permit}{forbids}"))?.with_budget(Budget::default());
        let alone = ask(&alone, READ, principal)?;
        anyhow::ensure!(
            *alone.decision() == PolicyDecision::Deny,
            "{permit} fits, but nothing is answered by {}: {:?}",
            engine.revision(),
            answer.findings(),
        );
    }
    Ok(())
}

/// Returns the entities as a catalog sorts them.
fn entities_in_order(entities: &[Value]) -> Vec<Value> {
    let mut entities = entities.to_vec();
    entities.sort_by_cached_key(reference);
    entities
}

fn reference(entity: &Value) -> (String, String, String) {
    let text = |pointer: &str| {
        entity.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_lowercase()
    };
    (text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

/// Returns what Cedar decides about each entity.
fn allowed(
    policy: &PolicyEngine,
    principal: &Principal,
    catalog: &Catalog,
    store: &Entities,
) -> anyhow::Result<Vec<bool>> {
    let permission = policy.permissions().get(READ)?;
    let entities = store.with([principal.to_entity()])?;
    catalog
        .references()
        .map(|reference| {
            let asked = permission.request(principal, Some(catalog.resource(reference)?))?;
            Ok(policy.engine().decide(&asked.request, &entities)?.decision() == Decision::Allow)
        })
        .collect()
}

#[test]
fn those_who_own_most_are_kept_and_a_small_permit_holds() -> anyhow::Result<()> {
    let text = r#"
        @id("own") permit (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
          when { resource.owners.containsAny(principal.claims) };
        @id("api") permit (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
          when { resource.kind == "api" };"#;
    let owners: OwnerCounts = (0..2_000_u64)
        .map(|number| (format!("group:default/g{number:04}"), u64::from(number % 7 == 0) * number))
        .filter(|(_, count)| *count > 0)
        .collect();
    let answer = ask(&policy(text)?.with_owners(owners), READ, &user(2_000)?)?;
    let PolicyDecision::Conditional { conditions, .. } = answer.decision() else {
        anyhow::bail!("{:?}", answer.findings());
    };
    let json = serde_json::to_string(conditions)?;
    assert!(json.contains(r#""kinds":["api"]"#), "{json}");
    assert!(json.contains("g1995") && !json.contains("g1994") && !json.contains("g0007"), "{json}");
    let [finding] = answer.findings() else { anyhow::bail!("{:?}", answer.findings()) };
    assert!(finding.message.contains("cut short: `own`"), "{finding}");
    let reasons: Vec<&str> = answer.reasons().collect();
    assert_eq!(reasons, ["own", "api"]);

    // Where the others own nothing, nothing is missing and nothing is told.
    let owners: OwnerCounts = (0..30).map(|n| (format!("group:default/g{n:04}"), 1)).collect();
    let answer = ask(&policy(text)?.with_owners(owners), READ, &user(2_000)?)?;
    assert_eq!(answer.findings(), []);
    Ok(())
}

/// A forbid that spares owners is kept for as many of them as fit.
#[test]
fn exceptions_of_forbids_are_cut_and_forbids_are_not() -> anyhow::Result<()> {
    let text = r#"
        @id("all") permit (principal is Backstage::User, action, resource is Backstage::CatalogEntity);
        @id("hidden") forbid (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
          when { resource.labels.hasTag("tier") && resource.labels.getTag("tier") == "hidden" }
          unless { resource.owners.containsAny(principal.claims) };"#;
    let answer = ask(&policy(text)?, READ, &user(2_000)?)?;
    let PolicyDecision::Conditional { conditions, .. } = answer.decision() else {
        anyhow::bail!("{:?}", answer.findings());
    };
    let json = serde_json::to_string(conditions)?;
    assert!(
        json.contains("user:default/u") && json.contains(r#""not":{"rule":"HAS_LABEL""#),
        "{json}"
    );
    let [finding] = answer.findings() else { anyhow::bail!("{:?}", answer.findings()) };
    assert!(finding.message.contains("exceptions of forbids"), "{finding}");

    // Where only one rule fits, it is the one that lets most pass.
    let one = Budget { leaves: 1, ..Budget::default() };
    let answer = ask(&policy(text)?.with_budget(one), READ, &user(3)?)?;
    let PolicyDecision::Conditional { conditions, .. } = answer.decision() else {
        anyhow::bail!("{:?}", answer.findings());
    };
    let json = serde_json::to_string(conditions)?;
    assert!(json.starts_with(r#"{"not":{"rule":"HAS_LABEL""#), "{json}");
    Ok(())
}
