//! Generates policies that need not be well typed: everything that exact-Cedar mode must bear.
//!
//! A policy is made of two sources: `shape` tells which clauses it has and in which order,
//! `fill` which literals stand in them. Policies that share a shape differ in literals only,
//! as the rows of a role table do; they are what makes an index branch.

use crate::bytes::Choices;
use crate::world::{
    ACTION_GROUPS, ACTIONS, ATTRIBUTES, FOLDERS, GROUPS, LONGS, Name, PRINCIPALS, RESOURCES,
    STRINGS, TAGS, TYPES,
};

/// Where most clauses look, so that many policies look at the same place.
const PATHS: [&str; 12] = [
    "resource.ns",
    "resource.kind",
    "context.ns",
    "principal.ns",
    "resource.tags",
    "resource.owner",
    "context.flag",
    "resource[\"a \\\"b\\\"\"]",
    "resource.meta.level",
    "resource.owner.ns",
    "resource.getTag(\"t0\")",
    "principal",
];
const SETS: [&str; 5] =
    ["resource.tags", "context.tags", "principal.tags", "resource.ns", "resource.owner.tags"];
const VARIABLES: [&str; 4] = ["resource", "principal", "context", "action"];
const ENTITIES: [&str; 3] = ["resource", "principal", "action"];

/// Returns the text of a policy or, where `templates` lets slots be, of a template.
#[must_use]
pub fn policy(shape: &mut Choices<'_>, fill: &mut Choices<'_>, templates: bool) -> String {
    let effect = if shape.chance(70) { "forbid" } else { "permit" };
    let principal = scope("principal", &PRINCIPALS, &GROUPS, shape, fill, templates);
    let action = match shape.below(4) {
        0 => "action".to_owned(),
        1 => format!("action == {}", entity(&ACTIONS, fill)),
        2 => format!("action in {}", entity(&ACTION_GROUPS, fill)),
        _ => format!(
            "action in [{}, {}]",
            entity(&ACTIONS, fill),
            entity(if fill.chance(128) { &ACTION_GROUPS } else { &ACTIONS }, fill)
        ),
    };
    let resource = scope("resource", &RESOURCES, &FOLDERS, shape, fill, templates);
    let mut text = format!("{effect}({principal}, {action}, {resource})");
    let mut open = false;
    for _ in 0..shape.below(6) {
        let clause = clause(shape, fill, 2);
        if open && !shape.chance(70) {
            text.push_str(" && ");
        } else {
            if open {
                text.push_str(" }");
            }
            let word = if shape.chance(40) { "unless" } else { "when" };
            text.push_str(&format!(" {word} {{ "));
        }
        text.push_str(&clause);
        open = true;
    }
    text.push_str(if open { " };" } else { ";" });
    text
}

fn scope(
    variable: &str,
    names: &[Name],
    above: &[Name],
    shape: &mut Choices<'_>,
    fill: &mut Choices<'_>,
    templates: bool,
) -> String {
    match shape.below(if templates { 15 } else { 12 }) {
        0..=7 => variable.to_owned(),
        8 => format!("{variable} == {}", entity(names, fill)),
        9 => format!("{variable} in {}", entity(above, fill)),
        10 => format!("{variable} is {}", fill.pick(&TYPES)),
        11 => format!("{variable} is {} in {}", fill.pick(&TYPES), entity(above, fill)),
        12 => format!("{variable} == ?{variable}"),
        13 => format!("{variable} in ?{variable}"),
        _ => format!("{variable} is {} in ?{variable}", fill.pick(&TYPES)),
    }
}

