//! Mistakes that mutants have.

use serde::Serialize;

/// What a mutant changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Operator {
    /// `permit` becomes `forbid`, or the other way round.
    SwapEffect,
    /// The policy is gone.
    DropPolicy,
    /// A clause holds where it did not, and does not where it did.
    NegateClause,
    /// A clause that `&&` joins, or a whole `unless`, is gone.
    DropConjunct,
    /// A clause that `||` joins is gone.
    DropDisjunct,
    /// `&&` becomes `||`, or the other way round.
    SwapConnective,
    /// The scope matches more.
    WidenScope,
    /// The scope matches less.
    NarrowScope,
    /// Another action stands in the scope.
    SwapAction,
    /// `in` becomes `==`, or the other way round.
    SwapMembership,
    /// `<` becomes `<=`, `containsAny` becomes `containsAll`, or the other way round.
    SwapComparison,
    /// A string, a number or an entity is another one.
    ChangeConstant,
    /// A set has one element less.
    DropElement,
    /// The policy is not guarded.
    DropGuard,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::SwapEffect,
        Self::DropPolicy,
        Self::NegateClause,
        Self::DropConjunct,
        Self::DropDisjunct,
        Self::SwapConnective,
        Self::WidenScope,
        Self::NarrowScope,
        Self::SwapAction,
        Self::SwapMembership,
        Self::SwapComparison,
        Self::ChangeConstant,
        Self::DropElement,
        Self::DropGuard,
    ];

    /// Returns the name, which suppressions have, too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SwapEffect => "swap-effect",
            Self::DropPolicy => "drop-policy",
            Self::NegateClause => "negate-clause",
            Self::DropConjunct => "drop-conjunct",
            Self::DropDisjunct => "drop-disjunct",
            Self::SwapConnective => "swap-connective",
            Self::WidenScope => "widen-scope",
            Self::NarrowScope => "narrow-scope",
            Self::SwapAction => "swap-action",
            Self::SwapMembership => "swap-membership",
            Self::SwapComparison => "swap-comparison",
            Self::ChangeConstant => "change-constant",
            Self::DropElement => "drop-element",
            Self::DropGuard => "drop-guard",
        }
    }
}
