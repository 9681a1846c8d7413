//! Why JSON is not what it should be, in the words of whoever wrote it.
//!
//! Readers of JSON tell of their own types: "data did not match any variant of untagged enum
//! `X`". Here the JSON itself is looked at, and what is wrong is said by its place; what is left
//! of a reader's message loses the names of types.

use std::fmt;

use serde_json::Value as Json;

use crate::error::cut;
use crate::extension::Extension;
use crate::json::unambiguous;
use crate::parse::{entity_uid, nearly_uid};

/// Keys of a request in Cedar's JSON form; those that only Cedar's own test cases have are taken,
/// and not proposed.
const REQUEST: [&str; 4] = ["principal", "action", "resource", "context"];
const OF_TEST_CASES: [&str; 5] = ["description", "validateRequest", "decision", "reason", "errors"];
/// Keys of an entity.
const ENTITY: [&str; 4] = ["uid", "attrs", "parents", "tags"];
const FUNCTIONS: [&str; 4] = ["datetime", "decimal", "duration", "ip"];

/// Returns a reader's message without the names of the types that it reads.
///
/// # Examples
///
/// ```
/// use stagedoor_core::plain_reason;
///
/// let told = "invalid type: map, expected struct PolicyFile at line 1 column 0";
/// assert_eq!(plain_reason(told), "found an object, expected an object of another form at line 1 column 0");
/// assert_eq!(
///     plain_reason("data did not match any variant of untagged enum Inner"),
///     "it is none of the forms that can stand here",
/// );
/// assert_eq!(
///     plain_reason("unknown variant `allow`, expected `permit` or `forbid` at line 1 column 9"),
///     "`allow` is none of `permit`, `forbid` at line 1 column 9",
/// );
/// ```
#[must_use]
pub fn plain_reason(message: &str) -> String {
    const NO_VARIANT: &str = "data did not match any variant of ";
    // What Cedar says before it says why.
    const LEAD: &str = "error deserializing a policy/template from JSON: ";
    let mut plain = message.strip_prefix(LEAD).unwrap_or(message).to_owned();
    if let Some((before, after)) = plain.split_once(NO_VARIANT) {
        let rest = after.find(" at line ").and_then(|at| after.get(at..)).unwrap_or_default();
        plain = format!("{before}it is none of the forms that can stand here{rest}");
    }
    for lead in [
        "adjacently tagged enum ",
        "internally tagged enum ",
        "untagged enum ",
        "tuple struct ",
        "unit struct ",
        "newtype struct ",
        "struct variant ",
        "tuple variant ",
        "struct ",
        "enum ",
    ] {
        let form = if lead.contains("enum") {
            "one of several forms"
        } else {
            "an object of another form"
        };
        while let Some((before, after)) = plain.split_once(&format!("expected {lead}")) {
            let name = after.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            let rest = name.and_then(|at| after.get(at..)).unwrap_or_default();
            plain = format!("{before}expected {form}{rest}");
        }
    }
    if let Some(told) = unknown_field(&plain).or_else(|| unknown_word(&plain)) {
        plain = told;
    }
    for (found, said) in [
        ("invalid type: map", "found an object"),
        ("invalid type: sequence", "found a list"),
        ("invalid type: null", "found null"),
        ("invalid type: unit value", "found null"),
        ("invalid type: floating point", "found the fraction"),
        ("invalid type: ", "found "),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected an object"),
        ("expected unit", "expected null"),
        ("expected i64", "expected an integer of 64 bits"),
        ("expected u64", "expected an integer that is not negative"),
        ("expected u32", "expected an integer from 0 to 4294967295"),
        ("expected usize", "expected an integer that is not negative"),
    ] {
        plain = plain.replace(found, said);
    }
    plain
}

/// Says of a field that a reader does not know which is the nearest that it does.
fn unknown_field(message: &str) -> Option<String> {
    let Unknown { before, name, known, after } = Unknown::read(message, "unknown field `")?;
    Some(format!("{before}{}{after}", unknown("field", name, known)))
}

