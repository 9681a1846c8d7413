//! What a record of a decision costs whoever decides.
//!
//! ```sh
//! cargo run --release -p stagedoor-authzen --example record -- ROUNDS
//! ```
//!
//! Prints one JSON object: nanoseconds of the processor for each decision without records and with them,
//! on the thread that decides, medians of rounds that take turns, and the difference; then the same by
//! the clock, which has in it whatever else runs. Records are written to nowhere by a thread of their
//! own, in the own form; what that thread still has to do after a round is told apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cpu_time::ThreadTime;
use serde_json::{Value, json};
use stagedoor_audit::{DecisionLog, Decisions, Form, LogOptions, Writer};
use stagedoor_authzen::{Mapping, Operation, Recording, World, answer};
use stagedoor_core::{Engine, Entities};

const SCHEMA: &str = include_str!("../tests/worlds/certification/certification.cedarschema");
const POLICIES: &str = include_str!("../tests/worlds/certification/certification.cedar");
const ENTITIES: &str = include_str!("../tests/worlds/certification/entities.json");

/// Decisions in a round: no more than may wait to be written.
const DECISIONS: u32 = 2_000;

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).map_or(Ok(200), |text| text.parse::<usize>())?;
    let engine = Engine::builder().schema("a.cedarschema", SCHEMA).policies("a.cedar", POLICIES);
    let engine = engine.build()?;
    let entities = Entities::from_json_str(ENTITIES, engine.schema())?;
    let world = World::new(engine, entities, &Mapping::default())?;
    let question = json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"},
        "resource": {"type": "record", "id": "record-1"},
        "context": {"time": "2025-06-27T18:03:07Z", "ip": "192.0.2.7"},
    })
    .to_string();
    let mut options = LogOptions::default();
    options.rules.decisions = Decisions::All;
    let log =
        Arc::new(DecisionLog::new(options, Form::Own, Box::new(Writer::new(std::io::sink()))));
    let round = |log: Option<&DecisionLog>| -> Result<[Duration; 2]> {
        let recording = Recording { log, request_id: "q-1", ..Recording::default() };
        let (begun, processor) = (Instant::now(), ThreadTime::now());
        for _ in 0..DECISIONS {
            let reply = answer(&world, Operation::Evaluation, &question, recording)?;
            ensure!(reply.decisions == [true]);
        }
        Ok([processor.elapsed(), begun.elapsed()].map(|time| time / DECISIONS))
    };
    let (mut without, mut with, mut written) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        without.push(round(None)?);
        with.push(round(Some(&log))?);
        let begun = Instant::now();
        log.flush();
        written.push(begun.elapsed() / DECISIONS);
    }
    let counts = log.counts();
    ensure!(counts.dropped == 0 && counts.failed == 0, "{counts:?}");
    let median = |mut times: Vec<Duration>| -> Result<u64> {
        times.sort_unstable();
        let at = times.get(times.len() / 2).context("a round")?;
        Ok(u64::try_from(at.as_nanos())?)
    };
    let times = |at: fn([Duration; 2]) -> Duration| -> Result<Value> {
        let median_of = |rounds: &[[Duration; 2]]| median(rounds.iter().copied().map(at).collect());
        let (without, with) = (median_of(&without)?, median_of(&with)?);
        Ok(json!({"without": without, "with": with, "record": with.saturating_sub(without)}))
    };
    let told = json!({
        "decisions": counts.written,
        "processorNanos": times(|[processor, _]| processor)?,
        "clockNanos": times(|[_, clock]| clock)?,
        "clockNanosLeftToWrite": median(written)?,
    });
    println!("{told:#}");
    Ok(())
}
