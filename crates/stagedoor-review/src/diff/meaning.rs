//! What policies that changed mean for all requests, as a few rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use stagedoor_analysis::{
    Difference, Differences, Direction, Environment, Finding, Library, ParseError, ParsedPolicy,
    Verdict, compare_keeping,
};
use stagedoor_core::Engine;

use super::Comparison;

/// So many names of people are told in a row.
const PEOPLE: usize = 20;

/// What rows that become one have in common.
type RowKey = (Direction, bool, bool, String, String, BTreeSet<String>, BTreeSet<String>);

/// What is known of all requests, from policies and schemas alone.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Meaning {
    /// What is known.
    pub verdict: Verdict,
    /// Whether something beside that is not known.
    pub undecided: bool,
    /// The differences, those of policies that change the same together.
    pub rows: Vec<MeaningRow>,
    /// Entity types and actions that the schemas do not say the same of.
    pub schema: BTreeSet<String>,
}

/// What some policies change.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MeaningRow {
    /// Which way.
    pub direction: Direction,
    /// Whether it is proved by a request; otherwise it is not decided, for the `reasons`.
    pub proved: bool,
    /// Whom the policies speak of.
    pub who: String,
    /// The actions, verbs or permissions.
    pub actions: BTreeSet<String>,
    /// What the policies speak of.
    pub about: String,
    /// Whether the policies have conditions beside their scope.
    pub conditional: bool,
    /// The policies that only one of the sets has, and that make the difference.
    pub policies: Vec<String>,
    /// Why it is not decided.
    pub reasons: BTreeSet<String>,
    /// A request that the sets decide differently, in one line.
    pub example: Option<String>,
    /// The determining policies of the old decision about it.
    pub before: Vec<String>,
    /// The determining policies of the new decision about it.
    pub after: Vec<String>,
    /// Who is known to be concerned: of fixtures, catalogs and recorded decisions.
    pub people: BTreeSet<String>,
    /// A request for each kind of request, as the keys of a case. Kept as text: there may be very
    /// many.
    #[serde(rename = "witnesses")]
    pub cases: Vec<Box<RawValue>>,
}

/// Whether a request is kept of each difference, or only one in words for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cases {
    /// Each as the keys of a case: [`MeaningRow::cases`].
    Kept,
    /// None, which takes less time and memory.
    Dropped,
}

/// A difference without its request, whose entities take far more memory than what is told of it.
struct ReadDifference {
    direction: Direction,
    environment: Arc<Environment>,
    policy: Option<Arc<ParsedPolicy>>,
    /// Or why it is not decided.
    proof: Result<Proof, BTreeSet<String>>,
}

struct Proof {
    /// Of the first of a policy and its types.
    example: Option<String>,
    /// Where cases are wanted.
    case: Option<Box<RawValue>>,
    before: Vec<String>,
    after: Vec<String>,
}

impl ReadDifference {
    fn of(difference: Difference, is_first: bool, cases: Cases) -> Self {
        let Difference { direction, environment, policy, finding, .. } = difference;
        let proof = match finding {
            Finding::Proved { witness, before, after } => {
                let case = (cases == Cases::Kept).then(|| {
                    // A map of texts and numbers is always written.
                    to_raw_value(&witness.to_case()).unwrap_or_else(|_| RawValue::NULL.to_owned())
                });
                let example = is_first.then(|| witness.in_words());
                Ok(Proof { example, case, before, after })
            }
            Finding::Undecided(reasons) => Err(reasons),
            _ => Err(BTreeSet::new()),
        };
        Self { direction, environment, policy, proof }
    }
}

impl Meaning {
    /// Compares two engines for all requests. Nothing if one of them validates nothing, so that
    /// there are no types to reason with.
    ///
    /// # Errors
    ///
    /// [`ParseError`] if a policy cannot be read again.
    pub fn of(old: &Engine, new: &Engine, cases: Cases) -> Result<Option<Self>, ParseError> {
        let (Some(old), Some(new)) = (Library::of(old), Library::of(new)) else {
            return Ok(None);
        };
        let keep = |difference, is_first| ReadDifference::of(difference, is_first, cases);
        Ok(Some(Self::read(compare_keeping(&old, &new, &keep)?)))
    }

    fn read(mut found: Differences<ReadDifference>) -> Self {
        let (verdict, undecided) = (found.verdict(), found.is_undecided());
        let mut by_policy: BTreeMap<_, MeaningRow> = BTreeMap::new();
        for difference in found.all.drain(..) {
            let policy = difference.policy.as_ref().map(|policy| policy.id.clone());
            let key = (difference.direction, difference.proof.is_err(), policy);
            let row = by_policy.entry(key).or_insert_with(|| MeaningRow::new(&difference));
            row.add(difference);
        }
        let mut rows: Vec<MeaningRow> = Vec::new();
        let mut places: BTreeMap<_, usize> = BTreeMap::new();
        for row in by_policy.into_values() {
            let place = *places.entry(row.apart_from_policies()).or_insert(rows.len());
            match rows.get_mut(place) {
                Some(known) => {
                    known.policies.extend(row.policies);
                    known.cases.extend(row.cases);
                }
                None => rows.push(row),
            }
        }
        Self { verdict, undecided, rows, schema: std::mem::take(&mut found.schema) }
    }

