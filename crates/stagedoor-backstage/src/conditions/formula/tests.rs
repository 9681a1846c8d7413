use smol_str::SmolStr;

use super::{ExprId, Formula, Polarity, UnsupportedParts, Values};
use crate::conditions::facet::Facet;

fn owner(values: &[&str]) -> Formula {
    Formula::one_of(Facet::Owner, values.iter().map(|v| SmolStr::from(*v)).collect())
}

fn kind(values: &[&str]) -> Formula {
    Formula::one_of(Facet::Kind, values.iter().map(|v| SmolStr::from(*v)).collect())
}

fn row(value: &str) -> Formula {
    let facet = Facet::Row("spec.lifecycle".into());
    Formula::one_of(facet, Values::from([value.into()]))
}

#[test]
fn grants_merge_into_one_fact() {
    let grants =
        (0..500).map(|n| Formula::all([kind(&["component"]), owner(&[&format!("g{n:03}")])]));
    let formula = Formula::any(grants);
    assert_eq!(formula.size(), 2);
    let Formula::All(parts) = &formula else {
        assert_eq!(formula.size(), 0, "{formula:?}");
        return;
    };
    assert_eq!(parts.len(), 2);
}

#[test]
fn what_follows_is_left_out() {
    let (a, b) = (owner(&["a"]), owner(&["b"]));
    let lifecycle = Formula::present(Facet::Row("spec.lifecycle".into()));
    for (given, expected) in [
        (Formula::all([lifecycle.clone(), row("x")]), row("x")),
        (Formula::any([lifecycle.clone(), row("x")]), lifecycle.clone()),
        (Formula::all([lifecycle.not(), row("x")]), Formula::FALSE),
        (Formula::all([kind(&["a", "b"]), kind(&["b", "c"])]), kind(&["b"])),
        (Formula::all([kind(&["a"]), kind(&["b"])]), Formula::FALSE),
        (Formula::all([kind(&["a", "b"]), kind(&["b"]).not()]), kind(&["a"])),
        (Formula::any([kind(&["a"]).not(), kind(&["a", "b"])]), Formula::TRUE),
        (Formula::any([a.clone(), b.clone()]), owner(&["a", "b"])),
        (Formula::all([a.clone(), owner(&["a", "b"])]), a.clone()),
        (Formula::any([a.clone(), a.not()]), Formula::TRUE),
        (
            Formula::any([a.clone(), Formula::all([a.not(), row("x")])]),
            Formula::any([a.clone(), row("x")]),
        ),
        (Formula::any([a.clone(), Formula::all([a.clone(), row("x")])]), a.clone()),
        (
            Formula::all([
                Formula::any([a.clone(), row("x")]),
                Formula::any([a.clone(), row("y")]),
            ]),
            Formula::any([a.clone(), Formula::all([row("x"), row("y")])]),
        ),
    ] {
        assert_eq!(given, expected);
    }
    // One entity may have both owners.
    assert_eq!(Formula::all([a, b]).size(), 2);
}

#[test]
fn narrowing_never_widens() {
    let unknown = Formula::unsupported(ExprId(0), Polarity::True);
    let formula = Formula::any([row("x"), Formula::all([unknown.clone(), owner(&["a"])])]);
    assert_eq!(formula.narrowed(), row("x"));
    assert_eq!(Formula::all([unknown, row("x")]).narrowed(), Formula::FALSE);
}

#[test]
fn only_what_no_rule_can_say_is_unsupported() {
    let formula = Formula::any([
        Formula::present(Facet::Row("spec.lifecycle".into())),
        Formula::all([Formula::present(Facet::CreatedBy), owner(&["a"])]),
        Formula::all([Formula::unsupported(ExprId(3), Polarity::True), kind(&["api"])]),
    ]);
    let mut found = UnsupportedParts::default();
    formula.unsupported_parts(&mut found);
    assert!(found.facets.iter().eq([&Facet::CreatedBy]), "{found:?}");
    assert!(found.exprs.iter().eq([&ExprId(3)]), "{found:?}");

    let mut none = UnsupportedParts::default();
    Formula::any([row("x"), kind(&["component"])]).unsupported_parts(&mut none);
    assert!(none.is_empty(), "{none:?}");
}
