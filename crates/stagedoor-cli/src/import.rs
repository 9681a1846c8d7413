//! `stagedoor import`: permissions of other systems, as Cedar.

mod backstage_rbac;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use stagedoor_core::{Engine, count_of};
use stagedoor_kubernetes::SCHEMA;
use stagedoor_kubernetes::rbac::RbacImport;

use crate::built_in_roles::{BuiltIn, RoleArgs};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::output::Output;

/// Turn what another system permits into policies.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    from: ImportSource,
}

#[derive(Debug, Subcommand)]
enum ImportSource {
    KubernetesRbac(RbacArgs),
    BackstageRbac(backstage_rbac::BackstageRbacArgs),
}

/// Turn roles and bindings of Kubernetes into policies with exactly their meaning.
///
/// Policies and links are named after the binding and rule that they come from. Without
/// `--out`, every grant is printed as a policy of its own. With it, grants that repeat become
/// links of a template, which load many times faster:
///
///   rbac.cedar             templates, and policies of which there is one of a kind
///   rbac-links.cedar.json  whom and where the templates are for
///   rbac.cedarschema       verbs that Kubernetes' schema does not declare, if there are any
///
/// Roles and bindings that grant nothing, such as bindings to missing roles, are remarked on.
/// The built-in roles of Kubernetes are known, and their bindings are left out, since RBAC
/// itself goes on granting them; `--built-in all` imports them too.
#[derive(Debug, Args)]
struct RbacArgs {
    #[command(flatten)]
    roles: RoleArgs,

    /// The directory to write to, which is made if it is not there.
    ///
    /// What an earlier import wrote there is replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Write every grant as a policy of its own, without templates.
    #[arg(long)]
    inline: bool,
}

/// What was imported, for programs.
#[derive(Serialize)]
struct ImportSummary<'a> {
    policies: usize,
    files: Vec<FileJson<'a>>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct FileJson<'a> {
    name: &'a str,
    /// Left out where it was written to a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

pub(crate) fn run(args: &ImportArgs, output: &mut Output) -> Result<Ending, Failure> {
    match &args.from {
        ImportSource::KubernetesRbac(args) => kubernetes_rbac(args, output),
        ImportSource::BackstageRbac(args) => backstage_rbac::run(args, output),
    }
}

fn kubernetes_rbac(args: &RbacArgs, output: &mut Output) -> Result<Ending, Failure> {
    let resolved = args.roles.resolved(BuiltIn::Roles)?;
    let import = RbacImport::of(&resolved).map_err(|e| Failure::input(e.to_string()))?;
    // Nothing is handed over that would not load.
    import.add_to(Engine::builder().schema("kubernetes.cedarschema", SCHEMA)).build()?;
    let files = if args.inline { import.inline_files() } else { import.files() };
    if let Some(directory) = &args.out {
        let texts: Vec<_> = files.iter().map(|f| (f.name.as_str(), f.text.as_str())).collect();
        write(directory, &texts, is_imported)?;
    }
    let warnings: Vec<String> = import.warnings().iter().map(ToString::to_string).collect();
    if output.is_json() {
        let written = args.out.is_some();
        let files = files.iter().map(|file| FileJson {
            name: &file.name,
            text: (!written).then_some(file.text.as_str()),
        });
        output.json(&ImportSummary { policies: import.len(), files: files.collect(), warnings })?;
        return Ok(Ending::Done);
    }
    for warning in &warnings {
        output.remark(warning);
    }
    match &args.out {
        Some(directory) => {
            let count = count_of(import.len(), "policy or link", "policies and links");
            output.line(format_args!("{count} written to {}", directory.display()))?;
        }
        None => {
            output.line(import.to_cedar().trim_end())?;
            if import.schema().is_some() {
                output.remark(
                    "the roles name verbs that Kubernetes' schema does not declare; \
                     with `--out` their schema is written too",
                );
            }
        }
    }
    Ok(Ending::Done)
}

/// Writes files, each given as its name and text, and removes those of an earlier import that
/// are not among them.
///
/// Everything is written under names that are passed over before anything is replaced.
fn write(
    directory: &Path,
    files: &[(&str, &str)],
    is_imported: fn(&str) -> bool,
) -> Result<(), Failure> {
    let failed = |path: &Path, error: &io::Error| {
        Failure::input(format!("`{}` cannot be written: {error}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|e| failed(directory, &e))?;
    let mut staged = Vec::new();
    for (name, text) in files {
        let draft = directory.join(format!(".{name}.new"));
        fs::write(&draft, text).map_err(|e| failed(&draft, &e))?;
        staged.push((draft, directory.join(name)));
    }
    for (draft, path) in staged {
        fs::rename(&draft, &path).map_err(|e| failed(&path, &e))?;
    }
    for entry in fs::read_dir(directory).map_err(|e| failed(directory, &e))? {
        let entry = entry.map_err(|e| failed(directory, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_imported(&name) && files.iter().all(|(file, _)| *file != name) {
            fs::remove_file(entry.path()).map_err(|e| failed(&entry.path(), &e))?;
        }
    }
    Ok(())
}

/// Whether an import of Kubernetes' roles writes files of this name.
fn is_imported(name: &str) -> bool {
    name == "rbac.cedar"
        || name == "rbac.cedarschema"
        || (name.starts_with("rbac-links") && name.ends_with(".cedar.json"))
}
