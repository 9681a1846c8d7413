//! Texts of others in pages of HTML.

use stagedoor_core::is_unsafe;

/// Returns a text as HTML that shows it, whatever is in it.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    spelled_out(&html, |c| format!("\\u{{{:x}}}", u32::from(c)))
}

/// Returns a text with characters that turn the direction of writing, and control characters,
/// as `written` writes them: a reader would take the text for another.
#[must_use]
pub fn spelled_out(text: &str, written: impl Fn(char) -> String) -> String {
    let is_odd = |c: char| is_unsafe(c) && c != '\n' && c != '\t';
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        if is_odd(c) { all.push_str(&written(c)) } else { all.push(c) }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn texts_stay_texts() {
        assert_eq!(
            escaped("<img src=x onerror='a'>&\"\u{202e}"),
            "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;\\u{202e}"
        );
    }
}
