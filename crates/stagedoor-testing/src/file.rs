//! The shape of a test file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::expectation::Expectation;

/// A test file: policies, what the cases share, and the cases.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TestFile {
    /// Where the policies are, as paths from this file's directory; by default that
    /// directory itself.
    #[serde(default)]
    pub(crate) policies: Vec<PathBuf>,
    /// Whether the policies are decided exactly as Cedar does it: without validation, and with
    /// Cedar's ids (`policy0`).
    #[serde(default)]
    pub(crate) exact_cedar: bool,
    /// Whether expectations call policies by `@id` nevertheless.
    #[serde(skip)]
    pub(crate) named_by_annotation: bool,
    /// What the cases share.
    #[serde(default)]
    pub(crate) fixtures: Fixtures,
    /// Cases.
    #[serde(default)]
    #[schemars(with = "Vec<Case>")]
    pub(crate) cases: Vec<Spanned<Case>>,
    /// Grids of cases.
    #[serde(default)]
    #[schemars(with = "Vec<Table>")]
    pub(crate) tables: Vec<Spanned<Table>>,
    /// What holds for every request of a matrix.
    #[serde(default)]
    #[schemars(with = "Vec<Invariant>")]
    pub(crate) invariants: Vec<Spanned<Invariant>>,
    /// What holds for all requests that there can be.
    #[serde(default)]
    #[schemars(with = "Vec<BoundFixture>")]
    pub(crate) bounds: Vec<Spanned<BoundFixture>>,
    /// Named groups of cases, tables and invariants.
    #[serde(default)]
    pub(crate) suites: Vec<Suite>,
}

/// Cases under one name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Suite {
    /// The name.
    pub(crate) name: String,
    /// Cases.
    #[serde(default)]
    #[schemars(with = "Vec<Case>")]
    pub(crate) cases: Vec<Spanned<Case>>,
    /// Grids of cases.
    #[serde(default)]
    #[schemars(with = "Vec<Table>")]
    pub(crate) tables: Vec<Spanned<Table>>,
    /// What holds for every request of a matrix.
    #[serde(default)]
    #[schemars(with = "Vec<Invariant>")]
    pub(crate) invariants: Vec<Spanned<Invariant>>,
}

/// What the cases of a file share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Fixtures {
    /// Users by the names that cases use for them.
    #[serde(default)]
    pub(crate) users: BTreeMap<String, UserFixture>,
    /// Lists of groups by name; a case that names one among its `groups` gets all of it.
    #[serde(default)]
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// Names that nobody has, on purpose: users, groups and entities that cases may use although
    /// neither fixtures nor catalog have them. Any other such name is a mistake.
    #[serde(default)]
    pub(crate) strangers: Vec<String>,
    /// Backstage: catalog files, as paths from this file's directory.
    #[serde(default)]
    pub(crate) catalog: Vec<PathBuf>,
    /// Backstage: catalog entities, as in a `catalog-info.yaml`.
    #[serde(default)]
    pub(crate) catalog_entities: Vec<Value>,
    /// Kubernetes: objects by the names that cases use for them, each written out or as the
    /// path of its manifest from this file's directory.
    #[serde(default)]
    pub(crate) objects: BTreeMap<String, Value>,
    /// Cedar: files of entities in Cedar's JSON form, as paths from this file's directory.
    #[serde(default)]
    pub(crate) entity_files: Vec<PathBuf>,
    /// Cedar: entities in Cedar's JSON form.
    #[serde(default)]
    pub(crate) entities: Vec<Value>,
    /// Cedar: the context of every case, unless the case sets the same attribute.
    #[serde(default)]
    pub(crate) context: BTreeMap<String, Value>,
}

