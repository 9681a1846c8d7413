//! Decimals, times, durations and addresses: made, compared and told apart by Cedar's own functions.
//!
//! INVARIANT: an [`Extension`] holds what one of Cedar's functions made, never a text that is read
//! later. The index, the compiled conditions and Cedar's evaluator therefore see one and the same
//! value; a text that is no such value is refused where the value is made.

mod function;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy_core::ast::{
    self, ExprKind, Literal, RepresentableExtensionValue, RestrictedExpr, ValueKind,
};
use chrono::{DateTime, Datelike as _, Timelike as _};

use crate::error::{ValueError, error_chain};
use crate::parse;

pub(crate) use function::{Function, is_less};

/// What Cedar's evaluator holds of such a value.
pub(crate) type CedarExtension = Arc<RepresentableExtensionValue>;

/// Brackets that a call may have: each may nest in the one before.
const BRACKETS: usize = 64;

/// One of Cedar's extension types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExtensionType {
    /// A point in time, in milliseconds.
    Datetime,
    /// A number with up to four decimals.
    Decimal,
    /// A span of time, in milliseconds.
    Duration,
    /// An IP address or a range of them.
    Ipaddr,
}

impl ExtensionType {
    const ALL: [Self; 4] = [Self::Datetime, Self::Decimal, Self::Duration, Self::Ipaddr];

    /// Returns the type's name in schemas: `ipaddr`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datetime => "datetime",
            Self::Decimal => "decimal",
            Self::Duration => "duration",
            Self::Ipaddr => "ipaddr",
        }
    }

    /// Returns the name of the function that makes such a value of a string: `ip`.
    #[must_use]
    pub const fn constructor(self) -> &'static str {
        match self {
            Self::Ipaddr => "ip",
            Self::Datetime | Self::Decimal | Self::Duration => self.name(),
        }
    }

    /// Returns the type with this name in schemas.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// Reads a type's name in schemas: `ipaddr`.
impl FromStr for ExtensionType {
    type Err = ValueError;

    fn from_str(name: &str) -> Result<Self, ValueError> {
        let known = "the extension types are `datetime`, `decimal`, `duration` and `ipaddr`";
        Self::named(name).ok_or_else(|| ValueError::new("name of an extension type", name, known))
    }
}

impl fmt::Display for ExtensionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value of an extension type: a decimal, a time, a duration or an address.
///
/// Two are equal if they are the same value, however they were written.
///
/// # Examples
///
/// ```
/// use stagedoor_core::Extension;
///
/// assert_eq!(Extension::decimal("1.50")?, Extension::decimal("1.5")?);
/// assert_eq!(Extension::ip("10.0.0.0/8")?.to_string(), r#"ip("10.0.0.0/8")"#);
/// assert!(Extension::ip("10.0.0.256").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Extension {
    value: CedarExtension,
    type_: ExtensionType,
    /// The length of what it was written as.
    bytes: u32,
}

impl Extension {
    /// Returns a point in time: `2026-01-31`, `2026-01-31T09:30:00Z`, `2026-01-31T09:30:00.250+0100`.
    ///
    /// # Errors
    ///
    /// [`ValueError`] for any other text.
    pub fn datetime(text: &str) -> Result<Self, ValueError> {
        Self::of(ExtensionType::Datetime, text)
    }

    /// Returns a number with a point and up to four decimals: `-1.5`.
    ///
    /// # Errors
    ///
    /// [`ValueError`] for any other text.
    pub fn decimal(text: &str) -> Result<Self, ValueError> {
        Self::of(ExtensionType::Decimal, text)
    }

    /// Returns a span of time: `1d2h3m4s5ms`, `-1h`.
    ///
    /// # Errors
    ///
    /// [`ValueError`] for any other text.
    pub fn duration(text: &str) -> Result<Self, ValueError> {
        Self::of(ExtensionType::Duration, text)
    }

    /// Returns an address or a range: `10.0.0.1`, `10.0.0.0/8`, `::1`.
    ///
    /// # Errors
    ///
    /// [`ValueError`] for any other text.
    pub fn ip(text: &str) -> Result<Self, ValueError> {
        Self::of(ExtensionType::Ipaddr, text)
    }

    /// Returns the value that a function makes of a string: `new("ip", "10.0.0.1")`.
    ///
    /// # Errors
    ///
    /// [`ValueError`] if there is no such function, or it does not take the string.
    pub fn new(function: &str, argument: &str) -> Result<Self, ValueError> {
        let type_ = ExtensionType::ALL.into_iter().find(|type_| type_.constructor() == function);
        Self::of(type_.ok_or_else(|| ValueError::function(function))?, argument)
    }

    fn of(type_: ExtensionType, text: &str) -> Result<Self, ValueError> {
        let refused = |reason: String| ValueError::new(type_.name(), text, &reason);
        let function = Function::constructor(type_)
            .ok_or_else(|| refused("this build has no such type".to_owned()))?;
        match function.apply(&[text.into()]).map_err(refused)?.value {
            ValueKind::ExtensionValue(value) => {
                let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
                Ok(Self { value, type_, bytes })
            }
            _ => Err(refused("it makes another value".to_owned())),
        }
    }

