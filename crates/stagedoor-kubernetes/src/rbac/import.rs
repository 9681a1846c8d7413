//! RBAC as a Cedar policy set, with exactly its meaning.

use std::collections::{BTreeMap, HashMap, HashSet};

use cedar_policy::EntityUid;
use serde::Serialize;
use stagedoor_core::{EngineBuilder, TemplateLink};

use super::emit::{Scope, policy};
use super::object::PolicyRule;
use super::pattern::{Pattern, patterns};
use super::resolve::{Grant, Grantee, ResolvedRbac};
use super::split::split;
use super::verbs::Verbs;
use super::warning::RbacWarning;
use crate::names::{NAMES, uid};
use crate::starter::SCHEMA;
use crate::subject::user_name;
use crate::vocabulary::Vocabulary;

/// What stands first in a file of policies.
const HEAD: &str =
    "// Imported from roles and bindings of Kubernetes: change those, and import again.\n\n";

/// Links that stand in one file.
const LINKS_A_FILE: usize = 100_000;

/// RBAC in Cedar: templates, what links them, and policies of which there is one of a kind.
///
/// A policy or link is named after what it comes from, such as
/// `RoleBinding/payments/devs Group/devs ClusterRole/edit rules[2]`. The name of the group or
/// user, and everything else that could hold a space, has spaces and percent signs escaped.
/// Where a rule takes several policies, ` part[1]` and so on follow.
///
/// Patterns that several bindings grant become a template with a link for each: a hundred
/// thousand grants load in a fraction of the time that as many policies take. A link fills in
/// the group or user name, and the namespace.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Engine;
/// use stagedoor_kubernetes::rbac::{RbacImport, RbacObjects};
/// use stagedoor_kubernetes::{ResourceAttributes, Reviewer, SCHEMA, Subject};
///
/// let mut objects = RbacObjects::default();
/// objects.read("cluster.yaml", "
/// apiVersion: rbac.authorization.k8s.io/v1
/// kind: Role
/// metadata: { name: deployer, namespace: payments }
/// rules: [{ apiGroups: [apps], resources: [deployments], verbs: [get, update] }]
/// ---
/// apiVersion: rbac.authorization.k8s.io/v1
/// kind: RoleBinding
/// metadata: { name: devs, namespace: payments }
/// subjects: [{ kind: Group, name: devs, apiGroup: rbac.authorization.k8s.io }]
/// roleRef: { kind: Role, name: deployer, apiGroup: rbac.authorization.k8s.io }
/// ")?;
/// let import = RbacImport::of(&objects.resolve()?)?;
/// let builder = Engine::builder().schema("kubernetes.cedarschema", SCHEMA);
/// let reviewer = Reviewer::new(import.add_to(builder).build()?)?;
///
/// let dora = reviewer.vocabulary().principal(&Subject::new("dora").with_group("devs"))?;
/// let update = ResourceAttributes::new("update", "apps", "deployments").with_namespace("payments");
/// assert!(reviewer.status(&dora, &update.clone().into()).allowed);
/// assert!(!reviewer.status(&dora, &update.with_namespace("checkout").into()).allowed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RbacImport {
    policies: Vec<ImportedPolicy>,
    patterns: Vec<SharedPattern>,
    schema: Option<String>,
    warnings: Vec<RbacWarning>,
}

/// A file that an import is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedFile {
    /// The name, such as `rbac.cedar`.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// Failure to import: Kubernetes' own schema, as it is given, is not one.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the verbs of Kubernetes cannot be read from the schema: {0}")]
pub struct RbacImportError(String);

/// A pattern with how often it is granted.
#[derive(Debug, Clone)]
struct SharedPattern {
    pattern: Pattern,
    in_namespace: bool,
    grants: usize,
    /// The template's id.
    id: String,
}

#[derive(Debug, Clone)]
struct ImportedPolicy {
    id: String,
    grantee: Grantee,
    namespace: Option<String>,
    pattern: usize,
}

