//! What rules can ask of a resource.

use smol_str::SmolStr;

/// Something of a resource that has strings for values: its kind, a label, its owners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Facet {
    /// The kind of a catalog entity.
    Kind,
    /// The owners of a catalog entity.
    Owner,
    /// A search row of a catalog entity, by its whole path: `spec.lifecycle`.
    Row(SmolStr),
    /// A label of a catalog entity.
    Label(SmolStr),
    /// An annotation of a catalog entity.
    Annotation(SmolStr),
    /// The tags of a part of a template.
    TemplateTag,
    /// The id of an action.
    ActionId,
    /// An input of an action, by its path.
    Input(SmolStr),
    /// Who started a run of a template.
    CreatedBy,
    /// A tag whose values a permission file ties to a rule.
    Tag(SmolStr),
    /// A tag that a permission file ties to a rule without parameters.
    Flag(SmolStr),
}

/// Whether rules can tell that a facet has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expressible {
    /// They can.
    Yes,
    /// No resource has this value.
    Never,
    /// They cannot; this is why.
    No(&'static str),
}

/// Longer paths have no search row; longer values are rows without a value.
const INDEXED: usize = 200;

/// Inputs that the scaffolder compares without regard to case for some actions.
const CASELESS_INPUTS: [&str; 5] = ["owner", "path", "projectId", "repoName", "repoUrl"];

pub(crate) const NAME_ROW: &str = "metadata.name";
pub(crate) const NAMESPACE_ROW: &str = "metadata.namespace";

impl Facet {
    /// Returns whether every resource has at least one value, or the facet as a set.
    pub(crate) fn is_always(&self) -> bool {
        match self {
            Self::Kind | Self::Owner | Self::TemplateTag | Self::ActionId => true,
            Self::Row(path) => path == NAME_ROW || path == NAMESPACE_ROW,
            // The rules define what is there: a permission file's tag is a set.
            Self::Tag(_) => true,
            Self::Label(_)
            | Self::Annotation(_)
            | Self::Input(_)
            | Self::CreatedBy
            | Self::Flag(_) => false,
        }
    }

    /// Returns whether no resource has two values.
    pub(crate) fn is_single(&self) -> bool {
        match self {
            Self::Kind
            | Self::Label(_)
            | Self::Annotation(_)
            | Self::ActionId
            | Self::Input(_)
            | Self::CreatedBy => true,
            Self::Row(path) => path == NAME_ROW || path == NAMESPACE_ROW,
            Self::Owner | Self::TemplateTag | Self::Tag(_) | Self::Flag(_) => false,
        }
    }

    /// Returns whether rules can tell that the facet is there.
    pub(crate) fn presence(&self) -> Expressible {
        match self {
            Self::Row(path) if !is_row(path) => Expressible::Never,
            Self::Label(key) | Self::Annotation(key) if !is_lower(key) => Expressible::Never,
            Self::Label(key) if is_long(&format!("metadata.labels.{key}"), INDEXED) => {
                Expressible::No(LONG_KEY)
            }
            Self::Annotation(key) if is_long(&format!("metadata.annotations.{key}"), INDEXED) => {
                Expressible::No(LONG_KEY)
            }
            Self::Input(path) if !is_plain_input(path) => Expressible::No(
                "the scaffolder reads this path in another way: write names of inputs with dots \
                 between them",
            ),
            Self::CreatedBy => Expressible::No(
                "no rule tells whether anyone started a run: compare `resource.createdBy` with \
                 users",
            ),
            _ => Expressible::Yes,
        }
    }

