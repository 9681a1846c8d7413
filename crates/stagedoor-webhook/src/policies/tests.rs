//! What is logged when policies come in force in the place of others.

use std::error::Error;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// Keeps what is logged, with its fields.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

/// What is logged at once.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Returns what is logged when the second text comes in force in the place of the first.
fn logged(
    served: &ServedPolicies,
    file: &Path,
    before: Option<&str>,
    now: &str,
) -> Result<Vec<String>, Box<dyn Error>> {
    let load = |text: &str| -> Result<LoadedPolicies, Box<dyn Error>> {
        std::fs::write(file, text)?;
        Ok(served.load(None).map_err(|failure| failure.message)?)
    };
    let (before, now) = (before.map(load).transpose()?, load(now)?);
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || served.replaced(before.as_ref(), &now));
    let lines = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(lines.clone())
}

#[test]
fn what_came_went_and_is_lost_is_named() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("p.cedar");
    let served = ServedPolicies::new(PolicySource::new([directory.path()]), false);
    let policy = |effect: &str, id: &str, verb: &str| {
        format!("@id(\"{id}\") {effect}(principal, action == k8s::Action::\"{verb}\", resource);\n")
    };
    let first = policy("permit", "stays", "get") + &policy("forbid", "goes", "get");
    let log = |before: Option<&str>, now: &str| logged(&served, &file, before, now);

    assert!(log(None, &first)?.is_empty(), "nothing was replaced");
    assert!(log(Some(&first), &first)?.is_empty(), "nothing changed");
    let second = policy("permit", "stays", "list") + &policy("permit", "comes", "get");
    let lines = log(Some(&first), &second)?;
    let told = |what: &str, ids: &str| {
        lines.iter().any(|line| line.contains(what) && line.contains(&format!("\"{ids}\"")))
    };
    assert!(told("policies added", "comes") && told("policies removed", "goes"), "{lines:#?}");
    assert!(told("policies changed", "stays"), "{lines:#?}");
    assert!(told("WARN", "goes") && told("forbids were lost by reloads", "goes"), "{lines:#?}");
    assert_eq!(lines.len(), 4, "{lines:#?}");

    // Of many the first are named, and all are counted.
    let many: String = (0..30).map(|n| policy("permit", &format!("p{n:02}"), "get")).collect();
    let lines = log(Some(&many), &first)?;
    let removed = lines.iter().find(|line| line.contains("policies removed"));
    let named = |id: &str| removed.is_some_and(|line| line.contains(id));
    assert!(named("count=30") && named("p00, p01") && named("p19") && !named("p20"), "{removed:?}");
    Ok(())
}

#[test]
fn warnings_of_what_came_in_force_are_logged() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("p.cedar");
    let served = ServedPolicies::new(PolicySource::new([directory.path()]), false);
    // No action is about both.
    let text = "permit(principal, action, resource);
        permit(principal, action == k8s::Action::\"get\", resource is k8s::admission::Resource);";
    let lines = logged(&served, &file, None, text)?;
    assert!(
        lines.iter().any(|line| line.contains("WARN") && line.contains("p.cedar")),
        "{lines:#?}"
    );
    Ok(())
}
