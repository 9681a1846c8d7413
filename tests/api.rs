//! The public interface of `stagedoor` and `stagedoor-core` as one text, `cases/api.txt`: a change of
//! it is a change of that file. Read from the code, as `messages` is, since the compiler's own
//! description takes a build of its own. `UPDATE_CASES=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use quote::ToTokens;
use syn::{Attribute, Item, UseTree, Visibility};

/// Public items without an example of their own, each with where it is shown or why there is none.
const WITHOUT_EXAMPLE: &str = include_str!("cases/api-examples.txt");

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/stagedoor-core/src")
}

/// Returns tokens as people write them.
fn text(tokens: &impl ToTokens) -> String {
    let spaced = tokens.to_token_stream().to_string();
    let mut text = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    for (wide, close) in [
        (" :: ", "::"),
        ("< '", "<'"),
        (" < ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        (" : ", ": "),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (":: ", "::"),
        (" ::", "::"),
        ("->(", "-> ("),
        (" ;", ";"),
        (" ]", "]"),
        ("[ ", "["),
        ("impl<", "impl <"),
        (",)", ")"),
        (", }", " }"),
    ] {
        text = text.replace(wide, close);
    }
    text.replace(">->", "> ->").replace(">where", "> where")
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident(name))
}

fn has(attributes: &[Attribute], name: &str, word: &str) -> bool {
    let mut named = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
    named.any(|attribute| attribute.to_token_stream().to_string().contains(word))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    has(attributes, "doc", "hidden")
}

fn derives(attributes: &[Attribute]) -> Vec<String> {
    let mut all = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let tokens = attribute.meta.require_list().map(|list| list.tokens.to_string());
        let tokens = tokens.unwrap_or_default().replace(' ', "");
        all.extend(tokens.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
    }
    all.sort();
    all
}

/// What is known of one item.
#[derive(Default)]
struct Entry {
    lines: Vec<String>,
    has_example: bool,
    is_documented: bool,
}

/// Everything public of a crate, by name.
#[derive(Default)]
struct Api {
    items: BTreeMap<String, Entry>,
    /// What types have, each with the type's name: methods and traits.
    of_types: Vec<(String, String)>,
    /// Methods whose docs have an example.
    shown_by_method: BTreeSet<String>,
}

