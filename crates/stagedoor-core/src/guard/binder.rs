//! Reads `@guard` and `@guard_args`, and binds rules to their arguments.

use std::ops::Range;
use std::sync::Arc;

use cedar_policy_core::ast;
use smol_str::SmolStr;

use super::{BoundGuard, GuardRefusal, RuleEvaluator, RuleReference};
use crate::hash::PersistentMap;
use crate::number::GuardNumber;
use crate::problem::Problem;
use crate::text::single_line;

/// The annotation that names rules.
const GUARD: &str = "guard";
/// The annotation with their arguments.
const ARGUMENTS: &str = "guard_args";
/// The longest name of a rule, in bytes.
const NAME_BYTES: usize = 64;

/// Binds each rule and its arguments once.
#[derive(Clone)]
pub(crate) struct GuardBinder {
    rules: Option<Arc<dyn RuleEvaluator>>,
    exact: bool,
    bound: PersistentMap<(SmolStr, Box<str>), Arc<BoundGuard>>,
}

/// Why a policy cannot be guarded, and where it says so.
#[derive(Debug)]
pub(crate) struct GuardProblem {
    problem: Box<Problem>,
    /// The place in the text that was parsed.
    pub(crate) label: Option<Range<usize>>,
}

impl GuardProblem {
    pub(crate) fn into_problem(self) -> Problem {
        *self.problem
    }
}

impl GuardBinder {
    pub(crate) fn new(rules: Option<Arc<dyn RuleEvaluator>>, exact: bool) -> Self {
        Self { rules, exact, bound: PersistentMap::default() }
    }

    /// Returns all guards that policies ask for, in the order in which they were first named.
    pub(crate) fn all(&self) -> impl Iterator<Item = &BoundGuard> {
        let mut all: Vec<&BoundGuard> = self.bound.values().map(AsRef::as_ref).collect();
        all.sort_unstable_by_key(|guard| guard.number);
        all.into_iter()
    }

    /// Returns a policy's guards.
    pub(crate) fn of(
        &mut self,
        tree: &ast::Template,
    ) -> Result<Box<[Arc<BoundGuard>]>, GuardProblem> {
        let (mut names, mut arguments) = (None, None);
        for (name, annotation) in tree.annotations() {
            match name.as_ref() {
                GUARD => names = Some(annotation),
                ARGUMENTS => arguments = Some(annotation),
                other if other.starts_with(GUARD) => {
                    let message = format!("`@{other}` guards nothing");
                    let help = "rules are named by `@guard`, their arguments by `@guard_args`";
                    return Err(problem("guard::annotation", message, help, annotation));
                }
                _ => {}
            }
        }
        let Some(names) = names else {
            return match arguments {
                None => Ok(Box::default()),
                Some(arguments) => {
                    let help = "name the rule that they are for: `@guard(\"…\")`";
                    let message = "`@guard_args` stands without `@guard`";
                    Err(problem("guard::annotation", message, help, arguments))
                }
            };
        };
        if self.exact {
            let message = "exact-Cedar mode asks no guards, which would leave the policy unguarded";
            let help = "leave exact-Cedar mode, or take the guard away";
            return Err(problem("guard::exact-cedar", message, help, names));
        }
        let rules = rule_names(names)?;
        let arguments = arguments_of(&rules, arguments)?;
        let bound = rules.iter().zip(arguments).map(|(rule, text)| self.bind(rule, text, names));
        bound.collect()
    }

    fn bind(
        &mut self,
        rule: &str,
        arguments: Box<str>,
        at: &ast::Annotation,
    ) -> Result<Arc<BoundGuard>, GuardProblem> {
        let key = (SmolStr::from(rule), arguments);
        if let Some(bound) = self.bound.get(&key) {
            return Ok(Arc::clone(bound));
        }
        let Some(rules) = &self.rules else {
            let message =
                format!("the policy is guarded by rule `{rule}`, but no rules are loaded");
            let help = "load rules: `--rules DIR`, `rules` in the options or settings, or \
                        `EngineBuilder::rules`";
            return Err(problem("guard::no-rules", message, help, at));
        };
        let RuleReference { name, sha256 } = RuleReference::parse(rule);
        let guard = rules.guard(rule, &key.1).map_err(|refusal| refused(name, refusal, at))?;
        // INVARIANT: a pinned rule is the one that was reviewed, whoever runs it.
        if let Some(pinned) = sha256.filter(|pinned| *pinned != guard.digest()) {
            let (pinned, found) = (pinned.to_owned(), guard.digest().to_owned());
            return Err(refused(name, GuardRefusal::Digest { pinned, found }, at));
        }
        let number = GuardNumber::after(self.bound.len());
        let (rule, arguments) = (SmolStr::from(name), key.1.clone());
        let bound = Arc::new(BoundGuard { number, rule, arguments, guard });
        self.bound.insert(key, Arc::clone(&bound));
        Ok(bound)
    }
}

