//! Requests that grants allow: what is asked to tell which of them somebody else refuses.

use super::resolve::{Grant, Grantee};
use crate::api_resources::{self, ApiResource};
use crate::attributes::{Attributes, NonResourceAttributes, ResourceAttributes};
use crate::subject::Subject;

/// What `*` stands for where no verbs of a resource are known.
const VERBS: [&str; 8] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl Grant<'_> {
    /// Returns requests that the grant allows: one for each verb on each resource, and each path.
    ///
    /// `*` stands for the verbs and resources of Kubernetes' own API that there are, and for itself
    /// in groups of others. Each of several `resourceNames` is asked for. A grant for the whole cluster
    /// is asked for without a namespace, so that what is refused in some namespaces alone is not seen.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_kubernetes::rbac::RbacObjects;
    ///
    /// let mut objects = RbacObjects::default();
    /// objects.read("team.yaml", "
    /// apiVersion: rbac.authorization.k8s.io/v1
    /// kind: ClusterRole
    /// metadata: { name: reader }
    /// rules: [{ apiGroups: [''], resources: [pods, pods/log], verbs: [get, list] }]
    /// ---
    /// apiVersion: rbac.authorization.k8s.io/v1
    /// kind: ClusterRoleBinding
    /// metadata: { name: readers }
    /// subjects: [{ kind: Group, name: readers }]
    /// roleRef: { kind: ClusterRole, name: reader }
    /// ")?;
    /// let resolved = objects.resolve()?;
    /// let requests: Vec<_> = resolved.grants().flat_map(|grant| grant.requests()).collect();
    /// // Logs are only got.
    /// assert_eq!(requests.len(), 4);
    /// assert_eq!(requests[0].1.verb(), "get");
    /// # Ok::<(), stagedoor_kubernetes::rbac::RbacError>(())
    /// ```
    #[must_use]
    pub fn requests(&self) -> Vec<(Subject, Attributes)> {
        let subject = subject(self.grantee);
        let rule = self.rule;
        let mut all = Vec::new();
        for (group, resource, known) in self.resources() {
            let names: Vec<&str> = match rule.resource_names.as_slice() {
                [] => vec![""],
                names => names.iter().map(String::as_str).collect(),
            };
            let (resource, subresource) = match resource.split_once('/') {
                // No request has a subresource without a name.
                Some((_, "")) => continue,
                Some(parts) => parts,
                None => (resource.as_str(), ""),
            };
            for verb in verbs(&rule.verbs, known) {
                for name in &names {
                    let attributes = ResourceAttributes::new(verb, &group, resource)
                        .with_subresource(subresource)
                        .with_namespace(self.namespace().unwrap_or_default())
                        .with_name(*name);
                    all.push((subject.clone(), attributes.into()));
                }
            }
        }
        // A RoleBinding grants no paths.
        let paths = rule.non_resource_urls.iter().filter(|_| self.namespace().is_none());
        for path in paths {
            let path = match path.trim_end_matches('*') {
                "" if !path.is_empty() => "/",
                beginning => beginning,
            };
            for verb in verbs(&rule.verbs, None) {
                all.push((subject.clone(), NonResourceAttributes::new(verb, path).into()));
            }
        }
        all
    }

    /// Returns the groups and resources of the rule, with what is known of them where a `*` stands
    /// for them.
    fn resources(&self) -> Vec<(String, String, Option<&'static ApiResource>)> {
        let mut all = Vec::new();
        for group in &self.rule.api_groups {
            for resource in &self.rule.resources {
                let is_meant = |known: &&'static ApiResource| {
                    (group == "*" || *group == known.group)
                        && !known.authorizer_only
                        && match resource.as_str() {
                            "*" => true,
                            named => match named.strip_prefix("*/") {
                                Some(sub) => {
                                    known.resource.split_once('/').is_some_and(|(_, s)| s == sub)
                                }
                                None => known.resource == named,
                            },
                        }
                };
                if group != "*" && !resource.starts_with('*') {
                    all.push((group.clone(), resource.clone(), None));
                    continue;
                }
                let before = all.len();
                all.extend(
                    api_resources::all()
                        .filter(is_meant)
                        .map(|known| (known.group.clone(), known.resource.clone(), Some(known))),
                );
                if all.len() == before {
                    all.push((group.clone(), resource.clone(), None));
                }
            }
        }
        all
    }
}

/// Returns the verbs of a rule that a resource has.
fn verbs<'v>(given: &'v [String], known: Option<&'v ApiResource>) -> Vec<&'v str> {
    let has: Vec<&str> = match known {
        Some(known) if !known.verbs.is_empty() => known.verbs.iter().map(String::as_str).collect(),
        _ => VERBS.to_vec(),
    };
    if given.iter().any(|verb| verb == "*") {
        return has;
    }
    let is_had = |verb: &&str| known.is_none() || has.contains(verb);
    given.iter().map(String::as_str).filter(is_had).collect()
}

/// Returns somebody who is granted something, with the groups that everybody of the kind is in.
fn subject(grantee: &Grantee) -> Subject {
    let account = |namespace: &str, name: &str| {
        Subject::new(format!("system:serviceaccount:{namespace}:{name}"))
            .with_group("system:serviceaccounts")
            .with_group(format!("system:serviceaccounts:{namespace}"))
    };
    let subject = match grantee {
        Grantee::User(name) => match name.strip_prefix("system:serviceaccount:") {
            Some(account_name) => {
                let (namespace, name) = account_name.split_once(':').unwrap_or((account_name, ""));
                account(namespace, name)
            }
            None if name == "system:anonymous" => {
                return Subject::new(name).with_group("system:unauthenticated");
            }
            None => Subject::new(name),
        },
        Grantee::Group(name) => match name.strip_prefix("system:serviceaccounts") {
            Some(rest) => account(rest.strip_prefix(':').unwrap_or("default"), "somebody"),
            None if name == "system:unauthenticated" => {
                return Subject::new("system:anonymous").with_group(name);
            }
            None => Subject::new("somebody").with_group(name),
        },
    };
    subject.with_group("system:authenticated")
}