impl Api {
    fn read(directory: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut open = vec![directory.to_path_buf()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => open.push(path),
                    false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
                    false => {}
                }
            }
        }
        files.sort();
        let mut api = Self::default();
        for file in files {
            let code = std::fs::read_to_string(&file)?;
            let syntax = syn::parse_file(&code).with_context(|| file.display().to_string())?;
            syntax.items.iter().for_each(|item| api.item(item));
        }
        Ok(api)
    }

    fn add(&mut self, name: String, attributes: &[Attribute], line: String) -> &mut Vec<String> {
        let entry = self.items.entry(name).or_default();
        let mut docs = attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
        entry.is_documented |= docs.clone().next().is_some();
        entry.has_example |= docs.any(|doc| doc.to_token_stream().to_string().contains("```"));
        entry.lines.push(line);
        &mut entry.lines
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Struct(item) if is_public(&item.vis) => {
                let mut line = format!("struct {}{}", item.ident, text(&item.generics));
                if is(&item.attrs, "non_exhaustive") {
                    line.push_str(" (non-exhaustive)");
                }
                self.derived(&item.ident.to_string(), &item.attrs);
                let fields = item.fields.iter().filter(|field| is_public(&field.vis));
                let fields: Vec<String> = fields
                    .map(|field| {
                        let name = field.ident.as_ref().map(ToString::to_string);
                        format!("  {}: {}", name.unwrap_or("0".to_owned()), text(&field.ty))
                    })
                    .collect();
                self.add(item.ident.to_string(), &item.attrs, line).extend(fields);
            }
            Item::Enum(item) if is_public(&item.vis) => {
                let mut line = format!("enum {}{}", item.ident, text(&item.generics));
                if is(&item.attrs, "non_exhaustive") {
                    line.push_str(" (non-exhaustive)");
                }
                self.derived(&item.ident.to_string(), &item.attrs);
                let variants: Vec<String> = item
                    .variants
                    .iter()
                    .map(|variant| {
                        let mut variant = variant.clone();
                        variant.attrs.clear();
                        variant.fields.iter_mut().for_each(|field| field.attrs.clear());
                        format!("  {}", text(&variant))
                    })
                    .collect();
                self.add(item.ident.to_string(), &item.attrs, line).extend(variants);
            }
            Item::Trait(item) if is_public(&item.vis) => {
                let bounds = if item.supertraits.is_empty() {
                    String::new()
                } else {
                    format!(": {}", text(&item.supertraits))
                };
                let methods: Vec<String> = item
                    .items
                    .iter()
                    .filter_map(|part| match part {
                        syn::TraitItem::Fn(method) => {
                            let default = if method.default.is_some() { " (provided)" } else { "" };
                            Some(format!("  {}{default}", text(&method.sig)))
                        }
                        _ => None,
                    })
                    .collect();
                let line = format!("trait {}{bounds}", item.ident);
                self.add(item.ident.to_string(), &item.attrs, line).extend(methods);
            }
            Item::Fn(item) if is_public(&item.vis) => {
                let name = item.sig.ident.to_string();
                self.add(name, &item.attrs, text(&item.sig));
            }
            Item::Type(item) if is_public(&item.vis) => {
                let line = format!("type {} = {}", item.ident, text(&item.ty));
                self.add(item.ident.to_string(), &item.attrs, line);
            }
            Item::Impl(item) if !has(&item.attrs, "cfg", "test") => self.implementation(item),
            _ => {}
        }
    }

    fn derived(&mut self, name: &str, attributes: &[Attribute]) {
        for derived in derives(attributes) {
            let derived = match derived.rsplit("::").next().unwrap_or_default() {
                "Error" => "std::error::Error + Display".to_owned(),
                derived => derived.to_owned(),
            };
            self.of_types.push((name.to_owned(), format!("  is {derived}")));
        }
    }

    fn implementation(&mut self, item: &syn::ItemImpl) {
        let mut of = item.self_ty.as_ref();
        while let syn::Type::Reference(reference) = of {
            of = &reference.elem;
        }
        let syn::Type::Path(path) = of else { return };
        let Some(name) = path.path.segments.last().map(|part| part.ident.to_string()) else {
            return;
        };
        if let Some((_, implemented, _)) = &item.trait_ {
            let generics = &item.generics;
            let given = match item.self_ty.as_ref() {
                syn::Type::Reference(_) => format!(" for {}", text(&item.self_ty)),
                _ => String::new(),
            };
            let bounds = generics.type_params().next().map(|_| text(generics));
            let bounds = bounds.map(|bounds| format!(" {bounds}")).unwrap_or_default();
            // A conversion is one of both types.
            let mut names = BTreeSet::from([name]);
            if let Some(last) = implemented.segments.last()
                && let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
            {
                let idents = arguments.to_token_stream().to_string();
                let idents = idents.split(|c: char| !c.is_alphanumeric());
                names.extend(idents.filter(|i| i.len() > 2).map(str::to_owned));
            }
            let whole = format!("{}{given}{bounds}", text(implemented));
            let own = text(&item.self_ty);
            for (number, name) in names.into_iter().enumerate() {
                let to = if own.contains(&name) || number == 0 { "" } else { &*own };
                let to = if to.is_empty() { String::new() } else { format!(" for {to}") };
                self.of_types.push((name, format!("  is {whole}{to}")));
            }
            return;
        }
        for part in &item.items {
            match part {
                syn::ImplItem::Fn(method)
                    if is_public(&method.vis) && !is_hidden(&method.attrs) =>
                {
                    let docs = method.attrs.iter().filter(|a| a.path().is_ident("doc"));
                    if docs.into_iter().any(|d| d.to_token_stream().to_string().contains("```")) {
                        self.shown_by_method.insert(name.clone());
                    }
                    self.of_types.push((name.clone(), format!("  {}", text(&method.sig))));
                }
                syn::ImplItem::Const(constant) if is_public(&constant.vis) => {
                    let (ident, ty) = (&constant.ident, text(&constant.ty));
                    self.of_types.push((name.clone(), format!("  const {ident}: {ty}")));
                }
                _ => {}
            }
        }
    }
}

