//! Engines that take over what another was loaded with: nothing tells them from one that reads all.

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::{Engine, EngineBuilder, Limits, LoadError};

/// Checks that two engines tell the same of themselves.
pub(crate) fn alike(one: &Engine, other: &Engine) -> Result<()> {
    ensure!(one.revision() == other.revision(), "another revision");
    ensure!(told(one) == told(other), "{:#?}\n\n{:#?}", told(one), told(other));
    let warnings = |engine: &Engine| format!("{:?}", engine.warnings());
    ensure!(warnings(one) == warnings(other), "{}\n{}", warnings(one), warnings(other));
    Ok(())
}

fn told(engine: &Engine) -> Vec<String> {
    let of = |policy: stagedoor_core::PolicyInfo<'_>| {
        let annotations: Vec<_> = policy.annotations().collect();
        let (place, link) = ((policy.file(), policy.line(), policy.span()), policy.link());
        let (id, effect, text) = (policy.id(), policy.effect(), policy.text());
        format!("{id} {effect:?} {text} {annotations:?} {place:?} {link:?}")
    };
    engine.policies().map(of).collect()
}

const SCHEMA: &str = "entity Team; entity User in [Team] { level: Long, name?: String };
    entity Doc { kind: String }; action view, edit appliesTo { principal: User, resource: Doc };";

const OTHER_SCHEMA: &str = "entity Team; entity User in [Team] { level: String, name?: String };
    entity Doc { kind: String }; action view, edit appliesTo { principal: User, resource: Doc };";

/// What a file may hold: with and without ids, warnings, mistakes of each kind, templates.
const PARTS: [&str; 16] = [
    "permit(principal, action, resource);",
    "permit(principal, action, resource) when { principal.level > 3 };",
    "@id(\"a\") @doc(\"x\") permit(principal in Team::\"a\", action, resource);",
    "@id(\"b\") forbid(principal, action == Action::\"view\", resource) unless { resource.kind == \"a\" };",
    "@id(\"policy1\") permit(principal, action, resource) when { principal.level == 1 };",
    "@id permit(principal, action, resource) when { principal.level == 2 };",
    "@id(\"w\") permit(principal, action, resource) when { resource.kind == \"p\u{430}yments\" };",
    "permit(principal, action == Action::\"edit\", resource) when { false };",
    "@id(\"t\") permit(principal in ?principal, action, resource);",
    "@id(\"is\") permit(principal is User, action in [Action::\"edit\"], resource is Doc);",
    "@id(\"like\") permit(principal, action, resource) when { principal has name && principal.name like \"a*\" };",
    "// nothing but a comment\n",
    "@id(\"invalid\") permit(principal, action, resource) when { principal.levels > 3 };",
    "@id(\"unread\") permit(principal, action;",
    "@id(\"guarded\") @guard(\"rule\") permit(principal, action, resource);",
    "@id(\"b\") permit(principal, action, resource) when { principal.level == 9 };",
];

/// Parts from here on are mistakes.
const MISTAKES: usize = 12;

fn set(random: &mut fastrand::Rng, with_mistakes: bool) -> Vec<(String, String)> {
    let parts = if with_mistakes { PARTS.len() } else { MISTAKES };
    let mut files = Vec::new();
    for number in 0..random.usize(1..4) {
        let mut text = String::new();
        for _ in 0..random.usize(0..5) {
            let part = PARTS.get(random.usize(..parts)).copied().unwrap_or_default();
            text.push_str(part);
            text.push_str(if random.bool() { "\n" } else { " " });
        }
        files.push((format!("{number}.cedar"), text));
    }
    files
}

fn builder(files: &[(String, String)], schema: &str) -> EngineBuilder {
    let builder = Engine::builder().unshadowed().schema("s.cedarschema", schema);
    files.iter().fold(builder, |builder, (name, text)| builder.policies(name, text))
}

fn problems(error: &LoadError) -> Vec<String> {
    error.problems().iter().map(|problem| format!("{problem:?}")).collect()
}

#[test]
fn what_was_read_before_is_as_if_it_were_read_now() -> Result<()> {
    let mut random = fastrand::Rng::with_seed(16);
    let (mut made, mut refused) = (0, 0);
    while made < 300 || refused < 300 {
        let Ok(known) = builder(&set(&mut random, false), SCHEMA).build() else { continue };
        let with_mistakes = random.u8(..3) == 0;
        let files = set(&mut random, with_mistakes);
        let schema = if random.u8(..5) == 0 { OTHER_SCHEMA } else { SCHEMA };
        let mut limits = Limits::default();
        if random.u8(..5) == 0 {
            limits.policy_bytes = 60;
        }
        let builder = || builder(&files, schema).limits(limits.clone());
        match (builder().build(), builder().resembling(&known).build()) {
            (Ok(alone), Ok(resembling)) => {
                alike(&resembling, &alone).with_context(|| format!("{files:?}"))?;
                made += 1;
            }
            (Err(alone), Err(resembling)) => {
                let (alone, resembling) = (problems(&alone), problems(&resembling));
                ensure!(alone == resembling, "{alone:#?}\n{resembling:#?}\n{files:?}");
                refused += 1;
            }
            (alone, resembling) => anyhow::bail!("{alone:?}\n{resembling:?}\n{files:?}"),
        }
    }
    Ok(())
}
