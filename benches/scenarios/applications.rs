//! Role grants, and the applications of Cedar's paper at OOPSLA 2024.

use anyhow::Result;
use stagedoor_core::{Entity, Value};

use super::{REQUESTS, Scenario, Words, edges, id};
use crate::random::Random;

/// Edges are drawn with this probability, in hundredths.
const EDGES: usize = 5;

/// Four roles may do some of three things to some of four kinds.
pub(super) fn rbac() -> Scenario {
    let roles = ["admin", "author", "reader", "auditor"];
    let kinds = ["article", "comment", "user", "log"];
    let verbs = ["view", "edit", "delete"];
    let mut policies = String::new();
    for (r, role) in roles.iter().enumerate() {
        for (k, kind) in kinds.iter().enumerate() {
            let allowed = verbs.iter().take(if r == 0 { 3 } else { (k + r) % 3 });
            let allowed: Vec<_> = allowed.map(|verb| format!("Action::{verb:?}")).collect();
            if !allowed.is_empty() {
                policies.push_str(&format!(
                    "permit(principal in Role::{role:?}, action in [{}], resource) \
                     when {{ resource.kind == {kind:?} }};\n",
                    allowed.join(", ")
                ));
            }
        }
    }
    let mut random = Random::new(1);
    let user = |number: usize| -> Result<Entity> {
        let role = roles.get(number % roles.len()).copied().unwrap_or_default();
        Ok(Entity::new(id("User", number)?).with_parent(stagedoor_core::uid("Role", role)?))
    };
    let request = |_| Words {
        principal: ("User", random.below(20).to_string()),
        action: random.pick(&verbs).unwrap_or_default(),
        resource: ("Thing", random.below(100).to_string()),
        attributes: vec![random.pick(&kinds).unwrap_or_default().into()],
        context: Vec::new(),
    };
    let requests = (0..REQUESTS).map(request).collect();
    Scenario {
        name: "rbac".to_owned(),
        schema: "entity Role; entity User in [Role]; entity Thing { kind: String };
            action view, edit, delete appliesTo { principal: User, resource: Thing };"
            .to_owned(),
        policies,
        entities: (0..20).filter_map(|number| user(number).ok()).collect(),
        resource_attributes: &["kind"],
        context_fields: &[],
        requests,
    }
}

/// The first request of an application is about something that the store does not know.
fn requests(random: &mut Random, n: usize, actions: &[(&'static str, &'static str)]) -> Vec<Words> {
    let mut request = |number: usize| {
        let (action, type_) = random.pick(actions).unwrap_or_default();
        let resource = if number == 0 { usize::MAX } else { random.below(n) };
        Words {
            principal: ("User", random.below(n).to_string()),
            action,
            resource: (type_, resource.to_string()),
            attributes: Vec::new(),
            context: Vec::new(),
        }
    };
    (0..REQUESTS).map(&mut request).collect()
}

/// Collects entities; a name that is none would be a mistake here.
#[derive(Default)]
struct Store(Vec<Entity>);

impl Store {
    fn add(&mut self, entity: Result<Entity>) {
        self.0.extend(entity.ok());
    }
}

fn entity(type_name: &str, number: usize, above: &[(&str, &[usize])]) -> Result<Entity> {
    let mut entity = Entity::new(id(type_name, number)?);
    for (type_name, numbers) in above {
        for number in *numbers {
            entity = entity.with_parent(id(type_name, *number)?);
        }
    }
    Ok(entity)
}

fn reference(type_name: &str, number: usize) -> Result<Value> {
    Ok(id(type_name, number)?.into())
}

