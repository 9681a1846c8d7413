//! What an engine is to be made of.

use std::num::NonZeroU32;
use std::sync::Arc;

use cedar_policy::EntityUid;

use crate::engine::Engine;
use crate::guard::RuleEvaluator;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::shadow::DifferenceSink;
use crate::source::{Source, SourceKind};

/// A template filled with a principal, a resource or both.
///
/// A hundred thousand links load ten times faster than as many policies.
///
/// # Examples
///
/// ```
/// use stagedoor_core::{Decision, Engine, Entities, Request, TemplateLink};
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", r#"
///         @id("share") permit(principal == ?principal, action, resource == ?resource);"#)
///     .link(TemplateLink {
///         template: "share".to_owned(),
///         id: "ana-1".to_owned(),
///         principal: Some(r#"User::"ana""#.parse()?),
///         resource: Some(r#"Doc::"1""#.parse()?),
///     })
///     .build()?;
/// let request = Request::new(
///     r#"User::"ana""#.parse()?, r#"Action::"view""#.parse()?, r#"Doc::"1""#.parse()?);
/// assert_eq!(engine.decide(&request, &Entities::empty())?.decision(), Decision::Allow);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateLink {
    /// Id of the template.
    pub template: String,
    /// Id of the policy that results.
    pub id: String,
    /// What stands for `?principal`.
    pub principal: Option<EntityUid>,
    /// What stands for `?resource`.
    pub resource: Option<EntityUid>,
}

/// Collects policies and schemas, and builds an [`Engine`] of them.
///
/// Policies are numbered in the order in which their texts are given. The engine reads no
/// files: `stagedoor-source` does, and hands over names and texts.
#[derive(Debug, Clone, Default)]
pub struct EngineBuilder {
    pub(crate) sources: Vec<(SourceKind, Arc<Source>)>,
    /// What was found wrong before loading, with the texts.
    pub(crate) problems: Vec<Problem>,
    pub(crate) links: Vec<TemplateLink>,
    pub(crate) rules: Option<Arc<dyn RuleEvaluator>>,
    pub(crate) pinned_rules: Vec<(String, String)>,
    pub(crate) exact: bool,
    pub(crate) without_index: bool,
    pub(crate) interpreted: bool,
    pub(crate) shadow: Option<(NonZeroU32, Arc<dyn DifferenceSink>)>,
    pub(crate) unshadowed: bool,
    pub(crate) limits: Limits,
    /// Engines whose policies need not be read again.
    pub(crate) resembled: Vec<Engine>,
}

impl EngineBuilder {
    /// Adds policies and templates in Cedar's syntax. `name` stands in messages: the file's name.
    #[must_use]
    pub fn policies(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.text(SourceKind::Policies, name, text)
    }

    /// Adds a policy set in Cedar's JSON form: `templates`, `staticPolicies`, `templateLinks`.
    #[must_use]
    pub fn policies_json(self, name: impl Into<String>, json: impl Into<String>) -> Self {
        self.text(SourceKind::PoliciesJson, name, json)
    }

    /// Adds a schema in Cedar's syntax. Several schemas are taken together.
    #[must_use]
    pub fn schema(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.text(SourceKind::Schema, name, text)
    }

    /// Adds a schema in Cedar's JSON form.
    #[must_use]
    pub fn schema_json(self, name: impl Into<String>, json: impl Into<String>) -> Self {
        self.text(SourceKind::SchemaJson, name, json)
    }

    /// Adds a text whose name tells what it is: `*.cedar`, `*.cedar.json`, `*.cedarschema` or
    /// `*.cedarschema.json`. A text of any other name holds policies, in JSON if its first
    /// character is `{`.
    #[must_use]
    pub fn source(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        self.text(SourceKind::of_text(&name, &text), name, text)
    }

    /// Adds a problem that was found while texts were looked for: an error keeps the engine from
    /// being built, a warning is one of [`Engine::warnings`].
    #[must_use]
    pub fn problem(mut self, problem: Problem) -> Self {
        self.problems.push(problem);
        self
    }