impl RbacImport {
    /// Returns what is granted, in Cedar, for Kubernetes' schema as it ships.
    ///
    /// # Errors
    ///
    /// [`RbacImportError`] never for the schema that ships.
    pub fn of(rbac: &ResolvedRbac) -> Result<Self, RbacImportError> {
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA)
            .map_err(|e| RbacImportError(e.to_string()))?;
        let vocabulary = Vocabulary::of(&schema).map_err(|e| RbacImportError(e.to_string()))?;
        Ok(Self::for_vocabulary(rbac, &vocabulary))
    }

    /// Returns what is granted, in Cedar, for a schema that declares more verbs.
    #[must_use]
    pub fn for_vocabulary(rbac: &ResolvedRbac, vocabulary: &Vocabulary) -> Self {
        let verbs = Verbs::of(vocabulary, rbac.grants().map(|grant| grant.rule));
        let mut import = Self {
            policies: Vec::new(),
            patterns: Vec::new(),
            schema: verbs.schema(),
            warnings: rbac.warnings().to_vec(),
        };
        let mut known: HashMap<(Pattern, bool), usize> = HashMap::new();
        // Rules repeat from binding to binding, and so do their patterns.
        let mut of_rule: HashMap<(&PolicyRule, bool), Vec<usize>> = HashMap::new();
        for grant in rbac.grants() {
            let in_namespace = grant.namespace().is_some();
            let numbers = of_rule.entry((grant.rule, in_namespace)).or_insert_with(|| {
                patterns(grant.rule, in_namespace, &verbs)
                    .into_iter()
                    .flat_map(split)
                    .map(|pattern| import.pattern(pattern, in_namespace, &mut known))
                    .collect()
            });
            let name = name(&grant);
            for (part, number) in numbers.iter().enumerate() {
                let id =
                    if numbers.len() == 1 { name.clone() } else { format!("{name} part[{part}]") };
                if let Some(shared) = import.patterns.get_mut(*number) {
                    shared.grants += 1;
                }
                import.policies.push(ImportedPolicy {
                    id,
                    grantee: grant.grantee.clone(),
                    namespace: grant.namespace().map(str::to_owned),
                    pattern: *number,
                });
            }
        }
        import.name_templates();
        import
    }

    /// Returns a schema of the verbs that any of these roles name and a schema does not declare; none
    /// where there are no such verbs. With it the same roles need no more.
    #[must_use]
    pub fn schema_of<'r>(
        all: impl IntoIterator<Item = &'r ResolvedRbac>,
        vocabulary: &Vocabulary,
    ) -> Option<String> {
        let grants = all.into_iter().flat_map(ResolvedRbac::grants);
        Verbs::of(vocabulary, grants.map(|grant| grant.rule)).schema()
    }

    fn pattern(
        &mut self,
        pattern: Pattern,
        in_namespace: bool,
        known: &mut HashMap<(Pattern, bool), usize>,
    ) -> usize {
        *known.entry((pattern.clone(), in_namespace)).or_insert_with(|| {
            self.patterns.push(SharedPattern {
                pattern,
                in_namespace,
                grants: 0,
                id: String::new(),
            });
            self.patterns.len() - 1
        })
    }

    fn name_templates(&mut self) {
        let mut taken: HashSet<String> = HashSet::new();
        let mut times: HashMap<String, usize> = HashMap::new();
        for shared in self.patterns.iter_mut().filter(|shared| shared.grants > 1) {
            let title = shared.pattern.title(shared.in_namespace);
            let mut id = title.clone();
            while !taken.insert(id.clone()) {
                let times = times.entry(title.clone()).or_insert(1);
                *times += 1;
                id = format!("{title} ({times})");
            }
            shared.id = id;
        }
    }

    /// Returns the policies and links by id, each with its Cedar text as a policy of its own.
    pub fn policies(&self) -> impl Iterator<Item = (&str, String)> {
        self.policies.iter().filter_map(|imported| {
            let shared = self.patterns.get(imported.pattern)?;
            Some((imported.id.as_str(), imported.text(shared)))
        })
    }

    /// Returns how many policies and links there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.len()
    }

    /// Returns whether nothing is granted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Returns the schema of verbs that Kubernetes' schema does not declare, if there are any.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Returns what grants nothing.
    #[must_use]
    pub fn warnings(&self) -> &[RbacWarning] {
        &self.warnings
    }

    /// Returns every grant as a policy of its own, without templates: one text to read.
    #[must_use]
    pub fn to_cedar(&self) -> String {
        let policies: Vec<String> = self.policies().map(|(_, text)| text).collect();
        policies.join("\n")
    }

    /// Returns the files to keep in a policy directory: templates and policies, links, and the
    /// schema of more verbs. Kubernetes' own schema is not among them.
    ///
    /// What an earlier import wrote there must go, links above all: they would still grant.
    #[must_use]
    pub fn files(&self) -> Vec<ImportedFile> {
        let file = |name: String, text: String| ImportedFile { name, text };
        let mut files =
            vec![file("rbac.cedar".to_owned(), format!("{HEAD}{}", self.texts().join("\n")))];
        let links: Vec<LinkJson<'_>> = self.links().collect();
        for (number, links) in links.chunks(LINKS_A_FILE).enumerate() {
            let lines: Vec<String> =
                links.iter().map(|l| serde_json::to_string(l).unwrap_or_default()).collect();
            let text = format!("{{\"templateLinks\": [\n  {}\n]}}\n", lines.join(",\n  "));
            let number = if number == 0 { String::new() } else { format!("-{}", number + 1) };
            files.push(file(format!("rbac-links{number}.cedar.json"), text));
        }
        if let Some(schema) = &self.schema {
            files.push(file("rbac.cedarschema".to_owned(), schema.clone()));
        }
        files
    }

    /// Returns the files for grants that are all policies of their own.
    #[must_use]
    pub fn inline_files(&self) -> Vec<ImportedFile> {
        let text = format!("{HEAD}{}", self.to_cedar());
        let mut files = vec![ImportedFile { name: "rbac.cedar".to_owned(), text }];
        if let Some(schema) = self.schema.clone() {
            files.push(ImportedFile { name: "rbac.cedarschema".to_owned(), text: schema });
        }
        files
    }

    /// Adds everything to an engine that is to be built. Kubernetes' schema must be added too.
    #[must_use]
    pub fn add_to(&self, builder: EngineBuilder) -> EngineBuilder {
        let mut builder = builder.policies("rbac.cedar", self.texts().join("\n"));
        if let Some(schema) = &self.schema {
            builder = builder.schema("rbac.cedarschema", schema.as_str());
        }
        for (imported, template) in self.linked() {
            builder = builder.link(TemplateLink {
                template: template.to_owned(),
                id: imported.id.clone(),
                principal: Some(imported.principal()),
                resource: imported.resource(),
            });
        }
        builder
    }

    /// Templates first, then policies of which there is one of a kind.
    fn texts(&self) -> Vec<String> {
        let templates = self.patterns.iter().filter(|shared| shared.grants > 1).map(|shared| {
            let scope = Scope::Template { in_namespace: shared.in_namespace };
            policy(&shared.id, &shared.pattern, scope)
        });
        let single = self.policies.iter().filter_map(|imported| {
            let shared = self.patterns.get(imported.pattern)?;
            (shared.grants == 1).then(|| imported.text(shared))
        });
        templates.chain(single).collect()
    }

    fn linked(&self) -> impl Iterator<Item = (&ImportedPolicy, &str)> {
        self.policies.iter().filter_map(|imported| {
            let shared = self.patterns.get(imported.pattern)?;
            (shared.grants > 1).then_some((imported, shared.id.as_str()))
        })
    }

    fn links(&self) -> impl Iterator<Item = LinkJson<'_>> {
        self.linked().map(|(imported, template)| {
            let (kind, id) = match &imported.grantee {
                Grantee::User(name) => ("k8s::UserName", name),
                Grantee::Group(name) => ("k8s::Group", name),
            };
            let mut values = BTreeMap::from([("?principal", UidJson { kind, id })]);
            if let Some(id) = &imported.namespace {
                values.insert("?resource", UidJson { kind: "k8s::Namespace", id });
            }
            LinkJson { new_id: &imported.id, template_id: template, values }
        })
    }
}

