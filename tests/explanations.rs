//! What explanations tell: alternatives that hold, values that were met, and what would have to
//! be different.

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{
    Change, Decision, Engine, Entities, Entity, EntityUid, Explanation, HeldClause, MetValue,
    PolicyStatus, Request,
};

const SCHEMA: &str = "
    entity Role;
    entity Team { lead: User };
    entity User in [Role, Team] { level: Long, team?: Team };
    entity Folder;
    entity File in [Folder] {
        fileSize: Long, fileType: String, restricted: Bool, status: String, labels: Set<String>,
        owner: User, meta: { zone: String, note?: String }
    } tags String;
    action upload, read, archive, share appliesTo {
        principal: User, resource: File, context: { isInternalIp: Bool, mfa: Bool }
    };";

fn uid(text: &str) -> Result<EntityUid> {
    Ok(text.parse()?)
}

fn entities() -> Result<Entities> {
    Ok(Entities::from_entities([
        Entity::new(uid("User::\"ana\"")?)
            .with_attribute("level", 3)
            .with_parent(uid("Role::\"analyst\"")?),
        Entity::new(uid("File::\"f\"")?)
            .with_attribute("fileSize", 5)
            .with_attribute("fileType", "exe")
            .with_attribute("restricted", false)
            .with_attribute("status", "Expired")
            .with_attribute("labels", stagedoor_core::Value::from_iter(["a"]))
            .with_attribute("owner", uid("User::\"bob\"")?)
            .with_attribute("meta", stagedoor_core::Record::from([("zone".into(), "eu".into())]))
            .with_tag("stage", "beta"),
    ])?)
}

fn explain(policies: &str, action: &str) -> Result<Explanation> {
    let engine =
        Engine::builder().schema("s.cedarschema", SCHEMA).policies("p.cedar", policies).build()?;
    let action = uid(&format!("Action::{action:?}"))?;
    let request = Request::new(uid("User::\"ana\"")?, action, uid("File::\"f\"")?)
        .with_context("isInternalIp", true)
        .with_context("mfa", false);
    Ok(engine.explain(&request, &entities()?)?)
}

fn told(values: &[MetValue]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn held<'e>(explanation: &'e Explanation, policy: &str) -> Result<&'e [HeldClause]> {
    let policy = explanation.policies().iter().find(|p| p.policy() == policy);
    Ok(policy.context("the policy")?.held())
}

/// Asked for in cedar-policy/cedar-go#118.
#[test]
fn a_policy_that_holds_tells_which_alternative_does_and_by_which_value() -> Result<()> {
    let explanation = explain(
        r#"@id("any") permit(principal is User, action == Action::"upload", resource is File);
           @id("block") forbid(principal is User, action == Action::"upload", resource is File)
           when {
               resource.fileSize > 100 || resource.fileType == "exe" ||
               (!context.isInternalIp && !context.mfa)
           }
           unless { resource.restricted && principal.level > 2 };"#,
        "upload",
    )?;
    let [clause, unless] = held(&explanation, "block")? else { anyhow::bail!("two clauses") };
    let [alternative] = clause.alternatives() else { anyhow::bail!("{clause:?}") };
    ensure!(alternative.text() == "resource.fileType == \"exe\"", "{alternative:?}");
    ensure!((alternative.line(), alternative.column()) == (Some(4), Some(43)), "{alternative:?}");
    ensure!(told(alternative.values()) == ["`resource.fileType` is `\"exe\"`"]);
    ensure!(
        told(clause.values())
            == [
                "`resource.fileSize` is `5`",
                "`resource.fileType` is `\"exe\"`",
                "`context.isInternalIp` is `true`",
                "`context.mfa` is `false`",
            ],
        "{clause:?}"
    );
    let [alternative] = unless.alternatives() else { anyhow::bail!("{unless:?}") };
    ensure!(alternative.text() == "!(resource.restricted)", "{alternative:?}");
    ensure!(told(alternative.values()) == ["`resource.restricted` is `false`"]);
    ensure!(held(&explanation, "any")?.is_empty());
    Ok(())
}

#[test]
fn a_policy_that_does_not_hold_tells_the_values_that_it_met() -> Result<()> {
    let explanation = explain(
        r#"@id("p") permit(principal in Role::"admin", action == Action::"read", resource)
           when { !(resource.meta has note) && resource.meta.zone == "us" };
           @id("q") permit(principal, action == Action::"read", resource)
           when { resource.hasTag("stage") && resource.getTag("stage") == "ga" };"#,
        "read",
    )?;
    let status = |id: &str| {
        let policy = explanation.policies().iter().find(|p| p.policy() == id);
        policy.map(|policy| policy.status().clone())
    };
    ensure!(status("p").is_none());
    let Some(PolicyStatus::NotSatisfied(clause)) = status("q") else { anyhow::bail!("q") };
    ensure!(told(clause.values()) == ["`resource.getTag(\"stage\")` is `\"beta\"`"], "{clause:?}");
    let near = explanation.nearest().iter().find(|near| near.policy() == "p").context("p")?;
    let values: Vec<_> = near.failed().iter().flat_map(|c| told(c.values())).collect();
    ensure!(
        values == ["`principal` is `User::\"ana\"`", "`resource.meta.zone` is `\"eu\"`"],
        "{values:?}"
    );
    Ok(())
}

