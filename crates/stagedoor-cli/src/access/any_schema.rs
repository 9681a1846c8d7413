//! Who can, and what somebody can, by any schema: what is left of the policies where the principal,
//! or the action and the resource, are not known.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use stagedoor_analysis::{ParsedPolicy, ScopeConstraint};
use stagedoor_backstage::EntityRef;
use stagedoor_core::{
    Decision, Effect, Engine, Entities, Entity, EntityTypeName, EntityUid, PartialContext, Party,
    Query, QueryAnswer, QueryCondition, QueryResidual, expr, nearest_name, uid,
};
use stagedoor_review::Platform;
use stagedoor_wire::WireError;

use crate::failure::Failure;
use crate::output::Output;
use crate::table::Table;

/// What one policy permits.
#[derive(Debug, Serialize)]
pub(super) struct Grant {
    who: String,
    actions: BTreeSet<String>,
    on: String,
    policy: String,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guards: Vec<String>,
    /// The policies that may forbid it, and when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    except: BTreeMap<String, String>,
}

/// Policies with a schema of any kind, and the entities that are known.
pub(super) struct AnySchema<'e> {
    pub(super) engine: &'e Engine,
    pub(super) entities: Entities,
    pub(super) platform: Platform,
}

impl AnySchema<'_> {
    /// Returns who can do something: a row for each policy that permits it.
    pub(super) fn who_can(
        &self,
        action: &str,
        resource: Option<&str>,
    ) -> Result<Vec<Grant>, Failure> {
        let action = self.action(action)?;
        let (principals, resources) = self.engine.applies_to(&action).unwrap_or_default();
        let resources = match resource {
            Some(resource) => vec![self.party(resource, "resource")?],
            None => resources.into_iter().map(Party::Any).collect(),
        };
        let mut rows = Grants::default();
        for principal in principals {
            for resource in &resources {
                let query = Query::new(Party::Any(principal.clone()), resource.clone());
                self.add(query.with_action(action.clone()), &mut rows)?;
            }
        }
        Ok(rows.in_order())
    }

    /// Returns what somebody can do: a row for each policy that permits something.
    pub(super) fn what_can(
        &self,
        subject: &str,
        groups: &[String],
        output: &Output,
    ) -> Result<Vec<Grant>, Failure> {
        let principal = self.party(subject, "subject")?;
        let mut own = Self { entities: self.entities.clone(), ..*self };
        if let Party::Known(uid) = &principal {
            if !groups.is_empty() {
                let known = self.entities.get(uid).cloned();
                let mut entity = known.unwrap_or_else(|| Entity::new(uid.clone()));
                for group in groups {
                    entity = entity.with_parent(self.entity(group, "group")?);
                }
                own.entities = self.entities.with([entity]).map_err(WireError::from)?;
            } else if self.entities.get(uid).is_none() {
                output.remark(&format!(
                    "`{uid}` is not among the entities: nothing but the name is known, and no \
                     group; give `--entities`, `--catalog` or `--group`"
                ));
            }
        }
        let mut rows = Grants::default();
        for type_ in self.types() {
            own.add(Query::new(principal.clone(), Party::Any(type_)), &mut rows)?;
        }
        Ok(rows.in_order())
    }

    fn add(&self, query: Query, rows: &mut Grants) -> Result<(), Failure> {
        let query = query.with_context(PartialContext::Unknown);
        for answer in self.engine.query(&query, &self.entities).map_err(WireError::from)? {
            rows.add(&query, &answer)?;
        }
        Ok(())
    }

    /// Returns the types of resources of all actions.
    fn types(&self) -> Vec<EntityTypeName> {
        let actions = self.engine.schema().into_iter().flat_map(|schema| schema.actions());
        let of = |action: &EntityUid| self.engine.applies_to(action).unwrap_or_default().1;
        let types: BTreeMap<String, EntityTypeName> =
            actions.flat_map(of).map(|type_| (type_.to_string(), type_)).collect();
        types.into_values().collect()
    }

    /// Reads an action: as Cedar writes it, or by its id alone.
    fn action(&self, text: &str) -> Result<EntityUid, Failure> {
        let all: Vec<&EntityUid> =
            self.engine.schema().into_iter().flat_map(|schema| schema.actions()).collect();
        let is_meant =
            |action: &&&EntityUid| action.to_string() == text || action.id().unescaped() == text;
        let meant: Vec<&EntityUid> = all.iter().filter(is_meant).copied().collect();
        match meant.as_slice() {
            [only] => Ok((*only).clone()),
            [] => {
                let failure = Failure::input(format!("the schema has no action `{text}`"));
                let names = all.iter().map(|action| action.id().unescaped());
                Err(match nearest_name(text, names) {
                    Some(near) => failure.with_help(format!("did you mean `{near}`?")),
                    None => failure.with_help("name an action of the schema"),
                })
            }
            several => {
                let names: Vec<String> =
                    several.iter().map(|action| format!("`{action}`")).collect();
                let names = names.join(" or ");
                Err(Failure::input(format!("`{text}` is the id of several actions"))
                    .with_help(format!("write {names}")))
            }
        }
    }

    /// Reads an entity, or a type that stands for any entity of it.
    fn party(&self, text: &str, what: &str) -> Result<Party, Failure> {
        let types = self.engine.schema().into_iter().flat_map(|schema| schema.entity_types());
        if let Some(type_) = types.into_iter().find(|type_| type_.to_string() == text) {
            return Ok(Party::Any(type_.clone()));
        }
        self.entity(text, what).map(Party::Known)
    }

    /// Reads an entity: as Cedar writes it, or for Backstage by its reference.
    fn entity(&self, text: &str, what: &str) -> Result<EntityUid, Failure> {
        if let Ok(uid) = text.parse() {
            return Ok(uid);
        }
        let reference =
            text.parse::<EntityRef>().ok().filter(|_| self.platform == Platform::Backstage);
        let Some(reference) = reference else {
            return Err(Failure::input(format!("`{text}` cannot be read as a {what}"))
                .with_help("write an entity as `User::\"ana\"`, or a type of the schema"));
        };
        let type_ = match (what, reference.kind()) {
            ("resource", _) => "Backstage::CatalogEntity",
            (_, "group") => "Backstage::Group",
            _ => "Backstage::User",
        };
        uid(type_, reference.to_string()).map_err(|e| Failure::input(e.to_string()))
    }
}

