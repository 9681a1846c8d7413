//! The bounds that keep untrusted input from costing more than it should.

/// Bounds on what an [`Engine`](crate::Engine) loads and decides about.
///
/// Every bound has an error that names it. The defaults fit a platform team's
/// largest policy sets with room to spare.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Size of one policy, schema or entities file, in bytes (64 MiB).
    pub file_bytes: usize,
    /// Size of one policy, in bytes (64 KiB).
    pub policy_bytes: usize,
    /// Number of policies, templates and links in one engine (1,000,000).
    pub policies: usize,
    /// How deep brackets, negations and `if` may nest in a policy, a schema or JSON (64).
    pub nesting: usize,
    /// Number of operators in one policy, which bounds the depth of its expression (2,000).
    pub operators: usize,
    /// Size of the schema with its common types written out, in parts of types (200,000).
    pub schema_parts: usize,
    /// Number of entities in one store (1,000,000).
    pub entities: usize,
    /// Number of ancestors of one entity (10,000).
    pub ancestors: usize,
    /// Number of ancestors of all entities of a store taken together, each counted for
    /// every parent it comes by (10,000,000).
    pub memberships: usize,
    /// Length of one string, id or attribute name in entities and requests, in bytes (64 KiB).
    pub string_bytes: usize,
    /// Number of load problems that are reported before the rest are only counted (100).
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            policy_bytes: 64 << 10,
            policies: 1_000_000,
            nesting: 64,
            operators: 2_000,
            schema_parts: 200_000,
            entities: 1_000_000,
            ancestors: 10_000,
            memberships: 10_000_000,
            string_bytes: 64 << 10,
            problems: 100,
        }
    }
}
