//! Random clusters and requests from small vocabularies, so that they often meet.

use std::collections::{BTreeMap, BTreeSet};

use stagedoor_kubernetes::{
    Attributes, NonResourceAttributes, ResourceAttributes, Subject as User,
};

use crate::cluster::{Binding, Cluster, Role, Rule, Selector, Subject};

const VERBS: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "delete",
    "impersonate",
    "impersonate",
    "impersonate:user-info",
    "impersonate:serviceaccount",
    "impersonate:arbitrary-node",
    "impersonate:*",
    "impersonate-on:user-info:list",
    "use",
    "bind",
    "spin",
    "GET",
    "",
    "readOnly",
    "write",
    "unlistedVerb",
    "head",
    "post",
    "put",
    "*",
    "sp\"in\\*",
];
const GROUPS: &[&str] =
    &["", "", "apps", "authentication.k8s.io", "authentication.k8s.io", "Apps", "*", "x.io/v1"];
const RESOURCES: &[&str] = &[
    "pods",
    "pods",
    "pods/exec",
    "pods/log",
    "Pods",
    "pods/*",
    "*/exec",
    "*",
    "services",
    "serviceaccounts",
    "users",
    "groups",
    "nodes",
    "uids",
    "userextras",
    "userextras/scopes",
    "userextras/*",
    "*/scopes",
    "serviceaccounts/token",
    "",
    "/",
    "*/",
    "a/b",
    "a/b/c",
    "*/b/c",
    "a/",
    "/exec",
    "users/",
];
const REQUESTED: &[&str] = &[
    "pods",
    "pods",
    "services",
    "serviceaccounts",
    "users",
    "groups",
    "nodes",
    "uids",
    "userextras",
    "Pods",
    "",
    "*",
    "a",
    "a/b",
    "pods/exec",
    "/",
    "*/exec",
    "userextras/scopes",
];
const SUBRESOURCES: &[&str] =
    &["", "", "", "exec", "log", "scopes", "token", "b", "c", "b/c", "*", "Exec", "/"];
const NAMES: &[&str] = &[
    "",
    "x",
    "y",
    "X",
    "system:node:n1",
    "n1",
    "system:serviceaccount:a:bot",
    "bot",
    "alice",
    "devs",
    "*",
    "a/b",
    "system:node:n:1",
];
const PATHS: &[&str] = &[
    "/healthz",
    "/healthz/*",
    "/healthz*",
    "/metrics",
    "*",
    "/a*b",
    "/a*b*",
    "/api**",
    "",
    "**",
    "/healthz/\\*",
    "/HEALTHZ",
];
const REQUESTED_PATHS: &[&str] = &[
    "/healthz",
    "/healthz/",
    "/healthz/live",
    "/healthz/*",
    "/healthz2",
    "/metrics",
    "/a*b",
    "/a*bc",
    "/axb",
    "/api",
    "/api/v1",
    "",
    "*",
    "/",
    "/HEALTHZ",
    "//healthz",
    "/healthz/\\*",
    "/healthz/\\x",
];
const USERS: &[&str] = &[
    "alice",
    "bob",
    "Alice",
    "",
    "system:serviceaccount:a:bot",
    "system:serviceaccount:b:bot",
    "system:serviceaccount:a:b:c",
    "system:node:n1",
    "system:serviceaccount:a:",
    "al \"ice",
];
const ACCOUNTS: &[&str] = &["bot", "b:c", "", "x"];
const TEAMS: &[&str] = &["devs", "ops", "Devs", "system:authenticated", "", "alice", "dev s"];
/// The labels of roles, and those of roles that aggregate.
const LABELS: &[&str] = &["team", "example.com/aggregate"];
const LABELS_OF_AGGREGATES: &[&str] = &["above"];
/// Roles that every cluster has.
const BUILT_IN: &[&str] = &[
    "cluster-admin",
    "admin",
    "edit",
    "view",
    "view",
    "system:discovery",
    "system:basic-user",
    "system:node",
    "system:kube-scheduler",
    "system:auth-delegator",
    "system:monitoring",
];
const NAMESPACES: &[&str] = &["a", "b", "A"];

