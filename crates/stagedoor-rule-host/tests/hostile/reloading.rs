//! Rules that are loaded again and again, while they change and while they are compiled.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use stagedoor_core::{Engine, Entities, GuardVerdict, RuleEvaluator as _};
use stagedoor_rule_host::{
    ChildCompiler, Compiler, HostConfig, RuleHost, RuleLoader, WasmRules, WasmRulesError,
};

use crate::rules::{request, that_does, with_items};

const NO: &str = "(i32.store8 (i32.const 604) (i32.const 0))";

fn in_process() -> HostConfig {
    HostConfig::default().with_compiler(Compiler::InProcess)
}

/// Gives the rules time enough on a machine that does ten other things.
fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let file = directory.join(name);
    std::fs::write(file.with_extension("limits.json"), r#"{"deadlineMs": 1000}"#)?;
    Ok(std::fs::write(file, bytes)?)
}

/// Asks the rule of a name; `None` if it gives no answer.
fn says(rules: &WasmRules, name: &str) -> Result<Option<bool>> {
    let guard = rules.guard(name, "{}").map_err(|e| anyhow!("{e:?}"))?;
    Ok(guard.evaluate(&request()?, &Entities::empty()).ok().map(|answer| answer.holds))
}

#[test]
fn rules_that_did_not_change_cost_nothing_and_changes_are_seen_at_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = [directory.path().to_owned()];
    write(directory.path(), "hostile.wasm", &that_does("")?)?;
    let loader = RuleLoader::new(RuleHost::new(&in_process())?);
    ensure!(says(&loader.load(&here, &[], None)?, "hostile")? == Some(true));
    let begun = Instant::now();
    for _ in 0..40 {
        loader.load(&here, &[], None)?;
    }
    ensure!(begun.elapsed() < 40 * Duration::from_millis(50), "{:?}", begun.elapsed());
    // Of the same size, and perhaps within one tick of the kernel's clock.
    for (round, body) in [NO, "(i32.store8 (i32.const 604) (i32.const 1))", NO].iter().enumerate() {
        write(directory.path(), "hostile.wasm", &that_does(body)?)?;
        let said = says(&loader.load(&here, &[], None)?, "hostile")?;
        ensure!(said == Some(round == 1), "{round}: {said:?}");
    }
    std::fs::remove_file(directory.path().join("hostile.wasm"))?;
    ensure!(matches!(loader.load(&here, &[], None), Err(WasmRulesError::Empty(_))));
    Ok(())
}

/// A compiler that works for as long as nobody writes to a pipe, and then gives up.
fn stuck(directory: &Path) -> Result<(Compiler, PathBuf)> {
    let pipe = directory.join("pipe");
    ensure!(Command::new("mkfifo").arg(&pipe).status()?.success());
    let script = format!("read line < '{}'", pipe.display());
    Ok((Compiler::Child(ChildCompiler::new("/bin/sh", ["-c".to_owned(), script])), pipe))
}

