//! Reports of `test`, `lint` and `audit` name the line of what failed, whatever failed.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run::{Run, stagedoor};

const SCHEMA: &str = "entity Team;
entity User in [Team];
entity Doc { public: Bool };
action read, write appliesTo { principal: User, resource: Doc };";

/// The second policy is at line 4.
const POLICIES: &str = r#"@id("public-is-read")
permit (principal, action == Action::"read", resource)
when { resource.public };
@id("team-writes")
permit (principal in Team::"a", action == Action::"write", resource);
"#;

/// What is wrong stands at the lines that are asked for by `# HERE`.
const FIXTURES: &str = r#"fixtures:
  entities:
    - { uid: { type: Team, id: a }, attrs: {}, parents: [] }
    - { uid: { type: User, id: ana }, attrs: {}, parents: [{ type: Team, id: a }] }
    - { uid: { type: Doc, id: open }, attrs: { public: true }, parents: [] }
"#;

/// A test file in which one thing fails, and what its name holds.
const FAILURES: [(&str, &str); 6] = [
    (
        "it is denied",
        r#"cases:
- { name: it is denied, principal: 'User::"ana"', action: 'Action::"read"', resource: 'Doc::"open"', expect: deny } # HERE
"#,
    ),
    (
        "in a suite",
        r#"suites:
- name: s
  cases:
  - name: in a suite # HERE
    principal: User::"ana"
    action: Action::"read"
    resource: Doc::"open"
    expect: deny
"#,
    ),
    (
        "t",
        r#"tables:
- name: t
  columns: principal
  with: { resource: 'Doc::"open"' }
  grid: |
    | action          | User::"ana" |
    |-----------------|-------------|
    | Action::"write" | allow       |
    | Action::"read"  | deny        | # HERE
"#,
    ),
    (
        "nobody reads",
        r#"invariants:
- name: nobody reads # HERE
  never: allow
  over: { principal: 'User::"ana"', action: 'Action::"read"', resource: 'Doc::"open"' }
"#,
    ),
    (
        "nobody ever writes",
        r#"bounds:
- name: nobody ever writes # HERE
  never: '(principal, action == Action::"write", resource)'
"#,
    ),
    (
        "all always read",
        r#"bounds:
- name: all always read # HERE
  always: '(principal, action == Action::"read", resource)'
"#,
    ),
];

struct Place(tempfile::TempDir);

impl Place {
    fn new(policies: &str, tests: &str) -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        for (name, text) in
            [("app.cedarschema", SCHEMA), ("app.cedar", policies), ("app.test.yaml", tests)]
        {
            std::fs::write(place.0.path().join(name), text)?;
        }
        Ok(place)
    }

    fn run(&self, args: &[&str]) -> Result<Run> {
        stagedoor(self.0.path(), args, b"")
    }

    /// Returns what each format of reports says of places: `file:line`, as far as it has them.
    fn places(&self, command: &str, more: &[&str]) -> Result<Vec<(&'static str, Vec<String>)>> {
        let report = |format: &str| {
            self.run(&[&[command], more, &["--report", format]].concat()).map(|run| run.stdout)
        };
        let mut all =
            vec![("github", github(&report("github")?)), ("sarif", sarif(&report("sarif")?)?)];
        if command == "test" {
            all.push(("junit", junit(&report("junit")?)?));
            all.push(("tap", tap(&report("tap")?)));
        }
        Ok(all)
    }
}

/// Returns the line, from 1, that says `# HERE`, and the text without that.
fn here(text: &str) -> Result<(usize, String)> {
    let line = text.lines().position(|line| line.contains("# HERE")).context("nothing is here")?;
    Ok((line + 1, text.replace(" # HERE", "")))
}

fn github(report: &str) -> Vec<String> {
    let of = |line: &str, key: &str| {
        let value = line.split([' ', ',']).find_map(|part| part.strip_prefix(key));
        value.map(|value| value.split("::").next().unwrap_or_default().to_owned())
    };
    let errors = report.lines().filter(|line| line.starts_with("::error "));
    let place = |line: &str| {
        format!(
            "{}:{}",
            of(line, "file=").unwrap_or_default(),
            of(line, "line=").unwrap_or_default()
        )
    };
    errors.map(place).collect()
}

fn sarif(report: &str) -> Result<Vec<String>> {
    let log: Value = serde_json::from_str(report).with_context(|| report.to_owned())?;
    let results = log.pointer("/runs/0/results").and_then(Value::as_array).context("no results")?;
    let place = |result: &Value| {
        let at = |path: &str| {
            let path = format!("/locations/0/physicalLocation/{path}");
            result.pointer(&path).map(|value| value.to_string().replace('"', ""))
        };
        let (file, line) = (at("artifactLocation/uri"), at("region/startLine"));
        format!("{}:{}", file.unwrap_or_default(), line.unwrap_or_default())
    };
    Ok(results.iter().map(place).collect())
}

