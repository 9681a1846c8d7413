//! How decisions of two threads add up.

use std::fmt::Write as _;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use crate::cpu;

/// How often each thread decides all requests in one turn.
const REPEATS: usize = 20;

/// Two threads' decisions beside one's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scaling {
    /// Decisions a second of two threads, by those of one.
    pub(crate) wall: f64,
    /// The same by processor time, which leaves out that other programs took a processor.
    pub(crate) cpu: f64,
}

/// What one turn took.
struct Turn {
    /// Rounds of decisions by wall-clock seconds.
    wall: f64,
    /// Rounds of decisions by processor seconds, of all threads together.
    cpu: f64,
}

/// Lets one thread, then two, make all decisions some times over.
pub(crate) fn measure(
    rounds: usize,
    decide_all: impl Fn() -> Result<()> + Sync,
) -> Result<Scaling> {
    let mut wall = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..rounds {
        let one = turn(1, &decide_all)?;
        let two = turn(2, &decide_all)?;
        wall.push(two.wall / one.wall);
        cpu.push(2.0 * two.cpu / one.cpu);
    }
    Ok(Scaling { wall: cpu::median(wall), cpu: cpu::median(cpu) })
}

fn turn(threads: usize, decide_all: &(impl Fn() -> Result<()> + Sync)) -> Result<Turn> {
    let decide = || -> Result<f64> {
        let before = cpu::used();
        for _ in 0..REPEATS {
            decide_all()?;
        }
        Ok((cpu::used() - before).as_secs_f64())
    };
    let start = Instant::now();
    let used = thread::scope(|scope| -> Result<f64> {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(decide)).collect();
        let mut used = 0.0;
        for thread in running {
            used += thread.join().map_err(|_| anyhow!("a thread failed")).context("scaling")??;
        }
        Ok(used)
    })?;
    let decisions = (threads * REPEATS) as f64;
    Ok(Turn { wall: decisions / start.elapsed().as_secs_f64(), cpu: decisions / used })
}

/// Returns the figures as lines to print.
pub(crate) fn table(scaling: &[(usize, Scaling)]) -> String {
    let mut text = String::from("\ntwo threads beside one, decisions a second\n");
    for (n, Scaling { wall, cpu }) in scaling {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{n:>8}  {wall:.2}x by the clock, {cpu:.2}x by processor time");
    }
    text
}
