//! Conditions in Cedar's words.
//!
//! A rule that Cedar cannot say as it is gives two clauses: one that holds for fewer resources,
//! and one that holds for more. Which of them is written depends on whether the rule stands
//! below a `not`, so that the whole never permits more than the conditions do.

use smol_str::SmolStr;

use crate::criteria::{ConditionParam, Criteria, PermissionCondition};
use crate::permission_rules::{PermissionRules, RuleParams, is_known_type};
use crate::yaml::number_text;

/// What the plugin writes into parameters for the user who asks.
const CURRENT_USER: &str = "$currentUser";
const OWNER_REFS: &str = "$ownerRefs";

/// Inputs that the scaffolder compares without regard to case for some actions.
const CASELESS_INPUTS: [&str; 5] = ["owner", "path", "projectId", "repoName", "repoUrl"];

/// A clause of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clause {
    Constant(bool),
    Text(String),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

/// A rule as Cedar says it.
struct CedarRule {
    /// Holds for no resource that the rule does not hold for.
    least: Clause,
    /// Holds for every resource that the rule holds for.
    most: Clause,
    /// Why the two differ.
    why: Option<&'static str>,
}

impl From<Clause> for CedarRule {
    fn from(exact: Clause) -> Self {
        Self { least: exact.clone(), most: exact, why: None }
    }
}

impl CedarRule {
    fn between(least: Clause, most: Clause, why: &'static str) -> Self {
        Self { least, most, why: Some(why) }
    }
}

/// A parameter whose value is a text.
enum Text<'a> {
    Known(&'a str),
    /// The reference of the user who asks.
    CurrentUser,
}

impl Text<'_> {
    fn lower(&self) -> String {
        match self {
            Self::Known(text) => quoted(&text.to_lowercase()),
            Self::CurrentUser => self.cedar(),
        }
    }

    fn cedar(&self) -> String {
        match self {
            Self::Known(text) => quoted(text),
            Self::CurrentUser => "principal.entityRef".to_owned(),
        }
    }
}

/// What a parameter must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Texts,
    Number,
    Bool,
}

/// Parameters of a rule: those that it needs, and one that may be left out.
type Signature<'a> = (Vec<(&'a str, Type)>, Option<(&'a str, Type)>);

fn signature<'a>(
    condition: &'a PermissionCondition,
    rules: &'a PermissionRules,
) -> Option<Signature<'a>> {
    let value = |of_type| Some(("value", of_type));
    let (needed, optional) = match (condition.resource_type.as_str(), condition.rule.as_str()) {
        ("catalog-entity", "IS_ENTITY_KIND") => (("kinds", Type::Texts), None),
        ("catalog-entity", "IS_ENTITY_OWNER") => (("claims", Type::Texts), None),
        ("catalog-entity", "HAS_ANNOTATION") => (("annotation", Type::Text), value(Type::Text)),
        ("catalog-entity", "HAS_LABEL") => (("label", Type::Text), value(Type::Text)),
        ("catalog-entity", "HAS_METADATA" | "HAS_SPEC") => (("key", Type::Text), value(Type::Text)),
        ("scaffolder-template", "HAS_TAG") => (("tag", Type::Text), None),
        ("scaffolder-action", "HAS_ACTION_ID") => (("actionId", Type::Text), None),
        ("scaffolder-action", "HAS_STRING_PROPERTY") => (("key", Type::Text), value(Type::Text)),
        ("scaffolder-action", "HAS_NUMBER_PROPERTY") => (("key", Type::Text), value(Type::Number)),
        ("scaffolder-action", "HAS_BOOLEAN_PROPERTY") => (("key", Type::Text), value(Type::Bool)),
        ("scaffolder-task", "IS_TASK_OWNER") => (("createdBy", Type::Texts), None),
        ("policy-entity", "IS_OWNER") => (("owners", Type::Texts), None),
        (listed, rule) => {
            let rule = rules.of_rule(listed, rule)?;
            let mut needed: Vec<_> =
                rule.key().map(|key| (key.as_str(), Type::Text)).into_iter().collect();
            match &rule.params {
                RuleParams::None => {}
                RuleParams::Value(name) => needed.push((name, Type::Text)),
                RuleParams::Values(name) => needed.push((name, Type::Texts)),
            }
            return Some((needed, None));
        }
    };
    Some((vec![needed], optional))
}