/// Says of a word that a reader does not know which it does.
fn unknown_word(message: &str) -> Option<String> {
    let Unknown { before, name, known, after } = Unknown::read(message, "unknown variant `")?;
    let name = start(name);
    let near = nearest_name(&name, known.iter().copied());
    let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    let known: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    Some(format!("{before}`{name}` is none of {}{near}{after}", known.join(", ")))
}

/// A reader's message about a name that it does not know.
struct Unknown<'m> {
    before: &'m str,
    name: &'m str,
    known: Vec<&'m str>,
    after: &'m str,
}

impl<'m> Unknown<'m> {
    fn read(message: &'m str, lead: &str) -> Option<Self> {
        let (before, rest) = message.split_once(lead)?;
        let (name, rest) = rest.split_once("`, expected ")?;
        let end = rest.find(" at line ").unwrap_or(rest.len());
        let (names, after) = (rest.get(..end)?, rest.get(end..)?);
        // `a`, `b`: what stands between quotes, every other part.
        let known: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        (!known.is_empty()).then_some(Self { before, name, known, after })
    }
}

/// Returns the one of `known` that somebody who wrote `given` most likely means.
///
/// # Examples
///
/// ```
/// use stagedoor_core::nearest_name;
///
/// let known = ["principal", "action", "resource", "context"];
/// assert_eq!(nearest_name("ctx", known), Some("context"));
/// assert_eq!(nearest_name("ressource", known), Some("resource"));
/// assert_eq!(nearest_name("colour", known), None);
/// ```
#[must_use]
pub fn nearest_name<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // An untrusted name may be long, and the distance costs the product of the lengths.
    if given.is_empty() || given.len() > 64 {
        return None;
    }
    let given = given.to_lowercase();
    let begin_alike = |name: &str| name.chars().next() == given.chars().next();
    let rank = |name: &'n str| {
        let lower = name.to_lowercase();
        let (longer, shorter) =
            if lower.len() > given.len() { (&lower, &given) } else { (&given, &lower) };
        // `ctx` for `context`: letters left out, none of them wrong.
        let mut letters = longer.chars();
        let shortened = shorter.len() > 1
            && begin_alike(&lower)
            && shorter.chars().all(|c| letters.any(|other| other == c));
        let distance = strsim::osa_distance(&lower, &given);
        let near = distance <= (longer.len() / 3).max(1);
        (near || shortened).then_some((!near, distance, name))
    };
    known.into_iter().filter_map(rank).min().map(|(_, _, name)| name)
}

/// Returns what is said about a key that is none of `known`.
///
/// # Examples
///
/// ```
/// use stagedoor_core::unknown_key;
///
/// let told = unknown_key("ctx", ["principal", "context"]);
/// assert_eq!(told, "unknown key `ctx`: did you mean `context`?");
/// ```
#[must_use]
pub fn unknown_key<'n>(key: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> String {
    unknown("key", key, known)
}

fn unknown<'n>(noun: &str, name: &str, known: impl IntoIterator<Item = &'n str> + Clone) -> String {
    let name = start(name);
    match nearest_name(&name, known.clone()) {
        Some(nearest) => format!("unknown {noun} `{name}`: did you mean `{nearest}`?"),
        None => {
            let known: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
            format!("unknown {noun} `{name}`: the {noun}s are {}", known.join(", "))
        }
    }
}

/// Says why a text is no request.
pub(crate) fn of_request(json: &str, error: &serde_json::Error) -> String {
    let Ok(Json::Object(fields)) = unambiguous(json) else {
        return match serde_json::from_str::<serde::de::IgnoredAny>(json) {
            Ok(_) => plain_reason(&error.to_string()),
            Err(syntax) => format!("not JSON: {syntax}"),
        };
    };
    let known = |key: &String| REQUEST.contains(&&**key) || OF_TEST_CASES.contains(&&**key);
    if let Some(unknown) = fields.keys().find(|key| !known(key)) {
        return unknown_key(unknown, REQUEST);
    }
    match REQUEST.iter().take(3).find(|key| !fields.contains_key(**key)) {
        Some(missing) => format!("`{missing}` is missing"),
        None => plain_reason(&error.to_string()),
    }
}

