//! What an author implements.

use alloc::format;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::json;
use crate::request::Request;
use crate::verdict::Verdict;

/// A custom rule: a function of a request and the policy's arguments.
///
/// Its name and version are the package's. [`export!`](crate::export) makes a component of it.
pub trait Rule {
    /// What it looks at. The request holds nothing else, so that the host knows when the rule
    /// can be asked and which answers it may keep.
    const INPUTS: Inputs;

    /// The JSON schema of the arguments. A policy whose arguments do not fit does not load.
    ///
    /// The host knows these keywords: `type`, `properties`, `required`,
    /// `additionalProperties`, `items`, `enum`, `minimum`, `maximum`, `minLength`,
    /// `maxLength`, `minItems`, `maxItems`, `uniqueItems`, `description`, `title`, `default`
    /// and `examples`. It refuses a rule with any other, rather than leave it unchecked.
    const ARGUMENTS: &'static str;

    /// The arguments, as serde reads them.
    type Arguments: DeserializeOwned;

    /// Checks a policy's arguments beyond what their schema says, when the policy is loaded: that a
    /// pattern can be read, say. Everything is fine unless a rule says otherwise.
    ///
    /// # Errors
    ///
    /// [`Error`] with what is wrong. The policy does not load.
    fn validate(arguments: &Self::Arguments) -> Result<(), Error> {
        let _ = arguments;
        Ok(())
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// [`Error`] if there is no answer. It fails closed.
    fn evaluate(request: &Request, arguments: Self::Arguments) -> Result<Verdict, Error>;

    /// Checks arguments that are JSON, as the host does: for tests.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate), and if the arguments cannot be read.
    fn validate_json(arguments: &str) -> Result<(), Error> {
        Self::validate(&read::<Self>(arguments)?)
    }

    /// Answers a request whose arguments are JSON, as the host does: for tests.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate), and if the arguments cannot be read.
    fn evaluate_json(request: &Request, arguments: &str) -> Result<Verdict, Error> {
        Self::evaluate(request, read::<Self>(arguments)?)
    }
}

fn read<R: Rule + ?Sized>(arguments: &str) -> Result<R::Arguments, Error> {
    json::read(arguments).map_err(|e| Error::new(format!("the arguments cannot be read: {e}")))
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Inputs {
    /// The principal, with attributes, tags and ancestors.
    pub principal: bool,
    /// The action's id.
    pub action: bool,
    /// The resource, with attributes, tags and ancestors.
    pub resource: bool,
    /// The context.
    pub context: bool,
}

impl Inputs {
    /// Nothing but the arguments.
    pub const NONE: Self =
        Self { principal: false, action: false, resource: false, context: false };

    /// Adds the principal.
    #[must_use]
    pub const fn and_principal(mut self) -> Self {
        self.principal = true;
        self
    }

    /// Adds the action.
    #[must_use]
    pub const fn and_action(mut self) -> Self {
        self.action = true;
        self
    }

    /// Adds the resource.
    #[must_use]
    pub const fn and_resource(mut self) -> Self {
        self.resource = true;
        self
    }

    /// Adds the context.
    #[must_use]
    pub const fn and_context(mut self) -> Self {
        self.context = true;
        self
    }
}

/// Makes a component of a [`Rule`]: `export!(ChangeWindow);`, once, in a `cdylib`.
///
/// Natively, in unit tests, it does nothing.
#[macro_export]
macro_rules! export {
    ($rule:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Guest;

            impl $crate::guest::Guest for Guest {
                fn describe() -> $crate::guest::RuleInfo {
                    $crate::guest::describe::<$rule>(
                        ::core::env!("CARGO_PKG_NAME"),
                        ::core::env!("CARGO_PKG_VERSION"),
                    )
                }

                fn validate(
                    arguments: $crate::guest::String,
                ) -> ::core::result::Result<(), $crate::guest::String> {
                    $crate::guest::validate::<$rule>(&arguments)
                }

                fn evaluate(
                    request: $crate::guest::Request,
                ) -> ::core::result::Result<$crate::guest::Verdict, $crate::guest::String> {
                    $crate::guest::evaluate::<$rule>(request)
                }
            }

    $crate::guest::export_rule!(Guest with_types_in $crate::guest::bindings);
        };
    };
}
