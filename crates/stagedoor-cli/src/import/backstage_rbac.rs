//! `stagedoor import backstage-rbac`: roles of the community RBAC plugin, as Cedar.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_backstage::rbac::{Parity, Precedence, RbacFiles, RbacImport, Remark};
use stagedoor_backstage::{Catalog, Permissions, PolicyEngine, SCHEMA};
use stagedoor_core::{Engine, Limits, count_of};
use stagedoor_wire::Problem;

use super::{FileJson, write};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;

/// The file that is written.
const FILE: &str = "backstage-rbac.cedar";
/// Differences that people are shown.
const SHOWN: usize = 10;
/// Size of a file of the plugin, in bytes; it has limits of its own.
const FILE_BYTES: usize = 32 << 20;

/// Turn roles of Backstage's community RBAC plugin into policies with their meaning.
///
/// Reads the plugin's CSV file and its YAML file of conditions, writes a policy for each row
/// and document, and runs both readings against each other: everybody who has a role, or two,
/// with every permission, and resources for which the conditions' rules hold. Differences are
/// listed; then it exits with 1. What Cedar cannot say exactly permits less, never more.
///
/// Super users, administrators, the default role and the order of rows and conditions are read
/// from `--app-config`. What was entered in the plugin's user interface is not imported.
#[derive(Debug, Args)]
pub(super) struct BackstageRbacArgs {
    /// The file of roles and permission policies: `permission.rbac.policies-csv-file`.
    #[arg(value_name = "POLICY.CSV")]
    csv: PathBuf,

    /// The file of conditions: `permission.rbac.conditionalPoliciesFile`.
    #[arg(value_name = "CONDITIONS.YAML")]
    yaml: Option<PathBuf>,

    /// The backend's configuration: `app-config.yaml`, and what is laid over it. Repeatable.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    app_config: Vec<PathBuf>,

    /// What counts where a user has both: `permission.rbac.policyDecisionPrecedence`.
    ///
    /// By default what the configuration says, or else `conditional`.
    #[arg(long, value_enum)]
    precedence: Option<Counts>,

    /// Permissions and rules of further plugins: files, or directories with `*.permissions.yaml`.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    permissions: Vec<PathBuf>,

    /// Catalog files, whose users and entities are tried as well.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    catalog: Vec<PathBuf>,

    /// The directory to write to, which is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The plugin's words for the order of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Counts {
    /// Conditions count.
    Conditional,
    /// Rows of the CSV file count.
    Basic,
}

/// What was imported, for programs.
#[derive(Serialize)]
struct ImportSummary<'a> {
    policies: usize,
    files: [FileJson<'a>; 1],
    remarks: Vec<RemarkJson<'a>>,
    findings: Vec<Problem>,
    parity: ParityJson,
}

#[derive(Serialize)]
struct RemarkJson<'a> {
    file: &'a str,
    line: u32,
    message: &'a str,
    closes: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ParityJson {
    users: usize,
    decisions: usize,
    uncompared: usize,
    different: usize,
    wider: usize,
    differences: Vec<DifferenceJson>,
}

#[derive(Serialize)]
struct DifferenceJson {
    user: String,
    groups: Vec<String>,
    permission: String,
    resource: Option<String>,
    files: &'static str,
    policies: &'static str,
    reasons: Vec<String>,
}