/// Says why JSON is no entity id, if it is none.
#[must_use]
pub fn of_uid(json: &Json) -> Option<String> {
    let json = match json {
        Json::Object(fields) if fields.len() == 1 => fields.get("__entity").unwrap_or(json),
        other => other,
    };
    match json {
        Json::String(text) if entity_uid(text).is_some() => None,
        Json::String(text) => Some(of_uid_text(text)),
        Json::Object(fields) => {
            if let Some(unknown) = fields.keys().find(|key| !["type", "id"].contains(&&***key)) {
                return Some(unknown_key(unknown, ["type", "id"]));
            }
            let wrong = |name: &&&str| !fields.get(**name).is_some_and(Json::is_string);
            match ["type", "id"].iter().find(wrong) {
                Some(name) if fields.contains_key(*name) => {
                    Some(format!("`{name}` is not a string"))
                }
                Some(name) => Some(format!("`{name}` is missing")),
                None => {
                    let name = fields.get("type").and_then(Json::as_str).unwrap_or_default();
                    let parsed: Result<cedar_policy::EntityTypeName, _> = name.parse();
                    parsed.is_err().then(|| format!("`{}` is not the name of a type", start(name)))
                }
            }
        }
        _ => Some(
            "write `Type::\"id\"`, such as `User::\"alice\"`, or {\"type\", \"id\"}".to_owned(),
        ),
    }
}

/// Says why a text is no entity id.
#[must_use]
pub fn of_uid_text(text: &str) -> String {
    let id = start(text);
    if let Some(uid) = nearly_uid(text) {
        return format!(
            "`{id}` is not written as Cedar writes ids: write `{}`, or {{\"type\", \"id\"}}",
            cut(&uid)
        );
    }
    let shape = text.strip_suffix('"').and_then(|text| text.split_once("::\""));
    match shape {
        Some((name, rest)) => {
            let parsed: Result<cedar_policy::EntityTypeName, _> = name.parse();
            if parsed.is_err() {
                return format!(
                    "`{id}` is not an entity id: `{}` is not the name of a type",
                    start(name)
                );
            }
            let written = format!("{{\"type\": {}, \"id\": …}}", Json::from(name));
            // Cedar reads it in a policy, but writes it in another way.
            match rest.contains('\\') || !rest.contains('"') {
                true => format!(
                    "`{id}` is not written as Cedar writes it: escape `\"` and `\\`, and what does \
                     not print, as Cedar does, or write {written}, in which nothing is escaped"
                ),
                false => format!(
                    "`{id}` is not an entity id: write `\"` in an id as `\\\"`, or {written}"
                ),
            }
        }
        None => format!("`{id}` is not an id such as `User::\"alice\"`"),
    }
}

/// Where in a JSON value something stands; written out only when something is wrong there.
#[derive(Clone, Copy)]
pub(crate) struct JsonPath<'p> {
    above: Option<&'p JsonPath<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Field(&'p str),
    Item(usize),
}

impl<'p> JsonPath<'p> {
    pub(crate) fn named(name: &'p str) -> Self {
        Self { above: None, step: Step::Field(name) }
    }

    fn field(&'p self, name: &'p str) -> Self {
        Self { above: Some(self), step: Step::Field(name) }
    }

    fn item(&'p self, number: usize) -> Self {
        Self { above: Some(self), step: Step::Item(number) }
    }
}

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match (self.step, self.above) {
            (Step::Field(name), None) => f.write_str(name),
            (Step::Field(name), Some(_)) => write!(f, ".{}", start(name)),
            (Step::Item(number), _) => write!(f, "[{number}]"),
        }
    }
}

/// How closely values are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// At their form.
    Form,
    /// At the texts of extension values as well, which takes as long as making them.
    Texts,
}

