//! The analysis against enumeration: random pairs of policy sets over small finite worlds.
//!
//! What enumeration finds the analysis must find, what the analysis finds must be decided so, and
//! what it calls equal must be equal. The number of pairs is `STAGEDOOR_ANALYSIS_PAIRS`, the first
//! seed `STAGEDOOR_ANALYSIS_SEED`:
//!
//! ```sh
//! STAGEDOOR_ANALYSIS_PAIRS=100000 cargo test --release -p stagedoor-analysis --test brute_force -- --nocapture
//! ```

mod policies;
mod world;

use anyhow::{Context as _, Result, ensure};
use stagedoor_analysis::{
    Bound, BoundError, BoundKind, Direction, Finding, Library, Violation, compare,
};
use stagedoor_core::{Decision, Engine, Entities, Request};

use policies::PolicySet;
use world::{Theme, themes};

/// Pairs in an ordinary run.
const PAIRS: u64 = 600;

/// So many requests are enumerated at most for each pair.
const REQUESTS: usize = 150;

#[derive(Default)]
struct Counts {
    pairs: u64,
    equal: u64,
    differences: u64,
    undecided: u64,
    requests: u64,
    bounds: u64,
    violated: u64,
    bounds_undecided: u64,
}

#[test]
fn verdicts_are_those_of_enumeration() -> Result<()> {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let pairs = setting("STAGEDOOR_ANALYSIS_PAIRS").unwrap_or(PAIRS);
    let first = setting("STAGEDOOR_ANALYSIS_SEED").unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let run = |share: u64| {
        let mut counts = Counts::default();
        for seed in (first + share..first + pairs).step_by(threads as usize) {
            one(seed, &mut counts).with_context(|| format!("seed {seed}"))?;
        }
        Ok::<_, anyhow::Error>(counts)
    };
    let run = &run;
    let all = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|share| scope.spawn(move || run(share))).collect();
        shares.into_iter().map(|share| share.join()).collect::<Vec<_>>()
    });
    let mut total = Counts::default();
    for counts in all {
        let Ok(counts) = counts else { anyhow::bail!("a thread panicked") };
        let counts = counts?;
        total.pairs += counts.pairs;
        total.equal += counts.equal;
        total.differences += counts.differences;
        total.undecided += counts.undecided;
        total.requests += counts.requests;
        total.bounds += counts.bounds;
        total.violated += counts.violated;
        total.bounds_undecided += counts.bounds_undecided;
    }
    let Counts { pairs, equal, differences, undecided, requests, .. } = total;
    let share = undecided as f64 * 100.0 / pairs.max(1) as f64;
    println!(
        "{pairs} pairs, {requests} requests: {equal} equal, {differences} with differences, \
         {undecided} undecided ({share:.2} %); {} bounds, {} violated, {} undecided",
        total.bounds, total.violated, total.bounds_undecided
    );
    ensure!(equal > pairs / 50, "pairs that are equal are hardly tried");
    ensure!(differences > pairs / 5, "pairs that differ are hardly tried");
    ensure!(undecided * 50 < pairs, "more than 2 % of the pairs are undecided");
    Ok(())
}

