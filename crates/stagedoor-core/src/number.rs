//! Numbers that stand for policies, names and parts of the index, one type for each kind: a path's
//! number is not taken where a policy's is meant.

/// Makes types of numbers that count from 0, each with the functions that are named.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $($function:ident),+;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub(crate) struct $name(u32);

        impl $name {
            $(function!($function);)+
        }
    )+};
}

macro_rules! function {
    (new) => {
        #[inline]
        pub(crate) const fn new(number: u32) -> Self {
            Self(number)
        }
    };
    (none) => {
        /// A number that nothing has, however many there are.
        pub(crate) const NONE: Self = Self(u32::MAX);
    };
    (after) => {
        /// Returns the number of what comes after so many others. Limits keep every table far
        /// below 2³² entries.
        pub(crate) fn after(len: usize) -> Self {
            Self(u32::try_from(len).unwrap_or(u32::MAX))
        }
    };
    (get) => {
        #[inline]
        pub(crate) const fn get(self) -> u32 {
            self.0
        }
    };
    (index) => {
        /// Returns the place in a table by number.
        #[inline]
        pub(crate) const fn index(self) -> usize {
            self.0 as usize
        }
    };
}

numbers! {
    /// A policy of an engine: the order of numbers is that of the policy set.
    PolicyNumber: new, get, index;
    /// An entity that a policy names.
    EntityNumber: new, none, get;
    /// An entity type that policies or the schema name.
    TypeNumber: after, get, index;
    /// A path that policies read, such as `resource.namespace`.
    PathNumber: after, index;
    /// A guard that is bound to an engine's policies: a rule with its arguments.
    GuardNumber: after;
    /// A node of the index's tree.
    NodeNumber: after, index;
    /// A test that policies share.
    TestNumber: after, index;
    /// A list of checks in the index's tree.
    CheckListNumber: after, index;
}
