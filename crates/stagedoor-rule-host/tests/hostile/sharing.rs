//! One directory of compiled rules, and several who use it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stagedoor_core::Entities;
use stagedoor_rule_host::{Compiler, HostConfig, HostSettings, RuleHost, RuleLoader};

use crate::alone::{passes_alone, resident};
use crate::rules::{load, request, that_does, with_items};

fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// What was left of writing: none of it may stay.
fn unfinished(directory: &Path) -> Result<Vec<String>> {
    let mut names = names(directory)?;
    names.retain(|name| name.starts_with('.'));
    Ok(names)
}

#[test]
fn hosts_that_begin_at_once_share_a_directory() -> Result<()> {
    const RULES: usize = 6;
    let cache = tempfile::tempdir()?;
    let directory = cache.path().join("compiled");
    let written: Vec<Vec<u8>> = (0..RULES)
        .map(|number| with_items(&format!("(global i32 (i32.const {number}))"), ""))
        .collect::<Result<_>>()?;
    let host = || {
        let config = HostConfig::default().with_compiler(Compiler::InProcess);
        RuleHost::new(&config.with_cache(&directory))
    };
    std::thread::scope(|scope| -> Result<()> {
        let hosts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let host = host()?;
                    for bytes in &written {
                        let rule = load(&host, bytes)?;
                        ensure!(rule.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
                    }
                    Ok(())
                })
            })
            .collect();
        for host in hosts {
            host.join().map_err(|_| anyhow::anyhow!("a host panicked"))??;
        }
        Ok(())
    })?;
    let entries = names(&directory)?.into_iter().filter(|name| name.ends_with(".cwasm")).count();
    ensure!(entries == RULES, "{entries} entries");
    ensure!(unfinished(&directory)?.is_empty(), "{:?}", unfinished(&directory)?);
    // All of them have the one key.
    let later = host()?;
    for bytes in &written {
        ensure!(load(&later, bytes)?.from_cache());
    }
    Ok(())
}

/// Another version of Stagedoor, or one with other settings, has its own entries in the directory.
#[test]
fn foreign_entries_are_left_alone() -> Result<()> {
    let cache = tempfile::tempdir()?;
    let bytes = that_does("")?;
    let of = |memory_mib: u64| -> Result<RuleHost> {
        let mut settings = HostSettings::default();
        settings.memory_mib = Some(memory_mib);
        settings.cache = Some(cache.path().join("compiled"));
        Ok(settings.host(Compiler::InProcess)?.0)
    };
    for round in 0..2 {
        for memory in [32, 48] {
            let rule = load(&of(memory)?, &bytes)?;
            ensure!(rule.from_cache() == (round > 0), "{memory} MiB in round {round}");
            ensure!(rule.evaluate(&request()?, &Entities::empty(), "{}")?.holds);
        }
    }
    let directory = cache.path().join("compiled");
    let mut entries = names(&directory)?;
    entries.retain(|name| name.ends_with(".cwasm"));
    ensure!(entries.len() == 2, "{entries:?}");
    // One under the name of the other is no entry.
    let [one, other] = entries.as_slice() else { anyhow::bail!("{entries:?}") };
    std::fs::copy(directory.join(one), directory.join(other))?;
    let found =
        [32, 48].map(|memory| of(memory).and_then(|host| Ok(load(&host, &bytes)?.from_cache())));
    let found = found.into_iter().collect::<Result<Vec<bool>>>()?;
    ensure!(found.iter().filter(|found| **found).count() == 1, "{found:?}");
    Ok(())
}

/// Processor time of this thread, whatever else the machine does.
fn processor_time() -> Result<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = told.split_whitespace().next().context("no schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// Loads rules that do not change again and again, each time within 50 ms; for the test below, which
/// gives it a process of its own.
#[test]
#[ignore = "has to run alone"]
fn reloads_of_unchanged_rules_alone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for file in ["a.wasm", "b.wasm", "c.wasm"] {
        // The same file several times is one rule.
        std::fs::write(directory.path().join(file), that_does("")?)?;
    }
    let config = HostConfig::default().with_compiler(Compiler::InProcess);
    let loader = RuleLoader::new(RuleHost::new(&config)?);
    let here = [directory.path().to_owned()];
    let reload = || -> Result<()> {
        ensure!(loader.load(&here, &[], None)?.iter().len() == 1);
        Ok(())
    };
    for _ in 0..10 {
        reload()?;
    }
    let level = resident()?;
    let mut longest = Duration::ZERO;
    for _ in 0..400 {
        let begun = processor_time()?;
        reload()?;
        longest = longest.max(processor_time()?.saturating_sub(begun));
    }
    ensure!(longest < Duration::from_millis(50), "a reload took {longest:?}");
    println!("the longest of 400 reloads took {longest:?}");
    let grown = resident()?.saturating_sub(level);
    ensure!(grown < 1 << 10, "{grown} KiB more after 400 reloads");
    Ok(())
}

#[test]
fn reloads_of_unchanged_rules_take_no_memory() -> Result<()> {
    passes_alone("sharing::reloads_of_unchanged_rules_alone")
}
