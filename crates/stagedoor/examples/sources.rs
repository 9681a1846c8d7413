//! Loads a policy set as every face of Stagedoor does: `cargo run -p stagedoor --example sources`.

use stagedoor::Limits;
use stagedoor::source::{Bundle, MemoryFileSystem, PolicySet, PolicySources};

/// Reads a directory, ships it as one file, and finds the same set in it.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `RealFileSystem` in a program.
    let files = MemoryFileSystem::default()
        .with_file(
            "policies/doors.cedarschema",
            "entity User, Door; action open appliesTo { principal: User, resource: Door };",
        )
        .with_file(
            "policies/doors.cedar",
            "@id(\"all\") permit (principal, action == Action::\"open\", resource is Door);",
        )
        .with_file("policies/.git/old.cedar", "forbid (principal, action, resource);");
    let sources = PolicySources::read(&files, &["policies"], &Limits::default());

    let set =
        PolicySet::all(sources.clone(), &[]).into_iter().next().ok_or("there is always one")?;
    let engine = set.builder().build()?;
    assert_eq!(engine.policies().map(|policy| policy.id().to_owned()).collect::<Vec<_>>(), ["all"]);

    let shipped = Bundle::of(&sources, &engine)?.to_json();
    let bundle = Bundle::from_json("policies.json", &shipped)?;
    let set = PolicySet::all(PolicySources::from_bundle(&bundle), &[])
        .into_iter()
        .next()
        .ok_or("there is always one")?;
    assert_eq!(set.builder().build()?.revision(), engine.revision());
    println!("revision {}", engine.revision());
    Ok(())
}
