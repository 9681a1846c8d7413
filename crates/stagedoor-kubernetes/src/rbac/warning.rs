//! What an import leaves out, and why.

/// Something in RBAC objects that grants nothing, though its author may have meant it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RbacWarning {
    /// An object of another kind stood among the roles and bindings.
    #[error(
        "{file}: document {document}: `{kind}` of `{api_version}` is not an RBAC object; passed over"
    )]
    OtherKind {
        /// The file.
        file: String,
        /// Which document of the file, from 1.
        document: usize,
        /// Its API version.
        api_version: String,
        /// Its kind.
        kind: String,
    },
    /// A namespaced object names no namespace.
    #[error("`{object}` has no namespace, so it grants nothing; name one with `--namespace`")]
    NoNamespace {
        /// The object.
        object: String,
    },
    /// A binding refers to a role that is not there.
    #[error("`{binding}` refers to `{role}`, which is not there; it grants nothing")]
    MissingRole {
        /// The binding.
        binding: String,
        /// The role.
        role: String,
    },
    /// A binding refers to a kind of role that there is not.
    #[error("`{binding}` refers to a role of the kind `{kind}`; it grants nothing")]
    UnknownRoleKind {
        /// The binding.
        binding: String,
        /// The kind.
        kind: String,
    },
    /// A ClusterRoleBinding refers to a Role, which has a namespace.
    #[error(
        "`{binding}` refers to the Role `{role}`, but only ClusterRoles hold for a cluster; it grants nothing"
    )]
    ClusterBindingToRole {
        /// The binding.
        binding: String,
        /// The role.
        role: String,
    },
    /// A subject of a kind that there is not.
    #[error("`{binding}`: subjects[{subject}] has unknown kind `{kind}`; it grants nothing")]
    UnknownSubjectKind {
        /// The binding.
        binding: String,
        /// Which subject, from 0.
        subject: usize,
        /// The kind.
        kind: String,
    },
    /// A service account of no namespace.
    #[error(
        "`{binding}`: subjects[{subject}], a service account, names no namespace; it is nobody"
    )]
    SubjectWithoutNamespace {
        /// The binding.
        binding: String,
        /// Which subject, from 0.
        subject: usize,
    },
    /// A role that nothing can be aggregated for.
    #[error("`{role}`: the aggregation rule is not valid ({reason}); it takes over no rules")]
    InvalidSelector {
        /// The role.
        role: String,
        /// What is wrong.
        reason: String,
    },
    /// An object that cannot be used as it is written.
    #[error("{file}: document {document}: {object} is passed over: {reason}")]
    PassedOver {
        /// The file.
        file: String,
        /// Which document of the file, from 1.
        document: usize,
        /// The line at which the document starts, from 1.
        line: usize,
        /// What it is, as far as that can be told.
        object: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Rules that a controller overwrites with those of other roles.
    #[error(
        "`{role}` aggregates other roles: in a cluster its own rules ({}) are overwritten by \
         theirs and grant nothing; put them into a role that it selects",
        numbers(.rules)
    )]
    OverwrittenRules {
        /// The role.
        role: String,
        /// Which rules, from 0.
        rules: Vec<usize>,
    },
    /// A part of a rule that no request can match.
    #[error("`{role}`: rules[{rule}]: {reason}")]
    Unmatchable {
        /// The role.
        role: String,
        /// Which rule, from 0.
        rule: usize,
        /// What never matches, why, and what may be meant.
        reason: String,
    },
    /// A part of a rule that no request can match where a binding grants it.
    #[error("`{binding}` grants `{role}`: rules[{rule}]: {reason}")]
    UnmatchableInNamespace {
        /// The binding.
        binding: String,
        /// The role.
        role: String,
        /// Which rule, from 0.
        rule: usize,
        /// What never matches, and why.
        reason: String,
    },
    /// A subject that nobody can be.
    #[error("`{binding}`: subjects[{subject}]: {reason}")]
    UnmatchableSubject {
        /// The binding.
        binding: String,
        /// Which subject, from 0.
        subject: usize,
        /// Why.
        reason: String,
    },
    /// A rule that matches no request.
    #[error("`{role}`: rules[{rule}] grants nothing: {reason}")]
    EmptyRule {
        /// The role.
        role: String,
        /// Which rule, from 0.
        rule: usize,
        /// Why.
        reason: &'static str,
    },
}

fn numbers(rules: &[usize]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("rules[{rule}]")).collect();
    rules.join(", ")
}
