//! Who reaches everything, nodes or secrets, by which steps.
//!
//! A step is what somebody does with a grant to become somebody else: create a pod that runs
//! as a service account, mint a token, impersonate. Steps that hang on what roles do not say,
//! such as whether Pod Security lets a pod onto its node's file system, are not counted.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;

use serde::Serialize;

use super::super::object::ObjectSource;
use super::super::resolve::{Grant, Grantee, ResolvedRbac};
use super::covers::{Access, RuleCoverage};
use super::danger::{
    APPROVE, APPROVE_SIGNERS, BIND, BIND_CLUSTER, BINDINGS, CHANGE_CLUSTER_ROLES, CHANGE_PODS,
    CHANGE_WORKLOADS, CLUSTER_BINDINGS, CREATE_PODS, CREATE_SECRETS, CREATE_WORKLOADS, ESCALATE,
    ESCALATE_CLUSTER, EXEC, MUTATING, MUTATING_WEBHOOKS, NODES_PROXY, READ_SECRETS,
    REQUEST_CERTIFICATES, TOKENS, VOLUMES,
};
use super::grants::{HeldRule, Holdings, MODES, SYSTEM};
use crate::subject::Identity;

/// What a chain leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChainTarget {
    /// Every verb on every resource of the cluster.
    ClusterAdmin,
    /// The file systems of nodes, or every pod on them.
    Nodes,
    /// The secrets of every namespace.
    Secrets,
}

impl ChainTarget {
    /// Every target, the worst first.
    pub const ALL: [Self; 3] = [Self::ClusterAdmin, Self::Nodes, Self::Secrets];

    /// Returns the name, such as `cluster-admin`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterAdmin => "cluster-admin",
            Self::Nodes => "nodes",
            Self::Secrets => "secrets",
        }
    }
}

impl fmt::Display for ChainTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One step: who does what, and who or what is reached by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ChainStep {
    /// Who: `Group/devs`, or `ServiceAccount/ci/deployer`.
    pub from: String,
    /// What they do.
    pub does: String,
    /// Who they are then, or the target.
    pub to: String,
    /// The binding that lets them.
    pub binding: String,
    /// The role that it grants.
    pub role: String,
    /// Which rule of the role, from 0.
    pub rule: usize,
    /// The file of the binding.
    pub file: String,
    /// The line at which the binding's document starts, from 1.
    pub line: usize,
}

/// A way from somebody to a target, as short as there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Chain {
    /// Who begins.
    pub subject: String,
    /// Where it ends.
    pub target: ChainTarget,
    /// How, at least one step.
    pub steps: Vec<ChainStep>,
}

impl Chain {
    /// Returns the chains of everybody to whom something is granted that is not built in, by
    /// subject and target.
    ///
    /// # Examples
    ///
    /// ```
    /// use stagedoor_kubernetes::KubernetesVersion;
    /// use stagedoor_kubernetes::rbac::{BuiltIns, Chain, ChainTarget, RbacObjects};
    ///
    /// let mut objects = RbacObjects::default();
    /// objects.read("ci.yaml", "
    /// apiVersion: rbac.authorization.k8s.io/v1
    /// kind: ClusterRoleBinding
    /// metadata: { name: deployer }
    /// subjects: [{ kind: ServiceAccount, name: deployer, namespace: ci }]
    /// roleRef: { kind: ClusterRole, name: cluster-admin }
    /// ---
    /// apiVersion: rbac.authorization.k8s.io/v1
    /// kind: RoleBinding
    /// metadata: { name: devs, namespace: ci }
    /// subjects: [{ kind: Group, name: devs }]
    /// roleRef: { kind: ClusterRole, name: edit }
    /// ")?;
    /// objects.add_built_ins(KubernetesVersion::NEWEST, BuiltIns::All)?;
    /// let chains = Chain::all_of(&objects.resolve()?);
    /// let of_devs = chains.iter().find(|chain| chain.subject == "Group/devs");
    /// let steps = of_devs.map(|chain| (chain.target, chain.steps.len()));
    /// assert_eq!(steps, Some((ChainTarget::ClusterAdmin, 2)));
    /// # Ok::<(), stagedoor_kubernetes::rbac::RbacError>(())
    /// ```
    #[must_use]
    pub fn all_of(rbac: &ResolvedRbac) -> Vec<Self> {
        let holdings = Holdings::of(rbac);
        let graph = Graph::of(&holdings);
        let mut chains = Vec::new();
        for target in ChainTarget::ALL {
            let next = graph.next_to(target);
            for grantee in graph.grantees.iter().filter(|grantee| is_given(grantee, &holdings)) {
                if let Some(steps) = graph.walk(Node::Who((*grantee).clone()), &next) {
                    chains.push(Self { subject: subject(grantee), target, steps });
                }
            }
        }
        chains.sort_by(|a, b| (&a.subject, a.target).cmp(&(&b.subject, b.target)));
        chains
    }
}