    /// Returns the point in time that lies a span after this one.
    ///
    /// # Errors
    ///
    /// [`ValueError`] if this is no point in time, the other no span, or the sum too large.
    pub fn offset(&self, span: &Self) -> Result<Self, ValueError> {
        let refused = |reason: &str| ValueError::new("datetime", &format!("{self}"), reason);
        let function = Function::named(&ast::Name::unqualified_name(
            "offset".parse().map_err(|_| refused("this build has no such function"))?,
        ));
        let function = function.ok_or_else(|| refused("this build has no such function"))?;
        let arguments = [&self.value, &span.value]
            .map(|value| ast::Value::new(ValueKind::ExtensionValue(Arc::clone(value)), None));
        let made = function.apply(&arguments).map_err(|e| refused(&e))?;
        match made.value {
            ValueKind::ExtensionValue(value) => Self::from_cedar(value),
            _ => Err(refused("it makes another value")),
        }
    }

    /// Returns the value's type.
    #[must_use]
    pub const fn extension_type(&self) -> ExtensionType {
        self.type_
    }

    /// Returns the function and the string that make the value: as it was written, or else in
    /// Cedar's normal form.
    ///
    /// None for a time that no single string tells: of a year before 0 or after 9999.
    #[must_use]
    pub fn call(&self) -> Option<(&'static str, String)> {
        let function = self.type_.constructor();
        let expr = self.expr();
        let ExprKind::ExtensionFunctionApp { fn_name, args } = expr.expr_kind() else {
            return None;
        };
        if let [argument] = args.as_slice()
            && let ExprKind::Lit(Literal::String(text)) = argument.expr_kind()
        {
            return (fn_name.to_string() == function).then(|| (function, text.to_string()));
        }
        Some((function, instant(milliseconds(args.get(1)?)?)?))
    }

    /// Returns the span from 1970 to a point in time, where no single string tells that.
    pub(crate) fn since_epoch(&self) -> Option<Self> {
        let expr = self.expr();
        let ExprKind::ExtensionFunctionApp { args, .. } = expr.expr_kind() else { return None };
        Self::duration(&format!("{}ms", milliseconds(args.get(1)?)?)).ok()
    }

    /// Returns the value as Cedar's evaluator holds it.
    pub(crate) const fn cedar(&self) -> &CedarExtension {
        &self.value
    }

    /// Takes a value that Cedar's evaluator made.
    pub(crate) fn from_cedar(value: CedarExtension) -> Result<Self, ValueError> {
        let name = value.typename().to_string();
        let Some(type_) = ExtensionType::named(&name) else {
            return Err(ValueError::new(&name, "", "the type is not known here"));
        };
        let made = Self { value, type_, bytes: 0 };
        let expr = made.expr();
        let bytes = expr.subexpressions().map(|expr| match expr.expr_kind() {
            ExprKind::Lit(Literal::String(text)) => text.len(),
            _ => 0,
        });
        let bytes = u32::try_from(bytes.sum::<usize>()).unwrap_or(u32::MAX);
        Ok(Self { bytes, ..made })
    }

    /// Returns the expression that makes the value.
    pub(crate) fn expr(&self) -> RestrictedExpr {
        RepresentableExtensionValue::clone(&self.value).into()
    }

    /// Returns the length of what the value was written as, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

/// Returns the milliseconds of `duration("…ms")`.
fn milliseconds(duration: &ast::Expr) -> Option<i64> {
    let ExprKind::ExtensionFunctionApp { args, .. } = duration.expr_kind() else { return None };
    let [argument] = args.as_slice() else { return None };
    let ExprKind::Lit(Literal::String(text)) = argument.expr_kind() else { return None };
    text.strip_suffix("ms")?.parse().ok()
}

/// Returns a point in time as the function `datetime` takes it.
fn instant(milliseconds: i64) -> Option<String> {
    let at = DateTime::from_timestamp_millis(milliseconds)?;
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    let millisecond = at.timestamp_subsec_millis();
    (0..=9999).contains(&year).then(|| {
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    })
}

impl PartialEq for Extension {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Extension {}

impl PartialOrd for Extension {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Extension {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

/// Writes the Cedar call that makes the value.
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr().fmt(f)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the Cedar call that makes a value, such as `datetime("2026-01-01").offset(duration("1h"))`.
impl FromStr for Extension {
    type Err = ValueError;