/// Says what in a value is not Cedar's, and where: the first such thing. `name` is what the value
/// is called.
///
/// # Examples
///
/// ```
/// use stagedoor_core::value_reason;
///
/// let json = serde_json::json!({ "items": [{ "price": null }] });
/// let told = value_reason(&json, "context");
/// assert_eq!(
///     told.as_deref(),
///     Some("`context.items[0].price` is null, which Cedar does not have: leave it out"),
/// );
/// ```
#[must_use]
pub fn value_reason(json: &Json, name: &str) -> Option<String> {
    of_value(json, &JsonPath::named(name), Look::Texts)
}

/// Says what in a value is not Cedar's, and where.
pub(crate) fn of_value(json: &Json, place: &JsonPath<'_>, look: Look) -> Option<String> {
    match json {
        Json::Bool(_) | Json::String(_) => None,
        Json::Null => Some(format!("`{place}` is null, which Cedar does not have: leave it out")),
        Json::Number(number) if number.is_i64() => None,
        Json::Number(number) => Some(of_number(number, place)),
        Json::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(n, item)| of_value(item, &place.item(n), look))
        }
        Json::Object(fields) => {
            let only = if fields.len() == 1 { fields.iter().next() } else { None };
            match only {
                Some((name, uid)) if name == "__entity" => {
                    of_uid(uid).map(|reason| format!("`{place}` is not an entity id: {reason}"))
                }
                Some((name, call)) if name == "__extn" => of_call(call, place, look),
                Some((name, _)) if name == "__expr" => {
                    Some(format!("`{place}`: `__expr` is no longer read by Cedar"))
                }
                _ => {
                    let mut fields = fields.iter();
                    fields.find_map(|(name, field)| of_value(field, &place.field(name), look))
                }
            }
        }
    }
}

fn of_number(number: &serde_json::Number, place: &JsonPath<'_>) -> String {
    /// 2 to the power of 63: the first that is beyond.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    let float = number.as_f64().unwrap_or(f64::INFINITY);
    if number.is_u64() || float.abs() >= BEYOND {
        return format!("`{place}` is `{number}`: Cedar's integers have 64 bits");
    }
    if float.fract() == 0.0 {
        return format!("`{place}` is `{number}`: write an integer without fraction and exponent");
    }
    format!(
        "`{place}` is `{number}`: Cedar has no fractions; for a decimal write \
         {{\"__extn\": {{\"fn\": \"decimal\", \"arg\": \"{number}\"}}}}"
    )
}

fn of_call(call: &Json, place: &JsonPath<'_>, look: Look) -> Option<String> {
    let Json::Object(fields) = call else {
        return Some(format!("`{place}`: write {{\"__extn\": {{\"fn\": …, \"arg\": …}}}}"));
    };
    if let Some(unknown) = fields.keys().find(|key| !["fn", "arg", "args"].contains(&&***key)) {
        return Some(format!("`{place}`: {}", unknown_key(unknown, ["fn", "arg"])));
    }
    let Some(Json::String(function)) = fields.get("fn") else {
        return Some(format!("`{place}`: `fn` of `__extn` is not the name of a function"));
    };
    match fields.get("arg") {
        Some(Json::String(text)) if FUNCTIONS.contains(&&**function) => {
            let is_taken = || Extension::new(function, text).ok();
            let refused = || format!("`{place}`: `{}` is not a text for `{function}`", start(text));
            (look == Look::Texts && is_taken().is_none()).then(refused)
        }
        Some(Json::String(_)) if look == Look::Texts => {
            let known = FUNCTIONS.map(|name| format!("`{name}`")).join(", ");
            Some(format!("`{place}`: `{}` is none of the functions {known}", start(function)))
        }
        Some(Json::String(_)) | None => None,
        Some(other) => of_value(other, place, look),
    }
}

