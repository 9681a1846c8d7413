//! `stagedoor lint`.

#![expect(clippy::indexing_slicing, reason = "a key that is missing from JSON reads as null")]

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{Run, repository, stagedoor};

const SCHEMA: &str = "
    entity Team;
    entity User in [Team];
    entity Doc { kind: String, pages: Long };
    entity Folder;
    action read, write appliesTo { principal: User, resource: [Doc, Folder] };
    action archive appliesTo { principal: User, resource: Doc };";

struct Place(tempfile::TempDir);

impl Place {
    fn new(policies: &str) -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        place.write("app.cedarschema", SCHEMA)?;
        place.write("app.cedar", policies)?;
        Ok(place)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.0.path().join(name), text)?)
    }

    fn lint(&self, args: &[&str]) -> Result<Run> {
        stagedoor(self.0.path(), [&["lint"], args].concat(), b"")
    }

    /// Returns code, policy and line of each finding that is not suppressed, and the exit code.
    fn found(&self) -> Result<(Vec<String>, i32)> {
        let run = self.lint(&["--format", "json"])?;
        let json: Value = serde_json::from_str(&run.stdout).context(run.stderr)?;
        let findings = json["findings"].as_array().context("no findings")?;
        let open = findings.iter().filter(|finding| finding["suppressed"].is_null());
        let told = open.map(|finding| {
            let word = |key: &str| finding[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", word("code"), word("policy"), finding["line"])
        });
        Ok((told.collect(), run.exit))
    }
}

/// What a policy is written with to have no other finding.
fn permit(id: &str, scope: &str, condition: &str) -> String {
    format!("@id({id:?}) @doc(\"For a test.\")\npermit ({scope}) {condition};\n")
}

fn forbid(id: &str, scope: &str, condition: &str) -> String {
    format!("@id({id:?})\nforbid ({scope}) {condition};\n")
}

/// Without it no action but those of the test could be performed.
const ALL: &str = r#"
// lint:allow-file(broad-grant) This is about other findings.
@id("base") @doc("For a test.")
permit (principal in Team::"base", action, resource) when { principal in Team::"other" };
"#;

const SOME: &str = r#"principal in Team::"a", action == Action::"write", resource is Doc"#;
const ALL_DOCS: &str = r#"principal, action == Action::"write", resource is Doc"#;

