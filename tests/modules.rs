//! Which modules of a crate know each other. A room is a module with what lies in its folder; arrows
//! between rooms go one way, so that each can be read, tested and replaced alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Meta, Token, UseTree};

/// Cycles that stay, each with why. The first of its rooms names it.
const KEPT: [(&str, &[&str], &str); 3] = [
    (
        "stagedoor-kubernetes",
        &["admission", "review_body", "reviewer"],
        "a review answers itself: `AdmissionReview::answer` takes the reviewer, which reads reviews",
    ),
    (
        "stagedoor-rule-sdk",
        &["guest", "rule"],
        "the macro writes code of authors, who call `guest`; that calls what authors implement",
    ),
    (
        "node",
        &["engine", "entities", "request"],
        "classes of JavaScript take each other as arguments",
    ),
];

/// A module's path in its crate: empty for the root.
type Module = Vec<String>;

/// What the modules of a crate mention.
#[derive(Default)]
struct Crate {
    /// For each module the paths that it mentions, as they are written.
    mentions: BTreeMap<Module, Vec<Vec<String>>>,
    /// What a module re-exports: a name, and the path that it stands for.
    re_exports: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Crate {
    fn read(src: &Path) -> Result<Self> {
        let mut files = Vec::new();
        rust_files(src, &mut files)?;
        let mut found = Self::default();
        for file in files {
            let module = module_of(file.strip_prefix(src)?);
            let text = std::fs::read_to_string(&file)?;
            let syntax = syn::parse_file(&text).with_context(|| file.display().to_string())?;
            let mut reader = Reader::default();
            reader.visit_file(&syntax);
            found.re_exports.insert(module.clone(), reader.re_exports);
            found.mentions.insert(module, reader.mentions);
        }
        Ok(found)
    }

    /// Returns the module that a path within `base` leads to, through re-exports.
    fn resolve(&self, base: &[String], path: &[String], depth: usize) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => Vec::new(),
            "self" => base.to_vec(),
            "super" => {
                let mut module = base.split_last()?.1.to_vec();
                while let Some((next, after)) = rest.split_first().filter(|(n, _)| *n == "super") {
                    let _ = next;
                    module.pop()?;
                    rest = after;
                }
                module
            }
            child => {
                let module = [base, &[child.to_owned()]].concat();
                if !self.mentions.contains_key(&module) {
                    return None;
                }
                module
            }
        };
        while let Some((next, after)) = rest.split_first() {
            let within = [module.as_slice(), std::slice::from_ref(next)].concat();
            if !self.mentions.contains_key(&within) {
                break;
            }
            (module, rest) = (within, after);
        }
        let re_export = rest.first().and_then(|name| self.re_exports.get(&module)?.get(name));
        match re_export.filter(|_| depth < 8) {
            // What is another crate's leads to no module of this one.
            Some(path) => self.resolve(&module, path, depth + 1),
            None => Some(module),
        }
    }

    /// Returns which room mentions which.
    fn arrows(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let room = |module: &Module| module.first().cloned().unwrap_or_default();
        let mut arrows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (module, mentions) in &self.mentions {
            let from = module.first().map_or("", String::as_str);
            let to = mentions.iter().filter_map(|path| self.resolve(module, path, 0));
            let others = to.map(|module| room(&module)).filter(|to| to != from);
            arrows.entry(from).or_default().extend(others);
        }
        arrows
    }
}

/// Reads paths and re-exports of one file, tests aside.
#[derive(Default)]
struct Reader {
    mentions: Vec<Vec<String>>,
    re_exports: BTreeMap<String, Vec<String>>,
}

impl Reader {
    /// Finds paths within a macro's arguments, which are not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.mention(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.mention(std::mem::take(&mut path));
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.mention(std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.mention(path);
    }

