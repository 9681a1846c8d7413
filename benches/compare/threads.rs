//! How decisions of two threads add up.

use std::fmt::Write as _;
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use stagedoor_core::{Engine, Entities, Request};

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
    /// Decisions by wall-clock seconds.
    wall: f64,
    /// Decisions by processor seconds, of all threads together.
    cpu: f64,
}

pub(crate) fn measure(
    engine: &Engine,
    prepared: &[(Request, Entities)],
    rounds: usize,
) -> Result<Scaling> {
    let mut wall = Vec::new();
    let mut cpu = Vec::new();
    for _ in 0..rounds {
        let one = turn(1, engine, prepared)?;
        let two = turn(2, engine, prepared)?;
        wall.push(two.wall / one.wall);
        cpu.push(2.0 * two.cpu / one.cpu);
    }
    Ok(Scaling { wall: cpu::median(wall), cpu: cpu::median(cpu) })
}

fn turn(threads: usize, engine: &Engine, prepared: &[(Request, Entities)]) -> Result<Turn> {
    let decide = || -> Result<f64> {
        let before = cpu::used();
        for _ in 0..REPEATS {
            for (request, entities) in prepared {
                black_box(engine.decide(request, entities)?);
            }
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
    let decisions = (threads * REPEATS * prepared.len()) as f64;
    Ok(Turn { wall: decisions / start.elapsed().as_secs_f64(), cpu: decisions / used })
}

/// Returns the figures as lines to print.
pub(crate) fn table(scaling: &[(usize, Scaling)]) -> String {
    let mut text = String::from("\ntwo threads beside one, prepared decisions a second\n");
    for (n, Scaling { wall, cpu }) in scaling {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{n:>8}  {wall:.2}x by the clock, {cpu:.2}x by processor time");
    }
    text
}
