//! What a policy set lets whom do, on one page.
//!
//! [`AccessMatrix::of`] makes the grids of a policy set: groups by permissions of Backstage,
//! groups by verbs of Kubernetes, or principals by the actions of any other schema.
//! [`AccessReport::html`] writes them, with findings and coverage, as one file that needs nothing
//! else.

mod backstage;
mod cedar;
mod html;
mod kubernetes;

use serde::Serialize;
use stagedoor_analysis::Library;
use stagedoor_core::{Engine, Entity, EntityUid};
use stagedoor_testing::coverage::{ClauseCoverage, ClauseState, Coverage, PolicyCoverage};

use crate::lint::{LintReport, named_entities};
use crate::loading::Policies;

/// A grid has no more rows than this.
const ROWS: usize = 300;

/// Whether a cell allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Yes.
    Allow,
    /// For some resources, or under some conditions.
    Conditional,
    /// No.
    Deny,
}

/// What somebody may do by one permission, verb or action.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct AccessCell {
    /// Whether it is allowed.
    pub verdict: Verdict,
    /// Under which conditions, or what exactly.
    pub details: Vec<String>,
    /// The ids of the policies behind it.
    pub policies: Vec<String>,
}

/// A permission, verb or action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccessColumn {
    /// Its name.
    pub name: String,
    /// What it belongs to: the plugin, say.
    pub group: String,
}

/// What one group or user may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccessMatrixRow {
    /// The group or user.
    pub name: String,
    /// A cell for each column.
    pub cells: Vec<AccessCell>,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccessMatrix {
    /// What it is about: `Backstage`.
    pub title: String,
    /// What the columns are: `permission`.
    pub columns_are: String,
    /// What to know when reading it.
    pub note: String,
    /// The permissions, verbs or actions.
    pub columns: Vec<AccessColumn>,
    /// The groups and users.
    pub rows: Vec<AccessMatrixRow>,
    /// How many rows more there would be.
    pub left_out: usize,
}

impl AccessMatrix {
    /// Returns the grids of a policy set. `known` are entities that exist, such as the groups of
    /// a catalog: they get rows of their own and tell which groups are above which.
    #[must_use]
    pub fn of(policies: &Policies, known: &[Entity]) -> Vec<Self> {
        let engine = &policies.engine;
        let Some(schema) = engine.schema() else { return Vec::new() };
        let declares = |name: &str| schema.entity_types().any(|of| of.to_string() == name);
        let mut matrices = Vec::new();
        if declares("Backstage::CatalogEntity") {
            matrices.extend(backstage::matrix(policies, known));
        }
        if declares("k8s::NonResourceURL") {
            matrices.extend(kubernetes::matrix(engine));
        }
        if matrices.is_empty() {
            matrices.extend(Library::of(engine).as_ref().map(cedar::matrix));
        }
        for matrix in &mut matrices {
            matrix.left_out = matrix.rows.len().saturating_sub(ROWS);
            matrix.rows.truncate(ROWS);
        }
        matrices
    }
}

/// How far tests reach one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyReach {
    /// The policy's id.
    pub policy: String,
    /// How many of its clauses are covered.
    pub covered: usize,
    /// How many clauses it has that count.
    pub clauses: usize,
    /// What of them is not covered, and how.
    pub missed: Vec<String>,
}

impl PolicyReach {
    /// Returns how far tests reach each policy.
    #[must_use]
    pub fn of(coverage: &Coverage) -> Vec<Self> {
        let of_policy = |policy: &PolicyCoverage| {
            let count = |state: ClauseState| {
                policy.clauses.iter().filter(|clause| clause.state == state).count()
            };
            let covered = count(ClauseState::Covered);
            let clauses = covered + count(ClauseState::Missed);
            let lack = |clause: &ClauseCoverage| {
                let line = clause.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                Some(format!("{line}`{}` {}", clause.text, clause.lack()?))
            };
            let missed = policy.clauses.iter().filter_map(lack).collect();
            Self { policy: policy.policy.clone(), covered, clauses, missed }
        };
        coverage.policies.iter().map(of_policy).collect()
    }
}

/// Everything that the page shows.
#[derive(Debug)]
pub struct AccessReport<'a> {
    /// What the page is called.
    pub title: &'a str,
    /// The policies: one set, or one for each platform.
    pub engines: &'a [&'a Engine],
    /// Who may do what.
    pub matrices: &'a [AccessMatrix],
    /// What is wrong.
    pub lint: &'a LintReport,
    /// What tests reach; none where it was not measured.
    pub coverage: Option<&'a [PolicyReach]>,
}

impl AccessReport<'_> {
    /// Returns the page: one file of HTML, with a content security policy that lets it load
    /// nothing and run its own script alone. Whatever names and texts hold is shown as text.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }
}

/// Returns the entities of these types that policies name, sorted.
fn named(engine: &Engine, types: &[&str]) -> Vec<EntityUid> {
    let is_meant = |uid: &EntityUid| types.contains(&uid.type_name().to_string().as_str());
    named_entities(engine).into_iter().filter(is_meant).collect()
}
