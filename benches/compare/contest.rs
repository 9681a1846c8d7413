//! The engines' turns at one number of grants.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cedar_policy::{Authorizer, PolicySet};
use stagedoor_benches::stagedoor::{self, Names};
use stagedoor_benches::{Answer, Asked, Form, Workload, cedar};
use stagedoor_core::{Engine, Entities, Outcome, Request};

use crate::cpu;
use crate::load;
use crate::threads::{self, Scaling};

/// How long one turn of a fast engine lasts at least.
const TURN: Duration = Duration::from_millis(40);
/// How long plain Cedar may take for one turn, once all requests are too many for that.
const LONG_TURN: Duration = Duration::from_millis(500);

/// What Stagedoor decides.
pub(crate) struct Requests {
    workload: Workload,
    names: Names,
    users: Entities,
    prepared: Vec<(Request, Entities)>,
}

/// Engines with the same policies, and requests prepared for each.
pub(crate) struct Contest {
    requests: Requests,
    engine: Engine,
    linked: Engine,
    cedar: PolicySet,
    cedar_requests: Vec<(cedar_policy::Request, cedar_policy::Entities)>,
}

/// What of Stagedoor has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Turn {
    /// Requests and entities are there.
    Prepared,
    /// The users are there; each request and its resource are built from attributes.
    Attributes,
    /// As `Prepared`, the grants being links of templates.
    Links,
}

/// What came out for one engine.
pub(crate) struct Measured {
    pub(crate) engine: &'static str,
    pub(crate) loaded_as: load::Engine,
    pub(crate) ns_per_decision: f64,
    pub(crate) wrong: usize,
}

impl Turn {
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Prepared | Self::Attributes => Form::Text,
            Self::Links => Form::Links,
        }
    }
}

impl Requests {
    pub(crate) fn new(workload: Workload) -> Result<Self> {
        let names = Names::new()?;
        let users = stagedoor::users(&workload, &names)?;
        let prepared = stagedoor::prepared(&workload, &names, &users)?;
        Ok(Self { workload, names, users, prepared })
    }

    /// Lets an engine decide every request once.
    pub(crate) fn decide_all(&self, engine: &Engine, turn: Turn) -> Result<()> {
        match turn {
            Turn::Prepared | Turn::Links => {
                for (request, entities) in &self.prepared {
                    black_box(engine.decide(request, entities)?);
                }
            }
            Turn::Attributes => {
                for asked in self.workload.requests() {
                    black_box(self.decide_attributes(engine, asked)?);
                }
            }
        }
        Ok(())
    }

    /// Returns how many nanoseconds a decision takes, deciding every request once.
    pub(crate) fn time_all(&self, engine: &Engine, turn: Turn) -> Result<f64> {
        let before = cpu::used();
        self.decide_all(engine, turn)?;
        Ok((cpu::used() - before).as_nanos() as f64 / self.prepared.len() as f64)
    }

    fn decide_attributes(&self, engine: &Engine, asked: &Asked) -> Result<Outcome> {
        let Self { workload, names, users, .. } = self;
        stagedoor::decide_attributes(engine, workload, names, users, asked)
    }
}

impl Contest {
    pub(crate) fn new(n: usize, requests: usize) -> Result<Self> {
        let workload = Workload::new(n, requests);
        let schema = cedar::schema()?;
        let cedar_requests =
            workload.requests().iter().map(|asked| cedar::prepare(&workload, &schema, asked));
        Ok(Self {
            engine: stagedoor::builder(&workload, Form::Text)?.build()?,
            linked: stagedoor::builder(&workload, Form::Links)?.build()?,
            cedar: cedar::policy_set(&workload.policies(Form::Text))?,
            cedar_requests: cedar_requests.collect::<Result<_>>()?,
            requests: Requests::new(workload)?,
        })
    }

