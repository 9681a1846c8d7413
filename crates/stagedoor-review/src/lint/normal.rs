//! Policies in the form in which they are compared: types and actions that the scope matches, and
//! facts that must hold.

use std::collections::HashMap;
use std::sync::Arc;

use stagedoor_analysis::{Expr, Fact, Library, ParsedPolicy, expr};
use stagedoor_core::{Effect, PolicyInfo};

use super::environments::{Combinations, Environments};

/// Threads have room for conditions as deep as the engine takes them.
pub(super) const STACK_BYTES: usize = 256 << 20;

/// One policy or link.
pub(crate) struct Normal<'e> {
    pub(crate) info: PolicyInfo<'e>,
    pub(crate) parsed: Arc<ParsedPolicy>,
    pub(crate) combinations: Combinations,
    scope: Vec<Fact>,
    /// Those of the condition, which all links of a template share.
    own: Arc<[Fact]>,
}

impl Normal<'_> {
    /// Returns the facts that must all hold, those of the scope first.
    pub(crate) fn facts(&self) -> Vec<&Fact> {
        self.scope.iter().chain(self.own.iter()).collect()
    }

    pub(crate) fn is_permit(&self) -> bool {
        self.info.effect() == Effect::Permit
    }

    /// Returns whether no request has the types and the action of the scope.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.combinations.iter().all(|word| *word == 0)
    }

    /// Visits every expression of the condition.
    pub(crate) fn visit(&self, visitor: impl FnMut(&Expr)) {
        if let Some(condition) = &self.parsed.condition {
            expr::walk(condition, visitor);
        }
    }
}

/// Returns a library's policies, and the requests of its schema.
pub(crate) fn normalized<'l, 'e>(library: &'l Library<'e>) -> (Vec<Normal<'e>>, Environments<'l>) {
    library.parse_all();
    let mut environments = Environments::of(library.schema());
    let mut of_links: HashMap<&str, Arc<[Fact]>> = HashMap::new();
    let mut normal = |(number, info): (usize, &PolicyInfo<'e>)| {
        let parsed = library.parsed(number).ok()?;
        let own = match info.link() {
            None => facts(*info, &parsed),
            Some(_) => {
                Arc::clone(of_links.entry(info.text()).or_insert_with(|| facts(*info, &parsed)))
            }
        };
        let scope =
            [parsed.scope.principal.fact("principal"), parsed.scope.resource.fact("resource")];
        let combinations = environments.matching(&parsed.scope);
        let scope = scope.into_iter().flatten().collect();
        Some(Normal { info: *info, parsed, combinations, scope, own })
    };
    let policies = library.policies().iter().enumerate().filter_map(&mut normal).collect();
    (policies, environments)
}

fn facts(info: PolicyInfo<'_>, parsed: &ParsedPolicy) -> Arc<[Fact]> {
    let condition = parsed.condition.iter().flat_map(|condition| Fact::all_of(condition, true));
    // A guard is one more condition, which Cedar does not see.
    let guards = info.annotations().filter(|(name, _)| name.starts_with("guard"));
    let guards = guards.map(|(name, value)| Fact::opaque(format!("@{name}({value:?})")));
    condition.chain(guards).collect()
}