/// Rows by what they say but for the action.
#[derive(Default)]
struct Grants(BTreeMap<(String, String, String, String), Grant>);

impl Grants {
    /// Adds what an answer permits.
    fn add(&mut self, query: &Query, answer: &QueryAnswer<'_>) -> Result<(), Failure> {
        if answer.decision() == Some(Decision::Deny) {
            return Ok(());
        }
        let residuals = |effect: Effect| {
            answer.residuals().iter().filter(move |residual| residual.policy.effect() == effect)
        };
        let mut except = BTreeMap::new();
        for forbid in residuals(Effect::Forbid) {
            except.insert(forbid.policy.id().to_owned(), forbid.to_string());
        }
        for permit in residuals(Effect::Permit) {
            if matches!(permit.condition, QueryCondition::Failed(_)) {
                continue;
            }
            let parsed =
                ParsedPolicy::of(permit.policy).map_err(|e| Failure::input(e.to_string()))?;
            let who = party_in_words(&query.principal, &parsed.scope.principal);
            let on = party_in_words(&query.resource, &parsed.scope.resource);
            let scopes = [
                ("principal", &query.principal, &parsed.scope.principal),
                ("resource", &query.resource, &parsed.scope.resource),
            ];
            let condition = beside_scope(permit, scopes);
            let said = format!("{condition:?} {except:?}");
            let key = (who.clone(), permit.policy.id().to_owned(), on.clone(), said);
            let row = self.0.entry(key).or_insert_with(|| Grant {
                who,
                actions: BTreeSet::new(),
                on,
                policy: permit.policy.id().to_owned(),
                condition,
                guards: permit.policy.guards().map(|guard| guard.rule().to_owned()).collect(),
                except: except.clone(),
            });
            row.actions.insert(answer.action().id().unescaped().to_owned());
        }
        Ok(())
    }

    fn in_order(self) -> Vec<Grant> {
        self.0.into_values().collect()
    }
}

/// Says whom or what a row is about: what the question names, or whatever the scope does.
fn party_in_words(party: &Party, scope: &ScopeConstraint) -> String {
    match party {
        Party::Known(uid) => uid.to_string(),
        party => scope.in_words().unwrap_or_else(|| format!("every {}", party.type_name())),
    }
}

/// Returns what is left of a policy beside what its scope says of parties that are not known, which
/// stands in a column of its own.
fn beside_scope(
    residual: &QueryResidual<'_>,
    scopes: [(&str, &Party, &ScopeConstraint); 2],
) -> Option<String> {
    let QueryCondition::If(tree) = &residual.condition else { return None };
    let mut said = BTreeSet::new();
    for (name, party, scope) in scopes {
        if party.known().is_some() {
            continue;
        }
        let ScopeConstraint { is_type, entity, exact, .. } = scope;
        let is = is_type.as_ref().map(|type_| format!("{name} is {type_}"));
        let within = entity.as_ref().map(|uid| match exact {
            true => format!("{name} == {uid}"),
            false => format!("{name} in {uid}"),
        });
        said.extend(is.into_iter().chain(within));
    }
    let parts: Vec<String> = expr::conjuncts(tree)
        .into_iter()
        .map(expr::written)
        .filter(|part| !said.contains(part))
        .collect();
    (!parts.is_empty()).then(|| parts.join(" && "))
}

/// Prints rows.
pub(super) fn print(
    rows: &[Grant],
    csv: bool,
    nothing: &str,
    output: &mut Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return rows.iter().try_for_each(|row| output.json(row));
    }
    let mut table = Table::new(["WHO", "ACTIONS", "ON", "POLICY", "IF"]);
    for row in rows {
        let mut conditions: Vec<String> = row.condition.iter().cloned().collect();
        conditions.extend(super::guarded_by(&row.guards));
        let except = row.except.iter();
        conditions
            .extend(except.map(|(policy, when)| format!("not forbidden by {policy}: {when}")));
        table.row([
            row.who.clone(),
            row.actions.iter().cloned().collect::<Vec<_>>().join(", "),
            row.on.clone(),
            row.policy.clone(),
            conditions.join("; "),
        ]);
    }
    table.print(csv, nothing, output)
}
