//! Tests of policies in a `#[test]`, and a test that fails: `cargo run -p stagedoor --example
//! policy_tests`.

use stagedoor_testing::{DirError, run_dir};

const SCHEMA: &str = "
    entity Group; entity User in [Group]; entity Door { alarm: Bool };
    action open appliesTo { principal: User, resource: Door };";

const POLICIES: &str = r#"
    @id("staff") permit (principal in Group::"staff", action, resource);
    @id("alarm") forbid (principal, action, resource) when { resource.alarm };"#;

const TESTS: &str = r#"
fixtures:
  entities:
    - uid: { type: User, id: ana }
      attrs: {}
      parents: [{ type: Group, id: staff }]
    - { uid: { type: User, id: bob }, attrs: {}, parents: [] }
    - { uid: { type: Door, id: front }, attrs: { alarm: false }, parents: [] }
    - { uid: { type: Door, id: vault }, attrs: { alarm: true }, parents: [] }
cases:
  - name: staff comes in
    principal: User::"ana"
    action: Action::"open"
    resource: Door::"front"
    expect: { decision: allow, reasons: [staff] }
  - name: nobody opens what rings
    principal: User::"ana"
    action: Action::"open"
    resource: Door::"vault"
    expect: { decision: deny, reasons: [alarm] }
  - name: others stay outside
    principal: User::"bob"
    action: Action::"open"
    resource: Door::"front"
    expect: deny
"#;

/// Runs the tests of a directory, and again with a policy that lets everybody in.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
    write("doors.cedarschema", SCHEMA)?;
    write("doors.cedar", POLICIES)?;
    write("doors.test.yaml", TESTS)?;
    run_dir(directory.path())?;

    write("more.cedar", r#"@id("open-day") permit (principal, action, resource);"#)?;
    match run_dir(directory.path()) {
        Err(DirError::Failed(report)) => {
            println!("{} of the cases fail now", report.counts().failed);
            assert_eq!(report.counts().failed, 2, "who comes in, and why staff does");
        }
        Err(error) => return Err(error.into()),
        Ok(()) => return Err("the tests did not notice".into()),
    }
    Ok(())
}
