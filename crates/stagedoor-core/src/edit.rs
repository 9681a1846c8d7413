//! Policies that change one by one while decisions go on.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::builder::TemplateLink;
use crate::engine::Engine;
use crate::index::Index;
use crate::load::{Change, edited};
use crate::problem::LoadError;

/// Collects changes of an engine's policies, and makes an engine of them.
///
/// All of them are made, in this order, or none. The engine that was edited stays as it is, and
/// both share what they have in common: an edit takes time for what it changes, not for what stays.
/// What it brings is parsed, validated and bound to its rules as when it is loaded, and the
/// [revision](Engine::revision) is that of an engine which was loaded with the same policies.
///
/// Policies are named by their ids. A policy that is added or replaced stands last in the policy
/// set. The schema and the rules stay: other ones take a new [`EngineBuilder`](crate::EngineBuilder).
///
/// Handles such as a [`Principal`](crate::Principal) decide rightly with the new engine; where it
/// names what the old one did not, they are fast again once they are made anew.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Engine, TemplateLink};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "
///         entity Team; entity User in [Team]; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", r#"
///         @id("viewers") permit(principal in ?principal, action, resource);
///         @id("nobody") forbid(principal, action, resource);"#)
///     .build()?;
/// let edited = engine
///     .edit()
///     .link(TemplateLink {
///         template: "viewers".to_owned(),
///         id: "ops-view".to_owned(),
///         principal: Some(r#"Team::"ops""#.parse()?),
///         resource: None,
///     })
///     .replace("nobody", r#"forbid(principal == User::"mallory", action, resource);"#)
///     .apply()?;
/// let ids = |engine: &Engine| engine.policies().map(|p| p.id().to_owned()).collect::<Vec<_>>();
/// assert_eq!((ids(&engine), ids(&edited)), (vec!["nobody".into()], vec!["ops-view".into(), "nobody".into()]));
///
/// // What is wrong changes nothing, and says why.
/// let refused = edited.edit().remove("ops-view").add("bad", "permit(principal, oops").apply();
/// let refused = refused.err().ok_or("it was made")?;
/// assert_eq!(refused.problems()[0].code(), "policy::parse");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "an edit changes nothing until it is applied"]
pub struct PolicyEdit {
    engine: Engine,
    changes: Vec<Change>,
}

impl PolicyEdit {
    /// Adds one policy or template in Cedar's syntax. Its `@id`, if it has one, is this id.
    pub fn add(self, id: impl Into<SmolStr>, text: impl Into<String>) -> Self {
        self.with(Change::Add { id: id.into(), text: text.into() })
    }

    /// Puts one policy or template in the place of the one that has this id.
    pub fn replace(self, id: impl Into<SmolStr>, text: impl Into<String>) -> Self {
        self.with(Change::Replace { id: id.into(), text: text.into() })
    }

    /// Takes away the policy, template or link that has this id. A template goes after its links.
    pub fn remove(self, id: impl Into<SmolStr>) -> Self {
        self.with(Change::Remove(id.into()))
    }

    /// Links a template.
    pub fn link(self, link: TemplateLink) -> Self {
        self.with(Change::Link(link))
    }

    /// Puts a link in the place of the one that has its id.
    pub fn replace_link(self, link: TemplateLink) -> Self {
        self.with(Change::ReplaceLink(link))
    }

    /// Returns the engine with all changes made.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with everything that is wrong with the changes. Of what one change brings into
    /// disorder, later ones may be told as well.
    pub fn apply(self) -> Result<Engine, LoadError> {
        edited(&self.engine.0, self.changes)
    }

    fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }
}

impl Engine {
    /// Returns an edit of this engine's policies; see [`PolicyEdit`].
    pub fn edit(&self) -> PolicyEdit {
        PolicyEdit { engine: self.clone(), changes: Vec::new() }
    }

    /// Returns how many changes edits have laid over what was loaded or [settled](Self::settled).
    /// The more there are, the longer decisions take, and the more memory they keep.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.0.policies.changes()
    }

    /// Returns an engine of the same policies whose index is arranged for all of them, as that of an
    /// engine which was just loaded. Handles stay as fast as they are.
    ///
    /// Costs time in proportion to the number of policies: to be done beside decisions, now and then.
    #[must_use]
    pub fn settled(&self) -> Self {
        let mut snapshot = self.0.as_ref().clone();
        snapshot.policies = snapshot.policies.settled();
        snapshot.symbols.settle();
        if snapshot.index.is_some() {
            let index = Index::new(&snapshot.policies, snapshot.index_input(&snapshot.symbols));
            snapshot.index = Some(index);
        }
        Self(Arc::new(snapshot))
    }
}