/// Returns the names that a crate's root re-exports, and which of them come from other crates.
fn exported(root: &Path) -> Result<BTreeMap<String, String>> {
    fn names(tree: &UseTree, from: &str, found: &mut BTreeMap<String, String>) {
        match tree {
            UseTree::Path(path) if from.is_empty() => {
                names(&path.tree, &path.ident.to_string(), found);
            }
            UseTree::Path(path) => names(&path.tree, from, found),
            UseTree::Name(name) => drop(found.insert(name.ident.to_string(), from.to_owned())),
            UseTree::Rename(name) => {
                found.insert(name.rename.to_string(), name.ident.to_string());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, from, found)),
            UseTree::Glob(_) => {}
        }
    }
    let code = std::fs::read_to_string(root)?;
    let mut found = BTreeMap::new();
    for item in syn::parse_file(&code)?.items {
        if let Item::Use(item) = item
            && is_public(&item.vis)
            && !is_hidden(&item.attrs)
        {
            names(&item.tree, "", &mut found);
        }
    }
    Ok(found)
}

#[test]
fn the_public_interface_is_the_one_that_was_read() -> Result<()> {
    let api = Api::read(&core())?;
    let of_core = exported(&core().join("lib.rs"))?;
    let of_facade = exported(&core().join("../../stagedoor/src/lib.rs"))?;
    let mut all = String::from(
        "# What `stagedoor-core` exports; `*` what `stagedoor` exports as well. `UPDATE_CASES=1 cargo\n\
         # test --workspace --test api` writes this; read the difference.\n",
    );
    for (name, from) in &of_core {
        let star = if of_facade.contains_key(name) { " *" } else { "" };
        if from.starts_with("cedar_policy") {
            writeln!(all, "\n{name}: Cedar's{star}")?;
            continue;
        }
        let entry = api.items.get(name).with_context(|| format!("`{name}` was not found"))?;
        ensure!(entry.is_documented, "`{name}` has no docs");
        let (head, rest) = entry.lines.split_first().context("an item has a line")?;
        writeln!(all, "\n{head}{star}")?;
        rest.iter().try_for_each(|line| writeln!(all, "{line}"))?;
        let mut own: Vec<&str> = api
            .of_types
            .iter()
            .filter(|(of, _)| of == name)
            .map(|(_, line)| line.as_str())
            .collect();
        own.sort_unstable();
        own.dedup();
        own.iter().try_for_each(|line| writeln!(all, "{line}"))?;
    }
    ensure!(of_core.len() > 80, "only {} names were found", of_core.len());
    for name in of_facade.keys().filter(|name| !of_core.contains_key(*name)) {
        writeln!(all, "\n{name}: of `stagedoor` alone")?;
    }
    // The facade shows Cedar's syntax trees nowhere but where its docs say so.
    let path = core().join("../../../tests/cases/api.txt");
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(&path, &all)?;
    }
    let read = std::fs::read_to_string(&path).unwrap_or_default();
    let new: Vec<&str> = all.lines().filter(|line| !read.lines().any(|old| old == *line)).collect();
    let gone: Vec<&str> =
        read.lines().filter(|line| !all.lines().any(|now| now == *line)).collect();
    ensure!(
        read == all,
        "the public interface has changed. New:\n{}\nGone:\n{}\nRead it, then set UPDATE_CASES=1",
        new.join("\n"),
        gone.join("\n")
    );
    Ok(())
}