#[test]
fn each_kind_is_found() -> Result<()> {
    for (policies, expected) in [
        (
            permit("p", SOME, r#"when { resource.kind == "a" && resource.kind == "b" }"#),
            vec!["never-matches p 5"],
        ),
        (
            permit("p", SOME, "when { resource.pages > 5 } unless { resource.pages > 3 }"),
            vec!["never-matches p 5"],
        ),
        (
            permit("p", r#"principal is Team, action == Action::"read", resource"#, ""),
            vec!["never-matches p 5"],
        ),
        (
            permit("p", SOME, r#"when { resource.kind == "a" }"#)
                + &forbid("f", ALL_DOCS, r#"when { ["a", "b"].contains(resource.kind) }"#),
            vec!["shadowed p 5"],
        ),
        (
            permit("p", SOME, r#"when { resource.kind == "a" }"#)
                + &forbid("f", ALL_DOCS, r#"when { resource.kind == "b" }"#),
            vec![],
        ),
        (
            permit("p", SOME, r#"when { resource.kind == "a" && resource.pages < 3 }"#)
                + &permit("q", SOME, r#"when { 3 > resource.pages && "a" == resource.kind }"#),
            vec!["duplicate q 7"],
        ),
        (
            permit("p", SOME, "when { resource.pages < 3 }") + &permit("q", SOME, ""),
            vec!["subsumed p 5"],
        ),
        (
            permit("p", r#"principal == Team::"a", action == Action::"read", resource"#, ""),
            vec!["never-matches p 5"],
        ),
        (
            "permit (principal in Team::\"a\", action == Action::\"archive\", resource);"
                .to_owned(),
            vec!["no-id policy1 5", "no-doc policy1 5"],
        ),
    ] {
        let place = Place::new(&format!("{ALL}{policies}"))?;
        let (found, exit) = place.found()?;
        assert_eq!(found, expected, "{policies}");
        assert_eq!(exit, i32::from(!expected.is_empty()), "{policies}");
    }
    Ok(())
}

#[test]
fn broad_grants_and_closed_actions_are_found() -> Result<()> {
    let everything = permit("all", "principal, action, resource", "");
    assert_eq!(Place::new(&everything)?.found()?, (vec!["broad-grant all 1".to_owned()], 1));
    let run = Place::new(&everything)?.lint(&[])?;
    ensure!(
        run.stdout.contains("error broad-grant: `all`: the permit allows everything"),
        "{run:?}"
    );

    for (scope, condition, is_broad) in [
        (r#"principal, action == Action::"archive", resource"#, "", true),
        (
            r#"principal, action == Action::"archive", resource"#,
            r#"when { principal in Team::"a" }"#,
            false,
        ),
        (r#"principal in Team::"a", action, resource is Doc"#, "", true),
        (r#"principal in Team::"a", action == Action::"read", resource"#, "", true),
        (r#"principal in Team::"a", action == Action::"archive", resource"#, "", false),
        (r#"principal in Team::"a", action == Action::"read", resource is Doc"#, "", false),
    ] {
        let (found, _) = Place::new(&permit("p", scope, condition))?.found()?;
        let broad = found.iter().any(|found| found.starts_with("broad-grant p"));
        assert_eq!(broad, is_broad, "{scope} {condition}: {found:?}");
    }
    let run = Place::new(&permit("p", SOME, ""))?.lint(&[])?;
    ensure!(
        run.stdout.contains("note unreachable-action: nobody may perform `archive`, `read`"),
        "{run:?}"
    );
    assert_eq!(run.exit, 0, "a note is no failure");
    assert_eq!(Place::new(&permit("p", SOME, ""))?.lint(&["--fail-on", "note"])?.exit, 1);
    Ok(())
}

#[test]
fn names_that_nobody_has_are_found() -> Result<()> {
    let policies = permit("p", r#"principal in Team::"paymnets", action, resource is Doc"#, "")
        + &permit("q", r#"principal in Team::"payments", action, resource is Doc"#, "")
        + "// lint:allow-file(broad-grant) This is about names.\n";
    let place = Place::new(&policies)?;
    place.write(
        "app.test.yaml",
        r#"
fixtures:
  entities:
    - { uid: { type: Team, id: payments }, attrs: {}, parents: [] }
    - { uid: { type: Team, id: sales }, attrs: {}, parents: [] }
    - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Team, id: payments }] }
    - { uid: { type: Doc, id: d }, attrs: { kind: a, pages: 1 }, parents: [] }
cases:
  - { name: c, principal: 'User::"ana"', action: 'Action::"read"', resource: 'Doc::"d"', expect: allow }
"#,
    )?;
    let run = place.lint(&[])?;
    ensure!(run.stdout.contains("unknown-entity: `p`: `Team::\"paymnets\"`"), "{}", run.stdout);
    ensure!(run.stdout.contains("help: there is `Team::\"payments\"`"), "{}", run.stdout);
    ensure!(
        run.stdout.contains("unused-group: no policy is about `Team::\"sales\"`"),
        "{}",
        run.stdout
    );
    Ok(())
}

/// Groups that are only somebody's parents exist; there may be more of them.
#[test]
fn groups_need_not_be_entities() -> Result<()> {
    let permit_to = |id: &str, team: &str| {
        permit(
            id,
            &format!("principal in Team::\"{team}\", action == Action::\"archive\", resource"),
            "",
        )
    };
    let policies =
        permit_to("p", "paymnets") + &permit_to("q", "payments") + &permit_to("r", "ops");
    let place = Place::new(&policies)?;
    place.write(
        "app.test.yaml",
        r#"
cases:
  - name: c
    principal: User::"ana"
    action: Action::"archive"
    resource: Doc::"d"
    entities:
      - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Team, id: payments }] }
      - { uid: { type: Doc, id: d }, attrs: { kind: a, pages: 1 }, parents: [] }
    expect: allow
"#,
    )?;
    let (mut found, _) = place.found()?;
    found.retain(|found| !found.starts_with("unreachable"));
    assert_eq!(found, ["unknown-entity p 1"]);
    Ok(())
}

#[test]
fn backstage_hears_of_what_it_cannot_be_answered() -> Result<()> {
    let place = Place(tempfile::tempdir()?);
    place.write(
        "p.cedar",
        r#"@id("odd") @doc("Long names.")
permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.read", resource is Backstage::CatalogEntity)
when { resource.name like "*-very-long" && resource.owners == principal.claims };
@id("guarded") @doc("At night.") @guard("change-window")
permit (principal is Backstage::User, action == Backstage::Action::"catalog.entity.delete", resource is Backstage::CatalogEntity);
"#,
    )?;
    let (found, exit) = place.found()?;
    ensure!(found.contains(&"not-conditional odd 1".to_owned()), "{found:?}");
    ensure!(found.contains(&"list-guard guarded 4".to_owned()), "{found:?}");
    // What the rule looks at is not known here.
    ensure!(!found.contains(&"not-conditional guarded 4".to_owned()), "{found:?}");
    assert_eq!(exit, 1);
    Ok(())
}

#[test]
fn suppressions_need_a_reason_and_a_finding() -> Result<()> {
    let broad = permit("p", r#"principal, action == Action::"archive", resource"#, "");
    for (comment, expected) in [
        ("// lint:allow(broad-grant) Everybody archives.", vec![]),
        ("// lint:allow(broad-grant, no-doc) Everybody.", vec!["unused-suppression - 1"]),
        ("// lint:allow(broad-grant)", vec!["unexplained-suppression - 1"]),
        ("// lint:allow(brod-grant) Everybody.", vec!["broad-grant p 2", "unused-suppression - 1"]),
        ("// lint:allow(no-id) Everybody.", vec!["broad-grant p 2", "unused-suppression - 1"]),
        ("// lint:allow-file(broad-grant) Everybody.", vec![]),
        ("@doc2(\"// lint:allow(broad-grant) no comment\")", vec!["broad-grant p 1"]),
    ] {
        let place = Place::new(&format!("{comment}\n{broad}"))?;
        let (mut found, _) = place.found()?;
        found.retain(|found| !found.starts_with("unreachable"));
        found.sort();
        assert_eq!(found, expected, "{comment}");
    }
    // A suppression is for one policy.
    let other = permit("q", r#"principal, action == Action::"read", resource is Doc"#, "");
    let place = Place::new(&format!("// lint:allow(broad-grant) Everybody.\n{broad}{other}"))?;
    ensure!(place.found()?.0.contains(&"broad-grant q 4".to_owned()));
    let run = place.lint(&["--suppressed"])?;
    ensure!(run.stdout.contains("suppressed: Everybody."), "{}", run.stdout);
    Ok(())
}

#[test]
fn other_programs_can_read_it() -> Result<()> {
    let policies = permit("all, of \u{202e}it", "principal, action, resource", "")
        + &permit("p", SOME, "")
        + "// lint:allow-file(subsumed) For a test.\n";
    let place = Place::new(&policies)?;
    let run = place.lint(&["--report", "sarif"])?;
    let log: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!(log["version"], "2.1.0");
    let results = log["runs"][0]["results"].as_array().context("no results")?;
    let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().context("no rules")?;
    for result in results {
        let index = result["ruleIndex"].as_u64().context("no rule")?;
        let rule = rules.get(usize::try_from(index)?).context("no such rule")?;
        assert_eq!(rule["id"], result["ruleId"]);
        assert_eq!(
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            "app.cedar"
        );
    }
    let suppressed = results.iter().find(|result| result["ruleId"] == "subsumed");
    let suppressed = suppressed.context("a suppressed finding is in the log, too")?;
    assert_eq!(suppressed["suppressions"][0]["justification"], "For a test.");

    let run = place.lint(&["--report", "github"])?;
    let annotation = run.stdout.lines().find(|line| line.starts_with("::error "));
    let annotation = annotation.context(run.stdout.clone())?;
    ensure!(
        annotation.starts_with("::error file=app.cedar,line=1,title=broad-grant::"),
        "{annotation}"
    );
    ensure!(!run.stdout.lines().any(|l| !l.starts_with("::") && l.contains('\u{202e}')), "{run:?}");
    Ok(())
}

#[test]
fn codes_are_explained() -> Result<()> {
    let all = stagedoor(Path::new("/"), ["lint", "--explain", "all"], b"")?;
    let codes: Vec<&str> =
        all.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(codes.len() > 12, "{all:?}");
    for code in codes {
        let run = stagedoor(Path::new("/"), ["lint", "--explain", code], b"")?;
        ensure!(run.exit == 0 && run.stdout.lines().count() > 3, "{run:?}");
    }
    assert_eq!(stagedoor(Path::new("/"), ["lint", "--explain", "nothing"], b"")?.exit, 2);
    Ok(())
}

#[test]
fn what_cannot_be_linted_is_told() -> Result<()> {
    let place = Place::new("permit (principal, action, resource) when { resource.nothing };")?;
    for args in [&["--format", "json"][..], &["nowhere"], &[]] {
        let run = place.lint(args)?;
        assert_eq!(run.exit, 2, "{run:?}");
        ensure!(!run.stdout.is_empty() || !run.stderr.is_empty(), "{run:?}");
    }
    Ok(())
}

#[test]
fn the_shipped_policies_are_clean() -> Result<()> {
    for policies in ["policies/backstage", "policies/kubernetes", "policies"] {
        let run = stagedoor(&repository(""), ["lint", policies, "--fail-on", "note"], b"")?;
        ensure!(run.exit == 0 && run.stdout.contains("0 errors, 0 warnings, 0 notes"), "{run:?}");
        let run = stagedoor(&repository(""), ["fmt", "--check", policies], b"")?;
        assert_eq!((run.exit, run.stdout.as_str()), (0, ""), "{run:?}");
    }
    Ok(())
}

/// Policies that are all alike to look at must not be compared each with each.
#[test]
fn many_policies_take_no_time() -> Result<()> {
    let policies = |count: usize| -> String {
        (0..count)
            .map(|n| {
                let scope = format!(
                    r#"principal in Team::"t{}", action == Action::"write", resource is Doc"#,
                    n / 4
                );
                permit(&format!("p{n}"), &scope, &format!("when {{ resource.pages < {n} }}"))
            })
            .collect()
    };
    let place = Place::new(&policies(10_000))?;
    let started = std::time::Instant::now();
    let run = place.lint(&["--format", "json"])?;
    let took = started.elapsed();
    let json: Value = serde_json::from_str(&run.stdout)?;
    let subsumed = json["findings"].as_array().context("no findings")?.iter();
    assert_eq!(subsumed.filter(|f| f["code"] == "subsumed").count(), 7_500);
    ensure!(took.as_secs() < 60, "{took:?}");
    Ok(())
}

#[test]
fn formatting_writes_in_place_and_checks() -> Result<()> {
    let place = Place::new("permit(principal,action,resource);// everybody\n")?;
    let fmt =
        |args: &[&str], input: &[u8]| stagedoor(place.0.path(), [&["fmt"], args].concat(), input);
    let check = fmt(&["--check"], b"")?;
    assert_eq!((check.exit, check.stdout.as_str()), (1, "./app.cedar: not formatted\n"));
    assert_eq!(fmt(&[], b"")?.exit, 0);
    let text = std::fs::read_to_string(place.0.path().join("app.cedar"))?;
    assert_eq!(text, "permit (principal, action, resource); // everybody\n");
    assert_eq!(fmt(&["--check"], b"")?.exit, 0);
    let piped = fmt(&["-"], b"forbid(principal,action,resource);")?;
    assert_eq!((piped.exit, piped.stdout.as_str()), (0, "forbid (principal, action, resource);\n"));
    // Nothing is written if one of several files is wrong.
    place.write("b.cedar", "permit(principal,action,resource);")?;
    place.write("c.cedar", "permit(principal")?;
    let wrong = fmt(&[], b"")?;
    assert_eq!(wrong.exit, 2);
    ensure!(wrong.stderr.contains("c.cedar"), "{wrong:?}");
    let untouched = std::fs::read_to_string(place.0.path().join("b.cedar"))?;
    assert_eq!(untouched, "permit(principal,action,resource);");
    Ok(())
}

/// A schema with an attribute of every type.
const TYPES: &str = "
    entity Team; entity User in [Team] = { level: Long, net: ipaddr, pay: decimal };
    entity Doc = { kind: String, tags: Set<String>, owner: User };
    action read appliesTo { principal: User, resource: Doc, context: { now: datetime } };";

#[test]
fn conditions_that_say_nothing_are_found_in_every_type() -> Result<()> {
    let never = [
        "principal.level == 5 && principal.level < 3",
        "context.now >= datetime(\"2027-12-31\") && context.now < datetime(\"2027-01-02\")",
        "principal.pay.lessThan(decimal(\"1.0\")) && principal.pay.greaterThan(decimal(\"2.0\"))",
        "resource.kind like \"plan*\" && resource.kind == \"memo\"",
        "resource.tags == [\"x\"] && resource.tags.contains(\"y\")",
        "principal.net.isInRange(ip(\"10.0.0.0/8\")) && principal.net.isInRange(ip(\"192.168.0.0/16\"))",
    ];
    let needless = [
        "resource.kind == \"plan\" || resource.kind != \"plan\"",
        "resource.kind != \"a\" || resource.kind != \"b\"",
        "resource.owner == resource.owner",
        "resource.kind == \"plan\" && resource.kind == \"plan\"",
        "resource.kind == \"a\" || resource.kind == \"a\"",
        "principal.level > 5 && principal.level > 3",
    ];
    let sensible = [
        "resource.kind == \"a\" || resource.kind == \"b\"",
        "principal.level > 3 && principal.level < 5",
        "resource.kind like \"a*\" && resource.kind != \"ab\"",
        "principal.net.isInRange(ip(\"10.0.0.0/8\")) && !principal.net.isInRange(ip(\"10.1.0.0/16\"))",
        "resource.tags.contains(\"a\") && resource.tags.contains(\"b\")",
    ];
    for (conditions, code) in [
        (&never[..], Some("never-matches")),
        (&needless, Some("needless-condition")),
        (&sensible, None),
    ] {
        for condition in conditions {
            let condition = format!("when {{ {condition} }}");
            let scope = "principal in Team::\"a\", action == Action::\"read\", resource is Doc";
            let place = Place::new(&permit("p", scope, &condition))?;
            place.write("app.cedarschema", TYPES)?;
            let (found, _) = place.found()?;
            // Of a policy that never applies nobody may read, which is told, too.
            let found: Vec<String> = found.into_iter().filter(|f| f.contains(" p ")).collect();
            let expected: Vec<String> = code.iter().map(|code| format!("{code} p 1")).collect();
            assert_eq!(found, expected, "{condition}");
        }
    }
    Ok(())
}

#[test]
fn what_another_policy_covers_is_found_by_its_meaning() -> Result<()> {
    let scope = "principal in Team::\"a\", action == Action::\"read\", resource is Doc";
    for (wide, narrow, told) in [
        (
            "principal.net.isInRange(ip(\"10.0.0.0/8\"))",
            "principal.net.isInRange(ip(\"10.1.0.0/16\"))",
            true,
        ),
        ("resource.kind like \"a*\"", "resource.kind like \"ab*\"", true),
        ("resource.kind like \"ab*\"", "resource.kind like \"b*\"", false),
        (
            "principal.net.isInRange(ip(\"10.1.0.0/16\"))",
            "principal.net.isInRange(ip(\"10.2.0.0/16\"))",
            false,
        ),
    ] {
        let policies = [("wide", wide), ("narrow", narrow)]
            .map(|(id, condition)| permit(id, scope, &format!("when {{ {condition} }}")));
        let place = Place::new(&policies.concat())?;
        place.write("app.cedarschema", TYPES)?;
        let (found, _) = place.found()?;
        let expected = if told { vec!["subsumed narrow 3".to_owned()] } else { Vec::new() };
        assert_eq!(found, expected, "{wide} {narrow}");
    }
    Ok(())
}

#[test]
fn words_that_a_platform_never_has_are_found() -> Result<()> {
    let entity = |condition: &str| {
        permit(
            "p",
            "principal is Backstage::User, action == Backstage::Action::\"catalog.entity.read\", \
             resource is Backstage::CatalogEntity",
            &format!("when {{ {condition} }}"),
        )
    };
    let pods = |condition: &str| {
        permit(
            "p",
            "principal in k8s::Group::\"devs\", action == k8s::Action::\"get\", resource is k8s::Resource",
            &format!("when {{ {condition} }}"),
        )
    };
    let tag = |key: &str, value: &str| {
        entity(&format!("resource.hasTag({key:?}) && resource.getTag({key:?}).contains({value:?})"))
    };
    let named = r#"@id("p") @doc("x")
        permit (principal == Backstage::User::"User:default/Ana",
          action == Backstage::Action::"catalog.entity.read", resource is Backstage::CatalogEntity);"#;
    for (policy, told) in [
        (entity("resource.kind == \"Component\""), "`component`"),
        (entity("[\"component\", \"API\"].contains(resource.kind)"), "`api`"),
        (entity("resource.kind == \"component\""), ""),
        (tag("spec.lifecycle", "Production"), "`production`"),
        (tag("spec.lifecycle", "production"), ""),
        (entity("resource.hasTag(\"lifecycle\")"), "`spec.lifecycle`"),
        (entity("resource.annotations.hasTag(\"Backstage.io/Secret\")"), "in lower case"),
        (entity("resource.annotations.hasTag(\"backstage.io/Secret\")"), ""),
        (entity("resource.owners.contains(\"group:default/Team-A\")"), "`group:default/team-a`"),
        (entity("resource.owners.contains(\"team-a\")"), "not a full reference"),
        (entity("resource.owners.contains(\"group:default/team-a\")"), ""),
        (named.to_owned(), "`user:default/ana`"),
        (pods("resource.apiGroup == \"\" && resource.resource == \"pods\""), ""),
        (
            pods("resource.apiGroup == \"core\" && resource.resource == \"pods\""),
            "the core group is",
        ),
        (
            pods("resource.apiGroup == \"apps/v1\" && resource.resource == \"deployments\""),
            "write `apps`",
        ),
        (pods("resource.resource == \"pods/exec\""), "`resource.subresource`"),
        (pods("resource.apiGroup == \"\" && resource.resource == \"Pod\""), "write `pods`"),
        (
            pods(
                "resource.apiGroup == \"\" && resource.resource == \"nodes\" && \
                  resource has namespace && resource.namespace == \"a\"",
            ),
            "in no namespace",
        ),
        (pods("resource.apiGroup == \"example.com\" && resource.resource == \"widgets\""), ""),
    ] {
        let place = Place(tempfile::tempdir()?);
        place.write("app.cedar", &policy)?;
        let run = place.lint(&["--format", "json"])?;
        let json: Value = serde_json::from_str(&run.stdout).context(run.stderr)?;
        let findings = json["findings"].as_array().context("no findings")?;
        let found: Vec<&Value> = findings.iter().filter(|f| f["code"] == "unmatchable").collect();
        match told {
            "" => ensure!(found.is_empty(), "{policy}: {found:?}"),
            told => {
                let message = found.first().and_then(|f| f["message"].as_str()).unwrap_or_default();
                ensure!(found.len() == 1 && message.contains(told), "{policy}: {found:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn settings_say_how_much_findings_matter() -> Result<()> {
    let place = Place::new(
        "permit (principal in Team::\"a\", action == Action::\"read\", resource is Doc);",
    )?;
    std::fs::create_dir(place.0.path().join("old"))?;
    place.write(
        "old/more.cedar",
        "permit (principal in Team::\"b\", action == Action::\"read\", resource is Doc);",
    )?;
    let (found, exit) = place.found()?;
    ensure!(found.iter().filter(|f| f.starts_with("no-id")).count() == 2 && exit == 1, "{found:?}");
    place.write(
        "stagedoor.toml",
        "[lint]\nexclude = [\"old\"]\n[lint.severity]\nno-id = \"note\"\nno-doc = \"off\"\n",
    )?;
    let (found, exit) = place.found()?;
    let of = |code: &str| found.iter().filter(|f| f.starts_with(code)).count();
    assert_eq!((of("no-id"), of("no-doc"), exit), (1, 0, 0), "{found:?}");
    let told = place.lint(&[])?.stdout;
    ensure!(told.contains("3 turned off by settings"), "{told}");
    for (text, told) in [
        ("[lint.severity]\nno-idd = \"off\"", "did you mean `no-id`?"),
        ("[lint.severity]\nno-id = \"loud\"", "stagedoor.toml`:2"),
        ("[lnt]", "did you mean `lint`?"),
    ] {
        place.write("stagedoor.toml", text)?;
        let run = place.lint(&[])?;
        ensure!(run.exit == 2 && run.stderr.contains(told), "{text}: {run:?}");
    }
    Ok(())
}

#[test]
fn policies_that_do_not_load_are_in_the_reports() -> Result<()> {
    let place = Place::new("@id(\"a\")\npermit (principal, action, resource) when { };")?;
    let run = place.lint(&["--report", "github"])?;
    ensure!(run.exit == 2 && run.stdout.starts_with("::error file=app.cedar,line="), "{run:?}");
    let run = place.lint(&["--report", "sarif"])?;
    let json: Value = serde_json::from_str(&run.stdout).context(run.stderr)?;
    let results = json["runs"][0]["results"].as_array().context("no results")?;
    ensure!(run.exit == 2 && results.len() == 1 && results[0]["level"] == "error", "{results:?}");
    Ok(())
}
