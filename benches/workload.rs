//! Grants, users and requests of one size, made from a seed.

use std::collections::{HashMap, HashSet};

use crate::FORBIDS;
use crate::grants::{Form, Grant};
use crate::names::{self, CLUSTER_WIDE, NAMESPACED};
use crate::random::Random;

const SEED: u64 = 0x05EE_DD00;
const USERS: usize = 1_000;

/// A user.
#[derive(Debug, Clone)]
pub struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<usize>,
    pub(crate) suspended: bool,
}

/// One request: a user asks to do something to an object.
#[derive(Debug, Clone)]
pub struct WorkloadRequest {
    /// Which of the users asks.
    pub user: usize,
    /// The verb.
    pub verb: &'static str,
    pub(crate) kind: (&'static str, &'static str),
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    object_id: String,
    /// Whether grants and forbids allow it, found without Cedar.
    pub allowed: bool,
}

/// Grants, the users that they are for, and requests of which half are denied.
#[derive(Debug, Clone)]
pub struct Workload {
    grants: Vec<Grant>,
    users: Vec<User>,
    requests: Vec<WorkloadRequest>,
}

impl Workload {
    /// Returns the workload of `grants` grants and `requests` requests.
    #[must_use]
    pub fn new(grants: usize, requests: usize) -> Self {
        let mut random = Random::new(SEED);
        let groups = (grants / 10).clamp(60, 2_000);
        let namespaces = (grants / 20).clamp(12, 200);
        let grants = (0..grants).map(|_| Grant::random(&mut random, groups, namespaces)).collect();
        let users = (0..USERS).map(|number| User::random(&mut random, number, groups)).collect();
        let mut workload = Self { grants, users, requests: Vec::new() };
        workload.requests = Requests::of(&workload, namespaces).make(requests, &mut random);
        workload
    }

    /// Returns the grants.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Returns the users.
    #[must_use]
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// Returns the requests.
    #[must_use]
    pub fn requests(&self) -> &[WorkloadRequest] {
        &self.requests
    }

    /// Returns the policies as one text: forbids first, then grants or the templates of grants.
    #[must_use]
    pub fn policies(&self, form: Form) -> String {
        let mut text = FORBIDS.to_owned();
        text.push('\n');
        match form {
            Form::Text => {
                for (number, grant) in self.grants.iter().enumerate() {
                    grant.write_text(number, &mut text);
                }
            }
            Form::Links => {
                let mut written = HashSet::new();
                for grant in &self.grants {
                    if written.insert(grant.template()) {
                        grant.write_template(&mut text);
                    }
                }
            }
        }
        text
    }
}

impl User {
    fn random(random: &mut Random, number: usize, groups: usize) -> Self {
        let count = 5 + random.below(46);
        let mut own: Vec<usize> = (0..count).map(|_| random.below(groups)).collect();
        own.sort_unstable();
        own.dedup();
        Self { name: names::user(number), groups: own, suspended: number % 25 == 7 }
    }

    /// Returns the user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the names of the user's groups.
    pub fn groups(&self) -> impl Iterator<Item = String> {
        self.groups.iter().map(|group| names::group(*group))
    }

    /// Returns whether the user is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }
}

impl WorkloadRequest {
    /// Returns the API group and the resource.
    #[must_use]
    pub fn kind(&self) -> (&'static str, &'static str) {
        self.kind
    }

    /// Returns the namespace's name, if the object is in one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Returns the object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns an id for the object, as Kubernetes writes its path.
    #[must_use]
    pub fn object_id(&self) -> &str {
        &self.object_id
    }

    fn new(
        user: usize,
        verb: &'static str,
        kind: (&'static str, &'static str),
        namespace: Option<String>,
        name: String,
    ) -> Self {
        let (api_group, resource) = kind;
        let space = namespace.as_deref().unwrap_or_default();
        let object_id = format!("{api_group}/{resource}/{space}/{name}");
        Self { user, verb, kind, namespace, name, object_id, allowed: false }
    }
}

/// Makes requests, and knows without Cedar whether a grant allows them.
struct Requests<'a> {
    workload: &'a Workload,
    by_group: HashMap<usize, Vec<&'a Grant>>,
    namespaces: usize,
}

impl<'a> Requests<'a> {
    fn of(workload: &'a Workload, namespaces: usize) -> Self {
        let mut by_group: HashMap<usize, Vec<&Grant>> = HashMap::new();
        for grant in &workload.grants {
            by_group.entry(grant.group).or_default().push(grant);
        }
        Self { workload, by_group, namespaces }
    }

    /// Allowed and denied requests in turn; of the denied, one in eight would be allowed
    /// but for a forbid.
    fn make(&self, count: usize, random: &mut Random) -> Vec<WorkloadRequest> {
        let mut requests = Vec::with_capacity(count);
        while requests.len() < count {
            let wanted = (requests.len() % 2 == 0, requests.len() % 16 == 1);
            let (allowed, forbidden) = wanted;
            let asked = if allowed || forbidden { self.granted(random) } else { self.any(random) };
            let Some(asked) = asked else { continue };
            if self.is_granted(&asked) == (allowed || forbidden)
                && self.is_forbidden(&asked) == forbidden
            {
                requests.push(WorkloadRequest { allowed, ..asked });
            }
        }
        requests
    }

    /// Returns a request that one of the user's grants is meant for.
    fn granted(&self, random: &mut Random) -> Option<WorkloadRequest> {
        let user = random.below(self.workload.users.len());
        let groups = &self.workload.users.get(user)?.groups;
        let grants = self.by_group.get(&random.pick(groups)?)?;
        let grant = random.pick(grants)?;
        let verb = random.pick(grant.verbs())?;
        Some(WorkloadRequest::new(user, verb, grant.kind, grant.namespace(), name(random)))
    }

    fn any(&self, random: &mut Random) -> Option<WorkloadRequest> {
        let user = random.below(self.workload.users.len());
        let cluster_wide = random.once_in(10);
        let kinds: &[_] = if cluster_wide { &CLUSTER_WIDE } else { &NAMESPACED };
        let verbs = *names::VERBS.last()?;
        let (verb, kind) = (random.pick(verbs)?, random.pick(kinds)?);
        let namespace = (!cluster_wide).then(|| names::namespace(random.below(self.namespaces)));
        Some(WorkloadRequest::new(user, verb, kind, namespace, name(random)))
    }

    fn is_granted(&self, asked: &WorkloadRequest) -> bool {
        let Some(user) = self.workload.users.get(asked.user) else { return false };
        let grants = user.groups.iter().filter_map(|group| self.by_group.get(group)).flatten();
        grants.into_iter().any(|grant| {
            grant.kind == asked.kind
                && grant.verbs().contains(&asked.verb)
                && (grant.namespace.is_none() || grant.namespace() == asked.namespace)
        })
    }

    /// The forbids' meaning, written a second time; nobody is in the groups that they exempt.
    fn is_forbidden(&self, asked: &WorkloadRequest) -> bool {
        let Some(user) = self.workload.users.get(asked.user) else { return false };
        let reads = ["get", "list", "watch"].contains(&asked.verb);
        let namespace = asked.namespace().unwrap_or_default();
        user.suspended
            || (reads && asked.kind == ("", "secrets"))
            || (!reads && namespace == "kube-system")
            || (!reads && user.name.starts_with("contractor-") && namespace.starts_with("prod-"))
            || (asked.verb == "delete" && asked.name.starts_with("system:"))
    }
}

fn name(random: &mut Random) -> String {
    if random.once_in(50) {
        format!("system:node-{}", random.below(20))
    } else {
        format!("web-{}", random.below(500))
    }
}