    fn from_str(call: &str) -> Result<Self, ValueError> {
        let refused = |reason: &str| ValueError::new("extension value", call, reason);
        if let Some((function, argument)) = plain(call) {
            return Self::new(function, argument);
        }
        match evaluated(call).map_err(|e| refused(&e))?.value {
            ValueKind::ExtensionValue(value) => Self::from_cedar(value),
            _ => Err(refused("it makes a value of another kind")),
        }
    }
}

/// Returns the value that a Cedar expression of literals and calls comes to.
///
/// # Errors
///
/// Why the text is none.
pub(crate) fn evaluated(text: &str) -> Result<ast::Value, String> {
    if text.matches(['(', '[', '{']).count() > BRACKETS {
        return Err(format!("it has over {BRACKETS} brackets"));
    }
    let expression = parse::expression(text).ok_or("it is not an expression")?;
    let expression = RestrictedExpr::new(expression).map_err(|e| error_chain(&e))?;
    function::evaluate(&expression)
}

/// Returns function and text of a plain call such as `ip("10.0.0.1")`; `None` for all others.
fn plain(call: &str) -> Option<(&str, &str)> {
    let (name, rest) = call.split_once('(')?;
    let text = rest.strip_prefix('"')?.strip_suffix("\")")?;
    let is_constructor = ExtensionType::ALL.iter().any(|type_| type_.constructor() == name);
    (is_constructor && !text.contains(['"', '\\'])).then_some((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    type TestResult = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn plain_calls_make_what_cedar_makes() -> TestResult {
        assert_eq!(r#"decimal("1.50")"#.parse::<Extension>()?, Extension::decimal("1.5")?);
        assert_ne!(Extension::decimal("1.51")?, Extension::decimal("1.5")?);
        let same = [r#"ip("a\u{62}::")"#, r#"ip ("ab::")"#, "ip(\"ab::\" // why\n)"];
        for written in same {
            assert_eq!(written.parse::<Extension>()?, Extension::ip("ab::")?, "{written}");
        }
        Ok(())
    }

    #[test]
    fn nothing_but_a_value_of_an_extension_type_is_one() {
        let hostile = [
            r#""exe""#,
            "1",
            "true",
            r#"User::"alice""#,
            "[]",
            "{}",
            r#"[ip("::1")]"#,
            r#"ip("::1").isLoopback()"#,
            r#"decimal("1.0").lessThan(decimal("2.0"))"#,
            r#"duration("1h").toHours()"#,
            r#"ip("x")"#,
            r#"ip("")"#,
            "ip(1)",
            "ip(\"",
            r#"x("")"#,
            r#"if true then ip("::1") else ip("::2")"#,
            "principal",
            "",
        ];
        for text in hostile {
            assert!(text.parse::<Extension>().is_err(), "{text}");
        }
        assert!("(".repeat(65).parse::<Extension>().is_err());
    }

    #[test]
    fn every_value_tells_the_call_that_makes_it() -> TestResult {
        for written in [
            r#"ip("10.0.0.0/8")"#,
            r#"decimal("1.50")"#,
            r#"duration("1d2h")"#,
            r#"datetime("2026-01-31")"#,
        ] {
            let value: Extension = written.parse()?;
            assert_eq!(value.to_string(), written);
            let (function, argument) = value.call().unwrap_or_default();
            assert_eq!(format!("{function}({argument:?})"), written);
            assert_eq!(value.bytes(), argument.len());
        }
        let nested: Extension = r#"datetime("2026-01-31").offset(duration("-1ms"))"#.parse()?;
        assert_eq!(nested.call(), Some(("datetime", "2026-01-30T23:59:59.999Z".to_owned())));
        assert_eq!(nested, Extension::datetime("2026-01-30T23:59:59.999Z")?);
        assert_eq!(nested.to_string().parse::<Extension>()?, nested);
        assert_eq!(
            Extension::datetime("2026-01-31")?.offset(&Extension::duration("-1ms")?)?,
            nested
        );
        for far in ["-100000000000000ms", "1000000000000000ms", "9223372036854775807ms"] {
            let far = Extension::datetime("1970-01-01")?.offset(&Extension::duration(far)?)?;
            assert_eq!(far.call(), None);
            assert_eq!(far.to_string().parse::<Extension>()?, far);
        }
        assert!(Extension::ip("::1")?.offset(&Extension::duration("1h")?).is_err());
        Ok(())
    }

    #[test]
    fn an_error_repeats_little_of_a_text() {
        let long = "1".repeat(1 << 20);
        let told = Extension::decimal(&long).map_err(|e| e.to_string());
        assert!(told.is_err_and(|told| told.len() < 4096 && told.contains("decimal")));
    }

    #[test]
    fn times_have_an_order_and_addresses_have_none() -> TestResult {
        let less = |left: &Extension, right: &Extension, or_equal| {
            is_less(left.cedar(), right.cedar(), or_equal)
        };
        let early = Extension::datetime("2026-01-01")?;
        let late = Extension::datetime("2026-01-02")?;
        assert_eq!(less(&early, &late, false), Some(true));
        assert_eq!(less(&late, &early, true), Some(false));
        assert_eq!(less(&late, &late, false), Some(false));
        assert_eq!(less(&late, &late, true), Some(true));
        assert_eq!(less(&early, &Extension::duration("1h")?, false), None);
        let address = Extension::ip("::1")?;
        assert_eq!(less(&address, &address, true), None);
        Ok(())
    }
}
