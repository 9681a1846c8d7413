//! Takes over what another engine was loaded with: the schema, and policies that both have word
//! for word. Two sets that are compared mostly differ in little, and parsing is most of loading.

use std::ops::Range;
use std::sync::Arc;

use cedar_policy::Schema;

use crate::engine::Engine;
use crate::hash::{FastMap, FastSet};
use crate::ledger::Digest;
use crate::limits::Limits;
use crate::policy::{Form, StoredPolicy};
use crate::snapshot::Snapshot;
use crate::symbols::Symbols;

/// What an engine decides by beside its policies: engines that differ in it share nothing.
pub(super) struct Terms<'t> {
    /// The digest of the mode and the schema's texts.
    pub(super) head: &'t Digest,
    pub(super) compiled: bool,
    pub(super) limits: &'t Limits,
}

/// The policies of another engine, by their texts.
pub(super) struct KnownPolicies<'e> {
    engine: &'e Snapshot,
    by_text: FastMap<&'e str, &'e StoredPolicy>,
}

impl<'e> KnownPolicies<'e> {
    /// Returns the policies of the first engine that decides on the same terms.
    pub(super) fn of(engines: &'e [Engine], terms: &Terms<'_>) -> Option<Self> {
        let engine = engines.iter().map(|engine| engine.0.as_ref()).find(|engine| {
            // INVARIANT: what was validated was so against this schema, and within these limits.
            // In exact-Cedar mode nothing is validated, and an id says nothing.
            !engine.exact
                && engine.ground.head == *terms.head
                && engine.ground.compiled == terms.compiled
                && engine.limits == *terms.limits
                // Beyond so many, warnings were not kept.
                && engine.warnings.len() < engine.limits.problems
        })?;
        // A warning is told at its place, which only whoever parses knows.
        let warned: FastSet<&str> =
            engine.warnings.iter().filter_map(|warning| warning.policy()).collect();
        let is_plain = |policy: &&StoredPolicy| {
            let body = &policy.body;
            let is_text = matches!(body.origin.form, Form::Text(_));
            // Guards are bound to rules, which may be others here; a link's text is its template's.
            is_text
                && policy.slots.is_none()
                && body.guards.is_empty()
                && !warned.contains(policy.id.as_str())
        };
        let plain = engine.policies.iter().map(|(_, policy)| policy).filter(is_plain);
        let by_text = plain.map(|policy| (policy.body.text(), policy)).collect();
        Some(Self { engine, by_text })
    }

    /// Returns the policy of this text.
    pub(super) fn get(&self, text: &str) -> Option<&'e StoredPolicy> {
        self.by_text.get(text).copied()
    }

    /// Returns the schema, unless something was said about its texts, which is to be said again.
    pub(super) fn schema(&self) -> Option<Arc<Schema>> {
        let is_about_schema =
            |code: &str| code.starts_with("schema::") || code.starts_with("limit::schema");
        let is_odd = self.engine.warnings.iter().any(|warning| is_about_schema(warning.code()));
        self.engine.schema.clone().filter(|_| !is_odd)
    }

    /// Returns a numbering that has the other engine's numbers, and is not taken for its own.
    pub(super) fn symbols(&self) -> Symbols {
        let mut symbols = self.engine.symbols.clone();
        symbols.part();
        symbols
    }

    /// Returns what conditions may read, and how far they go: that of the policies which are not
    /// taken over counts too, as it does after an edit.
    pub(super) fn reads(&self) -> (FastSet<cedar_policy::EntityUid>, usize) {
        (self.engine.dereferenced.as_ref().clone(), self.engine.hops)
    }
}

/// A policy of another engine, at its place here.
pub(super) struct Known<'e> {
    pub(super) position: usize,
    pub(super) span: Range<usize>,
    pub(super) policy: &'e StoredPolicy,
}
