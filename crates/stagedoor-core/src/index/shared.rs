//! Tests that several policies share and no key tells of: `context.amount < 100`. A request is asked
//! each of them once for all policies that lie behind it in the tree.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::hash::FastMap;
use crate::ir::{Clause, Predicate};
use crate::number::TestNumber;
use crate::policy_list::PolicyList;

/// So many policies must have a test for it to be asked for all of them.
const SHARED: usize = 16;
/// So long may the form of a test be, in bytes; longer ones are seldom the same.
const LONGEST: usize = 1 << 10;

/// The tests that clauses of several policies are.
#[derive(Debug, Default)]
pub(crate) struct SharedTests {
    /// By where they lie in memory, since links of one template have one body.
    numbers: FastMap<usize, TestNumber>,
    tests: Vec<Predicate>,
}

impl SharedTests {
    /// Finds what clauses of these policies have in common.
    pub(crate) fn of(policies: &PolicyList) -> Self {
        /// A test, and how many policies have it.
        struct TestUse<'p> {
            first: &'p Predicate,
            places: Vec<usize>,
            policies: usize,
        }
        let mut by_place: FastMap<usize, u32> = FastMap::default();
        let mut by_form: FastMap<String, u32> = FastMap::default();
        let mut seen: Vec<TestUse<'_>> = Vec::new();
        for (_, policy) in policies.iter() {
            for clause in policy.body.clauses.iter() {
                let Clause::Predicate(test) = clause else { break };
                if has_key(test) {
                    continue;
                }
                let place = place(test);
                let number = by_place.get(&place).copied().or_else(|| {
                    let next = u32::try_from(seen.len()).unwrap_or(u32::MAX);
                    let number = *by_form.entry(form(test)?).or_insert(next);
                    if number == next {
                        seen.push(TestUse { first: test, places: Vec::new(), policies: 0 });
                    }
                    by_place.insert(place, number);
                    if let Some(seen) = seen.get_mut(number as usize) {
                        seen.places.push(place);
                    }
                    Some(number)
                });
                let Some(number) = number else { continue };
                if let Some(seen) = seen.get_mut(number as usize) {
                    seen.policies += 1;
                }
            }
        }
        let mut shared = Self::default();
        for TestUse { first, places, .. } in seen.into_iter().filter(|seen| seen.policies >= SHARED)
        {
            let number = TestNumber::after(shared.tests.len());
            shared.tests.push(first.clone());
            shared.numbers.extend(places.into_iter().map(|place| (place, number)));
        }
        shared
    }

    /// Returns the number of a clause of one of the policies, if others have the same.
    pub(crate) fn number(&self, test: &Predicate) -> Option<TestNumber> {
        self.numbers.get(&place(test)).copied()
    }

    /// Returns the tests by their numbers.
    pub(crate) fn into_tests(self) -> Arc<[Predicate]> {
        self.tests.into()
    }
}

/// A text that takes no more than so much.
struct Form(String);

impl fmt::Write for Form {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.0.len() + part.len() > LONGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}

/// Returns what a test looks like; `None` of a long one. Whatever nests is named before what is in it,
/// so that a test that nests deeply comes to its end, and not the stack to its own.
fn form(test: &Predicate) -> Option<String> {
    let mut form = Form(String::new());
    write!(form, "{test:?}").ok()?;
    Some(form.0)
}

fn place(test: &Predicate) -> usize {
    std::ptr::from_ref(test).addr()
}

/// Returns whether a test is told by what it compares.
fn has_key(test: &Predicate) -> bool {
    match test {
        Predicate::OneOf { .. }
        | Predicate::Contains { .. }
        | Predicate::True { .. }
        | Predicate::Has { .. }
        | Predicate::In { .. }
        | Predicate::Is { .. } => true,
        Predicate::Not(test) => matches!(**test, Predicate::True { .. }),
        _ => false,
    }
}
