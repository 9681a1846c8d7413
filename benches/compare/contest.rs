//! The engines' turns at one number of grants.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cedar_policy::{Authorizer, PolicySet};
use stagedoor_benches::stagedoor::{self, Handles, Names};
use stagedoor_benches::{Answer, Form, Workload, WorkloadRequest, cedar};
use stagedoor_core::{Decision, Engine, Entities, Outcome, PreparedRequest, Request, Ruling};

use crate::cpu;
use crate::load;
use crate::threads::{self, Scaling};

/// How long one turn of a fast engine lasts at least.
const TURN: Duration = Duration::from_millis(40);
/// How long plain Cedar may take for one turn, once all requests are too many for that.
const LONG_TURN: Duration = Duration::from_millis(500);

/// What Stagedoor decides.
pub(crate) struct Requests {
    pub(crate) workload: Workload,
    pub(crate) names: Names,
    pub(crate) users: Entities,
    pub(crate) prepared: Vec<(Request, Entities)>,
}

/// An engine with its handles.
pub(crate) struct LoadedEngine {
    engine: Engine,
    handles: Handles,
}

/// Engines with the same policies, and requests prepared for each.
pub(crate) struct Contest {
    requests: Requests,
    text: LoadedEngine,
    links: LoadedEngine,
    interpreted: LoadedEngine,
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
    /// Requests are there, made of handles; the decision and one policy.
    Requests,
    /// Users, verbs and the type of resources are handles, and each request is made of its words;
    /// the decision and one policy.
    Handles,
    /// As `Prepared`, with Cedar's evaluator for what the index leaves.
    Interpreted,
    /// As `Handles`, with all determining policies.
    HandlesAll,
    /// As `Handles`, the grants being links of templates.
    HandlesLinks,
}

/// What came out for one engine.
pub(crate) struct Measurement {
    pub(crate) engine: &'static str,
    pub(crate) loaded_as: load::Engine,
    pub(crate) ns_per_decision: f64,
    pub(crate) wrong: usize,
}

impl Turn {
    /// All of them, in the order of the table.
    const ALL: [Self; 8] = [
        Self::Interpreted,
        Self::Prepared,
        Self::Attributes,
        Self::Links,
        Self::HandlesAll,
        Self::Requests,
        Self::Handles,
        Self::HandlesLinks,
    ];

    pub(crate) fn form(self) -> Form {
        match self {
            Self::Links | Self::HandlesLinks => Form::Links,
            _ => Form::Text,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Interpreted => "stagedoor-interpreted",
            Self::Prepared => "stagedoor",
            Self::Attributes => "stagedoor-attributes",
            Self::Links => "stagedoor-links",
            Self::HandlesAll => "stagedoor-handles-all",
            Self::Requests => "stagedoor-requests",
            Self::Handles => "stagedoor-handles",
            Self::HandlesLinks => "stagedoor-handles-links",
        }
    }

