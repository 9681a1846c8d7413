//! What lists of a store are answered by, made before anybody asks.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::EntityTypeName;
use cedar_policy_core::ast;

use super::inputs::{InputReader, Means};
use crate::columns::Facet;
use crate::engine::Engine;
use crate::entities::Entities;
use crate::error::DecideError;
use crate::hash::FastSet;
use crate::ir::{Clause, Predicate};
use crate::number::TypeNumber;
use crate::policy::{EntityScope, StoredPolicy};
use crate::symbols::Var;

/// The most memory of columns that are made beforehand, in bytes.
const BYTES: usize = 256 << 20;

/// What was made of a store for its lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntityIndex {
    /// How many columns there are: which entities of a type have which value of something that
    /// policies read.
    pub columns: usize,
    /// About how many bytes of memory they take.
    pub bytes: usize,
    /// How many columns there was no memory for (256 MiB): the first list that needs one makes it.
    pub left_out: usize,
}

/// What policies ask of entities, by the type that their scope demands, if it demands one.
type Facets = BTreeMap<Option<TypeNumber>, FastSet<Facet>>;

impl Engine {
    /// Checks entities against the schema, and makes what [`list`](Self::list) answers by, for all
    /// types that the schema's actions apply to. Without this, the first list of a kind makes what it
    /// needs, which takes far longer than the list. What is made is kept with the entities; each
    /// engine has its own.
    ///
    /// # Errors
    ///
    /// [`DecideError`] if the entities do not conform to the schema.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::{Engine, Entities, Entity, uid};
    ///
    /// let engine = Engine::builder()
    ///     .schema("app.cedarschema", "
    ///         entity User;
    ///         entity Doc { kind: String };
    ///         action read appliesTo { principal: User, resource: Doc };")
    ///     .policies("app.cedar", r#"
    ///         permit(principal, action, resource) when { resource.kind == "public" };"#)
    ///     .build()?;
    /// let doc = Entity::new(uid("Doc", "a")?).with_attribute("kind", "public");
    /// let entities = Entities::from_entities([doc])?;
    /// assert_eq!(engine.index_entities(&entities)?.columns, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn index_entities(&self, entities: &Entities) -> Result<EntityIndex, DecideError> {
        self.0.check_entities(entities)?;
        let symbols = &self.0.symbols;
        let mut index = EntityIndex::default();
        for (var, types) in self.listed_types() {
            let facets = self.facets(var);
            let types = types.into_iter().filter(|type_| {
                entities.types().any(|(stored, is_given)| is_given && stored == type_)
            });
            for type_ in types {
                let table = entities.table(&type_, symbols);
                let own = symbols.type_(&type_).and_then(|number| facets.get(&Some(number)));
                for facet in facets.get(&None).into_iter().chain(own).flatten() {
                    match table.has(facet) {
                        true => {}
                        false if index.bytes > BYTES => index.left_out += 1,
                        false => index.bytes += table.column(facet, symbols).bytes(),
                    }
                }
            }
        }
        let (columns, bytes) = entities.tables_size(symbols);
        Ok(EntityIndex { columns, bytes, ..index })
    }

    /// Returns the types that may be listed: as principals, and as resources.
    fn listed_types(&self) -> [(Var, BTreeSet<EntityTypeName>); 2] {
        let mut principals = BTreeSet::new();
        let mut resources = BTreeSet::new();
        let name = |type_: &ast::EntityType| EntityTypeName::from(type_.clone());
        for uid in self.schema().into_iter().flat_map(|schema| schema.actions()) {
            let action = self.schema().and_then(|s| s.as_ref().get_action_id(uid.as_ref()));
            let Some(action) = action else { continue };
            principals.extend(action.principals().map(name));
            resources.extend(action.resources().map(name));
        }
        [(Var::Principal, principals), (Var::Resource, resources)]
    }

    /// Returns what policies ask of what is listed as a variable.
    fn facets(&self, var: Var) -> Facets {
        let is_open = |_| false;
        let reader = InputReader { symbols: &self.0.symbols, var, is_open: &is_open };
        let mut facets = Facets::new();
        for policy in self.policies() {
            let StoredPolicy { principal, resource, body, .. } = policy.policy;
            let scope = if var == Var::Principal { principal } else { resource };
            let type_ = match scope {
                EntityScope::Is(type_) | EntityScope::IsIn(type_, _) => Some(*type_),
                EntityScope::Any | EntityScope::Eq(_) | EntityScope::In(_) => None,
            };
            let found = facets.entry(type_).or_default();
            found.extend(InputReader::scope(scope));
            if body.exprs.is_none() {
                for clause in &body.clauses {
                    match clause {
                        Clause::Predicate(test) => reader.add_facets(test, found),
                        // What comes after it is not asked of many at once.
                        Clause::Cedar(_) => break,
                    }
                }
            }
        }
        facets
    }
}