/// Whether somebody is granted anything by a binding that was given.
fn is_given(grantee: &Grantee, holdings: &Holdings<'_>) -> bool {
    holdings.held_by(grantee).any(|held| {
        held.grant.grantee() == grantee
            && held.grant.binding().origin.source != ObjectSource::BuiltIn
    })
}

/// Returns a grantee's name as findings have it, with service accounts taken apart.
fn subject(grantee: &Grantee) -> String {
    match grantee {
        Grantee::Group(name) => format!("Group/{name}"),
        Grantee::User(name) => match Identity::of(name) {
            Identity::ServiceAccount { namespace, name } => {
                format!("ServiceAccount/{namespace}/{name}")
            }
            _ => format!("User/{name}"),
        },
    }
}

/// Somebody, several people of whom a step can pick one, or a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Node {
    Who(Grantee),
    AccountsOf(String),
    EveryAccount,
    EveryUser,
    Target(ChainTarget),
}

struct Edge {
    from: usize,
    to: usize,
    /// Nothing where the one is of the other.
    step: Option<ChainStep>,
}

struct Graph<'a> {
    grantees: Vec<&'a Grantee>,
    nodes: Vec<Node>,
    numbers: HashMap<Node, usize>,
    edges: Vec<Edge>,
}

impl<'a> Graph<'a> {
    fn of(holdings: &Holdings<'a>) -> Self {
        let mut graph = Self {
            grantees: holdings.grantees(),
            nodes: Vec::new(),
            numbers: HashMap::new(),
            edges: Vec::new(),
        };
        let mut namespaces = BTreeSet::new();
        for grantee in graph.grantees.clone() {
            let Grantee::User(name) = grantee else { continue };
            let node = Node::Who(grantee.clone());
            graph.edge(Node::EveryUser, node.clone(), None);
            if let Identity::ServiceAccount { namespace, .. } = Identity::of(name) {
                namespaces.insert(namespace.to_owned());
                graph.edge(Node::AccountsOf(namespace.to_owned()), node, None);
            }
        }
        for namespace in namespaces {
            graph.edge(Node::EveryAccount, Node::AccountsOf(namespace), None);
        }
        for grantee in graph.grantees.clone() {
            let holder = Holder { held: holdings.held_by(grantee).collect() };
            for (grant, to, does) in holder.ways(&graph.grantees) {
                let step = step(grantee, grant, &to, does);
                graph.edge(Node::Who(grantee.clone()), to, Some(step));
            }
        }
        graph
    }