impl ImportedPolicy {
    fn text(&self, shared: &SharedPattern) -> String {
        let (grantee, namespace) = (&self.grantee, self.namespace.as_deref());
        policy(&self.id, &shared.pattern, Scope::Grant { grantee, namespace })
    }

    fn principal(&self) -> EntityUid {
        match &self.grantee {
            Grantee::User(name) => user_name(name),
            Grantee::Group(name) => uid(&NAMES.group, name),
        }
    }

    fn resource(&self) -> Option<EntityUid> {
        self.namespace.as_ref().map(|namespace| uid(&NAMES.namespace, namespace))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkJson<'a> {
    new_id: &'a str,
    template_id: &'a str,
    values: BTreeMap<&'static str, UidJson<'a>>,
}

#[derive(Serialize)]
struct UidJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
}

/// Names a grant after its binding, grantee, role and rule.
fn name(grant: &Grant<'_>) -> String {
    let Grant { binding, grantee, role, number, .. } = grant;
    let binding = object(binding.kind.as_str(), &binding.namespace, &binding.name);
    let role = object(role.kind.as_str(), &role.namespace, &role.name);
    let grantee = match grantee {
        Grantee::User(name) => format!("User/{}", escaped(name)),
        Grantee::Group(name) => format!("Group/{}", escaped(name)),
    };
    format!("{binding} {grantee} {role} rules[{number}]")
}

fn object(kind: &str, namespace: &str, name: &str) -> String {
    let segment = |text: &str| escaped(text).replace('/', "%2F");
    if namespace.is_empty() {
        format!("{kind}/{}", segment(name))
    } else {
        format!("{kind}/{}/{}", segment(namespace), segment(name))
    }
}

/// Escapes what would make two different names one.
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace(' ', "%20")
}
