//! What the roles of a cluster grant, as requests.

use std::collections::BTreeSet;
use std::path::PathBuf;

use stagedoor_kubernetes::rbac::{Grant, ResolvedRbac};
use stagedoor_kubernetes::{Attributes, Reviewer};
use stagedoor_review::Policies;
use stagedoor_testing::{RequestSpace, SpaceRequest};

use crate::built_in_roles::{BuiltIn, BuiltInArgs, resolved};
use crate::failure::Failure;

/// Reads roles and bindings and returns what they grant as requests, at most so many.
pub(crate) fn space(
    files: &[PathBuf],
    built_in: &BuiltInArgs,
    policies: &Policies,
    limit: usize,
) -> Result<RequestSpace, Failure> {
    // Who is bound to a role that a cluster has anyway is granted what is in it.
    let roles = resolved(files, None, built_in, BuiltIn::Roles)?;
    let reviewer = Reviewer::new(policies.engine.clone())
        .map_err(|error| Failure::input(error.to_string()))?;
    Ok(requests(&roles, &reviewer, limit))
}

fn requests(roles: &ResolvedRbac, reviewer: &Reviewer, limit: usize) -> RequestSpace {
    let mut space = RequestSpace::default();
    let mut seen = BTreeSet::new();
    for grant in roles.grants() {
        for (subject, attributes) in grant.requests() {
            // What no engine can be asked, such as a name beyond all bounds, is granted to nobody.
            let Ok((request, entities)) = reviewer.deciding_request(&subject, &attributes) else {
                continue;
            };
            let mut asked = SpaceRequest::new(request, entities);
            asked.who = whom(&grant);
            asked.action = attributes.verb().to_owned();
            asked.resource = resource(&attributes);
            asked.kind = "resource".to_owned();
            let SpaceRequest { who, action, resource, .. } = &asked;
            if !seen.insert((who.clone(), action.clone(), resource.clone())) {
                continue;
            }
            if space.requests.len() < limit {
                space.requests.push(asked);
            } else {
                space.left_out += 1;
            }
        }
    }
    space
}

/// Returns whom a grant is for, as a binding names them.
fn whom(grant: &Grant<'_>) -> String {
    let grantee = grant.grantee();
    let name = grantee.name();
    let name = name.strip_prefix("system:serviceaccount:").unwrap_or(name);
    format!("{}/{name}", grantee.kind())
}

fn resource(attributes: &Attributes) -> String {
    let of = match attributes {
        Attributes::NonResource(of) => return of.path.clone(),
        Attributes::Resource(of) => of,
    };
    let part = |mark: &str, part: &str| match part.is_empty() {
        true => String::new(),
        false => format!("{mark}{part}"),
    };
    let (group, subresource) = (part(".", &of.group), part("/", &of.subresource));
    let (name, namespace) = (part(" ", &of.name), part(" in ", &of.namespace));
    format!("{}{group}{subresource}{name}{namespace}", of.resource)
}
