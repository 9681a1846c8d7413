//! `stagedoor backstage`: what a running Backstage tells of itself, and what it is given.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use stagedoor_backstage::{Permissions, PluginMetadata};

use crate::bundle;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;
use crate::platform::Platform;

/// Plugins that are asked unless `--plugin` names others.
const PLUGINS: [&str; 12] = [
    "catalog",
    "scaffolder",
    "kubernetes",
    "permission",
    "devtools",
    "search",
    "techdocs",
    "events",
    "notifications",
    "signals",
    "auth",
    "mcp-actions",
];

/// Metadata is small; a server that sends on and on is not read to its end.
const ANSWER_BYTES: u64 = 8 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Learn from a running Backstage, and bundle policies for one.
#[derive(Debug, Args)]
pub(crate) struct BackstageArgs {
    #[command(subcommand)]
    command: BackstageCommand,
}

#[derive(Debug, Subcommand)]
enum BackstageCommand {
    Discover(DiscoverArgs),
    Bundle(bundle::BundleArgs),
}

/// Write a permission file of the permissions and rules that are not known here.
///
/// Asks each plugin for its permission metadata. Put the result beside the policies, as
/// `NAME.permissions.yaml`, and name its tags as the policies read best.
#[derive(Debug, Args)]
struct DiscoverArgs {
    /// Where the backend is: `http://localhost:7007`.
    #[arg(long, value_name = "URL")]
    url: String,

    /// A file with the token of a user, `-` for the standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A plugin to ask, by its id; repeatable. Those of the official plugins are the default.
    #[arg(long = "plugin", value_name = "ID", num_args = 1..)]
    plugins: Vec<String>,
}

pub(crate) fn run(args: &BackstageArgs, output: &mut Output) -> Result<Ending, Failure> {
    match &args.command {
        BackstageCommand::Discover(args) => discover(args, output),
        BackstageCommand::Bundle(args) => bundle::run(args, Some(Platform::Backstage), output),
    }
}

fn discover(args: &DiscoverArgs, output: &mut Output) -> Result<Ending, Failure> {
    let token = match &args.token_file {
        Some(path) => Some(Input::default().text(path, 64 << 10)?.trim().to_owned()),
        None => None,
    };
    let base = base(&args.url)?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // A token is for the server that was named.
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    let plugins: Vec<&str> = match args.plugins.as_slice() {
        [] => PLUGINS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let (mut told, mut answered, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for plugin in plugins {
        let Some(json) = metadata(&agent, base, plugin, token.as_deref())? else {
            silent.push(format!("`{plugin}`"));
            continue;
        };
        answered.push(format!("`{plugin}`"));
        told.push(PluginMetadata::from_json(plugin, &json).map_err(|e| {
            Failure::input(format!("plugin `{plugin}` answered with no permission metadata: {e}"))
        })?);
    }
    if told.is_empty() {
        return Err(Failure::input(format!("no plugin at `{base}` tells of permissions"))
            .with_help("give the address of the backend, and plugins with `--plugin`"));
    }
    let found = Permissions::known()?.discover(&told)?;
    for remark in &found.remarks {
        output.remark(remark);
    }
    if !silent.is_empty() {
        output.remark(&format!("without permissions, or not installed: {}", silent.join(", ")));
    }
    output.remark(&format!(
        "{} plugins answered ({}): {} permissions and {} rules are not known here",
        told.len(),
        answered.join(", "),
        found.permissions,
        found.rules
    ));
    if args.plugins.is_empty() {
        output.remark(
            "plugins of other ids were not asked: a backend does not tell from outside which it \
             has, so name each with `--plugin`",
        );
    }
    output.bytes(found.file.as_bytes())?;
    Ok(Ending::Done)
}

/// Returns the address without a slash at the end.
fn base(url: &str) -> Result<&str, Failure> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['?', '#', '@', ' '])) {
        return Err(Failure::input(format!("`{url}` is not the address of a backend"))
            .with_help("write it as `http://localhost:7007`"));
    }
    Ok(url.trim_end_matches('/'))
}

/// Returns a plugin's answer; `None` if it has no permissions.
fn metadata(
    agent: &ureq::Agent,
    base: &str,
    plugin: &str,
    token: Option<&str>,
) -> Result<Option<String>, Failure> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if plugin.is_empty() || !plugin.chars().all(is_id) {
        return Err(Failure::input(format!("`{plugin}` is not the id of a plugin")));
    }
    let address = format!("{base}/api/{plugin}/.well-known/backstage/permissions/metadata");
    let mut request = agent.get(&address).header("accept", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let failed = |e: ureq::Error| Failure::input(format!("`{address}` cannot be read: {e}"));
    let mut response = request.call().map_err(failed)?;
    match response.status().as_u16() {
        200 => {}
        404 => return Ok(None),
        401 | 403 => {
            return Err(Failure::input(format!("`{address}` answered {}", response.status()))
                .with_help("give a user's token with `--token-file`"));
        }
        _ => return Err(Failure::input(format!("`{address}` answered {}", response.status()))),
    }
    let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
    body.map(Some).map_err(failed)
}