/// Says why a text is no list of entities in Cedar's JSON form; `cause` is what its reader said.
pub(crate) fn of_entities(json: &str, cause: &str) -> String {
    let entities = match unambiguous(json) {
        Ok(Json::Array(entities)) => entities,
        Ok(_) => {
            return "expected a list of entities, each {\"uid\", \"attrs\", \"parents\"}"
                .to_owned();
        }
        Err(error) => return plain_reason(&error.to_string()),
    };
    let found = entities.iter().enumerate().find_map(|(n, entity)| of_entity(entity, n));
    found.unwrap_or_else(|| plain_reason(cause))
}

fn of_entity(entity: &Json, number: usize) -> Option<String> {
    let Json::Object(fields) = entity else {
        return Some(format!("entity {number} of the list is not an object"));
    };
    if let Some(unknown) = fields.keys().find(|key| !ENTITY.contains(&&***key)) {
        return Some(format!("entity {number} of the list: {}", unknown_key(unknown, ENTITY)));
    }
    let missing = ENTITY.iter().take(3).find(|key| !fields.contains_key(**key));
    if let Some(missing) = missing {
        return Some(format!("entity {number} of the list: `{missing}` is missing"));
    }
    // An id as text is what requests may have; Cedar's entities have objects.
    let uid = |json: &Json| match json {
        Json::String(text) => {
            Some(format!("`{}` is a string: write {{\"type\", \"id\"}}", start(text)))
        }
        other => of_uid(other),
    };
    if let Some(reason) = fields.get("uid").and_then(uid) {
        return Some(format!("`uid` of entity {number} of the list is not an entity id: {reason}"));
    }
    let parents = fields.get("parents").and_then(Json::as_array).into_iter().flatten();
    if let Some(reason) = parents.into_iter().find_map(uid) {
        return Some(format!(
            "a parent of entity {number} of the list is not an entity id: {reason}"
        ));
    }
    ["attrs", "tags"].iter().find_map(|name| {
        let values = fields.get(*name)?;
        match values {
            Json::Object(fields) => fields.iter().find_map(|(field, value)| {
                of_value(value, &JsonPath::named(name).field(field), Look::Texts)
                    .map(|reason| format!("entity {number} of the list: {reason}"))
            }),
            _ => Some(format!("entity {number} of the list: `{name}` is not an object")),
        }
    })
}

