//! `check backstage` without an entity: the answer that Backstage gets, in its words.

use stagedoor_backstage::{
    Catalog, ConditionParam, Criteria, Permission, PermissionAction, PermissionCondition,
    PermissionQuery, Permissions, PolicyAnswer, PolicyDecision, PolicyEngine, User,
};
use stagedoor_core::{Decision, Engine};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;
use crate::terminal::line;

/// What is asked.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) permission: &'a str,
    /// As people are told.
    pub(super) text: &'a str,
}

/// Answers what Backstage asks: a permission, and no resource.
pub(super) fn answer(
    engine: Engine,
    permissions: Permissions,
    catalog: &Catalog,
    user: User,
    question: Question<'_>,
    output: &mut Output,
) -> Result<Ending, Failure> {
    let known = permissions.get(question.permission).cloned();
    let policy = PolicyEngine::new(engine, permissions)
        .with_groups(catalog.groups())
        .map_err(|e| Failure::input(e.to_string()))?;
    let known = known.as_ref();
    let asked = PermissionQuery {
        name: question.permission,
        action: known.ok().and_then(Permission::action).map(PermissionAction::as_str),
        resource_type: known.ok().and_then(Permission::resource_type),
    };
    let answer = policy.decide(&asked, Some(&user.into()));
    for error in answer.errors() {
        output.remark(error);
    }
    if let Err(unknown) = known {
        let help = unknown.help();
        output.remark(help.lines().next().unwrap_or_default().trim_end_matches(':'));
    }
    for finding in answer.findings() {
        output.remark(&format!("{finding} ({})", finding.help));
    }
    if output.is_json() {
        output.json(answer.decision())?;
    } else {
        tell(&answer, question.text, output)?;
    }
    Ok(match answer.decision() {
        PolicyDecision::Allow => Ending::Done,
        PolicyDecision::Deny => Ending::Denied,
        PolicyDecision::Conditional { .. } => Ending::Conditional,
    })
}

fn tell(answer: &PolicyAnswer, question: &str, output: &mut Output) -> Result<(), Failure> {
    let paint = output.paint();
    let question = line(question);
    match answer.decision() {
        PolicyDecision::Allow => {
            let word = paint.decision(Decision::Allow);
            output.line(format_args!("{word} {question}, whichever it is"))?;
        }
        PolicyDecision::Deny => {
            let word = paint.decision(Decision::Deny);
            output.line(format_args!("{word} {question}, whichever it is"))?;
        }
        PolicyDecision::Conditional { plugin_id, conditions, .. } => {
            let word = paint.notable("conditional");
            output.line(format_args!("{word} {question}"))?;
            let lead = "allowed where this holds, which the plugin";
            output.line(format_args!("    {lead} `{}` finds out:", line(plugin_id)))?;
            for (depth, text) in said(conditions) {
                output.line(format_args!(
                    "{:indent$}{}",
                    "",
                    line(&text),
                    indent = 6 + 2 * depth
                ))?;
            }
        }
    }
    let reasons: Vec<&str> = answer.reasons().collect();
    if !reasons.is_empty() {
        output.line(format_args!("    policies: {}", line(&reasons.join(", "))))?;
    } else if *answer.decision() == PolicyDecision::Deny {
        output.line("    no policy permits this")?;
    }
    Ok(())
}

/// Returns the criteria in words, each line with its depth.
fn said(criteria: &Criteria) -> Vec<(usize, String)> {
    let nested = |lead: &str, items: &[Criteria]| {
        let below = items.iter().flat_map(said).map(|(depth, text)| (depth + 1, text));
        std::iter::once((0, lead.to_owned())).chain(below).collect()
    };
    match criteria {
        Criteria::AllOf(items) => nested("all of", items),
        Criteria::AnyOf(items) => nested("any of", items),
        Criteria::Not(item) => match item.as_ref() {
            Criteria::Condition(condition) => vec![(0, format!("not: {}", rule(condition)))],
            item => nested("not", std::slice::from_ref(item)),
        },
        Criteria::Condition(condition) => vec![(0, rule(condition))],
    }
}

/// Returns what a rule says of a resource.
fn rule(condition: &PermissionCondition) -> String {
    let param = |name: &str| condition.params.get(name).map(text);
    let has = |what: &str, key: &str| {
        let key = param(key).unwrap_or_default();
        match param("value") {
            Some(value) => format!("{what} {key} is {value}"),
            None => format!("{what} {key} is there"),
        }
    };
    match condition.rule.as_str() {
        "IS_ENTITY_KIND" => format!("kind is {}", param("kinds").unwrap_or_default()),
        "IS_ENTITY_OWNER" => format!("owner is {}", param("claims").unwrap_or_default()),
        "HAS_LABEL" => has("label", "label"),
        "HAS_ANNOTATION" => has("annotation", "annotation"),
        "HAS_METADATA" => has("metadata", "key"),
        "HAS_SPEC" => has("spec", "key"),
        "HAS_TAG" => format!("tagged {}", param("tag").unwrap_or_default()),
        "HAS_ACTION_ID" => format!("action is {}", param("actionId").unwrap_or_default()),
        "IS_TASK_OWNER" => format!("started by {}", param("createdBy").unwrap_or_default()),
        "HAS_STRING_PROPERTY" | "HAS_NUMBER_PROPERTY" | "HAS_BOOLEAN_PROPERTY" => {
            has("input", "key")
        }
        other => {
            let params = condition.params.iter();
            let params: Vec<String> =
                params.map(|(name, p)| format!("{name}: {}", text(p))).collect();
            format!("{other}({})", params.join(", "))
        }
    }
}

fn text(param: &ConditionParam) -> String {
    match param {
        ConditionParam::String(text) => format!("`{text}`"),
        ConditionParam::Strings(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
            texts.join(" or ")
        }
        ConditionParam::Number(number) => number.to_string(),
        ConditionParam::Bool(value) => value.to_string(),
    }
}
