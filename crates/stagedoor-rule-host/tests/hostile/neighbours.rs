//! Decisions about other requests go on while rules mean harm, and the memory stays level.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use stagedoor_core::Entities;
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost, RuleLimits, WasmRule};

use crate::alone::{passes_alone, resident};
use crate::calls::reason;
use crate::rules::{Text, load, request, that_does, with_items};

#[test]
fn good_rules_answer_beside_bad_ones() -> Result<()> {
    passes_alone("neighbours::good_rules_answer_beside_bad_ones_alone")
}

#[test]
#[ignore = "measures its process: the test above runs it in one of its own"]
fn good_rules_answer_beside_bad_ones_alone() -> Result<()> {
    // Whether rules answer is asked here, not how soon a machine with other work lets them.
    let mut config = HostConfig::default().with_compiler(Compiler::InProcess);
    config.acquire_timeout = Duration::from_secs(10);
    let host = RuleHost::new(&config)?;
    let good = load(&host, &that_does("")?)?;
    let mut limits = RuleLimits::default();
    limits.fuel = 1 << 40;
    let bad = [
        that_does("(loop $l (br $l))")?,
        that_does(
            "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 131072)) (br $l))",
        )?,
        that_does(
            "(drop (memory.grow (i32.const 254)))
             (memory.fill (i32.const 0) (i32.const 255) (i32.const 16777216)) unreachable",
        )?,
        that_does("(loop $l (drop (memory.grow (i32.const 1))) (br $l))")?,
        with_items("(func $f (call $f))", "(call $f)")?,
        with_items(
            "(table $t 1 funcref)",
            "(loop $l (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $l))",
        )?,
        that_does("unreachable")?,
        // A reason that is too long, and one that is no UTF-8.
        that_does(&reason("4096", "100000"))?,
        that_does(&format!(
            "(i32.store8 (i32.const 4096) (i32.const 0xff)) {}",
            reason("4096", "1")
        ))?,
    ];
    let unloadable = [
        Text { imports: r#"(import "now" (func (result u64)))"#, ..Text::default() }.component()?,
        Text { describe: "unreachable", ..Text::default() }.component()?,
        Text { version: Some("9.0.0"), ..Text::default() }.component()?,
        with_items(&"(func)".repeat(100_000), "")?,
        that_does("")?.into_iter().take(500).collect(),
    ];
    let bad = bad.iter().map(|bytes| WasmRule::load(&host, bytes, limits.clone()));
    let bad: Vec<WasmRule> = bad.collect::<Result<_, _>>()?;
    let asked = request()?;
    let entities = Entities::empty();
    let rounds = |count: usize| -> Result<usize> {
        let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let neighbours: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while !done.load(Ordering::Relaxed) {
                            ensure!(good.evaluate(&asked, &entities, "{}")?.holds);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(())
                    })
                })
                .collect();
            let harm = || -> Result<()> {
                for rule in &bad {
                    ensure!(rule.evaluate(&asked, &entities, "{}").is_err());
                }
                for bytes in &unloadable {
                    ensure!(load(&host, bytes).is_err());
                }
                Ok(())
            };
            let mut harmed = Ok(());
            // Until the neighbours had their turns as well, however slow the machine is.
            for round in 0.. {
                let all_answered = answered.load(Ordering::Relaxed) > 100;
                if round >= count && (all_answered || neighbours.iter().any(|n| n.is_finished())) {
                    break;
                }
                harmed = harmed.and_then(|()| harm());
            }
            done.store(true, Ordering::Relaxed);
            for neighbour in neighbours {
                neighbour.join().map_err(|_| anyhow::anyhow!("a neighbour panicked"))??;
            }
            harmed
        })?;
        Ok(answered.into_inner())
    };
    rounds(5)?;
    let level = resident()?;
    let answered = rounds(30)?;
    let after = resident()?;
    ensure!(answered > 100, "{answered} answers");
    ensure!(after < level + (48 << 10), "{level} KiB before, {after} KiB after");
    Ok(())
}
