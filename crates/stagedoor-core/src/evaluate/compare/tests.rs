//! Whatever the compiled conditions say wrongly, the answer is no wider than Cedar's, and the policies
//! of which something else was said are told.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::Effect;

use super::DeterminingPolicies;
use crate::compiled::Fault;
use crate::evaluate::Evaluation;
use crate::guard::{GuardAnswer, GuardFailure};
use crate::number::PolicyNumber;
use crate::outcome::PolicyError;
use crate::policy::PolicyInfo;
use crate::shadow::{DifferenceSink, Shadow};
use crate::{Engine, Entities, Guard, GuardInputs, GuardRefusal, Request, RuleEvaluator};

/// What a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Yes,
    No,
    Nothing,
}

/// Conditions, and what Cedar makes of each for the request below.
const SAYINGS: [(Said, &str); 3] = [
    (Said::Yes, "context.n == 1"),
    (Said::No, "context.n > 1"),
    (Said::Nothing, "context.n + 9223372036854775807 > 0"),
];

/// Two permits and two forbids for each that can be said, and as many that are guarded: where Cedar
/// is to be matched exactly, there are none of these.
fn policies(exact: bool) -> String {
    let mut text = String::new();
    for _ in 0..2 {
        for guard in ["", "@guard(\"rule\")"].into_iter().take(if exact { 1 } else { 2 }) {
            for effect in ["permit", "forbid"] {
                for (_, condition) in SAYINGS {
                    text += &format!(
                        "{guard} {effect} (principal, action, resource) when {{ {condition} }};\n"
                    );
                }
            }
        }
    }
    text
}

#[derive(Debug)]
struct Rule;

impl RuleEvaluator for Rule {
    fn guard(&self, _: &str, _: &str) -> Result<Arc<dyn Guard>, GuardRefusal> {
        Ok(Arc::new(Self))
    }
}

impl Guard for Rule {
    fn inputs(&self) -> GuardInputs {
        GuardInputs::default()
    }

    fn digest(&self) -> &str {
        "rule"
    }

    fn evaluate(&self, _: &Request, _: &Entities) -> Result<GuardAnswer, GuardFailure> {
        Ok(GuardAnswer { holds: true, reason: None })
    }
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<String>>);

impl DifferenceSink for Told {
    fn differs(&self, _: &Request, policies: &[&str]) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.extend(policies.iter().map(|id| (*id).to_owned()));
    }
}

fn truth(policy: PolicyInfo<'_>) -> Said {
    let said = SAYINGS.iter().find(|(.., condition)| policy.text().contains(condition));
    said.map_or(Said::No, |(said, _)| *said)
}

/// Returns a tally by which policies say that.
fn tally<'p>(said: &[(PolicyNumber, PolicyInfo<'p>, Said)], exact: bool) -> DeterminingPolicies {
    let mut tally = DeterminingPolicies::default();
    for (number, policy, said) in said {
        match said {
            Said::Yes => tally.add(*number, policy.policy),
            Said::No => {}
            Said::Nothing => {
                let fault = Fault::Worded("wrong".to_owned());
                tally.errors.push((*number, PolicyError::evaluation(*policy, &fault)));
                if policy.effect() == Effect::Forbid && !exact {
                    tally.forbids.push(*number);
                }
            }
        }
    }
    tally
}