    /// Adds a link of a template.
    #[must_use]
    pub fn link(mut self, link: TemplateLink) -> Self {
        self.links.push(link);
        self
    }

    /// Sets the rules that policies may name in `@guard`; see [`RuleEvaluator`].
    ///
    /// Without, a guarded policy does not load.
    #[must_use]
    pub fn rules(mut self, rules: Arc<dyn RuleEvaluator>) -> Self {
        self.rules = Some(rules);
        self
    }

    /// Pins rules to their digests, given by name: with other rules the policies that they guard
    /// do not load. Where any is pinned, all that policies name must be.
    #[must_use]
    pub fn pinned_rules(mut self, digests: impl IntoIterator<Item = (String, String)>) -> Self {
        self.pinned_rules.extend(digests);
        self
    }

    /// Decides exactly as Cedar's own authorizer does, without schema or validation.
    ///
    /// Gives up three safeguards: a `forbid` that cannot be evaluated no longer denies,
    /// a misspelt attribute is found only when a request meets it, and requests are not
    /// checked. Policies carry Cedar's positional ids (`policy0`); `@id` is ignored, and a
    /// policy with a `@guard` does not load: it would count without being asked about.
    /// It exists for conformance tests and for policies that rely on this.
    #[must_use]
    pub fn exact_cedar(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Sets whether policies are indexed (the default). Without, each decision looks at
    /// every policy; the answers are the same.
    #[must_use]
    pub fn index(mut self, index: bool) -> Self {
        self.without_index = !index;
        self
    }

    /// Sets whether conditions are compiled (the default). Without, Cedar's evaluator decides
    /// every policy that the index leaves; the answers are the same, and take microseconds more.
    #[must_use]
    pub fn compiled(mut self, compiled: bool) -> Self {
        self.interpreted = !compiled;
        self
    }

    /// Lets Cedar's evaluator decide one in so many requests as well, on all policies whose
    /// scope matches. If it says something else, `sink` is told,
    /// [`Statistics::differences`](crate::Statistics::differences) counts it, and the stricter
    /// answer is given: a permit counts if both satisfy it, a forbid if one does.
    ///
    /// Builds with debug assertions do so by themselves, for one in 64 decisions of engines with up
    /// to 100 policies, and tell of differences on standard error; see
    /// [`unshadowed`](Self::unshadowed).
    #[must_use]
    pub fn shadow(mut self, one_in: NonZeroU32, sink: Arc<dyn DifferenceSink>) -> Self {
        self.shadow = Some((one_in, sink));
        self
    }

    /// Keeps debug builds from letting Cedar's evaluator decide as well, where it was not asked to
    /// by [`shadow`](Self::shadow).
    #[must_use]
    pub fn unshadowed(mut self) -> Self {
        self.unshadowed = true;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Names an engine whose policies are mostly the same: what both have word for word, under the
    /// same schema and limits, is taken over instead of being parsed and validated again. The
    /// answers are the same. Where several are named, the first that can serve does.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_core::Engine;
    ///
    /// let schema = "entity User; entity Doc;
    ///     action view appliesTo { principal: User, resource: Doc };";
    /// let forbid = "@id(\"none\") forbid(principal, action, resource);";
    /// let before = Engine::builder().schema("s", schema).policies("old", forbid).build()?;
    /// let after = Engine::builder()
    ///     .resembling(&before)
    ///     .schema("s", schema)
    ///     .policies("new", format!("@id(\"all\") permit(principal, action, resource);\n{forbid}"))
    ///     .build()?;
    /// let none = after.policies().nth(1).ok_or("two policies")?;
    /// assert_eq!((none.id(), none.file(), none.line()), ("none", "new", Some(2)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn resembling(mut self, engine: &Engine) -> Self {
        self.resembled.push(engine.clone());
        self
    }

    fn text(mut self, kind: SourceKind, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.sources.push((kind, Arc::new(Source::new(name, text))));
        self
    }
}

impl Engine {
    /// Returns a builder, to load policies with.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }
}
