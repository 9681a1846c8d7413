//! Which decisions are recorded, and what of them is masked.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::record::Outcome;

/// What stands in place of what is masked.
pub const MASK: &str = "(masked)";

/// Which decisions are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Decisions {
    /// None.
    None,
    /// Those that do not allow.
    Denials,
    /// Those that do not allow, and those that allow a change: all but reading.
    #[default]
    DenialsAndChanges,
    /// All.
    All,
}

/// Which decisions are recorded, how many of them, and what of them is masked.
#[derive(Debug, Default)]
pub struct Rules {
    /// Which decisions.
    pub decisions: Decisions,
    /// Records that are left out.
    pub drop: Vec<DropRule>,
    /// What is masked.
    pub mask: Vec<Pointer>,
    samples: BTreeMap<&'static str, (f64, AtomicU64)>,
}

/// A part of a record: a JSON pointer, in which `*` stands for every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(String);

/// A record is left out if a part of it has this value: `/request/user=system:kube-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropRule {
    pointer: Pointer,
    value: String,
}

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// No JSON pointer.
    #[error("`{0}` is not a JSON pointer such as `/request/extra`")]
    Pointer(String),
    /// No rule to drop.
    #[error("`{0}` is not a rule such as `/request/user=system:kube-*`")]
    Drop(String),
    /// No outcome with a rate.
    #[error("`{0}` is not a rate such as `allowed=0.01`, between 0 and 1")]
    Sample(String),
    /// What may not be changed.
    #[error("`{0}` says what the decision was: it cannot be masked")]
    Fixed(String),
}

