//! What no rule can say closes, and is told.

use stagedoor_backstage::{Budget, FindingCode};

use crate::policies::{alice, ask, policy, readers, said};

const READ: &str = "catalog.entity.read";

/// Conditions that Backstage's rules cannot say.
const UNSUPPORTED: [&str; 12] = [
    r#"resource.name like "a*""#,
    r#"!(resource.name like "a*")"#,
    r#"resource.owners.isEmpty()"#,
    r#"resource.owners == ["user:default/alice"]"#,
    r#"principal.claims.containsAll(resource.owners)"#,
    r#"resource.name == resource.namespace"#,
    r#"resource.labels.hasTag("a") && resource.labels.getTag("a") == resource.name"#,
    r#"resource.labels.hasTag(resource.name)"#,
    r#"resource.hasTag("spec.a") && resource.getTag("spec.a").isEmpty()"#,
    r#"resource in Backstage::CatalogEntity::"component:default/x""#,
    r#"resource.labels == Backstage::Labels::"x""#,
    r#"[resource.name].contains("x")"#,
];

#[test]
fn permits_lose_and_forbids_gain_what_is_unsupported() -> anyhow::Result<()> {
    for condition in UNSUPPORTED {
        let permitted = policy(&readers(condition))?;
        let answer = ask(&permitted, READ, &alice()?)?;
        assert_eq!(said(&answer)?, "DENY", "{condition}");
        assert!(!answer.findings().is_empty(), "{condition}");
        assert!(!permitted.findings().is_empty(), "{condition}");

        let either = policy(&format!(
            "{}\n{}",
            readers(condition),
            readers(r#"resource.kind == "api""#).replace("readers", "more")
        ))?;
        let answer = ask(&either, READ, &alice()?)?;
        assert_eq!(
            said(&answer)?,
            r#"{"rule":"IS_ENTITY_KIND","params":{"kinds":["api"]}}"#,
            "{condition}"
        );

        let forbidden = policy(&format!(
            r#"{} @id("no") forbid (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
                  when {{ resource.kind == "api" && ({condition}) }};"#,
            readers("true"),
        ))?;
        let answer = ask(&forbidden, READ, &alice()?)?;
        let not_api = r#"{"not":{"rule":"IS_ENTITY_KIND","params":{"kinds":["api"]}}}"#;
        let said = said(&answer)?;
        // What guards the clause can be said, and keeps the rest open.
        let guarded =
            said.starts_with(r#"{"anyOf":[{"not":{"rule":"HAS_"#) && said.contains(not_api);
        assert!(
            said == not_api || condition.contains(r#"hasTag(""#) && guarded,
            "{condition}: {said}"
        );
        let finding = answer.findings().first().ok_or_else(|| anyhow::anyhow!("{condition}"))?;
        assert_eq!(finding.code, FindingCode::Unsupported);
        assert_eq!(finding.policy.as_deref(), Some("no"));
        assert_eq!(finding.file.as_deref(), Some("p.cedar"));
    }
    Ok(())
}

#[test]
fn an_erring_forbid_denies() -> anyhow::Result<()> {
    let policies = format!(
        "{} forbid (principal is Backstage::User, action, resource is Backstage::CatalogEntity)
            when {{ 9223372036854775807 + 1 > 0 }};",
        readers("true")
    );
    let answer = ask(&policy(&policies)?, READ, &alice()?)?;
    assert_eq!(said(&answer)?, "DENY");
    assert_eq!(answer.errors().len(), 1);
    Ok(())
}

#[test]
fn nothing_is_found_in_policies_that_become_conditions() -> anyhow::Result<()> {
    for condition in [
        "resource.owners.containsAny(principal.claims)",
        "principal in resource.ownerGroups",
        r#"principal in Backstage::Group::"group:default/a" || resource.kind == "api""#,
        r#"principal.entityRef like "user:*" && resource.owners.contains(principal.entityRef)"#,
        r#"resource.hasTag("spec.type") && resource.getTag("spec.type").contains("x")"#,
    ] {
        let policy = policy(&readers(condition))?;
        assert_eq!(policy.findings(), [], "{condition}");
    }
    Ok(())
}

#[test]
fn long_annotations_close_on_both_sides() -> anyhow::Result<()> {
    let long = "x".repeat(201);
    let is_long = format!(
        r#"resource.annotations.hasTag("a") && resource.annotations.getTag("a") == "{long}""#
    );
    assert_eq!(said(&ask(&policy(&readers(&is_long))?, READ, &alice()?)?)?, "DENY");
    let forbid = format!(
        "{} forbid (principal is Backstage::User, action, resource is Backstage::CatalogEntity) when {{ {is_long} }};",
        readers("true")
    );
    assert_eq!(
        said(&ask(&policy(&forbid)?, READ, &alice()?)?)?,
        r#"{"not":{"rule":"HAS_ANNOTATION","params":{"annotation":"a"}}}"#
    );
    Ok(())
}

#[test]
fn large_conditions_are_cut_and_told() -> anyhow::Result<()> {
    let names = |n: usize| {
        let names: Vec<String> = (0..n).map(|n| format!(r#""n{n}""#)).collect();
        readers(&format!("[{}].contains(resource.name)", names.join(", ")))
    };
    let wide = Budget { bytes: 100_000, ..Budget::default() };
    let few = ask(&policy(&names(40))?.with_budget(wide), READ, &alice()?)?;
    assert!(said(&few)?.starts_with("{\"anyOf\""), "{}", said(&few)?);
    assert_eq!(few.findings(), []);
    for (count, budget, kept) in [
        (65, wide, 64),
        (40, Budget { leaves: 39, ..wide }, 39),
        (2, Budget { depth: 0, ..wide }, 1),
        (40, Budget { bytes: 1_000, ..wide }, 10),
        (2_000, wide, 64),
    ] {
        let answer = ask(&policy(&names(count))?.with_budget(budget), READ, &alice()?)?;
        let rules = said(&answer)?.matches("HAS_METADATA").count();
        assert_eq!(rules, kept, "{count} {budget:?} {}", said(&answer)?);
        let codes: Vec<_> = answer.findings().iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [FindingCode::OverBudget]);
        let message = &answer.findings().first().ok_or_else(|| anyhow::anyhow!("none"))?.message;
        assert!(message.contains(&format!("{kept} of {count} grants")), "{message}");
    }
    // A forbid is never cut: what it takes away from cannot be said.
    let forbid = format!(
        "{} {}",
        readers("true"),
        names(100).replace("permit", "forbid").replace("readers", "hidden")
    );
    assert_eq!(said(&ask(&policy(&forbid)?, READ, &alice()?)?)?, "DENY");
    Ok(())
}

#[test]
fn inputs_that_javascript_reads_in_another_way_close() -> anyhow::Result<()> {
    for (key, value, is_said) in [
        ("values.name", "x", true),
        ("length", "x", true),
        ("owner", "acme", true),
        ("owner", "Acme", false),
        // Newer scaffolders compare digits there as numbers: `042` is `42`.
        ("projectId", "42", false),
        ("projectId", "1e+21", false),
        ("projectId", "4.2", true),
        ("projectId", "-42", true),
        ("n", "42", true),
        ("a.length", "1", false),
        ("constructor.name", "Object", false),
        ("a.trim.name", "trim", false),
        ("a[0]", "x", false),
        ("a..b", "x", false),
    ] {
        let condition = format!(
            "resource.input.hasTag({key:?}) && resource.input.getTag({key:?}) == {value:?}"
        );
        let policies = format!(
            r#"permit (principal is Backstage::User,
                 action == Backstage::Action::"scaffolder.action.execute", resource)
               when {{ {condition} }};"#
        );
        let answer = ask(&policy(&policies)?, "scaffolder.action.execute", &alice()?)?;
        assert_eq!(said(&answer)? != "DENY", is_said, "{condition}");
        assert_eq!(answer.findings().is_empty(), is_said, "{condition}");
    }
    Ok(())
}
