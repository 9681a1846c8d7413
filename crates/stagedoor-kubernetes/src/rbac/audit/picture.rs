//! Chains as pictures: for Graphviz, and for Mermaid, which forges draw in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chains::{Chain, ChainTarget};

/// What a picture is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// [Graphviz](https://graphviz.org/doc/info/lang.html).
    Dot,
    /// [Mermaid](https://mermaid.js.org/syntax/flowchart.html).
    Mermaid,
}

impl Chain {
    /// Returns chains as one picture, in which each step stands once.
    #[must_use]
    pub fn picture(chains: &[Self], format: PictureFormat) -> String {
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        let mut edges: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for step in chains.iter().flat_map(|chain| &chain.steps) {
            for name in [&step.from, &step.to] {
                let number = numbers.len();
                numbers.entry(name).or_insert(number);
            }
            let does = edges.entry((&step.from, &step.to)).or_default();
            if !does.contains(&step.does.as_str()) {
                does.push(&step.does);
            }
        }
        match format {
            PictureFormat::Dot => dot(&numbers, &edges),
            PictureFormat::Mermaid => mermaid(&numbers, &edges),
        }
    }
}

type Edges<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a str>>;

fn is_target(name: &str) -> bool {
    ChainTarget::ALL.iter().any(|target| target.as_str() == name)
}

fn dot(numbers: &BTreeMap<&str, usize>, edges: &Edges<'_>) -> String {
    let quoted = |text: &str| {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    };
    let mut text = String::from("digraph chains {\n  rankdir=LR;\n  node [shape=box];\n");
    for (name, number) in numbers {
        let shape = if is_target(name) { ", shape=doubleoctagon" } else { "" };
        let _ = writeln!(text, "  n{number} [label={}{shape}];", quoted(name));
    }
    for ((from, to), does) in edges {
        if let (Some(from), Some(to)) = (numbers.get(from), numbers.get(to)) {
            let _ = writeln!(text, "  n{from} -> n{to} [label={}];", quoted(&does.join("; ")));
        }
    }
    text.push_str("}\n");
    text
}

fn mermaid(numbers: &BTreeMap<&str, usize>, edges: &Edges<'_>) -> String {
    // Entities of characters, since Mermaid has no other way to quote.
    let quoted = |text: &str| {
        let mut quoted = String::from("\"");
        for c in text.chars().filter(|c| !c.is_control()) {
            match c {
                '"' | '#' | '<' | '>' | '&' | '`' | '\\' | ';' => {
                    let _ = write!(quoted, "#{};", u32::from(c));
                }
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        quoted
    };
    let mut text = String::from("flowchart LR\n");
    for (name, number) in numbers {
        let (open, close) = if is_target(name) { ("{{", "}}") } else { ("[", "]") };
        let _ = writeln!(text, "  n{number}{open}{}{close}", quoted(name));
    }
    for ((from, to), does) in edges {
        if let (Some(from), Some(to)) = (numbers.get(from), numbers.get(to)) {
            let _ = writeln!(text, "  n{from} -->|{}| n{to}", quoted(&does.join(", ")));
        }
    }
    text
}
