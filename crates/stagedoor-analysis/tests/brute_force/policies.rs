//! Random policy sets, and changes of them.

use std::fmt;

use anyhow::Result;
use fastrand::Rng;
use stagedoor_core::{Engine, EntityUid, TemplateLink};

use crate::world::{SCHEMA, Theme};

#[derive(Clone)]
pub(crate) struct PolicySet {
    policies: Vec<Policy>,
    links: Vec<(&'static str, String)>,
}

#[derive(Clone)]
struct Policy {
    effect: &'static str,
    scope: String,
    condition: String,
    /// The same, said in another way.
    also: String,
}

const SCOPES: [&str; 9] = [
    "(principal, action, resource)",
    "(principal, action, resource)",
    "(principal, action == Action::\"read\", resource)",
    "(principal in Group::\"a\", action, resource)",
    "(principal == User::\"a\", action, resource)",
    "(principal is User in Group::\"b\", action in Action::\"view\", resource is Doc)",
    "(principal, action, resource in Group::\"a\")",
    "(principal, action, resource == Doc::\"d\")",
    "(principal is User, action, resource)",
];

const TEMPLATES: &str = "
@id(\"in\") permit (principal in ?principal, action, resource) when { resource.flag };
@id(\"of\") forbid (principal == ?principal, action == Action::\"write\", resource);";

const LINKS: [(&str, &str); 5] = [
    ("in", "Group::\"a\""),
    ("in", "Group::\"b\""),
    ("in", "User::\"a\""),
    ("of", "User::\"a\""),
    ("of", "User::\"b\""),
];

/// Returns a condition, and one of the same meaning.
pub(crate) fn condition(random: &mut Rng, themes: &[&Theme]) -> (String, String) {
    expr(random, themes, 3)
}

fn expr(random: &mut Rng, themes: &[&Theme], depth: u8) -> (String, String) {
    if depth == 0 || random.u8(..3) == 0 {
        let test = random
            .choice(themes.iter())
            .and_then(|theme| random.choice(theme.tests.iter()))
            .cloned()
            .unwrap_or_default();
        let also = match random.u8(..4) {
            0 => format!("!(!({test}))"),
            1 => format!("({test}) && true"),
            2 => format!("if ({test}) then true else false"),
            _ => test.clone(),
        };
        return (format!("({test})"), format!("({also})"));
    }
    let (a, other_a) = expr(random, themes, depth - 1);
    let (b, other_b) = expr(random, themes, depth - 1);
    match random.u8(..5) {
        0 => (format!("!{a}"), format!("(if {other_a} then false else true)")),
        1 | 2 => (format!("({a} && {b})"), format!("!(!{other_a} || !{other_b})")),
        3 => (format!("({a} || {b})"), format!("(if {other_a} then true else {other_b})")),
        _ => {
            let (c, other_c) = expr(random, themes, depth - 1);
            (
                format!("(if {a} then {b} else {c})"),
                format!("(if !{other_a} then {other_c} else {other_b})"),
            )
        }
    }
}

impl Policy {
    fn random(random: &mut Rng, themes: &[&Theme]) -> Self {
        let (condition, also) = condition(random, themes);
        Self {
            effect: if random.u8(..3) == 0 { "forbid" } else { "permit" },
            scope: random.choice(SCOPES).unwrap_or_default().to_owned(),
            condition,
            also,
        }
    }
}

impl PolicySet {
    pub(crate) fn random(random: &mut Rng, themes: &[&Theme]) -> Self {
        let count = 1 + random.usize(..3);
        let mut links = Vec::new();
        for (template, entity) in LINKS {
            if random.u8(..8) == 0 {
                links.push((template, entity.to_owned()));
            }
        }
        Self { policies: (0..count).map(|_| Policy::random(random, themes)).collect(), links }
    }

    /// Returns the set with a change or more: in one of four cases one that means nothing.
    pub(crate) fn changed(&self, random: &mut Rng, themes: &[&Theme]) -> Self {
        let mut new = self.clone();
        if random.u8(..4) == 0 {
            random.shuffle(&mut new.policies);
            for policy in &mut new.policies {
                std::mem::swap(&mut policy.condition, &mut policy.also);
            }
            if let Some(first) = new.policies.first().cloned().filter(|_| random.bool()) {
                new.policies.push(first);
            }
            return new;
        }
        for _ in 0..1 + random.usize(..2) {
            let place = random.usize(..new.policies.len().max(1));
            match random.u8(..6) {
                0 if !new.policies.is_empty() => {
                    new.policies.remove(place);
                }
                1 => new.policies.push(Policy::random(random, themes)),
                2 => {
                    let link = random.choice(LINKS).unwrap_or(("in", "Group::\"a\""));
                    let link = (link.0, link.1.to_owned());
                    match new.links.iter().position(|known| *known == link) {
                        Some(place) => {
                            new.links.remove(place);
                        }
                        None => new.links.push(link),
                    }
                }
                3 => {
                    if let Some(policy) = new.policies.get_mut(place) {
                        policy.scope = random.choice(SCOPES).unwrap_or_default().to_owned();
                    }
                }
                _ => {
                    // One test more, or one that may be left out.
                    let (more, _) = expr(random, themes, 1);
                    let op = if random.bool() { "&&" } else { "||" };
                    if let Some(policy) = new.policies.get_mut(place) {
                        policy.condition = format!("({} {op} {more})", policy.condition);
                    }
                }
            }
        }
        new
    }

    fn text(&self) -> String {
        let policy = |(number, policy): (usize, &Policy)| {
            let Policy { effect, scope, condition, .. } = policy;
            format!("@id(\"p{number}\") {effect} {scope} when {{ {condition} }};\n")
        };
        self.policies.iter().enumerate().map(policy).collect()
    }

    pub(crate) fn engine(&self) -> Result<Engine> {
        engine(&self.text(), &self.links)
    }
}

pub(crate) fn engine(text: &str, links: &[(&'static str, String)]) -> Result<Engine> {
    let mut builder = Engine::builder().schema("s", SCHEMA).policies("p", text);
    if !links.is_empty() {
        builder = builder.policies("t", TEMPLATES);
    }
    for (number, (template, entity)) in links.iter().enumerate() {
        let principal: EntityUid = entity.parse()?;
        builder = builder.link(TemplateLink {
            template: (*template).to_owned(),
            id: format!("link{number}"),
            principal: Some(principal),
            resource: None,
        });
    }
    Ok(builder.build()?)
}

impl fmt::Display for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.text(), self.links)
    }
}