    fn mention(&mut self, path: Vec<String>) {
        let is_own = path.first().is_some_and(|f| matches!(f.as_str(), "crate" | "self" | "super"));
        if is_own && path.len() > 1 {
            self.mentions.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        let mut paths = Vec::new();
        use_paths(&item.tree, &mut Vec::new(), &mut paths);
        for (name, path) in paths {
            self.mentions.push(path.clone());
            if is_public {
                self.re_exports.insert(name, path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.mention(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

/// Returns whether an attribute leaves to tests what it stands before: `test` alone, or with more.
fn is_for_tests(attribute: &Attribute) -> bool {
    let needs_test = |meta: &Meta| match meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(|meta| meta.path().is_ident("test"))),
        _ => false,
    };
    attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(|meta| needs_test(&meta))
}

/// Adds the paths of a `use`, each with the name that it gives.
fn use_paths(tree: &UseTree, within: &mut Vec<String>, paths: &mut Vec<(String, Vec<String>)>) {
    let with = |name: &str| [within.as_slice(), &[name.to_owned()]].concat();
    match tree {
        UseTree::Path(path) => {
            within.push(path.ident.to_string());
            use_paths(&path.tree, within, paths);
            within.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            paths.push((within.last().cloned().unwrap_or_default(), within.clone()));
        }
        UseTree::Name(name) => paths.push((name.ident.to_string(), with(&name.ident.to_string()))),
        UseTree::Rename(name) => {
            paths.push((name.rename.to_string(), with(&name.ident.to_string())));
        }
        UseTree::Glob(_) => paths.push(("*".to_owned(), within.clone())),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| use_paths(tree, within, paths));
        }
    }
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

fn module_of(file: &Path) -> Module {
    let file = file.with_extension("");
    let parts = file.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| !matches!(part.as_str(), "lib" | "main" | "mod")).collect()
}

/// Returns the sets of rooms that reach each other.
fn cycles(arrows: &BTreeMap<&str, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach = |from: &str| {
        let mut reached: BTreeSet<String> = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(room) = open.pop() {
            for next in arrows.get(room.as_str()).into_iter().flatten() {
                if reached.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<String, BTreeSet<String>> =
        arrows.keys().map(|room| ((*room).to_owned(), reach(room))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (room, own) in &reached {
        let is_back = |other: &&String| reached.get(*other).is_some_and(|r| r.contains(room));
        let cycle: BTreeSet<String> = own.iter().filter(is_back).cloned().collect();
        if cycle.len() > 1 && !found.contains(&cycle) {
            found.push(cycle);
        }
    }
    found
}

#[test]
fn arrows_between_the_rooms_of_a_crate_go_one_way() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut crates: Vec<PathBuf> = Vec::new();
    for folder in ["crates", "bindings"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            if path.join("Cargo.toml").is_file() && path.join("src").is_dir() {
                crates.push(path);
            }
        }
    }
    crates.sort();
    ensure!(crates.len() > 15, "only {} crates were found", crates.len());
    let mut wrong = Vec::new();
    let mut kept = KEPT.to_vec();
    for path in crates {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = Crate::read(&path.join("src"))?;
        let arrows = read.arrows();
        let found = cycles(&arrows);
        let sizes: Vec<usize> = found.iter().map(BTreeSet::len).collect();
        println!(
            "{name}: {} modules in {} rooms, cycles {sizes:?}",
            read.mentions.len(),
            arrows.len()
        );
        for cycle in found {
            let is_known = |(of, rooms, _): &(&str, &[&str], &str)| {
                *of == name && cycle.iter().map(String::as_str).eq(rooms.iter().copied())
            };
            match kept.iter().position(is_known) {
                Some(known) => drop(kept.remove(known)),
                None => wrong.push(format!("{name}: {cycle:?} know each other")),
            }
        }
    }
    let gone =
        kept.iter().map(|(name, rooms, _)| format!("{name}: {rooms:?} are no cycle any more"));
    wrong.extend(gone);
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
