//! Titles of patterns, which name templates.

use std::collections::BTreeSet;

use super::pattern::{FieldPattern, Objects, Pattern, Target};
use super::verbs::Actions;

/// The longest title, in characters.
const LONGEST: usize = 100;

impl Pattern {
    /// Returns what the pattern is about, in few words: `template get,list pods in a namespace`.
    pub(crate) fn title(&self, in_namespace: bool) -> String {
        let verbs = match &self.actions {
            Actions::All => "*".to_owned(),
            Actions::Impersonate => "impersonate".to_owned(),
            Actions::Constrained(None) => "impersonate:*".to_owned(),
            Actions::Listed(verbs)
            | Actions::Unlisted(verbs)
            | Actions::Constrained(Some(verbs)) => joined(verbs),
        };
        let place = if in_namespace { " in a namespace" } else { "" };
        let title = format!("template {verbs} {}", target(&self.target));
        let room = LONGEST - place.len();
        if title.chars().count() <= room {
            return title + place;
        }
        let short: String = title.chars().take(room - 1).collect();
        format!("{short}…{place}")
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Everything => "every resource".to_owned(),
        Target::Objects(objects) => self::objects(objects),
        Target::Users(names) => format!("users{}", named(names.as_ref())),
        Target::Nodes(names) => format!("users of nodes{}", named(names.as_ref())),
        Target::Groups(names) => format!("groups{}", named(names.as_ref())),
        Target::PrincipalUids(names) => format!("uids{}", named(names.as_ref())),
        Target::ServiceAccounts(names) => format!("serviceaccounts{}", named(names.as_ref())),
        Target::Extras { keys, value } => {
            format!("userextras{}{}", named(keys.as_ref()), part(value, " of value "))
        }
        Target::EveryPath => "every path".to_owned(),
        Target::Paths(paths) => joined(paths),
        Target::PathPrefixes(prefixes) => {
            let prefixes: Vec<String> = prefixes.iter().map(|p| format!("{p}*")).collect();
            prefixes.join(",")
        }
    }
}

fn objects(objects: &Objects) -> String {
    let resources = objects.resources.as_ref().map_or_else(|| "*".to_owned(), joined);
    let subresource = match &objects.subresource {
        FieldPattern::Any if objects.resources.is_none() => String::new(),
        FieldPattern::Any => "/*".to_owned(),
        FieldPattern::Absent => String::new(),
        FieldPattern::OneOf(names) => format!("/{}", joined(names)),
    };
    let groups = match &objects.groups {
        None => " of *".to_owned(),
        Some(groups) if groups.iter().all(String::is_empty) => String::new(),
        Some(groups) => format!(" of {}", joined(groups)),
    };
    format!("{resources}{subresource}{groups}{}", part(&objects.name, " named "))
}

fn named(names: Option<&BTreeSet<String>>) -> String {
    names.map_or_else(String::new, |names| format!(" {}", joined(names)))
}

fn part(part: &FieldPattern, word: &str) -> String {
    match part {
        FieldPattern::Any => String::new(),
        FieldPattern::Absent => format!("{word}nothing"),
        FieldPattern::OneOf(names) => format!("{word}{}", joined(names)),
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(",")
}