/// Returns the beginning of a text that may be long.
fn start(text: &str) -> String {
    let mut start: String = text.chars().take(80).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

#[cfg(test)]
mod tests {
    use crate::entities::Entities;
    use crate::request::Request;

    /// What no user should meet.
    const PRIVATE: [&str; 8] =
        ["enum", "struct", "Json", "variant", "from_str", "serde", "untagged", "RawCedar"];

    fn request(context: &str) -> String {
        let ids = r#""principal": "U::\"a\"", "action": "Action::\"a\"", "resource": "U::\"a\"""#;
        let json = format!("{{{ids}, \"context\": {context}}}");
        Request::from_json_str(&json, None).map_or_else(|e| e.to_string(), |_| "taken".to_owned())
    }

    fn entities(fields: &str) -> String {
        let json = format!("[{{\"uid\": {{\"type\": \"U\", \"id\": \"u\"}}, {fields}}}]");
        Entities::from_json_str(&json, None).map_or_else(|e| e.to_string(), |_| "taken".to_owned())
    }

    #[test]
    fn values_are_told_by_their_place() {
        for (value, told) in [
            ("1.5", "Cedar has no fractions"),
            ("1e3", "without fraction and exponent"),
            ("12345678901234567890", "64 bits"),
            ("123456789012345678901234567890", "64 bits"),
            ("null", "is null"),
            ("[{\"deep\": [1, 2.5]}]", "v[0].deep[1]` is `2.5`"),
            ("{\"__entity\": {\"type\": \"U\", \"idd\": \"x\"}}", "did you mean `id`?"),
            ("{\"__entity\": 7}", "is not an entity id"),
            ("{\"__extn\": {\"fn\": \"ip\", \"arg\": \"home\"}}", "`home` is not a text for `ip`"),
            ("{\"__extn\": {\"fn\": \"sqrt\", \"arg\": \"4\"}}", "`sqrt` is none of the functions"),
            ("{\"__extn\": {\"fun\": \"ip\", \"arg\": \"4\"}}", "did you mean `fn`?"),
            ("{\"__extn\": 1}", "write {\"__extn\""),
            ("{\"__expr\": \"1\"}", "no longer read"),
        ] {
            let by_request = request(&format!("{{\"v\": {value}}}"));
            let by_entity = entities(&format!("\"attrs\": {{\"v\": {value}}}, \"parents\": []"));
            let by_tag = entities(&format!(
                "\"attrs\": {{}}, \"parents\": [], \"tags\": {{\"v\": {value}}}"
            ));
            for message in [by_request, by_entity, by_tag] {
                assert!(message.contains(told), "{value}: {message}");
                assert!(message.contains(".v"), "{value}: {message}");
                assert!(!PRIVATE.iter().any(|word| message.contains(word)), "{message}");
            }
        }
        assert_eq!(request("{\"v\": -9223372036854775808}"), "taken");
    }

    #[test]
    fn words_are_told_with_those_that_can_stand_there() {
        for (policy, told) in [
            (r#""effect": "permitt", "principal": {"op": "All"}"#, "did you mean `permit`?"),
            (r#""effect": "permit", "principal": {"op": "Every"}"#, "`Every` is none of `All`, "),
            (r#""effect": "allow", "principal": {"op": "All"}"#, "is none of `permit`, `forbid`"),
        ] {
            let rest = r#""action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []"#;
            let json = format!("{{{policy}, {rest}}}");
            let loaded = crate::Engine::builder().exact_cedar().policies_json("p", json).build();
            let message = loaded.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(message.contains(told), "{policy}: {message}");
            assert!(!PRIVATE.iter().any(|word| message.contains(word)), "{message}");
        }
    }

    #[test]
    fn keys_are_told_with_the_nearest() {
        for (fields, told) in [
            ("\"attrs\": {}, \"parents\": [], \"tag\": {}", "did you mean `tags`?"),
            ("\"attributes\": {}, \"parents\": []", "did you mean `attrs`?"),
            ("\"attrs\": {}", "`parents` is missing"),
            ("\"attrs\": [], \"parents\": []", "`attrs` is not an object"),
            ("\"attrs\": {}, \"parents\": [\"U::\\\"x\\\"\"]", "write {\"type\", \"id\"}"),
        ] {
            let message = entities(fields);
            assert!(message.contains(told), "{fields}: {message}");
        }
        let wrong = |json: &str| {
            Request::from_json_str(json, None)
                .map_or_else(|e| e.to_string(), |_| "taken".to_owned())
        };
        let ids = r#""principal": "U::\"a\"", "action": "Action::\"a\"""#;
        for (json, told) in [
            (
                format!("{{{ids}, \"resource\": \"U::\\\"a\\\"\", \"ctx\": {{}}}}"),
                "did you mean `context`?",
            ),
            (format!("{{{ids}}}"), "`resource` is missing"),
            (format!("{{{ids}, \"resource\": \"U\"}}"), "such as `User::\"alice\"`"),
            (format!("{{{ids}, \"resource\": {{\"type\": \"U\"}}}}"), "`id` is missing"),
            (format!("{{{ids}, \"resource\": \"U::\\\"a\\\"b\\\"\"}}"), "as Cedar writes ids"),
            (format!("{{{ids}, \"resource\": \"U::\\\"\\\\u{{41}}\\\"\"}}"), "as Cedar writes ids"),
            ("[]".to_owned(), "not a request: "),
            ("{".to_owned(), "not JSON"),
        ] {
            let message = wrong(&json);
            assert!(message.contains(told), "{json}: {message}");
            assert!(!PRIVATE.iter().any(|word| message.contains(word)), "{message}");
        }
    }
}