fn junit(report: &str) -> Result<Vec<String>> {
    let read = quick_junit::Report::deserialize_from_str(report)?;
    let mut places = Vec::new();
    for case in read.test_suites.iter().flat_map(|suite| &suite.test_cases) {
        if let quick_junit::TestCaseStatus::NonSuccess { .. } = &case.status {
            let of = |key: &str| {
                let found = case.extra.iter().find(|(own, _)| own.as_str() == key);
                found.map(|(_, value)| value.to_string()).unwrap_or_default()
            };
            places.push(format!("{}:{}", of("file"), of("line")));
        }
    }
    Ok(places)
}

fn tap(report: &str) -> Vec<String> {
    let mut places = Vec::new();
    let of = |line: &str, key: &str| line.trim().strip_prefix(key).map(|v| v.replace('"', ""));
    for failed in report.split("\nnot ok ").skip(1) {
        let file = failed.lines().find_map(|line| of(line, "file: ")).unwrap_or_default();
        let line = failed.lines().find_map(|line| of(line, "line: ")).unwrap_or_default();
        places.push(format!("{file}:{line}"));
    }
    places
}

#[test]
fn what_failed_is_named_by_its_line() -> Result<()> {
    for (name, part) in FAILURES {
        let (line, tests) = here(&format!("{FIXTURES}{part}"))?;
        let place = Place::new(POLICIES, &tests)?;
        for (format, places) in place.places("test", &[])? {
            let expected = format!("app.test.yaml:{line}");
            let named = places.iter().map(|place| place.trim_start_matches("./"));
            ensure!(named.eq([expected.as_str()]), "{format}: {name}: {places:?} is not {line}");
        }
    }
    Ok(())
}

/// A case that passes and notices little.
const ONE_CASE: &str = r#"cases:
- { name: c, principal: 'User::"ana"', action: 'Action::"write"', resource: 'Doc::"open"', expect: allow }
"#;

#[test]
fn what_tests_miss_is_named_by_the_line_of_the_policy() -> Result<()> {
    let place = Place::new(POLICIES, &format!("{FIXTURES}{ONE_CASE}"))?;
    for args in [&["--mutate"][..], &["--min-coverage", "100"]] {
        let run = place.run(&[&["test"], args].concat())?;
        ensure!(run.exit == 1, "{args:?}: {}", run.stdout);
        for (format, places) in place.places("test", args)? {
            let line =
                |line: usize| places.iter().any(|p| p.ends_with(&format!("app.cedar:{line}")));
            ensure!(line(3) && line(5), "{format}: {args:?}: {places:?}");
        }
    }
    Ok(())
}

#[test]
fn what_does_not_load_is_named_by_its_line() -> Result<()> {
    let broken = POLICIES.replace("resource.public", "resource.publik");
    let place = Place::new(&broken, &format!("{FIXTURES}{ONE_CASE}"))?;
    for command in ["test", "lint"] {
        for (format, places) in place.places(command, &[])? {
            // TAP has no place for what keeps all tests from being run.
            let is_named = places.iter().any(|place| place.ends_with("app.cedar:3"));
            ensure!(is_named || format == "tap", "{command}: {format}: {places:?}");
        }
    }
    let tests = format!("{FIXTURES}cases:\n- {{ name: c, principal: x, expekt: deny }}\n");
    let place = Place::new(POLICIES, &tests)?;
    for (format, places) in place.places("test", &[])? {
        let is_named = places.iter().any(|place| place.ends_with("app.test.yaml:7"));
        ensure!(is_named || format == "tap", "{format}: {places:?}");
    }
    Ok(())
}

#[test]
fn what_keeps_all_from_being_looked_at_is_in_the_report() -> Result<()> {
    let place = Place::new(POLICIES, &format!("{FIXTURES}{ONE_CASE}"))?;
    for args in [
        &["test", "--filter", "nothing is called so"][..],
        &["test", "--rules", "not-there"],
        &["test", "not-there"],
        &["lint", "not-there"],
        &["lint", "--config", "not-there"],
    ] {
        for format in ["sarif", "github", "junit"] {
            if format == "junit" && args.first() == Some(&"lint") {
                continue;
            }
            let run = place.run(&[args, &["--report", format]].concat())?;
            ensure!(run.exit == 2, "{args:?}: {}", run.exit);
            let places = match format {
                "sarif" => sarif(&run.stdout)?,
                "junit" => junit(&run.stdout)?,
                _ => github(&run.stdout),
            };
            ensure!(places.len() == 1, "{args:?} {format}: {}", run.stdout);
        }
    }
    let run = place.run(&["audit", "kubernetes", "not-there.yaml", "--sarif"])?;
    ensure!(sarif(&run.stdout)?.len() == 1, "{}", run.stdout);
    Ok(())
}
