//! `stagedoor rule new`: a rule that builds and has a test.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::cli::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Begin a rule: a directory with its source and a test.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The language to write it in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,

    /// Where the SDK is, if not in a registry: a directory.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,

    /// What policies will call it: lower-case letters, digits and `-`. The directory's name too.
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
}

const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.txt")),
    (".cargo/config.toml", include_str!("new/config.toml.txt")),
    (".gitignore", "/target\n"),
    ("src/lib.rs", include_str!("new/lib.rs.txt")),
    ("README.md", include_str!("new/README.md.txt")),
];

pub(crate) fn run(args: &NewArgs, output: &mut Output) -> Result<Ending, Failure> {
    let Language::Rust = args.lang;
    let name = args.name.as_str();
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !begins || name.len() > 64 || !name.bytes().all(in_name) {
        let message = format!("`{}` is no name of a rule", name.escape_debug());
        return Err(Failure::input(message)
            .with_help("it begins with a letter, and has lower-case letters, digits and `-`"));
    }
    let sdk = match &args.sdk {
        Some(path) => {
            let path = path.canonicalize().map_err(|e| failed(path, &e))?;
            format!("{{ path = {:?} }}", path.display().to_string())
        }
        None => format!("{:?}", env!("CARGO_PKG_VERSION")),
    };
    let root = Path::new(name);
    fs::create_dir(root).map_err(|e| failed(root, &e))?;
    for (path, text) in FILES {
        let text = text
            .replace("{name}", name)
            .replace("{crate}", &name.replace('-', "_"))
            .replace("{sdk}", &sdk);
        let path = root.join(path);
        write(&path, &text).map_err(|e| failed(&path, &e))?;
    }
    output.line(format_args!("`{name}` begins in `{name}/`; its README.md says how to go on"))?;
    Ok(Ending::Done)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::input(format!("`{}`: {error}", path.display()))
}
