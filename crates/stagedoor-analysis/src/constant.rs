//! Constants of policies, in a form that is compared and counted with.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use cedar_policy_core::ast::{EntityUID, Expr, Literal, ValueKind};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::{ast, expr_builder::ExprBuilder};
use smol_str::SmolStr;
use stagedoor_core::Value;

use crate::schema::ValueType;

/// A value that does not depend on the request.
///
/// Numbers, decimals, moments and spans of time are all a number of 64 bits, as Cedar keeps them;
/// which of these it is, its place says ([`ValueType`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Constant {
    /// True or false.
    Bool(bool),
    /// A number, a decimal in ten-thousandths, a moment or a span in milliseconds.
    Number(i64),
    /// A text.
    String(SmolStr),
    /// An entity.
    Entity(EntityUID),
    /// An address or a range of them.
    Ip(IpRange),
}

/// An address or a range, as Cedar's `ip(…)` makes it: two that are written differently are two
/// values, also where they contain the same addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpRange {
    /// The address.
    pub address: IpAddr,
    /// How many bits of it are the network's.
    pub prefix: u8,
}

impl IpRange {
    /// Returns a single address.
    #[must_use]
    pub fn single(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Reads `10.0.0.0/8` or `::1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            None => Some(Self::single(text.parse().ok()?)),
            Some((address, prefix)) => {
                let range = Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
                (range.prefix <= range.bits()).then_some(range)
            }
        }
    }

    /// Returns how many bits an address of the family has.
    #[must_use]
    pub fn bits(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Returns the first and the last address, as numbers.
    #[must_use]
    pub fn ends(self) -> (u128, u128) {
        let number = match self.address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let free = u32::from(self.bits() - self.prefix);
        let host = if free >= 128 { u128::MAX } else { (1_u128 << free) - 1 };
        (number & !host, number | host)
    }

    /// Returns the range of this prefix that begins at, or contains, an address of the family.
    #[must_use]
    pub fn at(self, number: u128, prefix: u8) -> Option<Self> {
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).ok()?)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
        };
        Some(Self { address, prefix })
    }

    /// Returns whether all its addresses are in another range.
    #[must_use]
    pub fn is_in(self, other: Self) -> bool {
        let ((first, last), (from, to)) = (self.ends(), other.ends());
        self.address.is_ipv4() == other.address.is_ipv4() && from <= first && last <= to
    }

    /// Returns what `isLoopback` says.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.address.is_loopback() && self.prefix >= if self.address.is_ipv4() { 8 } else { 128 }
    }

    /// Returns what `isMulticast` says.
    #[must_use]
    pub fn is_multicast(self) -> bool {
        self.address.is_multicast() && self.prefix >= if self.address.is_ipv4() { 4 } else { 8 }
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == self.bits() {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

/// What comes of an expression without variables.
pub(crate) enum ConstantResult {
    /// A value.
    Constant(Constant, ValueType),
    /// A set of values.
    Set(BTreeSet<Constant>, ValueType),
    /// An error, always.
    Error,
    /// A value that is not kept as a [`Constant`]: a record, say.
    Other,
}

/// Evaluates an expression without variables by Cedar's own evaluator.
pub(crate) fn evaluate(expr: &Expr) -> ConstantResult {
    // What most are needs no evaluator.
    if let ast::ExprKind::Lit(literal) = expr.expr_kind() {
        return of_value(&ast::Value::from(literal.clone()));
    }
    let Some(value) = interpret(expr) else { return ConstantResult::Error };
    of_value(&value)
}

/// Somebody to ask as, whom no expression without variables looks at; read once.
static NOBODY: LazyLock<Option<EntityUID>> =
    LazyLock::new(|| EntityUID::with_eid_and_type("Nobody", "").ok());

fn interpret(expr: &Expr) -> Option<ast::Value> {
    let (entities, uid) = (Entities::new(), NOBODY.as_ref()?);
    let request = ast::Request::new_unchecked(
        ast::EntityUIDEntry::known(uid.clone(), None),
        ast::EntityUIDEntry::known(uid.clone(), None),
        ast::EntityUIDEntry::known(uid.clone(), None),
        Some(ast::Context::empty()),
    );
    let evaluator = Evaluator::new(request, &entities, Extensions::all_available());
    evaluator.interpret(expr, &ast::SlotEnv::new()).ok()
}

fn of_value(value: &ast::Value) -> ConstantResult {
    let constant = |constant, ty| ConstantResult::Constant(constant, ty);
    match &value.value {
        ValueKind::Lit(Literal::Bool(b)) => constant(Constant::Bool(*b), ValueType::Bool),
        ValueKind::Lit(Literal::Long(n)) => constant(Constant::Number(*n), ValueType::Long),
        ValueKind::Lit(Literal::String(s)) => {
            constant(Constant::String(s.clone()), ValueType::String)
        }
        ValueKind::Lit(Literal::EntityUID(uid)) => constant(
            Constant::Entity(uid.as_ref().clone()),
            ValueType::Entity(uid.entity_type().clone()),
        ),
        ValueKind::ExtensionValue(extension) => {
            of_extension(value, &extension.typename().to_string())
        }
        ValueKind::Set(set) => {
            let mut members = BTreeSet::new();
            let mut ty = ValueType::Other;
            for member in set.authoritative.iter() {
                let ConstantResult::Constant(member, of) = of_value(member) else {
                    return ConstantResult::Other;
                };
                members.insert(member);
                ty = of;
            }
            ConstantResult::Set(members, ty)
        }
        ValueKind::Record(_) => ConstantResult::Other,
    }
}

/// Reads an extension value back from what Cedar makes of it.
fn of_extension(value: &ast::Value, type_name: &str) -> ConstantResult {
    let expr = Expr::from(value.clone());
    let name = |name: &str| name.parse::<ast::Name>().ok();
    // Cedar tells the number inside of a span of time; of a moment, the span since the first.
    let milliseconds = |expr: Expr| {
        let to = name("toMilliseconds")?;
        match interpret(&Expr::call_extension_fn(to, vec![expr]))?.value {
            ValueKind::Lit(Literal::Long(n)) => Some(n),
            _ => None,
        }
    };
    let found = match type_name {
        "duration" => milliseconds(expr).map(|n| (Constant::Number(n), ValueType::Duration)),
        "datetime" => (|| {
            let builder = ast::ExprBuilder::<()>::new();
            let epoch = Expr::call_extension_fn(name("datetime")?, vec![builder.val("1970-01-01")]);
            let since = Expr::call_extension_fn(name("durationSince")?, vec![expr, epoch]);
            Some((Constant::Number(milliseconds(since)?), ValueType::Datetime))
        })(),
        "decimal" => argument(&expr)
            .and_then(|text| decimal(&text))
            .map(|n| (Constant::Number(n), ValueType::Decimal)),
        "ipaddr" => argument(&expr)
            .and_then(|text| IpRange::parse(&text))
            .map(|range| (Constant::Ip(range), ValueType::Ip)),
        _ => None,
    };
    found.map_or(ConstantResult::Other, |(constant, ty)| ConstantResult::Constant(constant, ty))
}

/// Returns the text in the call that makes an extension value.
fn argument(expr: &Expr) -> Option<SmolStr> {
    let ast::ExprKind::ExtensionFunctionApp { args, .. } = expr.expr_kind() else { return None };
    match args.first()?.expr_kind() {
        ast::ExprKind::Lit(Literal::String(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Reads a decimal that Cedar took, in ten-thousandths.
fn decimal(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.')?;
    let digits = format!("{whole}{fraction:0<4}");
    digits.parse().ok()
}

/// Writes ten-thousandths as a decimal.
fn decimal_text(number: i64) -> String {
    let (sign, magnitude) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
    format!("{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000)
}

impl Constant {
    /// Returns the constant as a value of a request or an entity.
    #[must_use]
    pub fn to_value(&self, ty: &ValueType) -> Value {
        match (self, ty) {
            (Self::Bool(b), _) => Value::Bool(*b),
            (Self::Number(n), ValueType::Decimal) => {
                called(&format!("decimal(\"{}\")", decimal_text(*n)))
            }
            (Self::Number(n), ValueType::Duration) => called(&format!("duration(\"{n}ms\")")),
            (Self::Number(n), ValueType::Datetime) => called(&datetime_text(*n)),
            (Self::Number(n), _) => Value::Long(*n),
            (Self::String(s), _) => Value::String(s.clone()),
            (Self::Entity(uid), _) => Value::Entity(uid.clone().into()),
            (Self::Ip(range), _) => called(&format!("ip(\"{range}\")")),
        }
    }
}

/// Returns the value that a call makes; a text, which no policy takes for it, where there is none.
fn called(call: &str) -> Value {
    call.parse().map_or_else(|_| Value::String(call.into()), Value::Extension)
}

/// Writes a moment as the call that makes it. Years that Cedar's text cannot say are reached by an
/// offset.
fn datetime_text(milliseconds: i64) -> String {
    let days = milliseconds.div_euclid(86_400_000);
    let rest = milliseconds.rem_euclid(86_400_000);
    match date(days) {
        Some((year, month, day)) => {
            let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
            let (second, milli) = (rest / 1000 % 60, rest % 1000);
            format!(
                "datetime(\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z\")"
            )
        }
        None => format!("datetime(\"1970-01-01\").offset(duration(\"{milliseconds}ms\"))"),
    }
}

/// Returns year, month and day so many days after 1970 began, for years of four digits.
fn date(days: i64) -> Option<(i64, i64, i64)> {
    // Howard Hinnant's algorithm for the proleptic Gregorian calendar.
    let shifted = days.checked_add(719_468)?;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (0..=9999).contains(&year).then_some((year, month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(text: &str) -> Option<(Constant, ValueType)> {
        let expr: Expr = text.parse().ok()?;
        match evaluate(&expr) {
            ConstantResult::Constant(constant, ty) => Some((constant, ty)),
            _ => None,
        }
    }

    #[test]
    fn constants_are_read_and_written_as_cedar_means_them() {
        for text in [
            r#"decimal("12.3")"#,
            r#"decimal("-0.0001")"#,
            r#"decimal("-922337203685477.5808")"#,
            r#"datetime("2024-02-29T23:59:59.999Z")"#,
            r#"datetime("1969-12-31")"#,
            r#"datetime("0000-01-01")"#,
            r#"datetime("9999-12-31").offset(duration("400d"))"#,
            r#"duration("-1d2h3m4s5ms")"#,
            r#"ip("10.1.2.3/8")"#,
            r#"ip("::1")"#,
            r#"ip("ff00::/8")"#,
            "5",
            "true",
            r#""a\nb""#,
            r#"User::"x""#,
        ] {
            let Some((read, ty)) = constant(text) else {
                panic_free(text);
                continue;
            };
            let written = crate::written::short(&read.to_value(&ty));
            let again = match evaluate(&reparsed(&written)) {
                ConstantResult::Constant(constant, ty) => Some((constant, ty)),
                _ => None,
            };
            assert_eq!(again, Some((read, ty)), "{text}");
        }
    }

    fn reparsed(text: &str) -> Expr {
        text.parse().unwrap_or_else(|_| Expr::val(false))
    }

    fn panic_free(text: &str) {
        assert_eq!(text, "a constant", "not read or not written");
    }

    #[test]
    fn errors_are_told_from_values() {
        for text in ["9223372036854775807 + 1", r#"ip("x")"#, "1 + \"a\""] {
            let expr: Option<Expr> = text.parse().ok();
            assert!(
                expr.is_some_and(|expr| matches!(evaluate(&expr), ConstantResult::Error)),
                "{text}"
            );
        }
    }
}