impl FromStr for Pointer {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if !text.starts_with('/') || text.len() < 2 {
            return Err(RuleError::Pointer(text.to_owned()));
        }
        // Without these a record says nothing, or something else.
        let fixed = ["/version", "/id", "/time", "/platform", "/endpoint", "/outcome", "/masked"];
        if fixed.contains(&text) || text == "/*" || text.starts_with("/masked/") {
            return Err(RuleError::Fixed(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for DropRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = || RuleError::Drop(text.to_owned());
        let (pointer, value) = text.split_once('=').ok_or_else(error)?;
        if !pointer.starts_with('/') {
            return Err(error());
        }
        Ok(Self { pointer: Pointer(pointer.to_owned()), value: value.to_owned() })
    }
}

impl Pointer {
    /// Calls `found` with every value that the pointer leads to, and its path.
    fn visit(&self, record: &mut Value, found: &mut dyn FnMut(&str, &mut Value)) {
        let parts: Vec<String> =
            self.0.split('/').skip(1).map(|p| p.replace("~1", "/").replace("~0", "~")).collect();
        visit(&parts, record, &mut String::new(), found);
    }
}

fn visit(
    parts: &[String],
    value: &mut Value,
    path: &mut String,
    found: &mut dyn FnMut(&str, &mut Value),
) {
    let Some((part, rest)) = parts.split_first() else { return found(path, value) };
    let mut step = |name: &str, value: &mut Value| {
        let length = path.len();
        path.push('/');
        path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        visit(rest, value, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(members) if part == "*" => {
            members.iter_mut().for_each(|(name, value)| step(name, value));
        }
        Value::Object(members) => {
            if let Some(value) = members.get_mut(part) {
                step(part, value);
            }
        }
        Value::Array(items) if part == "*" => {
            items.iter_mut().enumerate().for_each(|(n, value)| step(&n.to_string(), value));
        }
        Value::Array(items) => {
            let item = part.parse().ok().and_then(|n: usize| items.get_mut(n));
            item.into_iter().for_each(|value| step(part, value));
        }
        _ => {}
    }
}

impl DropRule {
    fn fits(&self, record: &mut Value) -> bool {
        let mut fits = false;
        self.pointer.visit(record, &mut |_, value| {
            let text = match &value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            fits |= match self.value.strip_suffix('*') {
                Some(start) => text.starts_with(start),
                None => text == self.value,
            };
        });
        fits
    }
}

impl Rules {
    /// Sets which part of the decisions of an outcome is recorded: `allowed=0.01`.
    ///
    /// # Errors
    ///
    /// [`RuleError::Sample`].
    pub fn sample(&mut self, rule: &str) -> Result<(), RuleError> {
        let error = || RuleError::Sample(rule.to_owned());
        let (name, rate) = rule.split_once('=').ok_or_else(error)?;
        let rate: f64 = rate.parse().map_err(|_| error())?;
        let is_decision =
            |outcome: &Outcome| !matches!(outcome, Outcome::Changed | Outcome::Failed);
        let outcome = Outcome::named(name).filter(is_decision);
        if !(0.0..=1.0).contains(&rate) {
            return Err(error());
        }
        self.samples.insert(outcome.ok_or_else(error)?.as_str(), (rate, AtomicU64::new(0)));
        Ok(())
    }

    /// Returns whether a decision is recorded, and the part of such decisions that are.
    pub(crate) fn wants(&self, outcome: Outcome, is_change: bool) -> Option<f64> {
        let allows = matches!(outcome, Outcome::Allowed | Outcome::Conditional | Outcome::Listed);
        let is_wanted = match (self.decisions, outcome) {
            (Decisions::None, _) => false,
            (_, Outcome::Changed | Outcome::Failed) | (Decisions::All, _) => true,
            (Decisions::Denials, _) => !allows,
            (Decisions::DenialsAndChanges, _) => !allows || is_change,
        };
        if !is_wanted {
            return None;
        }
        let Some((rate, count)) = self.samples.get(outcome.as_str()) else { return Some(1.0) };
        let number = count.fetch_add(1, Ordering::Relaxed);
        // So many of the first n that the rate says, for every n.
        #[expect(clippy::cast_precision_loss, reason = "a rate of a count of requests")]
        let whole = |n: u64| (n as f64 * rate).floor();
        (whole(number + 1) > whole(number)).then_some(*rate)
    }

    /// Masks parts of a record; returns `None` if it is left out.
    pub(crate) fn apply(&self, mut record: Value) -> Option<Value> {
        if self.drop.iter().any(|rule| rule.fits(&mut record)) {
            return None;
        }
        let mut masked: Vec<Value> = Vec::new();
        for pointer in &self.mask {
            pointer.visit(&mut record, &mut |path, value| {
                *value = Value::String(MASK.to_owned());
                masked.push(Value::String(path.to_owned()));
            });
        }
        if let (false, Some(members)) = (masked.is_empty(), record.as_object_mut()) {
            // Beside what was masked when the record was made.
            let all = members.entry("masked").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(all) = all {
                all.append(&mut masked);
            }
        }
        Some(record)
    }

    /// Returns whether anything of a record has to be looked at before it is written.
    pub(crate) fn look_into(&self) -> bool {
        !self.drop.is_empty() || !self.mask.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Decisions, DropRule, Outcome, Pointer, RuleError, Rules};

    #[test]
    fn parts_are_masked_by_pointer_and_told() -> Result<(), RuleError> {
        let mask: Vec<Pointer> = ["/request/extra/*/0", "/request/a~1b", "/none/there"]
            .iter()
            .flat_map(|p| p.parse())
            .collect();
        let rules = Rules { mask, ..Rules::default() };
        let record = json!({
            "request": {"extra": {"k": ["v", "w"], "l": []}, "a/b": {"c": 1}},
            "masked": ["/request/object/data"],
        });
        let expected = json!({
            "request": {"extra": {"k": ["(masked)", "w"], "l": []}, "a/b": "(masked)"},
            "masked": ["/request/object/data", "/request/extra/k/0", "/request/a~1b"],
        });
        assert_eq!(rules.apply(record), Some(expected));
        assert!("/outcome".parse::<Pointer>().is_err());
        assert!("/masked/0".parse::<Pointer>().is_err());
        assert!("request".parse::<Pointer>().is_err());
        Ok(())
    }

    #[test]
    fn records_are_dropped_by_value_and_start() -> Result<(), RuleError> {
        let rule = |text: &str| text.parse::<DropRule>();
        let rules = Rules { drop: vec![rule("/request/user=system:kube-*")?], ..Rules::default() };
        assert!(rules.apply(json!({"request": {"user": "system:kube-scheduler"}})).is_none());
        assert!(rules.apply(json!({"request": {"user": "system:node:a"}})).is_some());
        assert!(rules.apply(json!({"request": {"users": ["system:kube-scheduler"]}})).is_some());
        assert!(rule("user=x").is_err());
        Ok(())
    }

    #[test]
    fn outcomes_are_chosen_and_sampled() -> Result<(), RuleError> {
        let mut rules = Rules::default();
        assert_eq!(rules.wants(Outcome::Allowed, false), None);
        assert_eq!(rules.wants(Outcome::Allowed, true), Some(1.0));
        assert_eq!(rules.wants(Outcome::NoOpinion, false), Some(1.0));
        rules.decisions = Decisions::All;
        rules.sample("allowed=0.25")?;
        let kept = (0..100).filter_map(|_| rules.wants(Outcome::Allowed, false)).count();
        assert_eq!(kept, 25);
        assert_eq!(rules.wants(Outcome::Denied, false), Some(1.0));
        rules.decisions = Decisions::None;
        assert_eq!(rules.wants(Outcome::Changed, true), None);
        for wrong in ["allowed", "allowed=2", "maybe=0.5", "allowed=NaN"] {
            assert!(rules.sample(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
