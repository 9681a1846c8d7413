//! What is thrown in JavaScript.

use napi::bindgen_prelude::{JsObjectValue as _, JsValue as _, Object, ToNapiValue};
use napi::{Env, Status};
use stagedoor_backstage::PolicyEngineError;
use stagedoor_core::{DecideError, EntitiesError, LoadError, RequestError};
use stagedoor_rule_host::{HostError, WasmRulesError};
use stagedoor_testing::TestError;
use stagedoor_wire::WireError;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failure on its way to JavaScript.
#[derive(Debug)]
pub struct Failure(Box<Cause>);

#[derive(Debug)]
enum Cause {
    Own(WireError),
    /// What JavaScript threw, in a getter say.
    Js(napi::Error),
}

impl Failure {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        WireError::new(code, message).into()
    }

    /// A value of the wrong type.
    pub(crate) fn mistyped(what: &str, expected: &str) -> Self {
        WireError::mistyped(what, expected).into()
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        self.map(|error| error.with_help(help))
    }

    pub(crate) fn with_code(self, code: &str) -> Self {
        self.map(|error| WireError { code: code.to_owned(), ..error })
    }

    /// Says in which argument or field the failure is.
    pub(crate) fn within(self, place: impl FnOnce() -> String) -> Self {
        self.map(|error| error.within(place()))
    }

    /// Returns what is told in an answer that carries its failure.
    pub(crate) fn into_wire(self) -> WireError {
        match *self.0 {
            Cause::Own(error) => error,
            Cause::Js(error) => WireError::new("argument::threw", error.reason),
        }
    }

    /// Returns what is wrong, as text.
    pub(crate) fn text(&self) -> String {
        match &*self.0 {
            Cause::Own(error) => error.text(),
            Cause::Js(error) => error.reason.to_string(),
        }
    }

    /// Returns the error to be thrown.
    pub(crate) fn thrown(self, env: &Env) -> napi::Error {
        match *self.0 {
            Cause::Js(error) => error,
            Cause::Own(error) => error_object(env, error).unwrap_or_else(|error| error),
        }
    }

    fn map(self, change: impl FnOnce(WireError) -> WireError) -> Self {
        match *self.0 {
            Cause::Own(error) => change(error).into(),
            Cause::Js(_) => self,
        }
    }
}

fn error_object(env: &Env, error: WireError) -> napi::Result<napi::Error> {
    let plain = napi::Error::new(Status::GenericFailure, error.text());
    let WireError { code, error: _, help, file, line, column, problems, unreported } = error;
    let mut object = env.create_error(plain)?;
    // Not enumerable in other errors either, but this way they show when one is logged.
    object.set_named_property("name", "StagedoorError")?;
    object.set_named_property("code", code)?;
    set(&mut object, "file", file)?;
    set(&mut object, "line", line.and_then(number))?;
    set(&mut object, "column", column.and_then(number))?;
    set(&mut object, "help", help)?;
    if !problems.is_empty() {
        object.set_named_property("problems", env.to_js_value(&problems)?)?;
        set(&mut object, "unreported", number(unreported))?;
    }
    Ok(napi::Error::from(object.to_unknown()))
}

pub(crate) fn number(n: usize) -> Option<u32> {
    u32::try_from(n).ok()
}

fn set<T: ToNapiValue>(object: &mut Object<'_>, name: &str, value: Option<T>) -> napi::Result<()> {
    value.map_or(Ok(()), |value| object.set_named_property(name, value))
}

impl From<napi::Error> for Failure {
    fn from(error: napi::Error) -> Self {
        Self(Box::new(Cause::Js(error)))
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self(Box::new(Cause::Own(error)))
    }
}

/// Each crate says what its errors are in the form that programs read.
macro_rules! by_wire {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                WireError::from(error).into()
            }
        })+
    };
}

by_wire!(
    DecideError,
    EntitiesError,
    HostError,
    LoadError,
    PolicyEngineError,
    RequestError,
    TestError,
    WasmRulesError
);