/// A sequence of random numbers, the same for the same seed.
pub struct Random(fastrand::Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end.max(1))
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick(&mut self, list: &[&str]) -> String {
        list.get(self.below(list.len())).copied().unwrap_or_default().to_owned()
    }

    fn some(&mut self, list: &[&str], most: usize) -> Vec<String> {
        let least = usize::from(!self.one_in(12));
        (0..least + self.below(most)).map(|_| self.pick(list)).collect()
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }

    /// Returns roles and bindings, some of them pointing nowhere.
    pub fn cluster(&mut self) -> Cluster {
        let role_names = ["r0", "r1", "r2", "r3"];
        let mut cluster = Cluster::default();
        for name in role_names {
            for namespace in [None, Some("a"), Some("b")] {
                if !self.one_in(6) {
                    let rules = (0..1 + self.below(3)).map(|_| self.rule()).collect();
                    let namespace = namespace.map(str::to_owned);
                    let name = name.to_owned();
                    cluster.roles.push(Role { namespace, name, rules, ..Role::default() });
                }
            }
        }
        for number in 0..1 + self.below(8) {
            let namespace = (!self.one_in(2)).then(|| self.pick(NAMESPACES));
            let subjects = (0..1 + self.below(3)).map(|_| self.subject()).collect();
            let local = if namespace.is_some() { self.one_in(2) } else { self.one_in(10) };
            let role_kind = if local { "Role" } else { "ClusterRole" };
            let role_name = self.pick(&["r0", "r1", "r2", "r3", "r3", "gone"]);
            let name = format!("b{number}");
            cluster.bindings.push(Binding { namespace, name, subjects, role_kind, role_name });
        }
        cluster
    }

    /// Returns roles and bindings, with roles that aggregate others, and others that aggregate
    /// those.
    pub fn aggregated_cluster(&mut self) -> Cluster {
        let mut cluster = self.cluster();
        for role in cluster.roles.iter_mut().filter(|role| role.namespace.is_none()) {
            role.labels = self.labels(LABELS);
        }
        for (level, names) in [(1, ["g0", "g1"]), (2, ["h0", "h1"])] {
            for name in names {
                // Only what stands below is selected: which rules roles that aggregate each other
                // get depends on when the controller looks at them.
                let below = if level == 1 { LABELS } else { LABELS_OF_AGGREGATES };
                let mut role = Role { name: name.to_owned(), ..Role::default() };
                role.aggregates =
                    Some((0..self.below(3)).map(|_| self.selector(below)).collect::<Vec<_>>());
                if level == 1 {
                    role.labels = self.labels(LABELS_OF_AGGREGATES);
                }
                // These the controller overwrites.
                role.rules = (0..self.below(2)).map(|_| self.rule()).collect();
                cluster.roles.push(role);
            }
        }
        for binding in cluster.bindings.iter_mut().filter(|b| b.role_kind == "ClusterRole") {
            if self.one_in(2) {
                binding.role_name = self.pick(&["g0", "g1", "h0", "h1"]);
            }
        }
        cluster
    }

    /// Binds some subjects to roles that every cluster has, and labels roles for these to take
    /// over.
    pub fn with_built_in_names(&mut self, mut cluster: Cluster) -> Cluster {
        for binding in cluster.bindings.iter_mut().filter(|b| b.role_kind == "ClusterRole") {
            if self.one_in(2) {
                binding.role_name = self.pick(BUILT_IN);
            }
        }
        for role in cluster.roles.iter_mut().filter(|r| r.namespace.is_none()) {
            if self.one_in(4) {
                let to = self.pick(&["view", "edit", "admin"]);
                let key = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
                role.labels.insert(key, self.pick(&["true", "true", "false"]));
            } else if self.one_in(8) && role.aggregates.is_none() {
                // One's own in place of the cluster's.
                role.name = self.pick(&["view", "system:discovery", "system:basic-user"]);
            }
        }
        let mut seen = BTreeSet::new();
        cluster.roles.retain(|role| seen.insert((role.namespace.clone(), role.name.clone())));
        cluster
    }

    fn labels(&mut self, keys: &[&str]) -> BTreeMap<String, String> {
        (0..self.below(3)).map(|_| (self.pick(keys), self.pick(&["true", "x", ""]))).collect()
    }

    fn selector(&mut self, keys: &[&str]) -> Selector {
        let mut selector = Selector::default();
        // An empty one selects all, those that aggregate as well.
        if self.one_in(2) {
            selector.labels.insert(self.pick(keys), self.pick(&["true", "x", ""]));
        }
        if selector.labels.is_empty() || self.one_in(4) {
            let operator = ["In", "Exists"].get(self.below(2)).copied().unwrap_or("Exists");
            let values =
                (operator == "In").then(|| vec![self.pick(&["true", "x"]), "y".to_owned()]);
            let values = values.unwrap_or_default();
            selector.requirements.push((self.pick(keys), operator, values));
            if self.one_in(3) {
                let none = ("absent".to_owned(), "DoesNotExist", Vec::new());
                let not = (self.pick(keys), "NotIn", vec!["x".to_owned()]);
                selector.requirements.push(if self.one_in(2) { none } else { not });
            }
        }
        selector
    }

    /// Returns the cluster with one thing or two that somebody has changed; or with nothing but the
    /// order of things.
    pub fn changed(&mut self, cluster: &Cluster) -> Cluster {
        let mut changed = cluster.clone();
        let (roles, bindings) = (changed.roles.len(), changed.bindings.len());
        for _ in 0..self.below(3) {
            let (role, binding) = (self.below(roles), self.below(bindings));
            let (rule, subject) = (self.rule(), self.subject());
            let name = self.pick(&["r0", "r1", "r2", "r3"]);
            let kind = self.below(6);
            let role = changed.roles.get_mut(role);
            let binding = changed.bindings.get_mut(binding);
            match (kind, role, binding) {
                (0, Some(role), _) => role.rules.push(rule),
                (1, Some(role), _) => drop(role.rules.pop()),
                (2, Some(role), _) => {
                    if let Some(first) = role.rules.first_mut() {
                        first.resources = rule.resources;
                    }
                }
                (3, _, Some(binding)) => binding.subjects.push(subject),
                (4, _, Some(binding)) => {
                    if let Some(first) = binding.subjects.first_mut() {
                        *first = subject;
                    }
                }
                (_, _, Some(binding)) => binding.role_name = name,
                _ => {}
            }
        }
        changed.roles.reverse();
        changed.bindings.reverse();
        changed
    }

    fn rule(&mut self) -> Rule {
        let mut rule = Rule { verbs: self.some(VERBS, 4), ..Rule::default() };
        let kind = self.below(5);
        if kind != 0 {
            rule.api_groups = self.some(GROUPS, 3);
            rule.resources = self.some(RESOURCES, 4);
            if self.one_in(3) {
                rule.resource_names = self.some(NAMES, 3);
            }
        }
        if kind <= 1 {
            rule.non_resource_urls = self.some(PATHS, 3);
        }
        rule
    }

    fn subject(&mut self) -> Subject {
        match self.below(7) {
            0 | 1 => Subject { kind: "User", name: self.pick(USERS), ..Subject::default() },
            2 | 3 => Subject { kind: "Group", name: self.pick(TEAMS), ..Subject::default() },
            4 | 5 => {
                let namespace = self.pick(&["", "a", "b"]);
                Subject { kind: "ServiceAccount", name: self.pick(ACCOUNTS), namespace }
            }
            _ => Subject { kind: "Robot", name: self.pick(USERS), ..Subject::default() },
        }
    }

    /// Returns somebody and what they want, often what a binding and a rule are about.
    pub fn request(&mut self, cluster: &Cluster) -> (User, Attributes) {
        let binding = self.of(&cluster.bindings).cloned().unwrap_or_default();
        let of_binding = |role: &&Role| {
            role.name == binding.role_name
                && match binding.role_kind {
                    "ClusterRole" => role.namespace.is_none(),
                    _ => role.namespace.is_some() && role.namespace == binding.namespace,
                }
        };
        let role = cluster.roles.iter().find(of_binding).cloned().unwrap_or_default();
        let rule = self.of(&role.rules).cloned().unwrap_or_default();
        let user = self.user(&binding);
        (user, self.attributes(&binding, &rule))
    }

    fn user(&mut self, binding: &Binding) -> User {
        let mut user = User::new(self.pick(USERS));
        user.groups = self.some(TEAMS, 2);
        let subject = self.of(&binding.subjects).cloned().unwrap_or_default();
        match subject.kind {
            "User" if !self.one_in(8) => user.user = subject.name,
            "Group" if !self.one_in(8) => user.groups.push(subject.name),
            "ServiceAccount" if !self.one_in(8) => {
                let own = if subject.namespace.is_empty() {
                    binding.namespace.clone().unwrap_or_default()
                } else {
                    subject.namespace
                };
                user.user = format!("system:serviceaccount:{own}:{}", subject.name);
            }
            _ => {}
        }
        // No UID is also the name of somebody to impersonate: such a request is refused.
        user.uid = self.pick(&["", "", "42", "1f-2e"]);
        user
    }

    fn attributes(&mut self, binding: &Binding, rule: &Rule) -> Attributes {
        let guided = !self.one_in(6);
        let verb = self.instead(guided, &rule.verbs, VERBS);
        let is_for_paths = rule.resources.is_empty() && !rule.non_resource_urls.is_empty();
        if self.one_in(8) || (guided && is_for_paths) {
            let path = match self.instead(guided, &rule.non_resource_urls, REQUESTED_PATHS) {
                path if !self.one_in(3) => path.replace('*', "x"),
                path => path,
            };
            return NonResourceAttributes::new(verb, path).into();
        }
        let group = self.instead(guided, &rule.api_groups, GROUPS);
        let resource = self.instead(guided, &rule.resources, REQUESTED);
        let mut attributes = match resource.split_once('/') {
            Some((resource, subresource)) if !self.one_in(4) => {
                ResourceAttributes::new(verb, group, resource).with_subresource(subresource)
            }
            _ => ResourceAttributes::new(verb, group, resource),
        };
        if self.one_in(8) {
            attributes.subresource = self.pick(SUBRESOURCES);
        }
        if self.one_in(8) {
            attributes.resource = self.pick(REQUESTED);
        }
        attributes.namespace = match &binding.namespace {
            Some(namespace) if !self.one_in(8) => namespace.clone(),
            None if self.one_in(2) => String::new(),
            _ => self.pick(NAMESPACES),
        };
        attributes.name = self.instead(guided, &rule.resource_names, NAMES);
        attributes.into()
    }

    /// Returns one of what a rule names, or of everything.
    fn instead(&mut self, guided: bool, of_rule: &[String], all: &[&str]) -> String {
        match self.of(of_rule).cloned() {
            // A star is asked for what it covers more often than for itself.
            Some(named) if guided && !self.one_in(10) && (named != "*" || self.one_in(4)) => named,
            _ => self.pick(all),
        }
    }
}
