//! A hospital of departments: 33·n + 5 policies.

use std::fmt::Write as _;

use stagedoor_core::{Entity, Value, uid};

use super::{REQUESTS, Scenario, Words};
use crate::random::Random;

/// Where the role and the clearance of who asks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staff {
    /// They are attributes of the user in the store.
    Store,
    /// They come with the request.
    Context,
}

const ROLES: [&str; 9] = [
    "physician",
    "surgeon",
    "nurse",
    "pharmacist",
    "radiologist",
    "therapist",
    "clerk",
    "auditor",
    "student",
];
const KINDS: [&str; 6] = ["chart", "lab", "image", "prescription", "bill", "note"];
const VERBS: [&str; 4] = ["read", "write", "sign", "share"];
/// Grants of a department.
const GRANTS: usize = 32;
/// Staff of a department.
const MEMBERS: usize = 5;

/// Each department has 32 permits (a role, some kinds of records, some verbs) and one forbid (a record
/// is more sensitive than who asks is cleared for); five permits are for emergencies.
pub(super) fn scenario(n: usize, staff: Staff) -> Scenario {
    let (role, clearance) = match staff {
        Staff::Store => ("principal.role", "principal.clearance"),
        Staff::Context => ("context.role", "context.clearance"),
    };
    let mut policies = String::new();
    for department in 0..n {
        for grant in 0..GRANTS {
            let own = ROLES.get(grant % ROLES.len()).copied().unwrap_or_default();
            let kinds = some(&KINDS, grant, 1 + grant % 3);
            let verbs: Vec<String> = some(&VERBS, grant / 9, 1 + grant % 2)
                .iter()
                .map(|verb| format!("Action::{verb:?}"))
                .collect();
            // Writing to a text does not fail.
            let _ = writeln!(
                policies,
                "permit(principal in Department::\"d{department}\", action in [{}], resource) when \
                 {{ resource.department == \"d{department}\" && {role} == {own:?} && \
                 {kinds:?}.contains(resource.kind) }};",
                verbs.join(", ")
            );
        }
        let _ = writeln!(
            policies,
            "forbid(principal, action, resource) when \
             {{ resource.department == \"d{department}\" && resource.sensitivity > {clearance} }};"
        );
    }
    for kind in KINDS.iter().take(5) {
        let _ = writeln!(
            policies,
            "permit(principal, action == Action::\"read\", resource) when \
             {{ context.emergency && {role} == \"physician\" && resource.kind == {kind:?} }};"
        );
    }
    let mut random = Random::new(5);
    let mut people = Vec::new();
    let mut entities = Vec::new();
    for department in 0..n {
        for team in 0..2 {
            let team = uid("Team", format!("d{department}-{team}"));
            if let (Ok(team), Ok(above)) = (team, uid("Department", format!("d{department}"))) {
                entities.push(Entity::new(team).with_parent(above));
            }
        }
        for member in 0..MEMBERS {
            let role = random.pick(&ROLES).unwrap_or_default();
            let clearance = random.below(5);
            let name = format!("u{department}-{member}");
            let mut homes = vec![format!("d{department}-{}", member % 2)];
            let others = (0..n).filter(|_| random.below(100 * n) < 5);
            homes.extend(others.map(|other| format!("d{other}-0")));
            let Ok(user) = uid("User", &name) else { continue };
            let mut user = Entity::new(user);
            if staff == Staff::Store {
                let level = i64::try_from(clearance).unwrap_or_default();
                user = user.with_attribute("role", role).with_attribute("clearance", level);
            }
            for home in homes {
                if let Ok(team) = uid("Team", home) {
                    user = user.with_parent(team);
                }
            }
            people.push((name, department, role, clearance));
            entities.push(user);
        }
    }
    let request = |number: usize| {
        let (name, own, role, clearance) =
            people.get(random.below(people.len())).cloned().unwrap_or_default();
        let department = if random.below(100) < 80 { own } else { random.below(n) };
        let level = |number: usize| Value::Long(i64::try_from(number).unwrap_or_default());
        let mut context = vec![Value::Bool(random.once_in(20))];
        if staff == Staff::Context {
            context.extend([role.into(), level(clearance)]);
        }
        Words {
            principal: ("User", name),
            action: random.pick(&VERBS).unwrap_or_default(),
            resource: ("Record", format!("r{number}")),
            attributes: vec![
                random.pick(&KINDS).unwrap_or_default().into(),
                format!("d{department}").into(),
                level(random.below(5)),
            ],
            context,
        }
    };
    let requests = (0..REQUESTS).map(request).collect();
    let (own, with_request, context_fields): (_, _, &[&str]) = match staff {
        Staff::Store => ("{ role: String, clearance: Long }", "", &["emergency"]),
        Staff::Context => {
            ("", ", role: String, clearance: Long", &["emergency", "role", "clearance"])
        }
    };
    let whence = if staff == Staff::Store { "" } else { ", role and clearance in the context" };
    Scenario {
        name: format!("hospital {}{whence}", (GRANTS + 1) * n + 5),
        schema: format!(
            "entity Department; entity Team in [Department]; entity User in [Team] {own};
             entity Record {{ kind: String, department: String, sensitivity: Long }};
             action read, write, sign, share appliesTo {{ principal: User, resource: Record,
               context: {{ emergency: Bool{with_request} }} }};"
        ),
        policies,
        entities,
        resource_attributes: &["kind", "department", "sensitivity"],
        context_fields,
        requests,
    }
}

/// Returns so many items, from this one on.
fn some(items: &[&'static str], first: usize, count: usize) -> Vec<&'static str> {
    items.iter().cycle().skip(first % items.len()).take(count).copied().collect()
}
