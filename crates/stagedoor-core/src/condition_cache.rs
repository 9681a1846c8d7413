//! Policies' conditions as Cedar's trees, for partial evaluation: read again from their texts, and kept
//! for as long as there is room. Reading one takes Cedar longer than evaluating it, and keeping all
//! would take many times the memory of the engine.

use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy_core::ast::Expr;

use crate::error::error_chain;
use crate::hash::FastMap;
use crate::parse;
use crate::policy::Body;
use crate::stack::with_stack;

/// So many bytes of text the conditions that are kept have, taken together. A tree takes some twenty
/// times as much.
const ROOM: usize = 1 << 20;

/// Conditions with the scope, by the body that they are of. Of a template's links it is one.
#[derive(Default)]
pub(crate) struct ConditionCache(Mutex<CachedConditions>);

#[derive(Default)]
struct CachedConditions {
    /// INVARIANT: each key is the address of the body beside it, which is not freed while it is here,
    /// so that no other comes to have it.
    conditions: FastMap<usize, (Arc<Body>, Arc<Expr>)>,
    bytes: usize,
}

impl ConditionCache {
    /// Returns the scope and condition of a policy or template.
    ///
    /// # Errors
    ///
    /// Why its text is not read, which no input brings about.
    pub(crate) fn condition(&self, body: &Arc<Body>) -> Result<Arc<Expr>, String> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Arc::as_ptr(body).addr();
        if let Some((_, condition)) = lock().conditions.get(&key) {
            return Ok(Arc::clone(condition));
        }
        let template = with_stack(|| parse::statement(body.text(), "policy"));
        let condition = Arc::new(template.map_err(|error| error_chain(&error))?.condition());
        let bytes = body.text().len();
        let mut kept = lock();
        if kept.bytes + bytes > ROOM {
            *kept = CachedConditions::default();
        }
        // Another thread may have read it meanwhile.
        if bytes <= ROOM
            && kept.conditions.insert(key, (Arc::clone(body), Arc::clone(&condition))).is_none()
        {
            kept.bytes += bytes;
        }
        Ok(condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;

    #[test]
    fn a_condition_is_read_once() -> Result<(), Box<dyn std::error::Error>> {
        let text = "permit(principal, action, resource) when { context.a };
                    permit(principal, action, resource) when { context.b };";
        let engine = Engine::builder().exact_cedar().policies("p", text).build()?;
        let cache = ConditionCache::default();
        let read = || -> Result<Vec<Arc<Expr>>, String> {
            engine.policies().map(|policy| cache.condition(&policy.policy.body)).collect()
        };
        let (first, again) = (read()?, read()?);
        assert!(first.iter().zip(&again).all(|(first, again)| Arc::ptr_eq(first, again)));
        let texts: Vec<String> = first.iter().map(ToString::to_string).collect();
        assert!(matches!(texts.as_slice(), [a, b] if a.contains("a") && a != b), "{texts:?}");
        Ok(())
    }
}
