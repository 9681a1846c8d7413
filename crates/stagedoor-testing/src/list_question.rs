//! Asking about all resources of a permission, as Backstage does.

use std::collections::BTreeSet;

use stagedoor_backstage::{PermissionQuery, PolicyDecision};

use crate::environment::TestEnvironment;
use crate::selection::{ListQuestion, Selection, selects};

impl ListQuestion {
    /// Asks as Backstage does.
    pub(crate) fn ask(&self, world: &TestEnvironment) -> Result<Selection, String> {
        let policy = world.policy_engine.as_ref().map_err(Clone::clone)?;
        let permission = world.permissions.get(&self.permission).map_err(|e| e.to_string())?;
        let asked = PermissionQuery {
            name: permission.name(),
            action: permission.action().map(|action| action.as_str()),
            resource_type: permission.resource_type(),
        };
        let answer = policy.decide(&asked, Some(&self.principal));
        let all = || world.catalog.references().map(ToString::to_string);
        let (decision, criteria, entities) = match answer.decision() {
            PolicyDecision::Allow => ("allow", None, Ok(all().collect())),
            PolicyDecision::Deny => ("deny", None, Ok(BTreeSet::new())),
            PolicyDecision::Conditional { conditions, .. } => {
                let json = serde_json::to_value(conditions).map_err(|e| e.to_string())?;
                let selected = world.catalog.references().filter_map(|entity| {
                    let selected = selects(conditions, entity, &world.catalog_store);
                    selected.map(|is| is.then(|| entity.to_string())).transpose()
                });
                ("conditional", Some(json), selected.collect())
            }
        };
        Ok(Selection { decision, criteria, entities, errors: answer.errors().to_vec() })
    }
}
