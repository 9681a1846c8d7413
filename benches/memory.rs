//! How much memory a loaded engine holds beyond the texts of its policies, by the number of grants.
//!
//! Counts what is allocated and not given back. Without an index is what policies and compiled
//! conditions hold.

use std::alloc::System;

use anyhow::Result;
use clap::Parser;
use stagedoor_benches::{Form, Workload, stagedoor};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Prints how much memory a loaded engine holds beyond the texts of its policies.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many grants there are; several numbers with commas.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000")]
    n: Vec<usize>,
}

fn main() -> Result<()> {
    println!(
        "{:>8}  {:<6}{:>12}{:>12}{:>12}{:>12}",
        "grants", "form", "texts", "policies", "index", "sum"
    );
    for n in Arguments::parse().n {
        for (form, name) in [(Form::Text, "text"), (Form::Links, "links")] {
            let texts = mib(Workload::new(n, 0).policies(form).len() as f64);
            let policies = held(n, form, false)? - texts;
            let index = held(n, form, true)? - texts - policies;
            println!(
                "{n:>8}  {name:<6}{texts:>8.1} MiB{policies:>8.1} MiB{index:>8.1} MiB{:>8.1} MiB",
                policies + index
            );
        }
    }
    Ok(())
}

/// Returns what an engine holds, in MiB.
fn held(n: usize, form: Form, index: bool) -> Result<f64> {
    let workload = Workload::new(n, 0);
    let region = Region::new(ALLOCATOR);
    let engine = stagedoor::builder(&workload, form)?.index(index).build()?;
    let stats = region.change();
    drop(engine);
    Ok(mib(stats.bytes_allocated as f64 - stats.bytes_deallocated as f64))
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}
