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
    /// How much strict validation may take, in steps: for each policy that differs from others in
    /// more than names and strings, one for every combination of principal type, action and
    /// resource type in the schema, and as many as the policy has parts for every one that its
    /// scope matches (10,000,000).
    pub validation_steps: usize,
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
            validation_steps: 10_000_000,
            entities: 1_000_000,
            ancestors: 10_000,
            memberships: 10_000_000,
            string_bytes: 64 << 10,
            problems: 100,
        }
    }
}

/// Beyond these bounds Cedar's recursion needs more room than the threads have that load and
/// decide.
const NESTING_CAP: usize = 256;
const OPERATORS_CAP: usize = 8_000;

impl Limits {
    /// The limits by the names that settings give them.
    pub const NAMES: [&'static str; 12] = [
        "fileBytes",
        "policyBytes",
        "policies",
        "nesting",
        "operators",
        "schemaParts",
        "validationSteps",
        "entities",
        "ancestors",
        "memberships",
        "stringBytes",
        "problems",
    ];

    /// Sets a limit by the name that settings give it: `policyBytes` for
    /// [`policy_bytes`](Self::policy_bytes).
    ///
    /// # Errors
    ///
    /// [`UnknownLimit`] if there is none of this name, or if it cannot be so large.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut limits = stagedoor_core::Limits::default();
    /// limits.set("policyBytes", 128 << 10)?;
    /// assert_eq!(limits.policy_bytes, 128 << 10);
    /// assert!(limits.set("policy-bytes", 1).is_err());
    /// # Ok::<(), stagedoor_core::UnknownLimit>(())
    /// ```
    pub fn set(&mut self, name: &str, value: usize) -> Result<(), UnknownLimit> {
        let capped = |most: usize| match value > most {
            true => Err(UnknownLimit::TooLarge { name: name.to_owned(), most }),
            false => Ok(value),
        };
        match name {
            "fileBytes" => self.file_bytes = capped(u32::MAX as usize)?,
            "policyBytes" => self.policy_bytes = value,
            "policies" => self.policies = value,
            "nesting" => self.nesting = capped(NESTING_CAP)?,
            "operators" => self.operators = capped(OPERATORS_CAP)?,
            "schemaParts" => self.schema_parts = value,
            "validationSteps" => self.validation_steps = value,
            "entities" => self.entities = value,
            "ancestors" => self.ancestors = value,
            "memberships" => self.memberships = value,
            "stringBytes" => self.string_bytes = value,
            "problems" => self.problems = value,
            _ => return Err(UnknownLimit::Name(name.to_owned())),
        }
        Ok(())
    }
}

/// Says how a limit is raised; `name` is the one that settings have.
pub(crate) fn raise(name: &str) -> String {
    format!("raise the limit `{name}`: `--limits FILE`, or `limits` in options and settings")
}

/// A limit that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownLimit {
    /// There is no such limit.
    #[error("there is no limit `{0}`; the limits are {names}", names = Limits::NAMES.join(", "))]
    Name(String),
    /// What is loaded would need more stack than there is.
    #[error("the limit `{name}` cannot be more than {most}")]
    TooLarge {
        /// The limit.
        name: String,
        /// The largest that it can be.
        most: usize,
    },
}
