//! Commands that people paste into a shell.

use std::path::PathBuf;

/// A command for a POSIX shell.
pub(crate) struct Command {
    pub(crate) text: String,
}

impl Command {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }

    pub(crate) fn piped(input: &str, text: &str) -> Self {
        Self { text: format!("printf %s {} | {text}", quoted(input)) }
    }

    /// Goes on with a command that was made before.
    pub(crate) fn resumed(text: String) -> Self {
        Self { text }
    }

    pub(crate) fn paths(&mut self, flag: &str, paths: &[PathBuf]) {
        self.words(flag, paths.iter().map(|path| path.display().to_string()));
    }

    pub(crate) fn words(&mut self, flag: &str, words: impl IntoIterator<Item = String>) {
        for (number, word) in words.into_iter().enumerate() {
            if number == 0 {
                self.text.push(' ');
                self.text.push_str(flag);
            }
            self.text.push(' ');
            self.text.push_str(&quoted(&word));
        }
    }
}

/// Quotes a word so that a shell takes it as it stands.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,=+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (word, expected) in [
            ("user:default/alice", "user:default/alice"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