fn changes(explanation: &Explanation) -> Vec<Vec<String>> {
    let change = |change: &Change| change.to_string();
    explanation
        .counterfactuals()
        .iter()
        .map(|counterfactual| counterfactual.changes().iter().map(change).collect())
        .collect()
}

#[test]
fn a_denial_tells_the_smallest_change_that_would_turn_it() -> Result<()> {
    let cases: [(&str, &str, &[&[&str]]); 15] = [
        (
            r#"permit(principal in Role::"analyst", action, resource) when { context.mfa };"#,
            "read",
            &[&["`context.mfa` were `true`"]],
        ),
        (
            r#"permit(principal in Role::"admin", action, resource);"#,
            "read",
            &[&["`principal` were in `Role::\"admin\"`"]],
        ),
        (
            r#"permit(principal in Role::"admin", action, resource)
               when { resource.fileType == "txt" && resource.fileSize < 100 };"#,
            "read",
            &[&["`principal` were in `Role::\"admin\"`", "`resource.fileType` were `\"txt\"`"]],
        ),
        // The smaller of two ways comes first.
        (
            r#"permit(principal in Role::"admin", action, resource) when { context.mfa };
               permit(principal, action, resource) when { resource.fileSize > 9 };"#,
            "read",
            &[&["`resource.fileSize` were `10`"]],
        ),
        (
            r#"permit(principal, action, resource);
               forbid(principal, action, resource) when { resource.fileType == "exe" };"#,
            "upload",
            &[&["`resource.fileType` were not `\"exe\"`"]],
        ),
        // Two forbids hold, and both have to go.
        (
            r#"permit(principal, action, resource);
               forbid(principal in Role::"analyst", action, resource);
               forbid(principal, action, resource) unless { context.mfa };"#,
            "upload",
            &[&["`principal` were not in `Role::\"analyst\"`", "`context.mfa` were `true`"]],
        ),
        // A forbid stands in the way of what nothing permits.
        (
            r#"permit(principal == User::"bob", action, resource);
               forbid(principal, action, resource) when { resource.labels.contains("a") };"#,
            "upload",
            &[&["`resource.labels` were `[]`", "`principal` were `User::\"bob\"`"]],
        ),
        (
            r#"permit(principal, action, resource)
               when { resource.labels.containsAll(["a", "b"]) || context.mfa };"#,
            "share",
            &[&["`resource.labels` were `[\"a\", \"b\"]`"], &["`context.mfa` were `true`"]],
        ),
        (
            r#"permit(principal, action, resource) when { principal == resource.owner };"#,
            "read",
            &[&["`principal` were `User::\"bob\"`"], &["`resource.owner` were `User::\"ana\"`"]],
        ),
        (
            r#"permit(principal, action, resource) when { resource.meta.zone like "us-*" };"#,
            "read",
            &[&["`resource.meta.zone` were `\"us-\"`"]],
        ),
        (
            r#"permit(principal, action, resource)
               when { resource.meta has note && resource.meta.note == "ok" };"#,
            "read",
            &[&["`resource.meta.note` were `\"ok\"`"]],
        ),
        (
            r#"permit(principal, action, resource)
               when { resource.hasTag("stage") && ["ga", "rc"].contains(resource.getTag("stage")) };"#,
            "read",
            &[
                &["`resource.getTag(\"stage\")` were `\"ga\"`"],
                &["`resource.getTag(\"stage\")` were `\"rc\"`"],
            ],
        ),
        (
            r#"permit(principal, action, resource in Folder::"public");"#,
            "read",
            &[&["`resource` were in `Folder::\"public\"`"]],
        ),
        // Nothing that is asked of these can be different.
        (r#"permit(principal, action == Action::"archive", resource);"#, "read", &[]),
        (r#"permit(principal, action, resource) when { principal.level * 2 == 8 };"#, "read", &[]),
    ];
    for (policies, action, expected) in cases {
        let explanation = explain(policies, action)?;
        ensure!(explanation.outcome().decision() == Decision::Deny, "{policies}");
        let given = changes(&explanation);
        ensure!(given == expected, "{policies}: {given:?}");
        for counterfactual in explanation.counterfactuals() {
            ensure!(counterfactual.permits().len() == 1, "{policies}: {counterfactual:?}");
        }
    }
    let allowed = explain("permit(principal, action, resource);", "read")?;
    ensure!(allowed.counterfactuals().is_empty());
    Ok(())
}

#[test]
fn an_explanation_repeats_little_of_a_long_value() -> Result<()> {
    let long = "x".repeat(60_000);
    let engine = Engine::builder()
        .policies("p.cedar", "permit(principal, action, resource) when { context.v == 1 };")
        .exact_cedar()
        .build()?;
    let request = Request::new(uid("User::\"a\"")?, uid("Action::\"a\"")?, uid("File::\"f\"")?);
    let request = request.with_context("v", long.as_str());
    let explanation = engine.explain(&request, &Entities::empty())?;
    let near = explanation.nearest().first().context("a permit")?;
    let values: Vec<_> = near.failed().iter().flat_map(|clause| told(clause.values())).collect();
    ensure!(values.iter().all(|value| value.len() < 1_200), "{values:?}");
    ensure!(values.iter().any(|value| value.contains("bytes)")), "{values:?}");
    Ok(())
}
