//! Coverage as one page that needs nothing else: the policies with their clauses coloured.

use std::fmt::Write as _;

use super::{ClauseCoverage, ClauseState, Coverage, PolicyCoverage, Share, by_file};
use crate::html::escaped;

/// Returns the page.
///
/// Clauses that are not covered are reached by the tabulator key; what they lack is read out,
/// and shown below the pointer or the focus.
#[must_use]
pub fn html(coverage: &Coverage) -> String {
    let mut page = String::from(HEAD);
    let shares = [
        ("policies that decided", coverage.of_policies()),
        ("clauses covered", coverage.of_clauses()),
        ("actions × types of principals asked for", coverage.of_actions()),
    ];
    page.push_str("<dl class=\"sums\">");
    for (name, share) in shares {
        page.push_str(&sum(name, share));
    }
    page.push_str("</dl>");
    page.push_str(LEGEND);
    for (file, policies) in by_file(coverage) {
        let text = coverage.texts.get(file).map_or("", String::as_str);
        page.push_str(&section(file, text, &policies));
    }
    page.push_str(&actions(coverage));
    page.push_str("</main></body></html>\n");
    page
}

// Writing to a string does not fail.
fn sum(name: &str, share: Share) -> String {
    format!(
        "<div><dt>{name}</dt><dd><strong>{:.1} %</strong> {} of {}<progress max=\"{}\" \
         value=\"{}\" aria-hidden=\"true\"></progress></dd></div>",
        share.percent(),
        share.reached,
        share.all,
        share.all.max(1),
        if share.all == 0 { 1 } else { share.reached },
    )
}

fn section(file: &str, text: &str, policies: &[&PolicyCoverage]) -> String {
    let missed: usize = policies
        .iter()
        .map(|p| p.clauses.iter().filter(|c| c.state == ClauseState::Missed).count())
        .sum();
    let told = match missed {
        0 => "all covered".to_owned(),
        1 => "1 clause not covered".to_owned(),
        n => format!("{n} clauses not covered"),
    };
    let open = if missed > 0 { " open" } else { "" };
    let mut html = format!(
        "<details{open}><summary><h2>{}</h2> <span>{told}</span></summary><pre tabindex=\"-1\">",
        escaped(file)
    );
    let mut clauses: Vec<&ClauseCoverage> = policies.iter().flat_map(|p| &p.clauses).collect();
    clauses.sort_by_key(|clause| clause.span.as_ref().map(|span| span.start));
    let mut at = 0;
    for clause in clauses {
        let Some(span) = clause.span.clone().filter(|span| span.start >= at) else { continue };
        let (Some(before), Some(own)) = (text.get(at..span.start), text.get(span.clone())) else {
            continue;
        };
        let _ = write!(html, "{}{}", escaped(before), marked(clause, own));
        at = span.end;
    }
    let _ = write!(html, "{}</pre></details>", escaped(text.get(at..).unwrap_or_default()));
    html
}

/// Returns the text of a clause with its state.
fn marked(clause: &ClauseCoverage, own: &str) -> String {
    let counts = format!(
        "true {} times, mattered {}; false {} times, mattered {}",
        clause.was_true, clause.true_mattered, clause.was_false, clause.false_mattered
    );
    let (class, told) = match &clause.state {
        ClauseState::Covered => ("covered", counts),
        ClauseState::Missed => {
            let reached = clause.true_mattered + clause.false_mattered > 0;
            let class = if reached { "half" } else { "missed" };
            (class, format!("{}: {counts}", clause.lack().unwrap_or_default()))
        }
        ClauseState::Fixed => ("fixed", "by the schema it cannot be false alone".to_owned()),
        ClauseState::Excused(reason) => ("excused", format!("excused: {reason}")),
    };
    let focus = if clause.state == ClauseState::Missed { " tabindex=\"0\"" } else { "" };
    let told = escaped(&told);
    let own = escaped(own);
    format!(
        "<mark class=\"{class}\"{focus} title=\"{told}\" aria-label=\"{own} {told}\">{own}</mark>"
    )
}

fn actions(coverage: &Coverage) -> String {
    let missing = coverage.actions.iter().filter(|action| action.requests == 0);
    let mut html = String::from(
        "<details><summary><h2>Actions that nobody asked for</h2></summary><table><thead><tr>\
         <th scope=\"col\">action</th><th scope=\"col\">principal</th></tr></thead><tbody>",
    );
    for action in missing {
        let (name, principal) = (escaped(&action.action), escaped(&action.principal_type));
        let _ = write!(html, "<tr><td>{name}</td><td>{principal}</td></tr>");
    }
    html.push_str("</tbody></table></details>");
    html
}

const LEGEND: &str = "<p class=\"legend\"><mark class=\"covered\">covered</mark> \
    <mark class=\"half\">one way only</mark> <mark class=\"missed\">not covered</mark> \
    <mark class=\"excused\">excused</mark> <mark class=\"fixed\">fixed by the schema</mark></p>";

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Coverage of policies</title>
<style>
:root { color-scheme: light dark; --text: #1f2328; --dim: #59636e; --back: #fff; --box: #f6f8fa;
  --covered: #dafbe1; --half: #fff1b8; --missed: #ffd7d5; --edge: #cf222e; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --dim: #9198a1; --back: #0d1117;
  --box: #151b23; --covered: #12361f; --half: #4d3800; --missed: #5d1214; --edge: #ff7b72;
  --line: #3d444d; } }
body { margin: 0; color: var(--text); background: var(--back); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; } h2 { display: inline; font-size: 1rem; }
.sums { display: flex; flex-wrap: wrap; gap: 1rem; }
.sums div { flex: 1 14rem; padding: .75rem 1rem; background: var(--box); border-radius: .5rem; }
dt, summary span { color: var(--dim); } dd { margin: 0; } dd strong { font-size: 1.5rem; }
progress { display: block; width: 100%; }
details { margin: 1rem 0; border: 1px solid var(--line); border-radius: .5rem; }
summary { padding: .6rem 1rem; cursor: pointer; }
pre { margin: 0; padding: 1rem; overflow-x: auto; background: var(--box);
  font: .85rem/1.6 ui-monospace, monospace; }
mark { color: inherit; background: none; border-radius: .2rem; }
mark.covered { background: var(--covered); }
mark.half { background: var(--half); text-decoration: underline dotted; }
mark.missed { background: var(--missed); text-decoration: underline wavy var(--edge); }
mark.excused, mark.fixed { color: var(--dim); }
mark:focus, summary:focus-visible { outline: 2px solid var(--edge); }
mark[tabindex]:focus::after, mark[tabindex]:hover::after { content: attr(title); position: fixed;
  left: 0; right: 0; bottom: 0; padding: .6rem 1rem; background: var(--back);
  border-top: 1px solid var(--line); font-family: system-ui, sans-serif; white-space: normal; }
table { border-collapse: collapse; margin: 0 1rem 1rem; } td, th { padding: .2rem 1rem .2rem 0; text-align: left; }
</style></head><body><main><h1>Coverage of policies</h1>
"#;