/// Returns why a policy cannot be guarded by a rule.
fn refused(rule: &str, refusal: GuardRefusal, at: &ast::Annotation) -> GuardProblem {
    match refusal {
        GuardRefusal::Unknown { known } => {
            let message = format!("there is no rule `{rule}`");
            let help = if known.is_empty() {
                "no rules are loaded".to_owned()
            } else {
                format!("the rules are: {}", known.join(", "))
            };
            problem("guard::unknown-rule", message, help, at)
        }
        GuardRefusal::Arguments(reason) => {
            let message = format!("rule `{rule}` does not take these arguments: {reason}");
            let help = format!("see `stagedoor rule check` for what `{rule}` takes");
            problem("guard::arguments", single_line(&message), help, at)
        }
        GuardRefusal::Broken(reason) => {
            let message = format!("rule `{rule}` cannot be used: {reason}");
            let help = "`stagedoor rule check FILE` tells what is wrong with a rule";
            problem("guard::broken-rule", single_line(&message), help, at)
        }
        GuardRefusal::Digest { pinned, found } => {
            let message = format!(
                "rule `{rule}` has the digest sha256:{found}, but sha256:{pinned} is pinned"
            );
            let help = "put the pinned version back, or review this one and pin it";
            problem("guard::digest", single_line(&message), help, at)
        }
    }
}

/// Returns the names in an annotation, separated by commas or blanks.
fn rule_names(annotation: &ast::Annotation) -> Result<Vec<&str>, GuardProblem> {
    let help = "a rule's name is of lower-case letters, digits and `-`, with `@sha256:` and 64 \
                digits of 0-9a-f where it is pinned; write several as `@guard(\"first, second\")`";
    let mut names: Vec<&str> = Vec::new();
    let separators = |c: char| c == ',' || c.is_whitespace();
    for name in annotation.val.split(separators).filter(|name| !name.is_empty()) {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let RuleReference { name: own, sha256 } = RuleReference::parse(name);
        let fits = own.len() <= NAME_BYTES && own.bytes().all(allowed) && !own.is_empty();
        if !fits || !sha256.is_none_or(is_digest) {
            let message = format!("invalid rule name `{}`", name.escape_debug());
            return Err(problem("guard::name", message, help, annotation));
        }
        if names.iter().any(|other| RuleReference::parse(other).name == own) {
            let message = format!("rule `{own}` is named twice");
            return Err(problem("guard::name", message, help, annotation));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(problem("guard::name", "`@guard` names no rule", help, annotation));
    }
    Ok(names)
}

/// Returns the arguments of each rule, as JSON objects.
fn arguments_of(
    rules: &[&str],
    annotation: Option<&ast::Annotation>,
) -> Result<Vec<Box<str>>, GuardProblem> {
    let Some(annotation) = annotation else { return Ok(vec!["{}".into(); rules.len()]) };
    let help = match rules {
        [_] => {
            "`@guard_args` is a JSON object or a line `name: value` for each argument, \
                where strings may stand in single quotes: \"{'name': 'value'}\""
        }
        _ => {
            "with several rules `@guard_args` has the arguments by rule: \"{'rule': {'name': 'value'}}\""
        }
    };
    let wrong = |message: String| problem("guard::arguments", message, help, annotation);
    let mut object = super::arguments::read(&annotation.val)
        .map_err(|reason| wrong(format!("`@guard_args` {}", single_line(&reason))))?;
    if let [_] = rules {
        return Ok(vec![serde_json::Value::Object(object).to_string().into()]);
    }
    let mut texts = Vec::with_capacity(rules.len());
    for rule in rules {
        let rule = RuleReference::parse(rule).name;
        texts.push(match object.remove(rule) {
            None => "{}".into(),
            Some(json @ serde_json::Value::Object(_)) => json.to_string().into(),
            Some(_) => return Err(wrong(format!("the arguments of `{rule}` are no JSON object"))),
        });
    }
    match object.keys().next() {
        None => Ok(texts),
        Some(other) => {
            let other = other.escape_debug();
            Err(wrong(format!("`@guard_args` has arguments for `{other}`, which is not named")))
        }
    }
}

/// Whether a text is a SHA-256 in lower-case hexadecimal.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn problem(
    code: &'static str,
    message: impl Into<String>,
    help: impl Into<String>,
    at: &ast::Annotation,
) -> GuardProblem {
    GuardProblem {
        problem: Box::new(Problem::error(code, message).with_help(help)),
        label: at.loc.as_ref().map(|loc| loc.start()..loc.end()),
    }
}