    /// Returns whether rules can tell that this is one of the facet's values.
    pub(crate) fn value(&self, value: &str) -> Expressible {
        match self.presence() {
            Expressible::Never => return Expressible::Never,
            Expressible::No(reason) if *self != Self::CreatedBy => return Expressible::No(reason),
            Expressible::No(_) | Expressible::Yes => {}
        }
        match self {
            // Cedar sees all of these in lower case, and the rules know no case.
            Self::Kind | Self::Owner if !is_lower(value) => Expressible::Never,
            Self::Row(_) if !is_lower(value) || is_long(value, INDEXED) => Expressible::Never,
            Self::Label(_) | Self::Annotation(_) if !is_lower(value) => Expressible::Never,
            Self::Label(_) | Self::Annotation(_) if is_long(value, INDEXED) => Expressible::No(
                "the catalog's database does not hold labels and annotations of over 200 \
                 characters, so that its lists would differ from single checks",
            ),
            Self::Input(key) if CASELESS_INPUTS.contains(&key.as_str()) && !is_lower(value) => {
                Expressible::No(
                    "for some actions the scaffolder compares this input without regard to \
                     case: write the value in lower case",
                )
            }
            Self::Input(key) if CASELESS_INPUTS.contains(&key.as_str()) && is_whole(value) => {
                Expressible::No(
                    "since its version 4.3 the scaffolder compares digits in this input as \
                     numbers for some actions, `042` with `42`: compare with a name",
                )
            }
            Self::Flag(_) => {
                Expressible::No("the rule of this tag has no parameters: ask `hasTag` alone")
            }
            // The scaffolder takes an empty reference for none.
            Self::CreatedBy if value.is_empty() => Expressible::Never,
            _ => Expressible::Yes,
        }
    }
}

/// Returns whether some digits are this number: the text is digits, or what JavaScript prints of a
/// number that digits are as well, such as `1e+21`.
fn is_whole(text: &str) -> bool {
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits || printed_number(text).is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
}

/// Returns the number that JavaScript prints like this, if there is one.
pub(super) fn printed_number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && crate::yaml::number_text(number) == text).then_some(number)
}

/// Returns whether the path leads to inputs alone. The scaffolder walks JavaScript objects
/// (`lodash.get`): brackets are indices, texts and lists have a `length`, and functions that
/// objects, texts and lists have without being given them bear a `name`.
fn is_plain_input(path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    let is_inherited = |part: &&str| INHERITED.contains(part) || part.starts_with("__");
    let is_plain = match parts.as_slice() {
        [] | [_] => true,
        // The input itself is an object, which has the first few alone.
        [first, middle @ .., last] => {
            let of_objects = INHERITED.iter().take(7).any(|part| part == first);
            !of_objects
                && !first.starts_with("__")
                && !middle.iter().any(is_inherited)
                && *last != "length"
        }
    };
    is_plain && !path.contains(['[', ']', '"', '\'']) && !parts.contains(&"")
}

/// What objects, texts and lists of JavaScript have without being given it.
const INHERITED: [&str; 93] = [
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
    "anchor",
    "at",
    "big",
    "blink",
    "bold",
    "charAt",
    "charCodeAt",
    "codePointAt",
    "concat",
    "copyWithin",
    "endsWith",
    "entries",
    "every",
    "fill",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "fixed",
    "flat",
    "flatMap",
    "fontcolor",
    "fontsize",
    "forEach",
    "includes",
    "indexOf",
    "isWellFormed",
    "italics",
    "join",
    "keys",
    "lastIndexOf",
    "link",
    "localeCompare",
    "map",
    "match",
    "matchAll",
    "normalize",
    "padEnd",
    "padStart",
    "pop",
    "push",
    "reduce",
    "reduceRight",
    "repeat",
    "replace",
    "replaceAll",
    "reverse",
    "search",
    "shift",
    "slice",
    "small",
    "some",
    "sort",
    "splice",
    "split",
    "startsWith",
    "strike",
    "sub",
    "substr",
    "substring",
    "sup",
    "toExponential",
    "toFixed",
    "toLocaleLowerCase",
    "toLocaleUpperCase",
    "toLowerCase",
    "toPrecision",
    "toReversed",
    "toSorted",
    "toSpliced",
    "toUpperCase",
    "toWellFormed",
    "trim",
    "trimEnd",
    "trimLeft",
    "trimRight",
    "trimStart",
    "unshift",
    "values",
    "with",
    "apply",
    "bind",
    "call",
    "caller",
    "prototype",
];

const LONG_KEY: &str = "the catalog's database does not hold labels and annotations with so long \
                        a name: use one of at most 180 characters";

fn is_row(path: &str) -> bool {
    let known = path.starts_with("metadata.") || path.starts_with("spec.");
    known && is_lower(path) && !is_long(path, INDEXED)
}

fn is_lower(text: &str) -> bool {
    text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase()) || text.to_lowercase() == text
}

/// Returns whether `text` has more than `limit` UTF-16 units, which is how JavaScript counts.
fn is_long(text: &str, limit: usize) -> bool {
    text.len() > limit && text.encode_utf16().nth(limit).is_some()
}