/// Documents and folders that are shared with users: five policies.
pub(super) fn gdrive(n: usize) -> Scenario {
    let mut random = Random::new(2);
    let mut store = Store::default();
    let draw = |random: &mut Random| edges(random, n, n, EDGES);
    let (doc_folders, doc_views, doc_edits) =
        (draw(&mut random), draw(&mut random), draw(&mut random));
    let (folder_views, folder_parents) = (draw(&mut random), draw(&mut random));
    let none = Vec::new();
    for number in 0..n {
        let of = |edges: &[Vec<usize>]| edges.get(number).unwrap_or(&none).clone();
        // A folder lies in folders of lower numbers alone, so that no cycle arises.
        let parents: Vec<usize> =
            of(&folder_parents).into_iter().filter(|other| *other < number).collect();
        store.add(entity("View", number, &[]));
        store.add((|| {
            let own = number.to_string();
            let user = Entity::new(id("User", number)?);
            Ok(user
                .with_attribute("views", stagedoor_core::uid("View", &own)?)
                .with_attribute("edits", stagedoor_core::uid("Edit", &own)?)
                .with_attribute("owned", stagedoor_core::uid("Owned", &own)?))
        })());
        store.add(entity("Folder", number, &[("Folder", &parents), ("View", &of(&folder_views))]));
        store.add((|| {
            let owner = random.below(n);
            let above: [(&str, &[usize]); 4] = [
                ("Folder", &of(&doc_folders)),
                ("View", &of(&doc_views)),
                ("Edit", &of(&doc_edits)),
                ("Owned", &[owner]),
            ];
            Ok(entity("Document", number, &above)?
                .with_attribute("isPublic", random.below(100) < EDGES))
        })());
    }
    let actions = [
        ("readDocument", "Document"),
        ("writeDocument", "Document"),
        ("changeDocumentOwner", "Document"),
        ("createDocument", "Folder"),
    ];
    Scenario {
        name: format!("gdrive {n}"),
        schema: "
            entity View; entity Edit; entity Owned;
            entity User { views: View, edits: Edit, owned: Owned };
            entity Folder in [Folder, View];
            entity Document in [Folder, View, Edit, Owned] { isPublic: Bool };
            action readDocument, writeDocument, changeDocumentOwner
              appliesTo { principal: User, resource: Document };
            action createDocument appliesTo { principal: User, resource: Folder };"
            .to_owned(),
        policies: r#"
            permit(principal, action == Action::"readDocument", resource)
            when { resource in principal.views };
            permit(principal, action == Action::"readDocument", resource)
            when { resource.isPublic };
            permit(principal, action == Action::"writeDocument", resource)
            when { resource in principal.edits };
            permit(principal, action in [Action::"readDocument", Action::"writeDocument",
                Action::"changeDocumentOwner"], resource)
            when { resource in principal.owned };
            permit(principal, action == Action::"createDocument", resource)
            when { resource in principal.views };"#
            .to_owned(),
        requests: requests(&mut random, n, &actions),
        entities: store.0,
        resource_attributes: &[],
        context_fields: &[],
    }
}