/// Says what is wrong with a rule's parameters. Rules of plugins that are not known pass.
pub(super) fn check(
    condition: &PermissionCondition,
    rules: &PermissionRules,
) -> Result<(), String> {
    let PermissionCondition { resource_type, rule, params } = condition;
    let Some((needed, optional)) = signature(condition, rules) else {
        let is_known = is_known_type(resource_type) || resource_type == "policy-entity";
        return match is_known || rules.has(resource_type) {
            true => Err(format!("`{resource_type}` has no rule `{rule}`")),
            false => Ok(()),
        };
    };
    if let Some((name, _)) = needed.iter().find(|(name, _)| !params.contains_key(*name)) {
        return Err(format!("`{rule}` needs the parameter `{name}`"));
    }
    for (name, param) in params {
        let known = needed.iter().chain(&optional).find(|(known, _)| known == name);
        let of_type = match param {
            ConditionParam::String(_) => Type::Text,
            ConditionParam::Strings(_) => Type::Texts,
            ConditionParam::Number(_) => Type::Number,
            ConditionParam::Bool(_) => Type::Bool,
        };
        match known {
            None => return Err(format!("`{rule}` has no parameter `{name}`")),
            Some((_, expected)) if *expected != of_type => {
                let expected = match expected {
                    Type::Text => "a text",
                    Type::Texts => "a list of texts",
                    Type::Number => "a number",
                    Type::Bool => "true or false",
                };
                return Err(format!("`{name}` of `{rule}` must be {expected}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Returns the clause for criteria, which holds for no resource that they do not hold for, and
/// why it may hold for fewer.
pub(super) fn clause(criteria: &Criteria, rules: &PermissionRules) -> (Clause, Vec<String>) {
    let mut speller = Speller { rules, closed: Vec::new() };
    let clause = speller.clause(criteria, true);
    (clause, speller.closed)
}

struct Speller<'a> {
    rules: &'a PermissionRules,
    closed: Vec<String>,
}

impl Speller<'_> {
    /// Recursive: the plugin bounds how deep conditions nest.
    fn clause(&mut self, criteria: &Criteria, least: bool) -> Clause {
        match criteria {
            Criteria::AllOf(items) => {
                Clause::all(items.iter().map(|item| self.clause(item, least)).collect())
            }
            Criteria::AnyOf(items) => {
                Clause::any(items.iter().map(|item| self.clause(item, least)).collect())
            }
            Criteria::Not(item) => Clause::not(self.clause(item, !least)),
            Criteria::Condition(condition) => {
                let said = said(condition, self.rules);
                self.closed.extend(said.why.map(|why| format!("`{}`: {why}", condition.rule)));
                if least { said.least } else { said.most }
            }
        }
    }
}

fn said(condition: &PermissionCondition, rules: &PermissionRules) -> CedarRule {
    let PermissionCondition { resource_type, rule, params } = condition;
    let text = |name: &str| match params.get(name) {
        Some(ConditionParam::String(text)) if text == CURRENT_USER => Some(Text::CurrentUser),
        Some(ConditionParam::String(text)) => Some(Text::Known(text)),
        _ => None,
    };
    let texts = |name: &str| match params.get(name) {
        Some(ConditionParam::Strings(texts)) => texts.as_slice(),
        _ => &[],
    };
    match (resource_type.as_str(), rule.as_str()) {
        ("catalog-entity", "IS_ENTITY_KIND") => kind(texts("kinds")),
        ("catalog-entity", "IS_ENTITY_OWNER") => owner(texts("claims")),
        ("catalog-entity", "HAS_ANNOTATION") => {
            tag("resource.annotations", "", text("annotation"), text("value"), "==").into()
        }
        ("catalog-entity", "HAS_LABEL") => {
            tag("resource.labels", "", text("label"), text("value"), "==").into()
        }
        ("catalog-entity", "HAS_METADATA") => {
            tag("resource", "metadata.", text("key"), text("value"), "contains").into()
        }
        ("catalog-entity", "HAS_SPEC") => {
            tag("resource", "spec.", text("key"), text("value"), "contains").into()
        }
        ("scaffolder-template", "HAS_TAG") => said_of(text("tag"), |tag| {
            Clause::Text(format!("resource.tags.contains({})", tag.cedar()))
        }),
        ("scaffolder-action", "HAS_ACTION_ID") => said_of(text("actionId"), |id| {
            Clause::Text(format!("resource.action == {}", id.cedar()))
        }),
        ("scaffolder-action", _) => property(condition),
        ("scaffolder-task", _) => {
            let list = texts("createdBy");
            listed("resource.createdBy", list).guarded("resource has createdBy").into()
        }
        ("policy-entity", _) => Clause::any(vec![
            Clause::Text("resource.isDefault".to_owned()),
            listed("resource.owner", texts("owners")).guarded("resource has owner"),
        ])
        .into(),
        _ => of_listed_rule(condition, rules),
    }
}

fn said_of(text: Option<Text<'_>>, clause: impl Fn(Text<'_>) -> Clause) -> CedarRule {
    text.map_or(Clause::Constant(false), clause).into()
}

fn kind(kinds: &[SmolStr]) -> CedarRule {
    // No kind is a reference.
    let kinds = kinds.iter().filter(|kind| !is_alias(kind)).map(|kind| kind.to_lowercase());
    match literals(kinds.collect()).as_slice() {
        [] => Clause::Constant(false),
        [kind] => Clause::Text(format!("resource.kind == {kind}")),
        kinds => Clause::Text(format!("[{}].contains(resource.kind)", kinds.join(", "))),
    }
    .into()
}

fn owner(claims: &[SmolStr]) -> CedarRule {
    let given = |all: bool| {
        let claims = claims.iter().filter(|claim| !is_alias(claim));
        let claims = claims.filter(|claim| all || claim.to_lowercase() == claim.as_str());
        match literals(claims.map(|claim| claim.to_lowercase()).collect()).as_slice() {
            [] => Clause::Constant(false),
            [claim] => Clause::Text(format!("resource.owners.contains({claim})")),
            claims => Clause::Text(format!("resource.owners.containsAny([{}])", claims.join(", "))),
        }
    };
    let mut aliases = Vec::new();
    if claims.iter().any(|claim| claim == OWNER_REFS) {
        aliases.push(Clause::Text("resource.owners.containsAny(principal.claims)".to_owned()));
    } else if claims.iter().any(|claim| claim == CURRENT_USER) {
        aliases.push(Clause::Text("resource.owners.contains(principal.entityRef)".to_owned()));
    }
    let with = |given: Clause| Clause::any(aliases.iter().cloned().chain([given]).collect());
    let (least, most) = (with(given(false)), with(given(true)));
    if least == most {
        return least.into();
    }
    const WHY: &str = "Backstage compares claims that are not in lower case in two ways";
    CedarRule::between(least, most, WHY)
}

/// Says that something has a tag, and which value it has.
fn tag(
    of: &str,
    prefix: &str,
    key: Option<Text<'_>>,
    value: Option<Text<'_>>,
    operator: &str,
) -> Clause {
    let Some(key) = key else { return Clause::Constant(false) };
    let key = match key {
        Text::Known(key) => quoted(&format!("{prefix}{}", key.to_lowercase())),
        // A reference is no name of a field.
        Text::CurrentUser => return Clause::Constant(false),
    };
    let has = Clause::Text(format!("{of}.hasTag({key})"));
    match value.map(|value| value.lower()) {
        None => has,
        Some(value) if operator == "==" => {
            Clause::all(vec![has, Clause::Text(format!("{of}.getTag({key}) == {value}"))])
        }
        Some(value) => {
            Clause::all(vec![has, Clause::Text(format!("{of}.getTag({key}).contains({value})"))])
        }
    }
}

/// Says that an action has an input. Cedar sees inputs as texts.
fn property(condition: &PermissionCondition) -> CedarRule {
    const WHY: &str = "a policy does not tell the texts, numbers and booleans of inputs apart";
    const CASE: &str = "the scaffolder compares this input by case for some actions";
    let Some(ConditionParam::String(key)) = condition.params.get("key") else {
        return Clause::Constant(false).into();
    };
    let never = || Clause::Constant(false);
    let has = Clause::Text(format!("resource.input.hasTag({})", quoted(key)));
    let is = |values: Vec<String>| {
        let value = match literals(values).as_slice() {
            [value] => format!("resource.input.getTag({}) == {value}", quoted(key)),
            values => {
                format!("[{}].contains(resource.input.getTag({}))", values.join(", "), quoted(key))
            }
        };
        Clause::all(vec![has.clone(), Clause::Text(value)])
    };
    match condition.params.get("value") {
        Some(ConditionParam::String(value)) if value == CURRENT_USER => {
            let text = format!("resource.input.getTag({}) == principal.entityRef", quoted(key));
            Clause::all(vec![has, Clause::Text(text)]).into()
        }
        Some(ConditionParam::String(value)) if is_printed(value) => {
            CedarRule::between(never(), is(vec![value.to_string()]), WHY)
        }
        Some(ConditionParam::String(value))
            if CASELESS_INPUTS.contains(&key.as_str())
                && value.to_lowercase() != value.as_str() =>
        {
            let values = vec![value.to_lowercase(), value.to_string()];
            CedarRule::between(never(), is(values), CASE)
        }
        Some(ConditionParam::String(value)) => is(vec![value.to_string()]).into(),
        Some(ConditionParam::Number(value)) => {
            CedarRule::between(never(), is(vec![number_text(*value)]), WHY)
        }
        Some(ConditionParam::Bool(value)) => {
            CedarRule::between(never(), is(vec![value.to_string()]), WHY)
        }
        _ => CedarRule::between(never(), has, WHY),
    }
}

/// Whether a number or a boolean may be printed so.
fn is_printed(text: &str) -> bool {
    matches!(text, "true" | "false")
        || text.parse::<f64>().is_ok_and(|number| number_text(number) == text)
}

/// Says that a reference is one of a list.
fn listed(path: &str, references: &[SmolStr]) -> Clause {
    let mut clauses = Vec::new();
    if references.iter().any(|each| each == OWNER_REFS) {
        clauses.push(Clause::Text(format!("principal.claims.contains({path})")));
    } else if references.iter().any(|each| each == CURRENT_USER) {
        clauses.push(Clause::Text(format!("{path} == principal.entityRef")));
    }
    let given = references.iter().filter(|each| !is_alias(each)).map(ToString::to_string);
    match literals(given.collect()).as_slice() {
        [] => {}
        [one] => clauses.push(Clause::Text(format!("{path} == {one}"))),
        many => clauses.push(Clause::Text(format!("[{}].contains({path})", many.join(", ")))),
    }
    Clause::any(clauses)
}

/// Says what a rule of a permission file says: that a tag is there, or has a value.
fn of_listed_rule(condition: &PermissionCondition, rules: &PermissionRules) -> CedarRule {
    let PermissionCondition { resource_type, rule, params } = condition;
    let unknown = || {
        const WHY: &str = "the rule is not known: list it in a `*.permissions.yaml`";
        CedarRule::between(Clause::Constant(false), Clause::Constant(true), WHY)
    };
    let Some(rule) = rules.of_rule(resource_type, rule) else { return unknown() };
    let Some(tag) = rule.tag(params).map(|tag| quoted(&tag)) else { return unknown() };
    let has = Clause::Text(format!("resource.hasTag({tag})"));
    let value = match &rule.params {
        RuleParams::None => return has.into(),
        RuleParams::Value(name) | RuleParams::Values(name) => match params.get(name) {
            Some(ConditionParam::String(text)) => std::slice::from_ref(text),
            Some(ConditionParam::Strings(texts)) => texts.as_slice(),
            _ => return unknown(),
        },
    };
    let mut clauses = Vec::new();
    if value.iter().any(|each| each == OWNER_REFS) {
        clauses.push(Clause::Text(format!("resource.getTag({tag}).containsAny(principal.claims)")));
    } else if value.iter().any(|each| each == CURRENT_USER) {
        clauses.push(Clause::Text(format!("resource.getTag({tag}).contains(principal.entityRef)")));
    }
    let given = value.iter().filter(|each| !is_alias(each)).map(ToString::to_string);
    match literals(given.collect()).as_slice() {
        [] => {}
        given => clauses.push(Clause::Text(format!(
            "resource.getTag({tag}).containsAny([{}])",
            given.join(", ")
        ))),
    }
    Clause::all(vec![has, Clause::any(clauses)]).into()
}

fn is_alias(text: &str) -> bool {
    text == CURRENT_USER || text == OWNER_REFS
}

/// Returns the texts as literals, each once, in the order of the alphabet.
fn literals(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts.iter().map(|text| quoted(text)).collect()
}

/// Returns a string literal of Cedar's.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

impl Clause {
    pub(super) fn all(items: Vec<Self>) -> Self {
        Self::many(items, true)
    }

    pub(super) fn any(items: Vec<Self>) -> Self {
        Self::many(items, false)
    }

    fn many(items: Vec<Self>, all: bool) -> Self {
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Self::Constant(value) if value == all => {}
                Self::Constant(value) => return Self::Constant(value),
                Self::All(inner) if all => kept.extend(inner),
                Self::Any(inner) if !all => kept.extend(inner),
                item => kept.push(item),
            }
        }
        match kept.len() {
            0 => Self::Constant(all),
            1 => kept.pop().unwrap_or(Self::Constant(all)),
            _ if all => Self::All(kept),
            _ => Self::Any(kept),
        }
    }

    fn not(item: Self) -> Self {
        match item {
            Self::Constant(value) => Self::Constant(!value),
            Self::Not(item) => *item,
            item => Self::Not(Box::new(item)),
        }
    }

    /// Says this of what is there.
    fn guarded(self, guard: &str) -> Self {
        match self {
            Self::Constant(false) => self,
            item => Self::all(vec![Self::Text(guard.to_owned()), item]),
        }
    }

    /// Returns the clause as it stands within braces, a part on each line.
    pub(super) fn cedar(&self) -> String {
        match self {
            Self::All(items) => lines(items, " &&\n  "),
            Self::Any(items) => lines(items, " ||\n  "),
            item => item.inline(),
        }
    }

    fn inline(&self) -> String {
        match self {
            Self::Constant(value) => value.to_string(),
            Self::Text(text) => text.clone(),
            Self::All(items) => format!("({})", lines(items, " && ")),
            Self::Any(items) => format!("({})", lines(items, " || ")),
            Self::Not(item) => match item.as_ref() {
                Self::Text(text) if !text.contains([' ', '[']) => format!("!{text}"),
                Self::Text(text) => format!("!({text})"),
                item => format!("!{}", item.inline()),
            },
        }
    }
}

fn lines(items: &[Clause], joint: &str) -> String {
    items.iter().map(Clause::inline).collect::<Vec<_>>().join(joint)
}
