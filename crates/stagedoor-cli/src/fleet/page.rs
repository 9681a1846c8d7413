//! The servers of a fleet as one page.

use std::fmt::Write as _;

use stagedoor_testing::html::escaped;

use super::{Server, cells};

const STYLE: &str = "body{font:15px system-ui;margin:2em}table{border-collapse:collapse}\
td,th{text-align:left;padding:.3em .8em;border-bottom:1px solid #ddd}\
.no{background:#fdd}.problems{color:#a00}code{font-size:13px}";

/// Returns a page that needs nothing else.
pub(super) fn page(columns: &[&str], servers: &[Server], problems: &[String]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Fleet</title>\
         <style>{STYLE}</style><h1>{} servers</h1>",
        servers.len()
    );
    page.push_str("<table><tr>");
    columns.iter().for_each(|column| push(&mut page, format_args!("<th>{column}</th>")));
    page.push_str("</tr>");
    for server in servers {
        let class = if server.ready { "yes" } else { "no" };
        push(&mut page, format_args!("<tr class=\"{class}\">"));
        for cell in cells(server) {
            push(&mut page, format_args!("<td>{}</td>", escaped(&cell)));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
    match problems.is_empty() {
        true => page.push_str("<p>All are ready and decide by one revision.</p>"),
        false => {
            page.push_str("<ul class=\"problems\">");
            let item = |page: &mut String, problem: &String| {
                push(page, format_args!("<li>{}</li>", escaped(problem)));
            };
            problems.iter().for_each(|problem| item(&mut page, problem));
            page.push_str("</ul>");
        }
    }
    page.push_str("</html>\n");
    page
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(text);
}
