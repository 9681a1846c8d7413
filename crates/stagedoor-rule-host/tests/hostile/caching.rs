//! Compiled rules on disk, and those who would change them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::Entities;
use stagedoor_rule_host::{CacheError, Compiler, HostConfig, HostError, RuleHost, WasmRule};

use crate::rules::{load, request, that_does};

fn host(directory: &Path) -> Result<RuleHost, HostError> {
    RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess).with_cache(directory))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<Result<Vec<_>>>()?;
    let mut entries: Vec<PathBuf> =
        files.into_iter().filter(|f| f.extension().is_some_and(|e| e == "cwasm")).collect();
    entries.sort();
    Ok(entries)
}

type Change = fn(Vec<u8>) -> Vec<u8>;

#[test]
fn a_rule_is_compiled_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let bytes = that_does("")?;
    for round in 0..3 {
        let rule = load(&host(directory.path())?, &bytes)?;
        ensure!(rule.from_cache() == (round > 0));
        ensure!(rule.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
    }
    ensure!(entries(directory.path())?.len() == 1);
    Ok(())
}

#[test]
fn a_tampered_entry_is_compiled_again() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let (yes, no) = (that_does("")?, that_does("(i32.store8 (i32.const 604) (i32.const 0))")?);
    ensure!(load(&host(path)?, &yes)?.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
    let of_yes = entries(path)?.first().context("no entry")?.clone();
    ensure!(!load(&host(path)?, &no)?.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
    let of_no = entries(path)?.into_iter().find(|e| *e != of_yes).context("no second entry")?;
    let good = fs::read(&of_no)?;

    let changes: [(&str, Change); 6] = [
        ("a bit of the code", |mut entry| {
            entry.iter_mut().rev().take(1).for_each(|b| *b ^= 1);
            entry
        }),
        ("a bit of the authentication", |mut entry| {
            entry.iter_mut().take(1).for_each(|b| *b ^= 1);
            entry
        }),
        ("cut", |mut entry| {
            entry.truncate(entry.len() / 2);
            entry
        }),
        ("emptied", |_| Vec::new()),
        ("without authentication", |entry| entry.into_iter().skip(32).collect()),
        ("longer", |mut entry| {
            entry.push(0);
            entry
        }),
    ];
    for (what, change) in changes {
        fs::write(&of_no, change(good.clone()))?;
        let rule = load(&host(path)?, &no)?;
        ensure!(!rule.from_cache(), "{what}");
        ensure!(!rule.evaluate(&request()?, &Entities::empty(), "{}")?.holds, "{what}");
        ensure!(fs::read(&of_no)? == good, "{what}: the entry was not replaced");
    }
    // A good entry of another rule.
    fs::copy(&of_yes, &of_no)?;
    let rule = load(&host(path)?, &no)?;
    ensure!(!rule.from_cache() && !rule.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
    Ok(())
}

#[test]
fn a_kept_rule_is_held_to_other_limits() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let bytes = that_does("")?;
    load(&host(directory.path())?, &bytes)?;
    let mut config =
        HostConfig::default().with_compiler(Compiler::InProcess).with_cache(directory.path());
    config.component.nesting = 0;
    let refused = load(&RuleHost::new(&config)?, &bytes);
    let told = refused.err().context("it was loaded")?.to_string();
    ensure!(told.contains("levels of nesting, and the limit is 0"), "{told}");
    Ok(())
}

#[test]
fn another_key_makes_other_entries() -> Result<()> {
    let (ours, theirs) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let bytes = that_does("")?;
    load(&host(theirs.path())?, &bytes)?;
    load(&host(ours.path())?, &bytes)?;
    let entry = entries(ours.path())?.first().context("no entry")?.clone();
    let name = entry.file_name().context("no name")?;
    fs::copy(theirs.path().join(name), &entry)?;
    ensure!(!load(&host(ours.path())?, &bytes)?.from_cache());
    Ok(())
}

#[test]
fn a_directory_that_others_may_write_is_not_used() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let untrusted = |found: Result<RuleHost, HostError>| {
        matches!(found, Err(HostError::Cache(CacheError::Untrusted { .. })))
    };
    mode(directory.path(), 0o777)?;
    ensure!(untrusted(host(directory.path())));
    mode(directory.path(), 0o700)?;
    host(directory.path())?;
    mode(&directory.path().join("key"), 0o644)?;
    ensure!(untrusted(host(directory.path())));
    mode(&directory.path().join("key"), 0o600)?;
    fs::write(directory.path().join("key"), "short")?;
    ensure!(untrusted(host(directory.path())));
    fs::remove_file(directory.path().join("key"))?;
    std::os::unix::fs::symlink("/etc/hostname", directory.path().join("key"))?;
    ensure!(untrusted(host(directory.path())));
    Ok(())
}

/// What was compiled before is trusted as this program is: only where nobody else could write it.
#[test]
fn precompiled_rules_are_those_that_nobody_else_could_write() -> Result<()> {
    let (root, bytes) = (tempfile::tempdir()?, that_does("")?);
    let store = root.path().join("store");
    fs::create_dir(&store)?;
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(&store, 0o755)?;
    let name = WasmRule::precompile(&crate::rules::host()?, &bytes, true, &store)?;
    let entry = store.join(&name);
    ensure!(fs::metadata(&entry)?.permissions().mode() & 0o777 == 0o644, "others may run it");
    let open = |directory: &Path| {
        RuleHost::new(
            &HostConfig::default().with_compiler(Compiler::InProcess).with_precompiled(directory),
        )
    };
    let host = open(&store)?;
    ensure!(load(&host, &bytes)?.is_precompiled());
    for (path, closed, open_to) in
        [(&entry, 0o644, 0o646), (&entry, 0o644, 0o664), (&store, 0o755, 0o757)]
    {
        mode(path, open_to)?;
        ensure!(!load(&host, &bytes)?.is_precompiled(), "{}: {open_to:o}", path.display());
        mode(path, closed)?;
        ensure!(load(&host, &bytes)?.is_precompiled());
    }
    let elsewhere = root.path().join("elsewhere");
    fs::rename(&entry, &elsewhere)?;
    std::os::unix::fs::symlink(&elsewhere, &entry)?;
    ensure!(!load(&host, &bytes)?.is_precompiled(), "a link");
    let untrusted = |found: Result<RuleHost, HostError>| {
        matches!(found, Err(HostError::Cache(CacheError::Untrusted { .. })))
    };
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&store, &link)?;
    ensure!(untrusted(open(&link)));
    mode(&store, 0o777)?;
    ensure!(untrusted(open(&store)));
    Ok(())
}
