//! Mutants that no case notices, settled by what the policies mean.

use stagedoor_analysis::{Library, ReplacementEffect, Witness};
use stagedoor_core::Decision;

use super::{LoadedMutant, MutantStatus, MutationRun, MutationTarget, SuggestedCase, text};
use crate::file::{Action, Case};
use crate::parallel;
use crate::resolve::question;

impl MutationRun<'_, '_> {
    /// Whether all requests can be reasoned about.
    pub(super) fn can_be_proved(&self) -> bool {
        self.engine.schema().is_some() && !self.engine.is_exact_cedar()
    }

    /// Settles the mutants that are left.
    pub(super) fn prove(&self, statuses: &mut [Option<MutantStatus>]) {
        let left = self.left(statuses);
        let Some(library) = Library::of(self.engine).map(Library::running_guards) else {
            let reason = "no request of the fixtures tells it from the policies, and policies \
                          without a schema cannot be reasoned about";
            self.undecided(statuses, reason);
            return;
        };
        let numbers: Vec<usize> = left.iter().map(|(number, _)| *number).collect();
        let found = parallel::map(left.len(), |place| {
            let (_, mutated) = left.get(place)?;
            (!self.is_over()).then(|| self.settled(&library, mutated))
        });
        for (number, found) in numbers.into_iter().zip(found) {
            if let Some(status) = statuses.get_mut(number) {
                *status = found;
            }
        }
    }

    fn undecided(&self, statuses: &mut [Option<MutantStatus>], reason: &str) {
        if !self.is_over() {
            let undecided = || MutantStatus::Undecided(vec![reason.to_owned()]);
            statuses.iter_mut().for_each(|status| _ = status.get_or_insert_with(undecided));
        }
    }

    fn settled(&self, library: &Library<'_>, mutated: &LoadedMutant<'_>) -> MutantStatus {
        match library.effect_of(&mutated.variants) {
            Ok(ReplacementEffect::Nothing) => MutantStatus::Equivalent,
            Ok(ReplacementEffect::Decision { witness, before, reasons }) => {
                MutantStatus::Survived(self.suggested(&witness, before, &reasons))
            }
            Ok(ReplacementEffect::Undecided(reasons)) => {
                MutantStatus::Undecided(reasons.into_iter().collect())
            }
            Err(error) => MutantStatus::Undecided(vec![error.to_string()]),
        }
    }

    /// Returns a witness as a case.
    fn suggested(&self, witness: &Witness, before: Decision, reasons: &[String]) -> SuggestedCase {
        let case = case(witness);
        let names = self.files.first().map(|file| &file.world.names);
        let name = |id: &String| names.and_then(|names| names.get(id)).unwrap_or(id).clone();
        let reasons: Vec<String> = reasons.iter().map(name).collect();
        let reasons: Vec<&str> = reasons.iter().map(String::as_str).collect();
        let mut yaml = text::yaml(&case, before == Decision::Allow, &reasons);
        if !self.files.iter().any(|file| self.decides_so(file, &case, before)) {
            // Fixtures of the same names may say something else.
            yaml.push_str("\n  # in a test file of its own, without these fixtures");
        }
        SuggestedCase { yaml, explain: None }
    }

    /// Returns whether a case comes out so among the fixtures of a file.
    fn decides_so(&self, file: &MutationTarget<'_>, case: &Case, decision: Decision) -> bool {
        let Ok(asked) = question(case, file.world) else { return false };
        let outcome = self.engine.decide(&asked.request, &asked.entities);
        outcome.is_ok_and(|outcome| outcome.decision() == decision)
    }
}

/// Returns a witness in the words of test files.
fn case(witness: &Witness) -> Case {
    let request = &witness.request;
    let mut words = witness.to_case();
    let object = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::Object(fields)) => fields.into_iter().collect(),
        _ => std::collections::BTreeMap::new(),
    };
    let list = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::Array(items)) => items,
        _ => Vec::new(),
    };
    Case {
        principal: Some(request.principal.to_string()),
        action: Some(Action::Cedar(request.action.to_string())),
        resource: Some(request.resource.to_string()),
        context: object(words.remove("context")),
        entities: list(words.remove("entities")),
        ..Case::default()
    }
}
