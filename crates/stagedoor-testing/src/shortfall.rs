//! What measures of tests found missing, where a run fails by it: for reports that programs read.

use crate::coverage::Coverage;
use crate::mutation::{MutantStatus, Mutation};

/// Something that tests miss, so that a run fails though every case came out as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortfall {
    /// What told it: `coverage` or `mutants`.
    pub measure: &'static str,
    /// What is missed, in one line.
    pub title: String,
    /// More of it, a line each: of a mutant, the case that is missing.
    pub details: Vec<String>,
    /// The file of policies that it is about; none for what is about all.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column, from 1.
    pub column: Option<usize>,
}

impl Coverage {
    /// Returns what is missed if less than so many percent of the clauses are covered: first that,
    /// then each clause.
    #[must_use]
    pub fn shortfalls(&self, least: f64) -> Vec<Shortfall> {
        let share = self.of_clauses();
        if share.percent() >= least {
            return Vec::new();
        }
        let all = Shortfall {
            measure: "coverage",
            // Counts, since a share that is rounded can look like the one that was asked for.
            title: format!(
                "{} of {} clauses are covered ({:.2} %), less than {least} %",
                share.reached,
                share.all,
                share.percent()
            ),
            details: Vec::new(),
            file: None,
            line: None,
            column: None,
        };
        let each = self.missed().map(|(policy, clause)| Shortfall {
            measure: "coverage",
            title: format!(
                "{}: `{}` {}",
                policy.policy,
                clause.text,
                clause.lack().unwrap_or_default()
            ),
            details: Vec::new(),
            file: Some(policy.file.clone()),
            line: clause.line,
            column: clause.column,
        });
        std::iter::once(all).chain(each).collect()
    }
}

impl Mutation {
    /// Returns the mutants that no case is known to notice, or that there are none at all: what was
    /// not found out is not known to be noticed.
    #[must_use]
    pub fn shortfalls(&self) -> Vec<Shortfall> {
        if self.mutants.is_empty() {
            return vec![Shortfall {
                measure: "mutants",
                title: "there is no mutant: the policies have nothing to change".to_owned(),
                details: Vec::new(),
                file: None,
                line: None,
                column: None,
            }];
        }
        let shortfall = |mutant: &crate::mutation::Mutant| {
            let (became, details) = match &mutant.status {
                MutantStatus::Survived(case) => {
                    let case = case.yaml.lines().map(|line| format!("  {line}"));
                    let head = "a case that notices it:".to_owned();
                    ("survives", std::iter::once(head).chain(case).collect())
                }
                MutantStatus::Undecided(reasons) => {
                    ("is not decided", vec![format!("it depends on {}", reasons.join(", "))])
                }
                MutantStatus::Timeout => ("is not settled in time (raise `--budget`)", Vec::new()),
                MutantStatus::Killed(_) | MutantStatus::Equivalent | MutantStatus::Ignored(_) => {
                    return None;
                }
            };
            Some(Shortfall {
                measure: "mutants",
                title: mutant.in_words(became),
                details,
                file: Some(mutant.file.clone()),
                line: mutant.line,
                column: mutant.column,
            })
        };
        self.mutants.iter().filter_map(shortfall).collect()
    }
}
