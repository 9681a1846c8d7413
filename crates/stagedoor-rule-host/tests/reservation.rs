//! How much address space a host reserves, and that all of its places can be taken. A program of
//! its own, so that nothing else reserves any meanwhile.

use anyhow::{Context as _, Result, ensure};
use stagedoor_rule_host::{Compiler, HostConfig, RuleHost};

/// Address space that this process has reserved, in KiB.
fn reserved() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let line = line.context("no VmSize")?;
    Ok(line.split_whitespace().next().context("no number")?.parse()?)
}

#[test]
fn a_host_reserves_less_than_four_gibibytes() -> Result<()> {
    let before = reserved()?;
    let host = RuleHost::new(&HostConfig::default().with_compiler(Compiler::InProcess))?;
    let taken = reserved()? - before;
    println!("{taken} KiB are reserved");
    // As the documentation of `concurrency` has it, and the tables and the compiled code.
    ensure!(taken < 4 << 20, "{taken} KiB are reserved");
    let memories = host.config().concurrency * 4 * (host.config().memory_bytes >> 10);
    ensure!(taken > memories as u64, "{taken} KiB are not what the memories alone take");
    Ok(())
}