    fn number(&mut self, node: Node) -> usize {
        *self.numbers.entry(node.clone()).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    fn edge(&mut self, from: Node, to: Node, step: Option<ChainStep>) {
        let (from, to) = (self.number(from), self.number(to));
        self.edges.push(Edge { from, to, step });
    }

    /// Returns for each node the edge that leads on towards a target in the fewest steps.
    fn next_to(&self, target: ChainTarget) -> Vec<Option<usize>> {
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (at, edge) in self.edges.iter().enumerate() {
            if let Some(edges) = into.get_mut(edge.to) {
                edges.push(at);
            }
        }
        let mut next = vec![None; self.nodes.len()];
        let mut distance = vec![usize::MAX; self.nodes.len()];
        let Some(start) = self.numbers.get(&Node::Target(target)) else { return next };
        let mut open = VecDeque::from([(*start, 0)]);
        if let Some(distance) = distance.get_mut(*start) {
            *distance = 0;
        }
        // What is of another costs no step, so such nodes come first.
        while let Some((node, steps)) = open.pop_front() {
            if distance.get(node).is_none_or(|known| *known < steps) {
                continue;
            }
            for at in into.get(node).into_iter().flatten() {
                let Some(edge) = self.edges.get(*at) else { continue };
                let more = steps + usize::from(edge.step.is_some());
                let Some(known) = distance.get_mut(edge.from).filter(|known| more < **known) else {
                    continue;
                };
                *known = more;
                if let Some(next) = next.get_mut(edge.from) {
                    *next = Some(*at);
                }
                match edge.step {
                    Some(_) => open.push_back((edge.from, more)),
                    None => open.push_front((edge.from, more)),
                }
            }
        }
        next
    }

    /// Returns the steps from a node on, or nothing where there is no way.
    fn walk(&self, from: Node, next: &[Option<usize>]) -> Option<Vec<ChainStep>> {
        let mut at = *self.numbers.get(&from)?;
        let mut steps: Vec<ChainStep> = Vec::new();
        while let Some(edge) = next.get(at).copied().flatten().and_then(|edge| self.edges.get(edge))
        {
            match (&edge.step, self.nodes.get(edge.to)) {
                (Some(step), _) => steps.push(step.clone()),
                // Who of them it is.
                (None, Some(Node::Who(grantee))) => {
                    if let Some(last) = steps.last_mut() {
                        last.to = subject(grantee);
                    }
                }
                (None, _) => {}
            }
            at = edge.to;
        }
        (!steps.is_empty()).then_some(steps)
    }
}

fn step(grantee: &Grantee, grant: Grant<'_>, to: &Node, does: String) -> ChainStep {
    let binding = grant.binding();
    ChainStep {
        from: subject(grantee),
        does,
        to: match to {
            Node::Who(grantee) => subject(grantee),
            Node::AccountsOf(namespace) => format!("service accounts of {namespace}"),
            Node::EveryAccount => "every service account".to_owned(),
            Node::EveryUser => "every user".to_owned(),
            Node::Target(target) => target.to_string(),
        },
        binding: binding.to_string(),
        role: grant.role().to_string(),
        rule: grant.number(),
        file: binding.origin.file.clone(),
        line: binding.origin.line,
    }
}

/// Somebody's grants, asked where they lead.
struct Holder<'a> {
    held: Vec<HeldRule<'a>>,
}

type Way<'a> = (Grant<'a>, Node, String);

