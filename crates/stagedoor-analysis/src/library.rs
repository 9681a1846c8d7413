//! An engine's policies, each parsed when it is first needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use stagedoor_core::{Effect, Engine, PolicyInfo};

use crate::policy::{ParseError, ParsedPolicy};
use crate::schema::SchemaView;

/// An engine with its schema and policies, ready to be reasoned about.
pub struct Library<'e> {
    engine: &'e Engine,
    schema: SchemaView,
    infos: Vec<PolicyInfo<'e>>,
    by_id: HashMap<&'e str, usize>,
    parsed: Vec<OnceLock<Result<Arc<ParsedPolicy>, ParseError>>>,
    /// How many questions about single policies may still be asked, where one about all of them
    /// was not decided.
    left: AtomicUsize,
}

/// So many such questions take some seconds.
const SINGLE: usize = 100_000;

impl<'e> Library<'e> {
    /// Returns the library of an engine; nothing if the engine has no schema, or is in exact-Cedar
    /// mode: what is not validated has no types to reason with.
    #[must_use]
    pub fn of(engine: &'e Engine) -> Option<Self> {
        let schema = engine.schema().filter(|_| !engine.is_exact_cedar())?;
        let infos: Vec<PolicyInfo<'e>> = engine.policies().collect();
        Some(Self {
            engine,
            schema: SchemaView::of(schema),
            by_id: infos.iter().enumerate().map(|(number, info)| (info.id(), number)).collect(),
            parsed: infos.iter().map(|_| OnceLock::new()).collect(),
            left: AtomicUsize::new(SINGLE),
            infos,
        })
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Returns the schema.
    #[must_use]
    pub fn schema(&self) -> &SchemaView {
        &self.schema
    }

    /// Returns the policies and links, in order.
    #[must_use]
    pub fn policies(&self) -> &[PolicyInfo<'e>] {
        &self.infos
    }

    /// Returns a policy by its number, parsed.
    ///
    /// # Errors
    ///
    /// [`ParseError`], which a policy that was loaded does not give.
    pub fn parsed(&self, number: usize) -> Result<Arc<ParsedPolicy>, ParseError> {
        let lost = || ParseError { policy: String::new(), reason: "no such policy".to_owned() };
        let info = self.infos.get(number).ok_or_else(lost)?;
        let slot = self.parsed.get(number).ok_or_else(lost)?;
        slot.get_or_init(|| ParsedPolicy::of(*info).map(Arc::new)).clone()
    }

    /// Returns whether one more question about a single policy may be asked.
    pub(crate) fn may_ask(&self) -> bool {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        taken.is_ok()
    }

    /// Returns the number of a policy.
    #[must_use]
    pub fn number_of(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Returns a policy by its id, parsed.
    ///
    /// # Errors
    ///
    /// As [`parsed`](Self::parsed).
    pub fn by_id(&self, id: &str) -> Result<Arc<ParsedPolicy>, ParseError> {
        let number = self.by_id.get(id).copied();
        self.parsed(number.unwrap_or(usize::MAX))
    }

    /// Returns the numbers of the policies of an effect.
    pub fn of_effect(&self, effect: Effect) -> impl Iterator<Item = usize> {
        let of = move |(_, info): &(usize, &PolicyInfo<'e>)| info.effect() == effect;
        self.infos.iter().enumerate().filter(of).map(|(number, _)| number)
    }
}

impl std::fmt::Debug for Library<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("policies", &self.infos.len()).finish_non_exhaustive()
    }
}
