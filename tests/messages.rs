//! Every message that users can meet, as one text: `cases/messages.txt`.
//!
//! Read from the code and not collected while it runs, since no run meets all of them. A change of
//! words is a change of that file, which a reviewer reads: `UPDATE_CASES=1` writes it anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// What is read: all code that is shipped.
const ROOTS: [&str; 3] = ["crates", "bindings/node/src", "bindings/wasm/src"];
/// Crates that are for tests alone.
const OURS: [&str; 1] = ["crates/stagedoor-rule-sdk/examples"];

/// Words that say nothing to who does not know the code.
const FOREIGN: [&str; 5] =
    ["untagged enum", "RawCedarValueJson", "from_str_multiple", "Option<", "::<"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // What stands beside `src` is not shipped.
            if !matches!(
                name.as_str(),
                "tests" | "examples" | "benches" | "target" | "node_modules"
            ) {
                sources(&path, found)?;
            }
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "build.rs" {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

/// Collects texts.
#[derive(Default)]
struct Messages(Vec<String>);

impl Messages {
    fn add(&mut self, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = text.split(' ').filter(|word| word.chars().any(char::is_alphabetic)).count();
        // Code, keys and templates of output are no sentences.
        let is_code = text.contains(';') && text.contains('(') && text.contains('{')
            || text.starts_with('<')
            || text.starts_with('{') && text.ends_with('}') && text.contains(':');
        if words >= 3 && text.len() <= 600 && !is_code && text.is_ascii() {
            self.0.push(text);
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                // What documents code within a macro.
                TokenTree::Group(group) if is_attribute(&group) => {}
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        self.add(&text.value());
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

/// Returns whether these are the brackets of `#[doc = …]`, `#[allow(…)]` or the like.
fn is_attribute(group: &Group) -> bool {
    let first = group.stream().into_iter().next();
    group.delimiter() == Delimiter::Bracket
        && matches!(first, Some(TokenTree::Ident(name)) if name == "doc" || name == "allow")
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().contains("test")
        }
        meta => meta.path().is_ident("test"),
    })
}

impl<'ast> Visit<'ast> for Messages {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // `thiserror` writes messages in attributes; the others are for the compiler.
        if let syn::Meta::List(list) = &attribute.meta
            && list.path.is_ident("error")
        {
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let name = item.path.segments.last().map(|part| part.ident.to_string());
        let is_assertion =
            name.is_some_and(|name| name.contains("assert") || name == "include_str");
        if !is_assertion {
            self.tokens(item.tokens.clone());
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.add(&text.value());
    }
}

#[test]
fn messages_are_those_that_were_read() -> Result<()> {
    let root = root();
    let mut files = Vec::new();
    for directory in ROOTS {
        sources(&root.join(directory), &mut files)?;
    }
    let mut all = String::from(
        "# What users can read, by the file that says it. `UPDATE_CASES=1 cargo test --workspace\n\
         # --test messages` writes this; read the difference.\n",
    );
    let mut foreign = Vec::new();
    let mut count = 0;
    for path in files {
        let name = path.strip_prefix(&root)?.to_string_lossy().replace('\\', "/");
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            continue;
        }
        let code = std::fs::read_to_string(&path)?;
        let mut messages = Messages::default();
        messages.visit_file(&syn::parse_file(&code).with_context(|| name.clone())?);
        messages.0.sort();
        messages.0.dedup();
        if messages.0.is_empty() {
            continue;
        }
        writeln!(all, "\n## {name}")?;
        for message in &messages.0 {
            count += 1;
            writeln!(all, "{message}")?;
            // "`x` is no rule": `x` is not a rule.
            let denies = message.replace("there is no ", "").replace("is no longer ", "");
            if denies.contains("is no ") || FOREIGN.iter().any(|word| message.contains(word)) {
                foreign.push(format!("{name}: {message}"));
            }
        }
    }
    ensure!(count > 500, "only {count} messages were found");
    ensure!(foreign.is_empty(), "say it in plain English:\n{}", foreign.join("\n"));
    let path = root.join("tests/cases/messages.txt");
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(&path, &all)?;
    }
    let read = std::fs::read_to_string(&path).unwrap_or_default();
    let new: Vec<&str> = all.lines().filter(|line| !read.lines().any(|old| old == *line)).collect();
    let gone: Vec<&str> =
        read.lines().filter(|line| !all.lines().any(|now| now == *line)).collect();
    ensure!(
        read == all,
        "messages have changed. New:\n{}\nGone:\n{}\nRead them, then set UPDATE_CASES=1",
        new.join("\n"),
        gone.join("\n")
    );
    Ok(())
}