pub(super) fn run(args: &BackstageRbacArgs, output: &mut Output) -> Result<Ending, Failure> {
    let mut input = Input::default();
    let permissions = permissions(&args.permissions, &mut input)?;
    let catalog = catalog(&args.catalog, &mut input)?;
    let csv = (Input::name(&args.csv), input.text(&args.csv, FILE_BYTES)?);
    let yaml = match &args.yaml {
        Some(path) => Some((Input::name(path), input.text(path, FILE_BYTES)?)),
        None => None,
    };
    let yaml = yaml.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let mut files = RbacFiles::read((&csv.0, &csv.1), yaml, &permissions)?;
    for path in &args.app_config {
        let text = input.text(path, FILE_BYTES)?;
        files = files.with_app_config(&Input::name(path), &text, &permissions)?;
    }
    let precedence = match args.precedence {
        Some(Counts::Conditional) => Precedence::Conditional,
        Some(Counts::Basic) => Precedence::Basic,
        None => files.configured_precedence().unwrap_or_default(),
    };
    let import = RbacImport::of(&files, precedence, &permissions);
    let text = import.to_cedar();
    // Nothing is handed over that would not load.
    let mut builder = Engine::builder().schema("backstage.cedarschema", SCHEMA);
    if let Some(fragment) = permissions.schema_fragment() {
        builder = builder.schema("(schema of added permissions)", fragment);
    }
    let engine = builder.policies(FILE, text.as_str()).build()?;
    let parity = Parity::of(&files, precedence, &engine, &permissions, &catalog)
        .map_err(|e| Failure::input(e.to_string()))?;
    if parity.wider == 0
        && let Some(directory) = &args.out
    {
        write(directory, &[(FILE, text.as_str())], |name| name == FILE)?;
    }
    let policies = PolicyEngine::new(engine, permissions);
    let findings = policies.findings();
    if output.is_json() {
        let imported = ImportSummary {
            policies: import.len(),
            files: [FileJson { name: FILE, text: args.out.is_none().then_some(text.as_str()) }],
            remarks: import.remarks().iter().map(RemarkJson::of).collect(),
            findings: findings.iter().map(Problem::from).collect(),
            parity: ParityJson::of(&parity),
        };
        output.json(&imported)?;
    } else {
        match &args.out {
            Some(directory) if parity.wider == 0 => {
                let count = count_of(import.len(), "policy", "policies");
                output.line(format_args!("{count} written to {}/{FILE}", directory.display()))?;
            }
            Some(_) => {}
            None => output.line(text.trim_end())?,
        }
        for remark in import.remarks() {
            output.remark(&remark.to_string());
        }
        for finding in findings {
            output.remark(&format!("{finding} ({})", finding.help));
        }
        tell(&parity, output);
    }
    Ok(if parity.different == 0 { Ending::Done } else { Ending::Failed })
}

/// Tells people how the comparison went.
fn tell(parity: &Parity, output: &Output) {
    for difference in parity.differences.iter().take(SHOWN) {
        output.complaint(&difference.to_string());
    }
    if parity.different > SHOWN {
        output.complaint(&format!(
            "and {} more; `--format json` lists a hundred",
            parity.different - SHOWN
        ));
    }
    let Parity { users, decisions, uncompared, different, wider, .. } = parity;
    let mut said = format!("{decisions} decisions for {users} users were compared: ");
    said.push_str(&match (different, wider) {
        (0, _) => "the policies agree with the files".to_owned(),
        (_, 0) => format!("in {different} the policies permit less than the files"),
        _ => format!("{different} differ, and in {wider} the policies permit more: not written"),
    });
    if *uncompared > 0 {
        said.push_str(&format!("; {uncompared} could not be compared"));
    }
    output.remark(&said);
}

fn permissions(paths: &[PathBuf], input: &mut Input) -> Result<Permissions, Failure> {
    let mut permissions = Permissions::known()?;
    for path in paths {
        permissions = match path.is_dir() {
            true => permissions.with_directory(path)?,
            false => {
                let text = input.text(path, 1 << 20)?;
                permissions.with_files([(Input::name(path), text)])?
            }
        };
    }
    Ok(permissions)
}

fn catalog(paths: &[PathBuf], input: &mut Input) -> Result<Catalog, Failure> {
    let mut texts = Vec::with_capacity(paths.len());
    for path in paths {
        texts.push((Input::name(path), input.text(path, Limits::default().file_bytes)?));
    }
    Ok(Catalog::from_files(texts)?)
}

impl<'a> RemarkJson<'a> {
    fn of(remark: &'a Remark) -> Self {
        let Remark { file, line, message, closes, .. } = remark;
        Self { file, line: *line, message, closes: *closes }
    }
}

impl ParityJson {
    fn of(parity: &Parity) -> Self {
        let word = |permitted: bool| if permitted { "allow" } else { "deny" };
        let differences = parity.differences.iter().map(|difference| DifferenceJson {
            user: difference.user.to_string(),
            groups: difference.groups.iter().map(ToString::to_string).collect(),
            permission: difference.permission.clone(),
            resource: difference.resource.clone(),
            files: word(difference.permitted),
            policies: word(!difference.permitted),
            reasons: difference.policies.clone(),
        });
        Self {
            users: parity.users,
            decisions: parity.decisions,
            uncompared: parity.uncompared,
            different: parity.different,
            wider: parity.wider,
            differences: differences.collect(),
        }
    }
}