fn one(seed: u64, counts: &mut Counts) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    let all = themes();
    let count = if random.u8(..4) == 0 { 3 } else { 2 };
    let chosen: Vec<&Theme> = random.choose_multiple(all.iter(), count);
    let old = PolicySet::random(&mut random, &chosen);
    let new = old.changed(&mut random, &chosen);
    let texts = || format!("--- old\n{old}\n--- new\n{new}");
    let before = old.engine().with_context(texts)?;
    let after = new.engine().with_context(texts)?;
    let (old_library, new_library) =
        (Library::of(&before).context("no schema")?, Library::of(&after).context("no schema")?);
    let found = compare(&old_library, &new_library)?;
    let mut world = world::requests(&chosen)?;
    // Three places at once are many requests: some of them will do.
    random.shuffle(&mut world);
    world.truncate(REQUESTS);
    counts.pairs += 1;
    counts.requests += world.len() as u64;

    let mut undecided = false;
    for direction in [Direction::Widened, Direction::Narrowed] {
        let of: Vec<_> = found.all.iter().filter(|d| d.direction == direction).collect();
        for difference in &of {
            match &difference.finding {
                Finding::Proved { witness, .. } => {
                    let (was, is) = (
                        decided(&before, &witness.request, &witness.entities)?,
                        decided(&after, &witness.request, &witness.entities)?,
                    );
                    let went = match direction {
                        Direction::Widened => (Decision::Deny, Decision::Allow),
                        Direction::Narrowed => (Decision::Allow, Decision::Deny),
                    };
                    ensure!((was, is) == went, "a witness does not replay\n{}", texts());
                }
                Finding::Undecided(_) => undecided = true,
                _ => {}
            }
        }
        let example = world.iter().find(|(request, entities)| {
            let was = decided(&before, request, entities).ok();
            let is = decided(&after, request, entities).ok();
            match direction {
                Direction::Widened => (was, is) == (Some(Decision::Deny), Some(Decision::Allow)),
                Direction::Narrowed => (was, is) == (Some(Decision::Allow), Some(Decision::Deny)),
            }
        });
        if let Some((request, entities)) = example {
            ensure!(
                !of.is_empty(),
                "{direction:?} was missed: {request:?}\n{entities:?}\n{}",
                texts()
            );
        }
    }
    match (undecided, found.all.is_empty()) {
        (true, _) => counts.undecided += 1,
        (false, true) => counts.equal += 1,
        (false, false) => counts.differences += 1,
    }
    bound(&mut random, &chosen, &after, &new_library, &world, counts).with_context(texts)
}

fn bound(
    random: &mut fastrand::Rng,
    themes: &[&Theme],
    engine: &Engine,
    library: &Library<'_>,
    world: &[(Request, Entities)],
    counts: &mut Counts,
) -> Result<()> {
    let (condition, _) = policies::condition(random, themes);
    let kind = if random.bool() { BoundKind::Never } else { BoundKind::Always };
    let text = format!("(principal, action, resource) when {{ {condition} }}");
    // Some speak only of requests that are allowed with another action.
    let given = ["read", "write"].map(|action| format!("Action::{action:?}"));
    let given = random.choice(given.iter()).filter(|_| random.u8(..3) == 0);
    let bound = Bound::parse(kind, &text)?;
    let bound = given.map_or(Ok(bound.clone()), |action| bound.if_allowed(action))?;
    let is_given = |request: &Request, entities: &Entities| {
        let Some(action) = given else { return Ok(true) };
        let mut request = request.clone();
        request.action = action.parse()?;
        Ok::<_, anyhow::Error>(decided(engine, &request, entities)? == Decision::Allow)
    };
    let violations = match bound.violations(library) {
        Err(BoundError::Empty | BoundError::Schema(_)) => return Ok(()),
        other => other?,
    };
    counts.bounds += 1;
    let wrong = match kind {
        BoundKind::Never => Decision::Allow,
        BoundKind::Always => Decision::Deny,
    };
    // Whoever the bound speaks of is permitted by a policy that says the same.
    let speaks = policies::engine(&format!("permit {text};"), &[])?;
    for violation in &violations {
        if let Violation::Proved { witness, .. } = violation {
            let spoken_of = decided(&speaks, &witness.request, &witness.entities)?;
            let is = decided(engine, &witness.request, &witness.entities)?;
            let is_given = is_given(&witness.request, &witness.entities)?;
            ensure!(
                (spoken_of, is, is_given) == (Decision::Allow, wrong, true),
                "a violation does not replay: {kind:?} {text} {given:?}"
            );
        }
    }
    let violated = world.iter().find(|(request, entities)| {
        decided(&speaks, request, entities).ok() == Some(Decision::Allow)
            && decided(engine, request, entities).ok() == Some(wrong)
            && is_given(request, entities).is_ok_and(|given| given)
    });
    if let Some((request, entities)) = violated {
        ensure!(
            !violations.is_empty(),
            "a violation was missed: {kind:?} {text} {given:?}\n{request:?}\n{entities:?}"
        );
    }
    counts.violated += u64::from(violations.iter().any(Violation::is_proved));
    counts.bounds_undecided += u64::from(violations.iter().any(|v| !v.is_proved()));
    Ok(())
}

fn decided(engine: &Engine, request: &Request, entities: &Entities) -> Result<Decision> {
    Ok(engine.decide(request, entities)?.decision())
}
