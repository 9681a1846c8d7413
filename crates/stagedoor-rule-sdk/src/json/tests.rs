//! Held against `serde_json`: the same texts are read, as the same values.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt::Debug;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::read;

const TEXTS: [&str; 16] = [
    r#" { "a" : [ 1 , -2.5e+3 , true , false , null , "x" ] , "b" : { } , "c":[]} "#,
    r#"["\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00", "plain text of more than eight bytes"]"#,
    r#"{"ключ":"значение","名":["前","ä"],"emoji":"😀😀😀😀"}"#,
    "[0, -1, 9223372036854775807, -9223372036854775808, 18446744073709551615]",
    "[18446744073709551616, -9223372036854775809, 1e3, 1E-3, 0.1, 123456789.987654321]",
    "\t\r\n[[[[]]],{\"\":{\"\":{}}}]\n",
    r#""\ud83d""#,
    r#""\ud83d\u0041""#,
    r#""\ude00""#,
    "\"tab\tin a string\"",
    "[1,]",
    "[01]",
    "[1e999]",
    "nul",
    "{\"a\" 1}",
    "",
];

/// What changes a text's meaning, or breaks it.
const REPLACEMENTS: &[u8] = b"\"\\{}[],: 0-.eunx\x01";

fn assert_same<T: DeserializeOwned + PartialEq + Debug>(text: &str) {
    let (ours, theirs) = (read::<T>(text).ok(), serde_json::from_str::<T>(text).ok());
    assert_eq!(ours, theirs, "{text:?}");
}

/// Every text, cut at every place, and with every byte replaced by others.
fn variants(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut variants = vec![text.to_string()];
    for at in 0..bytes.len() {
        variants.extend(text.get(..at).map(String::from));
        for replacement in REPLACEMENTS {
            let mut changed = bytes.to_vec();
            changed.splice(at..=at, [*replacement]);
            variants.extend(String::from_utf8(changed));
        }
    }
    variants
}

#[test]
fn any_json_is_read_as_by_serde_json() {
    for variant in TEXTS.iter().flat_map(|text| variants(text)) {
        // Of `-0`, which is an integer here, `serde_json` makes a float.
        if !variant.contains("-0") {
            assert_same::<Value>(&variant);
        }
    }
}

#[test]
fn what_is_ignored_is_read_to_its_end() {
    for variant in TEXTS.iter().flat_map(|text| variants(text)) {
        let ignored = read::<IgnoredAny>(&variant).is_ok();
        assert!(ignored || read::<Value>(&variant).is_err(), "{variant:?}");
        // What is ignored may be a number that is too large.
        let is_json = serde_json::from_str::<IgnoredAny>(&variant).is_ok();
        assert!(is_json || !ignored, "{variant:?}");
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Typed {
    name: String,
    #[serde(default)]
    how_many: u8,
    offset: Option<i64>,
    rate: Option<f64>,
    kinds: Option<Vec<Kind>>,
    pair: Option<(bool, char)>,
    inner: Option<BTreeMap<String, Inner>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    id: Id,
    nothing: (),
}

#[derive(Debug, PartialEq, Deserialize)]
struct Id(String);

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Unit,
    Value(u32),
    List(i8, i8),
    Object { a: bool },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Integer(i64),
    Fraction(f64),
    Object { a: Vec<bool> },
}

#[test]
fn types_are_read_as_by_serde_json() {
    for text in [
        r#"{"name":"n\n","howMany":255,"offset":-5,"rate":0.5,"pair":[true,"ä"]}"#,
        r#"{"name":"n","kinds":["unit",{"unit":null},{"value":7},{"list":[1,-1]},{"object":{"a":true}}]}"#,
        r#"{"name":"n","inner":{"k":{"id":"i","nothing":null,"other":[{"x":"}"}]}},"rate":3}"#,
    ] {
        assert!(read::<Typed>(text).is_ok(), "{text}");
        for variant in variants(text) {
            // An object's fields as a list are not read here, nor `-0` as there.
            if !variant.contains("-0") && !variant.contains("\":[{\"x") {
                assert_same::<Typed>(&variant);
            }
        }
    }
    for text in ["1", "-1", "1.5", r#"{"a":[true]}"#, "[]", "true", r#""1""#] {
        assert_same::<Untagged>(text);
    }
}

#[test]
fn errors_say_what_and_where() {
    for (text, says) in [
        ("", "found the end, expected struct Typed at byte 1"),
        (r#"{"name":7}"#, "found a number, expected a string at byte 9"),
        (r#"{"name":"n","howMany":1.5}"#, "found a number, expected u8 at byte 26"),
        (r#"{"name":"n","howMany":256}"#, "found an integer, expected u8 at byte 26"),
        (r#"{"name":"n","x":1}"#, "unknown field `x`"),
        (r#"{"name":"n","name":"n"}"#, "duplicate field `name` at byte 19"),
        (r#"{"offset":1}"#, "missing field `name`"),
        (r#"{"name":"n","kinds":["other"]}"#, "unknown variant `other`"),
        (r#"{"name":"n","kinds":["value"]}"#, "the variant holds a value at byte 29"),
        (r#"{"name":"n" "x":1}"#, "a comma or a closing bracket is missing at byte 13"),
        (r#"{"name":"n"} x"#, "the value has ended at byte 14"),
        (r#"{"name":"n","pair":[true,"a",1]}"#, "the list has ended at byte 30"),
        (r#"{"name":"\x"}"#, "there is no such escape at byte 12"),
        (r#"{"name":"\ud800"}"#, "half a character at byte 16"),
        ("{\"name\":\"\n\"}", "a string has no such byte at byte 10"),
        (r#"{"name":"#, "found the end, expected a string at byte 9"),
        (r#"{"name":"n","rate":1e999}"#, "the number is too large at byte 25"),
    ] {
        let error = read::<Typed>(text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn text_can_be_borrowed() {
    let read_as_str = read::<Vec<&str>>(r#"["a","long enough for a word"]"#);
    assert_eq!(read_as_str, Ok(vec!["a", "long enough for a word"]));
    assert!(read::<&str>(r#""\n""#).is_err());
}

#[test]
fn depth_has_a_limit() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (depth, is_read) in [(128, true), (129, false), (1_000_000, false)] {
        assert_eq!(read::<Value>(&nested(depth)).is_ok(), is_read, "{depth}");
        assert_eq!(read::<IgnoredAny>(&nested(depth)).is_ok(), is_read, "{depth}");
    }
}