/// A user that cases name.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UserFixture {
    /// Who it is: `user:default/alice` in Backstage, the user name in Kubernetes.
    pub(crate) user: String,
    /// The groups; in Backstage, where none are given, those of the catalog.
    pub(crate) groups: Option<Vec<String>>,
    /// Kubernetes: the UID.
    pub(crate) uid: Option<String>,
    /// Kubernetes: what else the authenticator knows.
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// A request in the words of its platform, and what is expected of it.
///
/// `permission` makes it a request of Backstage, `verb` one to Kubernetes' authorization,
/// `operation` one to its admission, and `principal` one in Cedar's own words.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Case {
    /// What the case shows.
    pub(crate) name: String,
    /// What is expected.
    pub(crate) expect: Expectation,
    /// Who asks: a name of the fixtures, or as in [`UserFixture::user`].
    pub(crate) user: Option<String>,
    /// The user's groups instead of those of the fixture or the catalog.
    pub(crate) groups: Option<Vec<String>>,
    /// Backstage: a service instead of a user, by its subject: `plugin:catalog`.
    pub(crate) service: Option<String>,
    /// Backstage: the permission's name.
    pub(crate) permission: Option<String>,
    /// Backstage: the catalog entity, `component:default/ledger`.
    pub(crate) entity: Option<String>,
    /// Backstage: a scaffolder template's parameter or step.
    pub(crate) template: Option<Template>,
    /// Backstage: a scaffolder task.
    pub(crate) task: Option<Task>,
    /// Kubernetes: the verb.
    pub(crate) verb: Option<String>,
    /// Kubernetes: what is to be admitted: `create`, `update`, `delete` or `connect`.
    pub(crate) operation: Option<String>,
    /// Kubernetes admission: the object as it is to be: written out, or a name of the fixtures.
    pub(crate) object: Option<Value>,
    /// Kubernetes admission: the object as it is.
    pub(crate) old_object: Option<Value>,
    /// Kubernetes: the API group; empty, as by default, for the core group.
    pub(crate) api_group: Option<String>,
    /// Kubernetes: the kind of object, in the plural. Cedar: the resource, `Doc::"d1"`.
    pub(crate) resource: Option<String>,
    /// Kubernetes: the subresource.
    pub(crate) subresource: Option<String>,
    /// Kubernetes: the namespace.
    pub(crate) namespace: Option<String>,
    /// Kubernetes: the object's name.
    pub(crate) resource_name: Option<String>,
    /// Kubernetes: a path that is no API resource's, instead of a resource.
    pub(crate) path: Option<String>,
    /// Kubernetes: the UID.
    pub(crate) uid: Option<String>,
    /// Kubernetes: what else the authenticator knows.
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, Vec<String>>,
    /// Cedar: the principal, `User::"alice"`.
    pub(crate) principal: Option<String>,
    /// Cedar: the action, `Action::"read"`. Backstage: a scaffolder action.
    pub(crate) action: Option<Action>,
    /// Cedar: the context.
    #[serde(default)]
    pub(crate) context: BTreeMap<String, Value>,
    /// Cedar: entities for this case alone, in Cedar's JSON form.
    #[serde(default)]
    pub(crate) entities: Vec<Value>,
}

/// A scaffolder template's parameter or step.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// Its tags: `backstage:permissions: {tags: […]}` of the template.
    pub(crate) tags: Vec<String>,
}

/// A scaffolder task.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Task {
    /// Who started it.
    pub(crate) created_by: Option<String>,
}

/// An action: Cedar's, or one of the scaffolder.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Action {
    /// `Action::"read"`.
    Cedar(String),
    /// A scaffolder action with its input.
    Scaffolder(ScaffolderAction),
}

/// A scaffolder action with its input.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaffolderAction {
    /// The action's id, `publish:github`.
    pub(crate) id: String,
    /// Its input.
    #[serde(default)]
    pub(crate) input: BTreeMap<String, String>,
}

/// A grid of cases: rows and columns vary keys of a case, the cells say what is expected.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Table {
    /// What the table shows.
    pub(crate) name: String,
    /// The key of a case that the columns vary: `user`, say.
    pub(crate) columns: String,
    /// Keys and values that all cases of the table have.
    #[serde(default)]
    pub(crate) with: BTreeMap<String, Words>,
    /// Lines of cells between bars, as a table in Markdown:
    ///
    /// ```text
    /// | permission            | entity                | alice | bob   |
    /// |-----------------------|-----------------------|-------|-------|
    /// | catalog.entity.read   | component:default/app | allow | allow |
    /// | catalog.entity.delete | component:default/app | allow | deny  |
    /// ```
    ///
    /// In the first line, the keys that the rows vary come first and then a value of
    /// `columns` for each column. An empty cell is no case.
    pub(crate) grid: String,
}