/// Compares what is said by `wrong` with Cedar, and checks what comes of it by each policy alone.
fn check(engine: &Engine, exact: bool, wrong: &[(usize, Said)]) -> Result<(), Box<dyn Error>> {
    let principal = "User::\"ana\"".parse()?;
    let request = Request::new(principal, "Action::\"a\"".parse()?, "Doc::\"d\"".parse()?);
    let (request, entities) = (request.with_context("n", 1), Entities::empty());
    let snapshot = &engine.0;
    let view = snapshot.view(&request, &entities);
    let sink = Arc::new(Told::default());
    let shadow = Shadow::new(NonZeroU32::MIN, Arc::<Told>::clone(&sink));

    let numbered = snapshot.numbered_policies().enumerate();
    let said: Vec<_> = numbered
        .map(|(at, (number, policy))| {
            let said = wrong.iter().find(|(wrong, _)| *wrong == at);
            (number, policy, said.map_or_else(|| truth(policy), |(_, said)| *said))
        })
        .collect();
    let mut tally = tally(&said, exact);
    Evaluation::new(&view, snapshot).compare(&shadow, &|_| true, &mut tally)?;

    let mut expected = DeterminingPolicies::default();
    let mut differing = Vec::new();
    for (number, policy, own) in &said {
        let both = [*own, truth(*policy)];
        let (yes, nothing) = (both.contains(&Said::Yes), both.contains(&Said::Nothing));
        let is_forbid = policy.effect() == Effect::Forbid;
        let is_guarded = policy.guards().len() > 0;
        let counts = if is_forbid { yes } else { both == [Said::Yes; 2] };
        match (is_guarded, is_forbid) {
            _ if !counts => {}
            (true, _) => expected.guarded.push(*number),
            (false, true) => expected.forbids.push(*number),
            (false, false) => expected.permits.push(*number),
        }
        // What errs denies as if it held.
        if is_forbid && nothing && !exact && (is_guarded || !counts) {
            expected.forbids.push(*number);
        }
        if nothing {
            expected.errors.push((*number, PolicyError::evaluation(*policy, &"")));
        }
        if both[0] != both[1] {
            differing.push(policy.id().to_owned());
        }
    }
    let ids = |tally: &DeterminingPolicies| {
        let errors: Vec<PolicyNumber> = tally.errors.iter().map(|(number, _)| *number).collect();
        let DeterminingPolicies { permits, forbids, guarded, .. } = tally;
        (permits.to_vec(), forbids.to_vec(), guarded.to_vec(), errors)
    };
    assert_eq!(ids(&tally), ids(&expected), "{wrong:?}");
    let told = sink.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(told, differing, "{wrong:?}");
    let differences = shadow.differences.load(Ordering::Relaxed);
    assert_eq!(differences, u64::from(!differing.is_empty()), "{wrong:?}");
    assert_eq!(shadow.compared.load(Ordering::Relaxed), 1);
    Ok(())
}

fn engine(exact: bool) -> Result<Engine, Box<dyn Error>> {
    let schema = "entity User; entity Doc;
        action a appliesTo { principal: User, resource: Doc, context: { n: Long } };";
    let builder =
        Engine::builder().rules(Arc::new(Rule)).policies("p", policies(exact)).unshadowed();
    Ok(if exact { builder.exact_cedar() } else { builder.schema("s", schema) }.build()?)
}

#[test]
fn the_narrower_answer_is_given() -> Result<(), Box<dyn Error>> {
    let sayings = SAYINGS.map(|(said, _)| said);
    for exact in [false, true] {
        let engine = engine(exact)?;
        check(&engine, exact, &[])?;
        let policies = engine.policies().len();
        assert_eq!(policies, if exact { 12 } else { 24 });
        for one in 0..policies {
            for said in sayings {
                check(&engine, exact, &[(one, said)])?;
                // Beside another that is wrong as well, in the first half and in the second.
                check(&engine, exact, &[(one, said), ((one + policies / 2 - 1) % policies, said)])?;
            }
        }
    }
    Ok(())
}

#[test]
fn policies_that_do_not_count_are_not_compared() -> Result<(), Box<dyn Error>> {
    let engine = engine(false)?;
    let snapshot = &engine.0;
    let request =
        Request::new("User::\"ana\"".parse()?, "Action::\"a\"".parse()?, "Doc::\"d\"".parse()?);
    let (request, entities) = (request.with_context("n", 1), Entities::empty());
    let view = snapshot.view(&request, &entities);
    let shadow = Shadow::new(NonZeroU32::MIN, Arc::new(Told::default()));
    let mut none = DeterminingPolicies::default();
    Evaluation::new(&view, snapshot).compare(&shadow, &|_| false, &mut none)?;
    assert_eq!(shadow.differences.load(Ordering::Relaxed), 0);
    assert!(none.forbids.is_empty() && none.guarded.is_empty() && none.errors.is_empty());
    Ok(())
}