/// Returns one clause. Chains of `&&` stand without brackets, so that they are clauses too.
fn clause(shape: &mut Choices<'_>, fill: &mut Choices<'_>, depth: usize) -> String {
    let path = |shape: &mut Choices<'_>| shape.pick(&PATHS);
    match shape.below(if depth == 0 { 40 } else { 47 }) {
        0..=6 => format!("{} == {}", path(shape), literal(fill)),
        7 => format!("{} == {}", literal(fill), path(shape)),
        8 => format!("[{}].contains({})", literals(fill), path(shape)),
        9 => format!("{}.contains({})", shape.pick(&SETS), literal(fill)),
        10 => format!("{}.containsAny([{}])", shape.pick(&SETS), literals(fill)),
        11 => format!("{}.containsAll([{}])", shape.pick(&SETS), literals(fill)),
        12 => format!("principal in {}", entity(&GROUPS, fill)),
        13 => format!("resource in {}", entity(&FOLDERS, fill)),
        14 => format!("action in {}", entity(&ACTION_GROUPS, fill)),
        15 => {
            let (variable, first) = (shape.pick(&ENTITIES), entity(&GROUPS, fill));
            format!("{variable} in [{first}, {}]", entity(&FOLDERS, fill))
        }
        16 => format!("{} is {}", shape.pick(&ENTITIES), fill.pick(&TYPES)),
        17 => {
            let (variable, type_) = (shape.pick(&ENTITIES), fill.pick(&TYPES));
            format!("{variable} is {type_} in {}", entity(&GROUPS, fill))
        }
        18 => format!("{} has {:?}", shape.pick(&VARIABLES), shape.pick(&ATTRIBUTES)),
        19 | 20 => {
            let (variable, name) = (shape.pick(&VARIABLES), shape.pick(&ATTRIBUTES));
            format!("{variable} has {name:?} && {variable}[{name:?}] == {}", literal(fill))
        }
        21 => {
            let path = path(shape);
            format!("({path} == {} || {path} == {})", literal(fill), literal(fill))
        }
        22 => format!("{}[{:?}]", shape.pick(&VARIABLES), shape.pick(&ATTRIBUTES)),
        23 => format!("{} != {}", path(shape), literal(fill)),
        24 => {
            format!("{} + {} > {}", path(shape), long(fill.pick(&LONGS)), long(fill.pick(&LONGS)))
        }
        25 => format!("{} < {}", path(shape), long(fill.pick(&LONGS))),
        26 => {
            let patterns = ["\"n*\"", "\"*\"", "\"\\*\"", "\"q\\\"*\"", "\"n0\""];
            format!("{} like {}", path(shape), fill.pick(&patterns))
        }
        27 => fill.pick(&["true", "false"]).to_owned(),
        28 => shape.pick(&TYPE_ERRORS).to_owned(),
        29 => format!("{} == {}", path(shape), path(shape)),
        30 => format!("{}.hasTag({:?})", shape.pick(&ENTITIES), fill.pick(&TAGS)),
        31 => {
            let (variable, tag) = (shape.pick(&ENTITIES), shape.pick(&TAGS));
            let literal = literal(fill);
            format!("{variable}.hasTag({tag:?}) && {variable}.getTag({tag:?}) == {literal}")
        }
        32 => format!("resource.getTag(principal.ns) == {}", literal(fill)),
        33 => format!("{} in {}", shape.pick(&ENTITIES), path(shape)),
        34 => shape.pick(&ODD).to_owned(),
        35 => {
            format!("resource has meta.level && resource.meta.level == {}", long(fill.pick(&LONGS)))
        }
        36..=39 => relation(shape, fill),
        40 => format!("!({})", clause(shape, fill, depth - 1)),
        41 => {
            format!("!({} && {})", clause(shape, fill, depth - 1), clause(shape, fill, depth - 1))
        }
        42 | 43 => {
            format!("({} || {})", clause(shape, fill, depth - 1), clause(shape, fill, depth - 1))
        }
        44 => {
            format!("({} && {})", clause(shape, fill, depth - 1), clause(shape, fill, depth - 1))
        }
        45 => format!("({}) == {}", clause(shape, fill, depth - 1), fill.pick(&["true", "false"])),
        _ => format!(
            "(if {} then {} else {})",
            clause(shape, fill, depth - 1),
            clause(shape, fill, depth - 1),
            clause(shape, fill, depth - 1)
        ),
    }
}