/// What holds for every request of a matrix.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Invariant {
    /// What always holds.
    pub(crate) name: String,
    /// The decision that no request of the matrix may have.
    pub(crate) never: Never,
    /// For each key of a case its values; `all` stands for all users of the fixtures, all
    /// entities of the catalog or all permissions that are known. Keys that do not apply to
    /// a permission, as `entity` to a basic one, are left out.
    pub(crate) over: BTreeMap<String, Words>,
    /// Requests that are left out: those that have one of the values of every key.
    #[serde(default)]
    pub(crate) except: Vec<BTreeMap<String, Words>>,
}

/// What holds for all requests that there can be: decided from policies and schema, not tried.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct BoundFixture {
    /// What always holds.
    pub(crate) name: String,
    /// What no request may be that is allowed: a policy without `permit`, such as
    /// `(principal, action == Action::"delete", resource) when { resource.protected }`.
    pub(crate) never: Option<String>,
    /// What every request must be allowed, written in the same way.
    pub(crate) always: Option<String>,
    /// An action, such as `Action::"write"`: only requests count that would be allowed with it, of the
    /// same principal for the same resource. Whoever may write may read.
    pub(crate) if_allowed: Option<String>,
}

/// A decision that is ruled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Never {
    /// Nothing of it is allowed.
    Allow,
    /// All of it is allowed.
    Deny,
}

/// One value or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Words {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Words {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }
}

/// The keys of a case that tables and invariants vary.
pub(crate) const KEYS: [&str; 18] = [
    "user",
    "service",
    "groups",
    "permission",
    "entity",
    "verb",
    "operation",
    "object",
    "oldObject",
    "apiGroup",
    "resource",
    "subresource",
    "namespace",
    "resourceName",
    "path",
    "principal",
    "action",
    "uid",
];

impl Case {
    /// Sets a key as if the file did. `None` if a case has no such key, or not with a word.
    pub(crate) fn set(&mut self, key: &str, words: &[String]) -> Option<()> {
        if key == "groups" {
            self.groups = Some(words.to_vec());
            return Some(());
        }
        let [word] = words else { return None };
        let word = word.clone();
        match key {
            "action" => self.action = Some(Action::Cedar(word)),
            "user" => self.user = Some(word),
            "permission" => self.permission = Some(word),
            "entity" => self.entity = Some(word),
            "verb" => self.verb = Some(word),
            "service" => self.service = Some(word),
            "operation" => self.operation = Some(word),
            "object" => self.object = Some(word.into()),
            "oldObject" => self.old_object = Some(word.into()),
            "apiGroup" => self.api_group = Some(word),
            "resource" => self.resource = Some(word),
            "subresource" => self.subresource = Some(word),
            "namespace" => self.namespace = Some(word),
            "resourceName" => self.resource_name = Some(word),
            "path" => self.path = Some(word),
            "principal" => self.principal = Some(word),
            "uid" => self.uid = Some(word),
            _ => return None,
        }
        Some(())
    }

    /// Returns the keys that are set to something another platform's request has no use for.
    pub(crate) fn foreign(&self, own: &[&str]) -> BTreeSet<&'static str> {
        let set = [
            ("user", self.user.is_some()),
            ("groups", self.groups.is_some()),
            ("permission", self.permission.is_some()),
            ("entity", self.entity.is_some()),
            ("template", self.template.is_some()),
            ("task", self.task.is_some()),
            ("verb", self.verb.is_some()),
            ("service", self.service.is_some()),
            ("operation", self.operation.is_some()),
            ("object", self.object.is_some()),
            ("oldObject", self.old_object.is_some()),
            ("apiGroup", self.api_group.is_some()),
            ("resource", self.resource.is_some()),
            ("subresource", self.subresource.is_some()),
            ("namespace", self.namespace.is_some()),
            ("resourceName", self.resource_name.is_some()),
            ("path", self.path.is_some()),
            ("uid", self.uid.is_some()),
            ("extra", !self.extra.is_empty()),
            ("principal", self.principal.is_some()),
            ("action", self.action.is_some()),
            ("context", !self.context.is_empty()),
            ("entities", !self.entities.is_empty()),
        ];
        set.into_iter()
            .filter(|(key, is_set)| *is_set && !own.contains(key))
            .map(|(k, _)| k)
            .collect()
    }
}