impl InputReader<'_> {
    /// Adds the columns that a test is answered by.
    fn add_facets(&self, test: &Predicate, facets: &mut FastSet<Facet>) {
        let mut open = vec![test];
        while let Some(test) = open.pop() {
            match test {
                Predicate::Not(test) => open.push(test),
                Predicate::All(tests) | Predicate::Any(tests) => open.extend(tests.iter()),
                Predicate::If(tests) => open.extend(tests.iter()),
                leaf => {
                    let reads = self.reads(leaf);
                    let is_same = !reads.identity && reads.steps.is_empty();
                    match self.means(leaf, &reads) {
                        _ if is_same => {}
                        Means::Column(facet) | Means::Alike(facet) => drop(facets.insert(facet)),
                        Means::Itself(_) | Means::Each => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Entity;
    use crate::query::{Page, Party, Query};
    use crate::value::Value;

    const SCHEMA: &str = "
        entity Group;
        entity User in [Group] { level: Long, team: String };
        entity Folder;
        entity Doc in [Folder] = {
            kind: String, labels: Set<String>, owner: User, note?: String, level: Long,
        } tags String;
        action read, write appliesTo { principal: User, resource: Doc };";

    const POLICIES: &str = r#"
        permit(principal in Group::"a", action, resource is Doc) when { resource.kind == "open" };
        permit(principal == User::"1", action, resource in Folder::"f");
        permit(principal, action == Action::"read", resource)
            when { resource.owner == principal || principal.team == resource.kind };
        permit(principal, action, resource) when { resource.labels.contains("x") }
            unless { resource has note && resource.note like "no*" };
        permit(principal, action, resource)
            when { if resource.level > 3 then principal in Group::"b" else principal.level < 2 };
        permit(principal, action, resource) when { resource.hasTag("t") && resource.getTag("t") == "u" };
        permit(principal, action, resource) when { principal == resource.owner };
        forbid(principal, action, resource == Doc::"7") when { principal.level == 1 };"#;

    fn store() -> Result<Entities, Box<dyn std::error::Error>> {
        let mut all = Vec::new();
        for n in 0..60_i64 {
            let uid = |type_: &str, n: i64| crate::uid(type_, n.to_string());
            let user = Entity::new(uid("User", n)?)
                .with_attribute("level", n % 5)
                .with_attribute("team", format!("t{}", n % 3));
            all.push(user.with_parent(crate::uid("Group", if n % 2 == 0 { "a" } else { "b" })?));
            let labels: Value = [format!("l{}", n % 4), "x".to_owned()].into_iter().collect();
            let doc = Entity::new(uid("Doc", n)?)
                .with_attribute("kind", if n % 3 == 0 { "open" } else { "t1" })
                .with_attribute("labels", labels)
                .with_attribute("owner", uid("User", n % 7)?)
                .with_attribute("level", n % 6);
            all.push(doc.with_parent(crate::uid("Folder", "f")?));
        }
        Ok(Entities::from_entities(all)?)
    }

    /// The columns that are made beforehand are those that lists ask for, and no list makes another.
    #[test]
    fn lists_make_no_column_of_what_is_indexed() -> Result<(), Box<dyn std::error::Error>> {
        let builder = Engine::builder().schema("s.cedarschema", SCHEMA);
        let engine = builder.policies("p.cedar", POLICIES).build()?;
        let (indexed, fresh) = (store()?, store()?);
        let made = engine.index_entities(&indexed)?;
        assert_eq!(engine.index_entities(&indexed)?, made, "once");
        assert!(made.columns > 8 && made.bytes > 0 && made.left_out == 0, "{made:?}");
        for n in 0..60 {
            let (user, doc) =
                (crate::uid("User", n.to_string())?, crate::uid("Doc", n.to_string())?);
            for action in ["read", "write"] {
                for query in [
                    Query::new(user.clone(), Party::Any("Doc".parse()?)),
                    Query::new(Party::Any("User".parse()?), doc.clone()),
                ] {
                    let query = query.with_action(crate::uid("Action", action)?);
                    let list = |entities| -> Result<Vec<_>, super::super::ListError> {
                        let page = engine.list(&query, entities, &Page::all())?;
                        Ok(page.entries.into_iter().map(|entry| entry.uid).collect())
                    };
                    assert_eq!(list(&indexed)?, list(&fresh)?, "{query:?}");
                }
            }
        }
        let size = |entities: &Entities| entities.tables_size(&engine.0.symbols).0;
        assert_eq!(size(&indexed), made.columns, "a list made a column that was not indexed");
        assert!(size(&fresh) > 8);
        Ok(())
    }

    #[test]
    fn what_does_not_conform_is_not_indexed() -> Result<(), Box<dyn std::error::Error>> {
        let builder = Engine::builder().schema("s.cedarschema", SCHEMA);
        let engine = builder.policies("p.cedar", POLICIES).build()?;
        let wrong = Entity::new(crate::uid("User", "1")?).with_attribute("level", "high");
        assert!(engine.index_entities(&Entities::from_entities([wrong])?).is_err());
        Ok(())
    }
}