    fn loaded_as(self) -> load::Engine {
        match self.form() {
            Form::Text => load::Engine::Stagedoor,
            Form::Links => load::Engine::StagedoorLinks,
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

    /// Returns the engine of these policies, with handles for the requests.
    pub(crate) fn load(&self, turn: Turn) -> Result<LoadedEngine> {
        let builder = stagedoor::builder(&self.workload, turn.form())?;
        let engine = builder.compiled(turn != Turn::Interpreted).build()?;
        let handles = Handles::new(&engine, &self.workload, &self.names, &self.users)?;
        Ok(LoadedEngine { engine, handles })
    }

    /// Lets an engine decide every request once; not inlined, for a profiler to find.
    #[inline(never)]
    pub(crate) fn decide_all(&self, loaded: &LoadedEngine, turn: Turn) -> Result<()> {
        let LoadedEngine { engine, handles } = loaded;
        let asked = self.workload.requests();
        match turn {
            Turn::Prepared | Turn::Links | Turn::Interpreted => {
                for (request, entities) in &self.prepared {
                    let _ = black_box(engine.decide(request, entities)?);
                }
            }
            Turn::Attributes => {
                for asked in asked {
                    let _ = black_box(self.decide_attributes(engine, asked)?);
                }
            }
            Turn::HandlesAll => {
                for asked in asked {
                    let _ =
                        black_box(handles.asked(asked, |request| engine.decide_prepared(request))?);
                }
            }
            Turn::Handles | Turn::HandlesLinks => {
                for asked in asked {
                    let _ =
                        black_box(handles.asked(asked, |request| engine.ruling_prepared(request))?);
                }
            }
            Turn::Requests => {
                self.with_requests(loaded, |requests| rule_all(engine, requests))?;
            }
        }
        Ok(())
    }

    /// Makes the requests of handles, and hands them over.
    fn with_requests<R>(
        &self,
        loaded: &LoadedEngine,
        work: impl FnOnce(&[PreparedRequest<'_>]) -> Result<R>,
    ) -> Result<R> {
        let asked = self.workload.requests();
        let objects: Vec<_> = asked.iter().map(|asked| loaded.handles.object(asked)).collect();
        let requests = asked.iter().zip(&objects);
        let requests = requests.map(|(asked, object)| loaded.handles.request(asked, object));
        work(&requests.collect::<Result<Vec<_>>>()?)
    }

    /// Lets an engine decide every request several times, and returns what one turn says of it.
    fn timed(&self, loaded: &LoadedEngine, turn: Turn) -> Result<f64> {
        let count = self.prepared.len();
        match turn {
            Turn::Requests => self.with_requests(loaded, |requests| {
                timed(count, || rule_all(&loaded.engine, requests))
            }),
            _ => timed(count, || self.decide_all(loaded, turn)),
        }
    }

    /// Repeats a turn for a profiler to watch; returns the median of nanoseconds a decision.
    pub(crate) fn repeat(&self, loaded: &LoadedEngine, turn: Turn, repeats: usize) -> Result<f64> {
        let repeated = |all: &dyn Fn() -> Result<()>| {
            let figures = (0..repeats).map(|_| {
                let before = cpu::used();
                all()?;
                Ok((cpu::used() - before).as_nanos() as f64 / self.prepared.len() as f64)
            });
            Ok(cpu::median(figures.collect::<Result<_>>()?))
        };
        match turn {
            Turn::Requests => self.with_requests(loaded, |requests| {
                rule_all(&loaded.engine, requests)?;
                repeated(&|| rule_all(&loaded.engine, requests))
            }),
            _ => repeated(&|| self.decide_all(loaded, turn)),
        }
    }

    /// Returns the answer to the request with this number; of a ruling, the one policy.
    fn answer(&self, loaded: &LoadedEngine, turn: Turn, number: usize) -> Result<Answer> {
        let LoadedEngine { engine, handles } = loaded;
        let asked = self.workload.requests().get(number).context("a request")?;
        Ok(match turn {
            Turn::Prepared | Turn::Links | Turn::Interpreted => {
                let (request, entities) = self.prepared.get(number).context("a request")?;
                stagedoor::answer(&engine.decide(request, entities)?)
            }
            Turn::Attributes => stagedoor::answer(&self.decide_attributes(engine, asked)?),
            Turn::HandlesAll => {
                let outcome = handles.asked(asked, |request| engine.decide_prepared(request))?;
                stagedoor::answer(&outcome)
            }
            Turn::Requests => {
                let object = handles.object(asked);
                let request = handles.request(asked, &object)?;
                // What the first one found out is used by the second.
                let _ = engine.ruling_prepared(&request)?;
                ruling_answer(engine.ruling_prepared(&request)?)
            }
            Turn::Handles | Turn::HandlesLinks => {
                let ruling = handles.asked(asked, |request| engine.ruling_prepared(request))?;
                ruling_answer(ruling)
            }
        })
    }

    fn decide_attributes(&self, engine: &Engine, asked: &WorkloadRequest) -> Result<Outcome> {
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
        let cedar_requests = cedar_requests.collect::<Result<_>>()?;
        let cedar = cedar::policy_set(&workload.policies(Form::Text))?;
        let requests = Requests::new(workload)?;
        let (text, links) = (requests.load(Turn::Handles)?, requests.load(Turn::HandlesLinks)?);
        let interpreted = requests.load(Turn::Interpreted)?;
        Ok(Self { requests, text, links, interpreted, cedar, cedar_requests })
    }

    /// Checks all answers, then lets the engines decide in turn.
    pub(crate) fn run(&self, rounds: usize) -> Result<Vec<Measurement>> {
        let sample = self.cedar_sample()?;
        let (wrong_cedar, wrong) = self.check(sample)?;
        let mut cedar = Vec::new();
        let mut figures: [Vec<f64>; Turn::ALL.len()] = Default::default();
        for _ in 0..rounds {
            cedar.push(self.time_cedar(sample)?);
            for (turn, figures) in Turn::ALL.into_iter().zip(&mut figures) {
                figures.push(self.time(turn)?);
            }
        }
        let plain = Measurement {
            engine: "plain-cedar",
            loaded_as: load::Engine::PlainCedar,
            ns_per_decision: cpu::median(cedar),
            wrong: wrong_cedar,
        };
        let own = Turn::ALL.into_iter().zip(figures).zip(wrong);
        let own = own.map(|((turn, figures), wrong)| Measurement {
            engine: turn.name(),
            loaded_as: turn.loaded_as(),
            ns_per_decision: cpu::median(figures),
            wrong,
        });
        Ok(std::iter::once(plain).chain(own).collect())
    }

    /// Measures how decisions of several threads add up.
    pub(crate) fn threads(&self, rounds: usize) -> Result<Scaling> {
        threads::measure(rounds, || self.requests.decide_all(&self.text, Turn::Handles))
    }

    /// Returns how many requests plain Cedar decides in a turn.
    fn cedar_sample(&self) -> Result<usize> {
        let fitting = (LONG_TURN.as_nanos() as f64 / self.time_cedar(1)?) as usize;
        Ok(fitting.clamp(4, self.cedar_requests.len()))
    }

    /// Counts plain Cedar's and each turn's wrong answers: a decision other than the workload's
    /// own, or for the sample, any difference to plain Cedar.
    fn check(&self, sample: usize) -> Result<(usize, [usize; Turn::ALL.len()])> {
        let (mut wrong_cedar, mut wrong) = (0, [0; Turn::ALL.len()]);
        let authorizer = Authorizer::new();
        for (number, asked) in self.requests.workload.requests().iter().enumerate() {
            // Plain Cedar's sample for checking is four times the one for timing.
            let cedar = self.cedar_requests.get(number).filter(|_| number < sample * 4);
            let expected = cedar.map(|(request, entities)| {
                cedar::answer(&authorizer, &self.cedar, request, entities)
            });
            let is_wrong = |answer: &Answer| answer.allowed != asked.allowed;
            wrong_cedar += usize::from(expected.as_ref().is_some_and(is_wrong));
            for (turn, wrong) in Turn::ALL.into_iter().zip(&mut wrong) {
                let answer = self.requests.answer(self.loaded(turn), turn, number)?;
                let differs = expected.as_ref().is_some_and(|expected| match turn {
                    Turn::Requests | Turn::Handles | Turn::HandlesLinks => {
                        !answer.is_part_of(expected)
                    }
                    _ => answer != *expected,
                });
                *wrong += usize::from(is_wrong(&answer) || differs);
            }
        }
        Ok((wrong_cedar, wrong))
    }

    fn loaded(&self, turn: Turn) -> &LoadedEngine {
        match (turn, turn.form()) {
            (Turn::Interpreted, _) => &self.interpreted,
            (_, Form::Text) => &self.text,
            (_, Form::Links) => &self.links,
        }
    }

    fn time(&self, turn: Turn) -> Result<f64> {
        self.requests.timed(self.loaded(turn), turn)
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

fn ruling_answer(ruling: Ruling<'_>) -> Answer {
    let policy = ruling.policy().map(|policy| policy.id().to_owned());
    Answer::new(ruling.decision() == Decision::Allow, policy)
}

/// Lets an engine rule on requests; not inlined, for a profiler to find.
#[inline(never)]
fn rule_all(engine: &Engine, requests: &[PreparedRequest<'_>]) -> Result<()> {
    for request in requests {
        let _ = black_box(engine.ruling_prepared(request)?);
    }
    Ok(())
}

/// Repeats `all`, which makes `decisions`, for one turn; returns nanoseconds a decision.
///
/// What the engine before left in the processor's caches is cleared by one time more.
pub(crate) fn timed(decisions: usize, mut all: impl FnMut() -> Result<()>) -> Result<f64> {
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