/// Returns a relation between any two terms, which an index cannot use but must bear.
fn relation(shape: &mut Choices<'_>, fill: &mut Choices<'_>) -> String {
    let left = term(shape, fill, 2);
    match shape.below(16) {
        0 => format!("{left} == {}", term(shape, fill, 2)),
        1 => format!("{left} != {}", term(shape, fill, 1)),
        2 => format!("{left} < {}", term(shape, fill, 1)),
        3 => format!("{left} >= {}", term(shape, fill, 1)),
        4 => format!("{left} in {}", term(shape, fill, 1)),
        5 => format!("{left} in {}", entity(&GROUPS, fill)),
        6 => format!("{left}.contains({})", term(shape, fill, 1)),
        7 => format!("{left}.containsAny({})", term(shape, fill, 1)),
        8 => format!("{left}.containsAll({})", term(shape, fill, 1)),
        9 => format!("{left}.hasTag({})", term(shape, fill, 1)),
        10 => format!("{left} has {:?}", shape.pick(&ATTRIBUTES)),
        11 => format!("{left} has meta.level"),
        12 => format!("{left} is {}", fill.pick(&TYPES)),
        13 => format!("{left} like \"n*\""),
        14 => format!("{left}.isEmpty()"),
        _ => left,
    }
}

/// Returns a term: a value that may be reached in several steps, or not at all.
fn term(shape: &mut Choices<'_>, fill: &mut Choices<'_>, depth: usize) -> String {
    match shape.below(if depth == 0 { 7 } else { 15 }) {
        0..=2 => shape.pick(&PATHS).to_owned(),
        3 => format!("{}[{:?}]", shape.pick(&VARIABLES), shape.pick(&ATTRIBUTES)),
        4 => literal(fill),
        5 => entity(&PRINCIPALS, fill),
        6 => shape.pick(&SETS).to_owned(),
        7 => format!("[{}, {}]", term(shape, fill, depth - 1), term(shape, fill, depth - 1)),
        8 => format!("{}[{:?}]", term(shape, fill, depth - 1), shape.pick(&ATTRIBUTES)),
        9 => format!("{}.getTag({})", term(shape, fill, depth - 1), term(shape, fill, depth - 1)),
        10 => format!("{}.owner.ns", entity(&PRINCIPALS, fill)),
        11 => format!("(-{})", term(shape, fill, depth - 1)),
        12 => {
            let operator = shape.pick(&["+", "-", "*"]);
            format!(
                "({} {operator} {})",
                term(shape, fill, depth - 1),
                term(shape, fill, depth - 1)
            )
        }
        13 => format!(
            "(if {} == {} then {} else {})",
            shape.pick(&PATHS),
            literal(fill),
            term(shape, fill, depth - 1),
            term(shape, fill, depth - 1)
        ),
        _ => format!(
            "{{level: {}, name: {}}}",
            term(shape, fill, depth - 1),
            term(shape, fill, depth - 1)
        ),
    }
}

/// Clauses that err whenever they are reached.
const TYPE_ERRORS: [&str; 6] = [
    "1 + \"a\" == 2",
    "principal.contains(1)",
    "(1 && true)",
    "\"n0\"",
    "context.getTag(\"t0\") == 1",
    "9223372036854775807 + 1 == 0",
];

/// Clauses that are legal and rare.
const ODD: [&str; 12] = [
    "context == \"n0\"",
    "resource.tags == [\"n0\", \"n1\"]",
    "context.meta == {level: 1, name: \"n0\"}",
    "{ns: \"n0\"}.ns == resource.ns",
    "[resource.ns].contains(\"n0\")",
    "resource.tags.isEmpty()",
    "[].contains(resource.kind)",
    "resource.tags.containsAny([])",
    "resource.tags.containsAll([])",
    "principal in []",
    "context.ns.isInRange(ip(\"10.0.0.0/8\"))",
    "resource.kind == ip(\"10.0.0.1\")",
];

fn entity(names: &[Name], fill: &mut Choices<'_>) -> String {
    let (type_, id) = fill.pick(names);
    // Escapes of Rust's that occur in these names are Cedar's too.
    format!("{type_}::{id:?}")
}

fn literal(fill: &mut Choices<'_>) -> String {
    match fill.below(8) {
        0..=4 => format!("{:?}", fill.pick(&STRINGS)),
        5 => long(fill.pick(&LONGS)),
        6 => fill.pick(&["true", "false"]).to_owned(),
        _ => entity(&PRINCIPALS, fill),
    }
}

/// Cedar has no literal for the least integer but its negated absolute value.
fn long(n: i64) -> String {
    if n < 0 { format!("({n})") } else { n.to_string() }
}

fn literals(fill: &mut Choices<'_>) -> String {
    let count = fill.below(4);
    (0..count).map(|_| literal(fill)).collect::<Vec<_>>().join(", ")
}