    /// Checks all answers, then lets the engines decide in turn.
    pub(crate) fn run(&self, rounds: usize) -> Result<Vec<Measured>> {
        let sample = self.cedar_sample()?;
        let wrong = self.check(sample)?;
        let mut figures: [Vec<f64>; 4] = Default::default();
        for _ in 0..rounds {
            let turns = [
                self.time_cedar(sample)?,
                self.time(Turn::Prepared)?,
                self.time(Turn::Attributes)?,
                self.time(Turn::Links)?,
            ];
            for (figures, turn) in figures.iter_mut().zip(turns) {
                figures.push(turn);
            }
        }
        let engines = [
            ("plain-cedar", load::Engine::PlainCedar),
            ("stagedoor", load::Engine::Stagedoor),
            ("stagedoor-attributes", load::Engine::Stagedoor),
            ("stagedoor-links", load::Engine::StagedoorLinks),
        ];
        let results = engines.into_iter().zip(figures).zip(wrong);
        Ok(results
            .map(|(((engine, loaded_as), figures), wrong)| Measured {
                engine,
                loaded_as,
                ns_per_decision: cpu::median(figures),
                wrong,
            })
            .collect())
    }

    /// Measures how decisions of several threads add up.
    pub(crate) fn threads(&self, rounds: usize) -> Result<Scaling> {
        threads::measure(&self.engine, &self.requests.prepared, rounds)
    }

    /// Returns how many requests plain Cedar decides in a turn.
    fn cedar_sample(&self) -> Result<usize> {
        let fitting = (LONG_TURN.as_nanos() as f64 / self.time_cedar(1)?) as usize;
        Ok(fitting.clamp(4, self.cedar_requests.len()))
    }

    /// Counts each engine's wrong answers: a decision other than the workload's own, or for
    /// the sample, any difference to plain Cedar.
    fn check(&self, sample: usize) -> Result<[usize; 4]> {
        let mut wrong = [0; 4];
        let authorizer = Authorizer::new();
        // Plain Cedar's sample for checking is four times the one for timing.
        for (number, asked) in self.requests.workload.requests().iter().enumerate() {
            let (request, entities) =
                self.requests.prepared.get(number).context("a prepared request")?;
            let attributes = self.requests.decide_attributes(&self.engine, asked)?;
            let own = [
                stagedoor::answer(&self.engine.decide(request, entities)?),
                stagedoor::answer(&attributes),
                stagedoor::answer(&self.linked.decide(request, entities)?),
            ];
            let expected: Option<Answer> = (number < sample.saturating_mul(4))
                .then(|| {
                    let (request, entities) = self.cedar_requests.get(number)?;
                    Some(cedar::answer(&authorizer, &self.cedar, request, entities))
                })
                .flatten();
            let is_wrong = |answer: &Answer| {
                answer.allowed != asked.allowed
                    || expected.as_ref().is_some_and(|expected| answer != expected)
            };
            let all = std::iter::once(expected.as_ref()).chain(own.iter().map(Some));
            for (count, answer) in wrong.iter_mut().zip(all) {
                *count += usize::from(answer.is_some_and(is_wrong));
            }
        }
        Ok(wrong)
    }

    fn time(&self, turn: Turn) -> Result<f64> {
        let engine = match turn.form() {
            Form::Text => &self.engine,
            Form::Links => &self.linked,
        };
        timed(self.requests.prepared.len(), || self.requests.decide_all(engine, turn))
    }

    fn time_cedar(&self, sample: usize) -> Result<f64> {
        let authorizer = Authorizer::new();
        timed(sample, || {
            for (request, entities) in self.cedar_requests.iter().take(sample) {
                black_box(authorizer.is_authorized(request, &self.cedar, entities));
            }
            Ok(())
        })
    }
}

/// Repeats `all`, which makes `decisions`, for one turn; returns nanoseconds a decision.
///
/// What the engine before left in the processor's caches is cleared by one time more.
fn timed(decisions: usize, mut all: impl FnMut() -> Result<()>) -> Result<f64> {
    all()?;
    let before = cpu::used();
    let mut repeats = 0_usize;
    loop {
        all()?;
        repeats += 1;
        let used = cpu::used() - before;
        if used >= TURN {
            return Ok(used.as_nanos() as f64 / (repeats * decisions) as f64);
        }
    }
}
