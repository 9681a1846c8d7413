//! Runs every fuzz target on its seeds and on mutations of them, the same ones each time.
//!
//! `STAGEDOOR_CASES` (a factor) asks for more. cargo-fuzz goes further; see `fuzz/`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use stagedoor_tests::bounded::on_stack;
use stagedoor_tests::fuzz::TARGETS;
use stagedoor_tests::mutation::Mutator;

/// Inputs for each target.
const INPUTS: usize = 3_000;
/// No input takes as long as this.
const SOON: Duration = Duration::from_secs(60);
/// Cedar's parser, which targets compare with, needs more than a thread's usual stack.
const STACK: usize = 64 << 20;

#[test]
fn seeds_and_their_mutations_break_nothing() -> Result<()> {
    let factor = std::env::var("STAGEDOOR_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    std::thread::scope(|scope| {
        let threads: Vec<_> = TARGETS
            .iter()
            .map(|(name, target)| {
                // What people wrote, and what `.ci/fuzz` has found since.
                let folders = ["fuzz-seeds", "fuzz-corpus"].map(|of| cases.join(of).join(name));
                scope.spawn(move || {
                    run(&folders, *target, INPUTS * factor).with_context(|| (*name).to_owned())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a runner panicked"))??;
        }
        Ok(())
    })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn run([seeds, corpus]: &[PathBuf; 2], target: fn(&[u8]), inputs: usize) -> Result<()> {
    let mut paths = files(seeds)?;
    if corpus.is_dir() {
        paths.extend(files(corpus)?);
    }
    let seeds = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
    ensure!(!seeds.is_empty(), "there are no seeds");
    let mut queue = seeds.clone();
    let mut mutator = Mutator::new(2, seeds);
    queue.extend((0..inputs).map(|_| mutator.input()));

    // Threads cost more than most inputs, so many share one.
    for inputs in queue.chunks(100) {
        let current = Arc::new(Mutex::new(Vec::new()));
        let (shared, inputs) = (Arc::clone(&current), inputs.to_vec());
        on_stack(STACK, SOON, move || {
            for input in inputs {
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = input.clone();
                target(&input);
            }
        })
        .with_context(|| {
            let input = current.lock().unwrap_or_else(PoisonError::into_inner);
            format!("on {:?}", String::from_utf8_lossy(&input))
        })?;
    }
    Ok(())
}