/// Repositories with groups of readers to administrators, and their issues: eight policies.
pub(super) fn github(n: usize) -> Scenario {
    let mut random = Random::new(3);
    let mut store = Store::default();
    let roles = ["readers", "triagers", "writers", "maintainers", "admins"];
    let draw = |random: &mut Random| edges(random, n, n, EDGES);
    let teams: Vec<_> = roles.iter().map(|_| draw(&mut random)).collect();
    let (team_members, team_parents) = (draw(&mut random), draw(&mut random));
    let none = Vec::new();
    for number in 0..n {
        let of = |edges: &[Vec<usize>]| edges.get(number).unwrap_or(&none).clone();
        let parents: Vec<usize> =
            of(&team_parents).into_iter().filter(|other| *other < number).collect();
        store.add((|| {
            let mut user = entity("User", number, &[("Team", &of(&team_members))])?;
            for (role, repositories) in roles.iter().zip(&teams) {
                for repository in of(repositories) {
                    let group = stagedoor_core::uid("Role", format!("{role}-{repository}"))?;
                    user = user.with_parent(group);
                }
            }
            Ok(user)
        })());
        store.add(entity("Team", number, &[("Team", &parents)]));
        let mut repository = Entity::new(match id("Repository", number) {
            Ok(uid) => uid,
            Err(_) => continue,
        });
        for role in roles {
            if let Ok(group) = stagedoor_core::uid("Role", format!("{role}-{number}")) {
                repository = repository.with_attribute(role, group);
            }
        }
        store.add(Ok(repository));
        store.add((|| {
            Ok(Entity::new(id("Issue", number)?)
                .with_attribute("repo", reference("Repository", random.below(n))?)
                .with_attribute("reporter", reference("User", random.below(n))?))
        })());
    }
    let actions = [
        ("pull", "Repository"),
        ("fork", "Repository"),
        ("push", "Repository"),
        ("add_reader", "Repository"),
        ("edit_issue", "Issue"),
        ("delete_issue", "Issue"),
    ];
    Scenario {
        name: format!("github {n}"),
        schema: "
            entity Role; entity Team in [Team]; entity User in [Role, Team];
            entity Repository { readers: Role, triagers: Role, writers: Role, maintainers: Role,
                admins: Role };
            entity Issue { repo: Repository, reporter: User };
            action pull, fork, push, add_reader appliesTo { principal: User, resource: Repository };
            action edit_issue, delete_issue appliesTo { principal: User, resource: Issue };"
            .to_owned(),
        policies: r#"
            permit(principal, action == Action::"pull", resource)
            when { principal in resource.readers };
            permit(principal, action == Action::"fork", resource)
            when { principal in resource.readers };
            permit(principal, action == Action::"delete_issue", resource)
            when { principal in resource.repo.readers && principal == resource.reporter };
            permit(principal, action == Action::"edit_issue", resource)
            when { principal in resource.repo.readers && principal == resource.reporter };
            permit(principal, action == Action::"push", resource)
            when { principal in resource.writers };
            permit(principal, action == Action::"edit_issue", resource)
            when { principal in resource.repo.writers };
            permit(principal, action == Action::"delete_issue", resource)
            when { principal in resource.repo.maintainers };
            permit(principal, action == Action::"add_reader", resource)
            when { principal in resource.admins };"#
            .to_owned(),
        requests: requests(&mut random, n, &actions),
        entities: store.0,
        resource_attributes: &[],
        context_fields: &[],
    }
}

/// Lists with owners, readers and editors: four policies.
pub(super) fn tinytodo(n: usize) -> Scenario {
    let mut random = Random::new(4);
    let mut store = Store::default();
    let draw = |random: &mut Random| edges(random, n, n, EDGES);
    let (members, parents) = (draw(&mut random), draw(&mut random));
    let none = Vec::new();
    store.add(entity("Application", 0, &[]));
    for number in 0..n {
        let of = |edges: &[Vec<usize>]| edges.get(number).unwrap_or(&none).clone();
        let above: Vec<usize> = of(&parents).into_iter().filter(|other| *other < number).collect();
        store.add(entity("User", number, &[("Team", &of(&members)), ("Application", &[0])]));
        store.add(entity("Team", number, &[("Team", &above), ("Application", &[0])]));
        store.add((|| {
            Ok(entity("List", number, &[("Application", &[0])])?
                .with_attribute("owner", reference("User", random.below(n))?)
                .with_attribute("readers", reference("Team", random.below(n))?)
                .with_attribute("editors", reference("Team", random.below(n))?))
        })());
    }
    let actions = [("GetList", "List"), ("UpdateList", "List"), ("DeleteList", "List")];
    Scenario {
        name: format!("tinytodo {n}"),
        schema: "
            entity Application; entity Team in [Team, Application];
            entity User in [Team, Application];
            entity List in [Application] { owner: User, readers: Team, editors: Team };
            action CreateList appliesTo { principal: User, resource: Application };
            action GetList, UpdateList, DeleteList appliesTo { principal: User, resource: List };"
            .to_owned(),
        policies: r#"
            permit(principal, action == Action::"CreateList", resource);
            permit(principal, action, resource is List) when { resource.owner == principal };
            permit(principal, action == Action::"GetList", resource)
            when { principal in resource.readers || principal in resource.editors };
            permit(principal, action == Action::"UpdateList", resource)
            when { principal in resource.editors };"#
            .to_owned(),
        requests: requests(&mut random, n, &actions),
        entities: store.0,
        resource_attributes: &[],
        context_fields: &[],
    }
}
