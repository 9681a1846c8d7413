//! Policies and tests to be timed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

const SCHEMA: &str = "entity Team;
entity User in [Team];
entity Doc { kind: String, pages: Long };
action read, write appliesTo { principal: User, resource: Doc };";

const TEAMS: usize = 50;
const USERS: usize = 50;
const DOCS: usize = 20;

/// Writes 20 policies, and as many cases as are asked for.
pub(crate) fn cases(to: &Path, cases: usize) -> Result<()> {
    write_policies(to, 20, 0)?;
    let mut tests = fixtures();
    tests.push_str("cases:\n");
    for case in 0..cases {
        let (user, doc) = (case % USERS, case / USERS % DOCS);
        let (action, decision) = match case.is_multiple_of(2) {
            true => ("read", decision(user, doc)),
            false => ("write", "deny"),
        };
        writeln!(
            tests,
            "  - {{ name: c{case}, principal: User::\"u{user}\", action: Action::\"{action}\", \
             resource: Doc::\"d{doc}\", expect: {decision} }}"
        )?;
    }
    fs::write(to.join("app.test.yaml"), tests)?;
    Ok(())
}

/// Writes two sets of policies as `old` and `new`, which differ in one of twenty.
pub(crate) fn policies(to: &Path, count: usize) -> Result<()> {
    for (name, changed) in [("old", 0), ("new", count / 20)] {
        let to = to.join(name);
        fs::create_dir(&to)?;
        write_policies(&to, count, changed)?;
        let one = "cases:\n  - { name: c, principal: User::\"u0\", action: Action::\"write\", \
                   resource: Doc::\"d0\", expect: deny }\n";
        fs::write(to.join("app.test.yaml"), fixtures() + one)?;
    }
    Ok(())
}

/// Writes a schema, and policies that are about a team and a kind of documents each.
fn write_policies(to: &Path, count: usize, changed: usize) -> Result<()> {
    let mut text = String::new();
    for number in 0..count {
        let (team, kind) = (number % TEAMS, number / TEAMS);
        let pages = if number < changed { 5 } else { 100 };
        writeln!(
            text,
            "@id(\"p{number}\") @doc(\"Team t{team} reads documents of kind k{kind}.\")\n\
             permit (principal in Team::\"t{team}\", action == Action::\"read\", resource is Doc)\n\
             when {{ resource.kind == \"k{kind}\" && resource.pages < {pages} }};"
        )?;
    }
    fs::write(to.join("app.cedarschema"), SCHEMA)?;
    fs::write(to.join("app.cedar"), text)?;
    Ok(())
}

fn fixtures() -> String {
    let mut text = "fixtures:\n  entities:\n".to_owned();
    let mut entity = |of: &str, id: String, attributes: String, parents: String| {
        text.push_str(&format!(
            "    - {{ uid: {{ type: {of}, id: {id} }}, attrs: {{{attributes}}}, parents: [{parents}] }}\n"
        ));
    };
    for team in 0..TEAMS {
        entity("Team", format!("t{team}"), String::new(), String::new());
    }
    for user in 0..USERS {
        let team = format!("{{ type: Team, id: t{} }}", user % TEAMS);
        entity("User", format!("u{user}"), String::new(), team);
    }
    for doc in 0..DOCS {
        entity("Doc", format!("d{doc}"), format!(" kind: k{doc}, pages: 10 "), String::new());
    }
    text
}

/// Returns what the first 20 policies decide about reading: teams 0 to 19 read kind 0.
fn decision(user: usize, doc: usize) -> &'static str {
    if user < 20 && doc == 0 { "allow" } else { "deny" }
}