#[test]
fn what_is_being_compiled_is_not_waited_for() -> Result<()> {
    let (directory, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let here = [directory.path().to_owned()];
    write(directory.path(), "hostile.wasm", &that_does("")?)?;
    let cache = elsewhere.path().join("cache");
    WasmRules::load(&RuleHost::new(&in_process().with_cache(&cache))?, directory.path())?;

    let (compiler, pipe) = stuck(elsewhere.path())?;
    let host = HostConfig::default().with_compiler(compiler).with_cache(&cache);
    let loader = RuleLoader::new(RuleHost::new(&host)?);
    let rules = loader.load(&here, &[], Some(Duration::ZERO))?;
    ensure!(!rules.is_pending() && says(&rules, "hostile")? == Some(true));

    // Another version of the rule, and another rule.
    write(directory.path(), "hostile.wasm", &that_does(NO)?)?;
    write(directory.path(), "other.wasm", &with_items("(global i32 (i32.const 7))", "")?)?;
    let version = loader.version();
    let rules = loader.load(&here, &[], Some(Duration::ZERO))?;
    ensure!(rules.is_pending() && loader.is_pending());
    ensure!(says(&rules, "hostile")? == Some(true), "the version before does not serve");
    let engine = Engine::builder()
        .schema(
            "s",
            "entity User, Thing; action look appliesTo { principal: User, resource: Thing };",
        )
        .policies("p", r#"@id("p") @guard("other") permit (principal, action, resource);"#)
        .rules(Arc::new(rules))
        .build()?;
    ensure!(engine.warnings().iter().any(|w| w.message().contains("still being compiled")));
    let outcome = engine.decide(&request()?, &Entities::empty())?;
    let verdict = outcome.guards().first().context("no guard was asked")?.verdict();
    let GuardVerdict::Failed(failure) = verdict else { anyhow::bail!("{verdict}") };
    ensure!(failure.code == "wasm_rule::compiling", "{failure:?}");
    ensure!(outcome.decision() == stagedoor_core::Decision::Deny, "{outcome:?}");

    // The compiler ends, which the loader tells.
    std::fs::write(&pipe, "\n\n")?;
    loader.settle();
    ensure!(loader.version() > version && !loader.is_pending());
    Ok(())
}

#[test]
fn a_host_without_a_compiler_loads_what_was_compiled_before() -> Result<()> {
    let (directory, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    write(directory.path(), "hostile.wasm", &that_does("")?)?;
    let bare = RuleHost::new(&HostConfig::default())?;
    let rules = WasmRules::load(&bare, directory.path())?;
    let told = rules.unusable().first().context("it was loaded")?;
    ensure!(told.error.contains("nothing to compile it with"), "{told:?}");
    ensure!(told.help.as_ref().is_some_and(|help| help.contains("precompile")), "{told:?}");
    let bytes = that_does("")?;
    let builder = RuleHost::new(&in_process())?;
    stagedoor_rule_host::WasmRule::precompile(&builder, &bytes, false, elsewhere.path())?;
    let stored = RuleHost::new(&HostConfig::default().with_precompiled(elsewhere.path()))?;
    let rules = WasmRules::load(&stored, directory.path())?;
    ensure!(rules.iter().all(|rule| rule.is_precompiled()) && rules.iter().len() == 1);
    ensure!(says(&rules, "hostile")? == Some(true));
    Ok(())
}

#[test]
fn two_files_of_one_name_are_used_by_nobody() -> Result<()> {
    let directory = tempfile::tempdir()?;
    write(directory.path(), "a.wasm", &that_does("")?)?;
    write(directory.path(), "b.wasm", &that_does(NO)?)?;
    let rules = WasmRules::load(&RuleHost::new(&in_process())?, directory.path())?;
    ensure!(rules.iter().len() == 0 && rules.guard("hostile", "{}").is_err());
    ensure!(rules.unusable().iter().all(|unusable| unusable.name == "hostile"), "{rules:?}");
    // The same file twice is one rule.
    write(directory.path(), "b.wasm", &that_does("")?)?;
    let rules = WasmRules::load(&RuleHost::new(&in_process())?, directory.path())?;
    ensure!(says(&rules, "hostile")? == Some(true));
    Ok(())
}

#[test]
fn a_program_that_is_no_compiler_is_told() -> Result<()> {
    let bytes = that_does("")?;
    for (program, script, says) in [
        ("/bin/sh", "exit 3", "it gave no answer"),
        ("/bin/sh", "head -c 1000", "it gave no answer"),
        ("/bin/sh", "head -c 400000000 /dev/zero", "bytes of compiled code"),
        ("/bin/nothing-of-this-name", "", "`/bin/nothing-of-this-name`"),
    ] {
        let compiler = Compiler::Child(ChildCompiler::new(program, ["-c", script]));
        let host = RuleHost::new(&HostConfig::default().with_compiler(compiler))?;
        let error = crate::rules::load(&host, &bytes).err().context("it was loaded")?;
        ensure!(error.to_string().contains(says), "{script}: {error}");
    }
    Ok(())
}