impl<'a> Holder<'a> {
    /// Returns the ways that one step leads.
    fn ways(&self, grantees: &[&Grantee]) -> Vec<Way<'a>> {
        let mut ways = Vec::new();
        for held in &self.held {
            self.to_accounts(held, grantees, &mut ways);
            self.to_targets(held, &mut ways);
            self.by_impersonation(held, grantees, &mut ways);
        }
        ways
    }

    fn has(&self, accesses: &[Access], namespace: Option<&str>) -> bool {
        self.held.iter().any(|held| {
            let covers = RuleCoverage { rule: held.grant.rule() };
            held.reaches(namespace) && accesses.iter().any(|access| covers.covers(access))
        })
    }

    /// By what runs as service accounts, or speaks for them.
    fn to_accounts(&self, held: &HeldRule<'a>, grantees: &[&Grantee], ways: &mut Vec<Way<'a>>) {
        let (grant, rule) = (held.grant, held.grant.rule());
        let namespace = grant.namespace();
        let covers = |accesses: &[Access]| {
            accesses.iter().any(|access| RuleCoverage { rule }.covers(access))
        };
        let accounts = || match namespace {
            Some(namespace) => Node::AccountsOf(namespace.to_owned()),
            None => Node::EveryAccount,
        };
        let place = namespace.map_or_else(String::new, |namespace| format!(" in {namespace}"));
        let mut add = |does: &str| ways.push((grant, accounts(), format!("{does}{place}")));
        let named = !rule.resource_names.is_empty();
        if covers(CREATE_PODS) && !named {
            add("creates pods");
        } else if covers(CREATE_WORKLOADS) && !named {
            add("creates workloads");
        } else if covers(CHANGE_WORKLOADS) {
            add("changes workloads");
        } else if covers(CHANGE_PODS) {
            add("changes pods");
        }
        if covers(EXEC) {
            add("runs commands in pods");
        }
        if covers(CREATE_SECRETS) && !named && self.has(READ_SECRETS, namespace) {
            add("creates token secrets and reads them");
        }
        let (bind, escalate) = (covers(BIND), covers(ESCALATE));
        if bind && !named && self.has(BINDINGS, namespace) {
            add("binds any role");
        }
        if escalate && !named && namespace.is_some() {
            add("writes any role");
        }
        if namespace.is_none() && covers(NODES_PROXY) {
            add("runs commands in pods through the kubelet");
        }
        if covers(TOKENS) {
            let does = format!("mints tokens{place}");
            if named {
                for account in accounts_named(&rule.resource_names, namespace, grantees) {
                    ways.push((grant, Node::Who(account), does.clone()));
                }
            } else {
                ways.push((grant, accounts(), does));
            }
        }
    }

    fn to_targets(&self, held: &HeldRule<'a>, ways: &mut Vec<Way<'a>>) {
        let (grant, rule) = (held.grant, held.grant.rule());
        let namespace = grant.namespace();
        let covers = |accesses: &[Access]| {
            accesses.iter().any(|access| RuleCoverage { rule }.covers(access))
        };
        let mut add = |target, does: &str| {
            ways.push((grant, Node::Target(target), does.to_owned()));
        };
        let in_system = namespace.is_none_or(|namespace| namespace == SYSTEM);
        let named = !rule.resource_names.is_empty();
        let runs_pods = (covers(CREATE_PODS) || covers(CREATE_WORKLOADS)) && !named;
        if in_system && (runs_pods || covers(CHANGE_WORKLOADS)) {
            add(ChainTarget::Nodes, "runs pods of kube-system, on any node");
        }
        if namespace.is_some() {
            return;
        }
        if grant.grantee().name() == "system:masters" {
            add(ChainTarget::ClusterAdmin, "is let through without being asked about");
        }
        if (RuleCoverage { rule }).everything() {
            add(ChainTarget::ClusterAdmin, "holds every verb on every resource");
        }
        let is_admin = rule.resource_names.iter().any(|name| name == "cluster-admin");
        if covers(BIND_CLUSTER) && (!named || is_admin) && self.has(CLUSTER_BINDINGS, None) {
            add(ChainTarget::ClusterAdmin, "binds cluster-admin");
        }
        if covers(ESCALATE_CLUSTER) && self.has(CHANGE_CLUSTER_ROLES, None) {
            add(ChainTarget::ClusterAdmin, "writes more into a ClusterRole that it is bound to");
        }
        if covers(MUTATING) || covers(MUTATING_WEBHOOKS) {
            add(ChainTarget::ClusterAdmin, "changes what administrators send");
        }
        if covers(NODES_PROXY) {
            add(ChainTarget::Nodes, "reaches the kubelets");
        }
        if covers(VOLUMES) && self.has(CREATE_PODS, None) {
            add(ChainTarget::Nodes, "mounts directories of nodes by persistent volumes");
        }
        if covers(READ_SECRETS) && !named {
            add(ChainTarget::Secrets, "reads them");
        }
        if covers(REQUEST_CERTIFICATES)
            && self.has(APPROVE, None)
            && self.has(APPROVE_SIGNERS, None)
        {
            ways.push((grant, Node::EveryUser, "approves its own certificates".to_owned()));
        }
    }

    fn by_impersonation(
        &self,
        held: &HeldRule<'a>,
        grantees: &[&Grantee],
        ways: &mut Vec<Way<'a>>,
    ) {
        let (grant, rule) = (held.grant, held.grant.rule());
        let (covers, namespace) = (RuleCoverage { rule }, grant.namespace());
        let named = !rule.resource_names.is_empty();
        let known = |grantee: Grantee| grantees.contains(&&grantee).then_some(Node::Who(grantee));
        let mut add = |node, does: &str| ways.push((grant, node, does.to_owned()));
        let accounts = |add: &mut dyn FnMut(Node, &str), does: &str| {
            if named {
                for account in accounts_named(&rule.resource_names, namespace, grantees) {
                    add(Node::Who(account), does);
                }
            } else {
                add(namespace.map_or(Node::EveryAccount, |n| Node::AccountsOf(n.to_owned())), does);
            }
        };
        if covers.any(&["impersonate"], "", &["serviceaccounts"]) {
            accounts(&mut add, "impersonates");
        }
        let is_constrained = |mode: &str| self.is_granted_requests(mode, namespace);
        for (mode, resource, _) in MODES {
            let verb = format!("impersonate:{mode}");
            if !covers.any(&[&verb], "authentication.k8s.io", &[resource]) || !is_constrained(mode)
            {
                continue;
            }
            let does = format!("impersonates ({mode}) for some requests");
            match resource {
                "serviceaccounts" => accounts(&mut add, &does),
                "users" if namespace.is_none() && !named => add(Node::EveryUser, &does),
                "users" if namespace.is_none() => {
                    for name in &rule.resource_names {
                        known(Grantee::User(name.clone())).into_iter().for_each(|n| add(n, &does));
                    }
                }
                _ => {}
            }
        }
        if namespace.is_some() {
            return;
        }
        if covers.any(&["impersonate"], "", &["users"]) {
            if named {
                for name in &rule.resource_names {
                    let node = known(Grantee::User(name.clone()));
                    node.into_iter().for_each(|node| add(node, "impersonates"));
                }
            } else {
                add(Node::EveryUser, "impersonates");
            }
        }
        // A group is impersonated along with a user or a service account.
        let whom = [
            Access { verbs: &["impersonate"], group: "", resources: &["users"] },
            Access { verbs: &["impersonate"], group: "", resources: &["serviceaccounts"] },
        ];
        if covers.any(&["impersonate"], "", &["groups"]) && self.has_somewhere(&whom) {
            if !named || rule.resource_names.iter().any(|name| name == "system:masters") {
                add(Node::Target(ChainTarget::ClusterAdmin), "impersonates system:masters");
            }
            for name in &rule.resource_names {
                let node = known(Grantee::Group(name.clone()));
                node.into_iter().for_each(|node| add(node, "impersonates"));
            }
        }
    }

    fn has_somewhere(&self, accesses: &[Access]) -> bool {
        self.held.iter().any(|held| {
            let covers = RuleCoverage { rule: held.grant.rule() };
            accesses.iter().any(|access| covers.covers(access))
        })
    }

    /// Whether there is a request that may be made in the name of others by a mode.
    fn is_granted_requests(&self, mode: &str, namespace: Option<&str>) -> bool {
        let prefix = format!("impersonate-on:{mode}:");
        self.held.iter().any(|held| {
            let verbs = &held.grant.rule().verbs;
            (held.reaches(namespace) || namespace.is_none())
                && verbs.iter().any(|verb| verb == "*" || verb.starts_with(&prefix))
        })
    }
}

/// Returns the service accounts of these names to whom something is granted.
fn accounts_named(
    names: &[String],
    namespace: Option<&str>,
    grantees: &[&Grantee],
) -> Vec<Grantee> {
    let is_named = |grantee: &&&Grantee| match Identity::of(grantee.name()) {
        Identity::ServiceAccount { namespace: own, name } => {
            matches!(grantee, Grantee::User(_))
                && names.iter().any(|n| n == name)
                && namespace.is_none_or(|namespace| namespace == own)
        }
        _ => false,
    };
    grantees.iter().filter(is_named).map(|grantee| (*grantee).clone()).collect()
}
