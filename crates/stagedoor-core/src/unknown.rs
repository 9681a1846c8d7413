//! What of a request is not known while a question is answered.

use smol_str::SmolStr;

use crate::symbols::{Path, Step, Var};

/// How much is known of one variable of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Extent {
    /// Everything.
    #[default]
    All,
    /// Nothing but its type and these attributes.
    Only(Box<[SmolStr]>),
}

/// What is not known of a request; the action always is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Unknown {
    pub(crate) principal: Extent,
    pub(crate) resource: Extent,
    pub(crate) context: Extent,
}

impl Extent {
    pub(crate) const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Returns whether this attribute is known, be it there or not.
    pub(crate) fn knows(&self, attribute: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == attribute),
        }
    }
}

impl Unknown {
    pub(crate) fn of(&self, var: Var) -> &Extent {
        match var {
            Var::Principal => &self.principal,
            Var::Resource => &self.resource,
            Var::Context => &self.context,
            Var::Action => &Extent::All,
        }
    }

    /// Returns whether what stands at a path is not known.
    pub(crate) fn is_open(&self, path: &Path) -> bool {
        let extent = self.of(path.var);
        match path.steps.first() {
            Some(Step::Attribute(name)) => !extent.knows(name),
            Some(Step::Tag(_)) | None => !extent.is_all(),
        }
    }
}
