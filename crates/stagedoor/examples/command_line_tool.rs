//! A tool on somebody's machine that asks before it does what cannot be undone, and says why not:
//! `cargo run -p stagedoor --example command_line_tool`.

use std::fmt::Write as _;

use stagedoor::source::{FileSystem, MemoryFileSystem, PolicySet, PolicySources};
use stagedoor::{Decision, Engine, Entities, Entity, Limits, Request, uid};

/// What the tool ships. An organisation puts its own policies beside it.
const SCHEMA: &str = "
    entity User; entity Notebook { owner: User, archived: Bool };
    action show, delete appliesTo {
      principal: User, resource: Notebook, context: { confirmed: Bool }
    };";
const SHIPPED: &str = r#"
    @id("mine") @doc("You may do with your notebooks what you like.")
    permit (principal, action, resource) when { resource.owner == principal };"#;
const OF_THE_ORGANISATION: &str = r#"
    @id("ask-twice") @doc("What is not archived is deleted with `--yes` only.")
    forbid (principal, action == Action::"delete", resource)
    when { !resource.archived } unless { context.confirmed };"#;

/// Loads the policies: all of them, or none.
fn load(files: &dyn FileSystem) -> Result<Engine, Box<dyn std::error::Error>> {
    let sources = PolicySources::read(files, &["notes/policies"], &Limits::default());
    let set = PolicySet::all(sources, &[]).into_iter().next().ok_or("there is always one")?;
    // The error has every problem, with its file, line and column.
    Ok(set.builder().build()?)
}

/// Does what the arguments say; returns what it tells, and its exit code.
fn run(engine: &Engine, arguments: &[&str]) -> Result<(String, i32), Box<dyn std::error::Error>> {
    let [action @ ("show" | "delete"), name, rest @ ..] = arguments else {
        return Ok(("usage: notes (show|delete) NAME [--yes]\n".to_owned(), 64));
    };
    let owner = if *name == "family" { "bob" } else { "ana" };
    let notebook = Entity::new(uid("Notebook", name)?)
        .with_attribute("owner", uid("User", owner)?)
        .with_attribute("archived", *name == "old");
    let request = Request::new(uid("User", "ana")?, uid("Action", action)?, notebook.uid.clone())
        .with_context("confirmed", rest.contains(&"--yes"));
    let explanation = engine.explain(&request, &Entities::from_entities([notebook])?)?;
    if explanation.outcome().decision() == Decision::Allow {
        return Ok((format!("{action} {name}: done\n"), 0));
    }
    let mut told = format!("{action} {name}: not allowed\n");
    for policy in explanation.outcome().reasons() {
        writeln!(told, "  {}", policy.annotation("doc").unwrap_or(policy.id()))?;
    }
    for way in explanation.counterfactuals() {
        let changes: Vec<_> = way.changes().iter().map(ToString::to_string).collect();
        writeln!(told, "  it would be if {}", changes.join(" and "))?;
    }
    Ok((told, 77))
}

/// Runs the tool a few times.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `RealFileSystem`, and a directory of the user's, in a program.
    let files = MemoryFileSystem::default()
        .with_file("notes/policies/notes.cedarschema", SCHEMA)
        .with_file("notes/policies/shipped.cedar", SHIPPED)
        .with_file("notes/policies/organisation.cedar", OF_THE_ORGANISATION);
    let engine = load(&files)?;
    for (arguments, expected) in [
        (&["show", "plans"][..], 0),
        (&["delete", "old"], 0),
        (&["delete", "plans"], 77),
        (&["delete", "plans", "--yes"], 0),
        (&["show", "family"], 77),
        (&["shred", "plans"], 64),
    ] {
        let (told, exit) = run(&engine, arguments)?;
        print!("{told}");
        assert_eq!(exit, expected, "{arguments:?}: {told}");
    }
    let (told, _) = run(&engine, &["delete", "plans"])?;
    assert!(told.contains("deleted with `--yes` only"), "{told}");
    assert!(told.contains("it would be if `context.confirmed` were `true`"), "{told}");

    // A policy that is wrong keeps the tool from doing anything.
    let files = files.with_file("notes/policies/more.cedar", "forbid (principal, action);");
    assert!(load(&files).is_err());
    Ok(())
}