    /// Adds the names of those whom requests that were asked concern.
    pub fn name_people(&mut self, comparison: &Comparison<'_>) {
        // Many rows and many changes: each change is looked up by its policies.
        let mut by_policy: HashMap<(Direction, &str), BTreeSet<usize>> = HashMap::new();
        for (number, row) in self.rows.iter().enumerate() {
            for policy in &row.policies {
                by_policy.entry((row.direction, policy)).or_default().insert(number);
            }
        }
        let mut people: Vec<BTreeSet<String>> = vec![BTreeSet::new(); self.rows.len()];
        for change in &comparison.changes {
            let Some(request) = comparison.requests.get(change.request) else { continue };
            let policies = change.before.iter().chain(&change.after);
            let rows = policies.filter_map(|policy| by_policy.get(&(change.direction, policy)));
            for number in rows.flatten() {
                if let Some(people) = people.get_mut(*number).filter(|all| all.len() < PEOPLE) {
                    people.insert(request.who.clone());
                }
            }
        }
        for (row, people) in self.rows.iter_mut().zip(people) {
            row.people = people;
        }
    }

    /// Returns whether access surely changes this way, or may.
    #[must_use]
    pub fn may_go(&self, direction: Direction, allow_undecided: bool) -> bool {
        self.rows
            .iter()
            .any(|row| if row.proved { row.direction == direction } else { !allow_undecided })
    }

    /// Returns the witnesses as a test file, in JSON, whose cases say what the new set decides.
    /// `policies` are the paths of those.
    #[must_use]
    pub fn test_file(&self, policies: &[String]) -> Value {
        let mut cases = Vec::new();
        for row in self.rows.iter().filter(|row| row.proved) {
            for case in &row.cases {
                let (word, decision) = match row.direction {
                    Direction::Widened => ("widened", "allow"),
                    Direction::Narrowed => ("narrowed", "deny"),
                };
                let number = cases.len() + 1;
                let name = format!("{word} by {} ({number})", row.policies.join(", "));
                // It was written from a map.
                let mut case: Map<String, Value> =
                    serde_json::from_str(case.get()).unwrap_or_default();
                case.insert("name".to_owned(), name.into());
                case.insert("expect".to_owned(), decision.into());
                cases.push(Value::Object(case));
            }
        }
        match policies {
            [] => serde_json::json!({ "cases": cases }),
            policies => serde_json::json!({ "policies": policies, "cases": cases }),
        }
    }
}

impl MeaningRow {
    fn new(difference: &ReadDifference) -> Self {
        let Environment { principal, resource, .. } = difference.environment.as_ref();
        let policy = difference.policy.as_ref();
        let scope = policy.map(|policy| &policy.scope);
        let who = scope.and_then(|scope| scope.principal.in_words());
        let about = scope.and_then(|scope| scope.resource.in_words());
        Self {
            direction: difference.direction,
            proved: difference.proof.is_ok(),
            who: who.unwrap_or_else(|| format!("every {principal}")),
            actions: BTreeSet::new(),
            about: about.unwrap_or_else(|| format!("every {resource}")),
            conditional: policy.is_some_and(|policy| policy.condition.is_some()),
            policies: policy.map(|policy| policy.id.clone()).into_iter().collect(),
            reasons: BTreeSet::new(),
            example: None,
            before: Vec::new(),
            after: Vec::new(),
            people: BTreeSet::new(),
            cases: Vec::new(),
        }
    }

    fn add(&mut self, difference: ReadDifference) {
        let Environment { principal, action, resource, .. } = difference.environment.as_ref();
        self.actions.insert(AsRef::<str>::as_ref(action.eid()).to_owned());
        let scope = difference.policy.as_ref().map(|policy| &policy.scope);
        let is_open =
            |part: fn(&stagedoor_analysis::Scope) -> Option<String>| scope.and_then(part).is_none();
        if is_open(|scope| scope.principal.in_words()) {
            name(&mut self.who, &principal.to_string());
        }
        if is_open(|scope| scope.resource.in_words()) {
            name(&mut self.about, &resource.to_string());
        }
        match difference.proof {
            Ok(Proof { example, case, before, after }) => {
                if self.example.is_none() && example.is_some() {
                    self.example = example;
                    self.before = before;
                    self.after = after;
                }
                self.cases.extend(case);
            }
            Err(reasons) => self.reasons.extend(reasons),
        }
    }

    /// Returns what the row says but for the policies: rows that are alike in that are one.
    fn apart_from_policies(&self) -> RowKey {
        let Self { direction, proved, who, actions, about, conditional, reasons, .. } = self;
        let (who, about, actions) = (who.clone(), about.clone(), actions.clone());
        (*direction, *proved, *conditional, who, about, actions, reasons.clone())
    }

    /// Returns what the row says of whom, in one line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let listed = |words: &mut dyn Iterator<Item = &String>, most: usize| {
            let words: Vec<&String> = words.collect();
            let named: Vec<&str> = words.iter().take(most).map(|word| word.as_str()).collect();
            match words.len().saturating_sub(most) {
                0 => named.join(", "),
                more => format!("{} and {more} more", named.join(", ")),
            }
        };
        let condition = if self.conditional { ", on a condition" } else { "" };
        let actions = listed(&mut self.actions.iter(), 6);
        let people = match self.people.is_empty() {
            true => String::new(),
            false => format!(" (such as {})", listed(&mut self.people.iter(), 3)),
        };
        let policies = listed(&mut self.policies.iter(), 6);
        let by = if policies.is_empty() { String::new() } else { format!("; by {policies}") };
        format!("{}{people}: {actions} on {}{condition}{by}", self.who, self.about)
    }
}

/// Adds a type to `every A`, as `every A, B`.
fn name(words: &mut String, type_name: &str) {
    let known = words.strip_prefix("every ").unwrap_or_default();
    if !known.split(", ").any(|own| own == type_name) {
        words.push_str(", ");
        words.push_str(type_name);
    }
}