/// An example stands at an item, at one of its methods, or where the list says.
#[test]
fn every_public_item_has_an_example() -> Result<()> {
    let api = Api::read(&core())?;
    let lines = WITHOUT_EXAMPLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let excused: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once(": ")).collect();
    let mut missing = Vec::new();
    let mut needless = Vec::new();
    for (name, from) in exported(&core().join("lib.rs"))? {
        let Some(entry) = api.items.get(&name).filter(|_| !from.starts_with("cedar_policy")) else {
            continue;
        };
        let is_shown = entry.has_example || api.shown_by_method.contains(&name);
        match (is_shown, excused.contains_key(&*name)) {
            (false, false) => missing.push(name),
            (true, true) => needless.push(name),
            _ => {}
        }
    }
    ensure!(missing.is_empty(), "without an example: {missing:?}");
    ensure!(needless.is_empty(), "have an example and stand in the list: {needless:?}");
    // Where an item is shown by another one's example, that names it.
    for (name, place) in excused {
        let Some(by) = place.strip_prefix("by ") else { continue };
        let shown = api.items.get(by).is_some_and(|entry| entry.has_example)
            || api.shown_by_method.contains(by);
        ensure!(shown, "`{name}` is said to be shown by `{by}`, which has no example");
    }
    Ok(())
}

/// What programs rely on of types: that they cross threads, are errors, and are read and written.
#[test]
fn types_keep_what_they_promise() {
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use stagedoor_core as core;
    use std::error::Error;
    use std::fmt::{Debug, Display};
    use std::str::FromStr;

    fn crosses<T: Debug + Send + Sync>() {}
    fn moves<T: Debug + Send>() {}
    fn is_data<T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static>() {}
    fn is_answer<T: Clone + Serialize + Debug + Send + Sync>() {}
    fn is_text<T: FromStr<Err: Error + Send + Sync> + Display>() {}
    fn is_error<T: Error + Send + Sync + 'static>() {}
    fn converts<A, B: TryFrom<A, Error: Error>>() {}

    is_data::<core::Value>();
    is_data::<core::Extension>();
    is_data::<core::Request>();
    is_data::<core::Entity>();
    is_data::<core::Entities>();
    is_answer::<core::Outcome>();
    is_answer::<core::Ruling<'_>>();
    is_answer::<core::Explanation>();
    is_answer::<core::Counterfactual>();
    is_answer::<core::GuardOutcome>();
    is_answer::<core::PolicyError>();
    is_answer::<core::Problem>();
    is_answer::<core::LoadError>();
    is_text::<core::Value>();
    is_text::<core::Extension>();
    is_text::<core::ExtensionType>();
    is_text::<core::EntityUid>();
    is_text::<core::EntityTypeName>();
    is_error::<core::DecideError>();
    is_error::<core::RequestError>();
    is_error::<core::EntitiesError>();
    is_error::<core::ValueError>();
    is_error::<core::LoadError>();
    is_error::<core::Problem>();
    is_error::<core::ConditionalError>();
    is_error::<core::DeferredConditionError>();
    is_error::<core::ListError>();
    is_error::<core::GuardFailure>();
    is_error::<core::GuardRefusal>();
    is_error::<core::UnknownLimit>();
    converts::<&core::Entity, cedar_policy::Entity>();
    converts::<&cedar_policy::Entity, core::Entity>();
    converts::<&core::Value, cedar_policy::RestrictedExpression>();
    crosses::<core::Engine>();
    crosses::<core::EngineBuilder>();
    crosses::<core::EngineHolder>();
    crosses::<core::PolicyEdit>();
    crosses::<core::Principal>();
    crosses::<core::Action>();
    crosses::<core::ResourceType>();
    crosses::<core::Resource<'_>>();
    crosses::<core::PolicyInfo<'_>>();
    crosses::<core::Limits>();
    crosses::<core::Query>();
    // What the first decision finds out is kept in it without a lock.
    moves::<core::PreparedRequest<'_>>();
}
