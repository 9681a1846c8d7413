//! `stagedoor rule new`: a rule that builds and has a test.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::ending::Ending;
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
    #[value(alias = "ts")]
    Typescript,
}

type Files = &'static [(&'static str, &'static str)];

const RUST: Files = &[
    ("Cargo.toml", include_str!("new/rust/Cargo.toml.txt")),
    (".cargo/config.toml", include_str!("new/rust/config.toml.txt")),
    (".gitignore", "/target\n"),
    ("src/lib.rs", include_str!("new/rust/lib.rs.txt")),
    ("README.md", include_str!("new/rust/README.md.txt")),
];

const TYPESCRIPT: Files = &[
    ("package.json", include_str!("new/typescript/package.json.txt")),
    ("tsconfig.json", include_str!("new/typescript/tsconfig.json.txt")),
    (".gitignore", "/build\n/dist\n/node_modules\n"),
    ("src/rule.ts", include_str!("new/typescript/rule.ts.txt")),
    ("src/rule.test.ts", include_str!("new/typescript/rule.test.ts.txt")),
    ("README.md", include_str!("new/typescript/README.md.txt")),
];

pub(crate) fn run(args: &NewArgs, output: &mut Output) -> Result<Ending, Failure> {
    let name = args.name.as_str();
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !begins || name.len() > 64 || !name.bytes().all(in_name) {
        let message = format!("invalid rule name `{}`", name.escape_debug());
        return Err(Failure::input(message)
            .with_help("it begins with a letter, and has lower-case letters, digits and `-`"));
    }
    let sdk = args.sdk.as_ref().map(|path| path.canonicalize().map_err(|e| failed(path, &e)));
    let (files, sdk) = args.lang.files(sdk.transpose()?.as_deref());
    let root = Path::new(name);
    fs::create_dir(root).map_err(|e| failed(root, &e))?;
    for (path, text) in files {
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

impl Language {
    /// Returns what a rule begins with, and how it names the SDK.
    fn files(self, sdk: Option<&Path>) -> (Files, String) {
        let version = env!("CARGO_PKG_VERSION");
        match (self, sdk.map(|path| path.display().to_string())) {
            (Self::Rust, Some(path)) => (RUST, format!("{{ path = {path:?} }}")),
            (Self::Rust, None) => (RUST, format!("{version:?}")),
            (Self::Typescript, Some(path)) => {
                let path = format!("file:{path}");
                (TYPESCRIPT, format!("{path:?}"))
            }
            (Self::Typescript, None) => (TYPESCRIPT, format!("\"^{version}\"")),
        }
    }
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
