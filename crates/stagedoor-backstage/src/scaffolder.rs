//! Resources of the scaffolder and of the community RBAC plugin, which are not
//! in the catalog: whoever asks describes them.

use stagedoor_core::{Entity, Record, Value};

use crate::names;
use crate::request::Resource;

/// Inputs that the scaffolder compares without regard to case when an action
/// works on GitLab, GitHub or Bitbucket.
const CASELESS_INPUTS: [&str; 4] = ["owner", "repoName", "projectId", "repoUrl"];
const INTEGRATIONS: [&str; 5] =
    ["gitlab", "github", "bitbucket", "bitbucketCloud", "bitbucketServer"];

impl Resource {
    /// Returns a page of parameters or a step of a template, by the tags under
    /// its `backstage:permissions`. The id only names it in answers.
    #[must_use]
    pub fn scaffolder_template<T: AsRef<str>>(id: &str, tags: impl IntoIterator<Item = T>) -> Self {
        let tags: Value = tags.into_iter().map(|tag| Value::from(tag.as_ref())).collect();
        let uid = names::scaffolder_template(id);
        Self::described(Entity::new(uid).with_attribute("tags", tags), [])
    }

    /// Returns a step that is about to run: an action's id (`publish:github`) and
    /// its input, each string, number and boolean by its path
    /// (`repo.visibility`), the latter two as JavaScript prints them.
    ///
    /// Owners and names of repositories become lower case where Backstage
    /// compares them without regard to case.
    #[must_use]
    pub fn scaffolder_action<K: AsRef<str>, V: AsRef<str>>(
        id: &str,
        action: &str,
        input: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let segments = || action.split(':');
        let integration = segments().any(|segment| INTEGRATIONS.contains(&segment));
        let on_group = segments().any(|segment| segment == "group");
        let mut tags = Record::new();
        for (path, value) in input {
            let (path, value) = (path.as_ref(), value.as_ref());
            let caseless =
                integration && (CASELESS_INPUTS.contains(&path) || (on_group && path == "path"));
            let value = if caseless { value.to_lowercase() } else { value.to_owned() };
            tags.insert(path.into(), value.into());
        }
        let mut input = Entity::new(names::scaffolder_input(id));
        input.tags = tags;
        let step = Entity::new(names::scaffolder_action(id))
            .with_attribute("action", action)
            .with_attribute("input", input.uid.clone());
        Self::described(step, [input])
    }

    /// Returns a run of a template, by the reference of the user who started it
    /// as the scaffolder stores it.
    #[must_use]
    pub fn scaffolder_task(id: &str, created_by: Option<&str>) -> Self {
        let task = Entity::new(names::scaffolder_task(id));
        // The scaffolder takes an empty reference for none.
        let created_by = created_by.filter(|text| !text.is_empty());
        let task = match created_by {
            Some(created_by) => task.with_attribute("createdBy", created_by),
            None => task,
        };
        Self::described(task, [])
    }

    /// Returns a role of the community RBAC plugin, by its owner and whether it
    /// is the default role.
    #[must_use]
    pub fn policy_entity(id: &str, owner: Option<&str>, is_default: bool) -> Self {
        let role = Entity::new(names::policy_entity(id)).with_attribute("isDefault", is_default);
        let role = match owner.filter(|text| !text.is_empty()) {
            Some(owner) => role.with_attribute("owner", owner),
            None => role,
        };
        Self::described(role, [])
    }
}
