//! `stagedoor fleet`: which release each of many servers decides by.

mod page;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use stagedoor_distribution::ReplicaStatus;
use stagedoor_distribution::store::http::HttpOptions;
use ureq::Agent;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;
use crate::review::or_unusable;
use crate::table::Table;

/// Answers of servers are not larger.
const STATUS_BYTES: u64 = 1 << 20;
const COLUMNS: [&str; 6] = ["server", "ready", "channel", "release", "revision", "confirmed"];
/// So many servers are asked at a time.
const AT_A_TIME: usize = 16;

/// Ask servers which release they decide by, and whether it is the same one.
///
/// Each is asked at `/status` of its health address. Exits with 0 if all answer, are ready and
/// decide by one revision; with 1 if not; with 2 if something cannot be read.
#[derive(Debug, Args)]
pub(crate) struct FleetArgs {
    /// Health addresses: `http://10.0.0.7:8080`.
    #[arg(value_name = "URL", required_unless_present = "list")]
    servers: Vec<String>,

    /// A file with more of them, one a line; `#` begins a remark.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,

    /// Time for each answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,

    /// Authorities of the servers, in PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Write what is known as one page, too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Also fail unless this is what all have in force: the digest of a bundle, or a revision.
    #[arg(long, value_name = "DIGEST|REVISION")]
    expect: Option<String>,
}

/// What a server says at `/status`.
#[derive(Debug, Deserialize)]
struct Status {
    ready: bool,
    sources: Vec<Source>,
}

#[derive(Debug, Deserialize)]
struct Source {
    name: String,
    revision: Option<String>,
    #[serde(default)]
    origin: Option<ReplicaStatus>,
}

/// What is known of one server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    address: String,
    ready: bool,
    revision: Option<String>,
    release: Option<ReplicaStatus>,
    /// Why nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct FleetJson<'a> {
    agrees: bool,
    problems: &'a [String],
    servers: &'a [Server],
}

pub(crate) fn run(args: &FleetArgs, output: &mut Output) -> Result<Ending, Failure> {
    let ended = ask(args, output);
    or_unusable(ended, output)
}

fn ask(args: &FleetArgs, output: &mut Output) -> Result<Ending, Failure> {
    let agent = agent(args)?;
    let mut addresses = args.servers.clone();
    if let Some(list) = &args.list {
        let text = Input::default().text(list, STATUS_BYTES as usize)?;
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        addresses.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    if addresses.is_empty() {
        return Err(Failure::input("no servers are named"));
    }
    let mut servers = Vec::with_capacity(addresses.len());
    for some in addresses.chunks(AT_A_TIME) {
        std::thread::scope(|scope| {
            let agent = &agent;
            let asked: Vec<_> =
                some.iter().map(|address| scope.spawn(move || server(agent, address))).collect();
            for (asked, address) in asked.into_iter().zip(some) {
                let broken = |_| Server::unknown(address, "asking it was broken off".to_owned());
                servers.push(asked.join().unwrap_or_else(broken));
            }
        });
    }
    let problems = problems(&servers, args.expect.as_deref());
    if let Some(path) = &args.html {
        let page = page::page(&COLUMNS, &servers, &problems);
        crate::fmt::replace(path, &page).map_err(|error| {
            Failure::input(format!("`{}` cannot be written: {error}", path.display()))
        })?;
    }
    show(&servers, &problems, output)?;
    Ok(if problems.is_empty() { Ending::Done } else { Ending::Failed })
}

fn agent(args: &FleetArgs) -> Result<Agent, Failure> {
    let mut options = HttpOptions::default();
    options.timeout = Duration::from_secs(args.timeout);
    if let Some(path) = &args.ca {
        let pem = Input::default().text(path, STATUS_BYTES as usize)?;
        options.authorities = Some(pem.into_bytes());
    }
    options.agent().map_err(|error| Failure::input(error.to_string()))
}

fn server(agent: &Agent, address: &str) -> Server {
    match status(agent, address) {
        Ok(status) => {
            let policies = status.sources.into_iter().find(|source| source.name == "policies");
            let (revision, release) =
                policies.map_or((None, None), |source| (source.revision, source.origin));
            let address = address.to_owned();
            Server { address, ready: status.ready, revision, release, error: None }
        }
        Err(reason) => Server::unknown(address, reason),
    }
}

fn status(agent: &Agent, address: &str) -> Result<Status, String> {
    let url = format!("{}/status", address.trim_end_matches('/'));
    let mut response = agent.get(&url).call().map_err(|error| error.to_string())?;
    if response.status() != ureq::http::StatusCode::OK {
        return Err(format!("it answers with {}", response.status()));
    }
    let text = response.body_mut().with_config().limit(STATUS_BYTES).read_to_string();
    let text = text.map_err(|error| error.to_string())?;
    serde_json::from_str(&text)
        .map_err(|error| format!("its answer is not a status of a server: {error}"))
}

impl Server {
    fn unknown(address: &str, reason: String) -> Self {
        let address = address.to_owned();
        Self { address, ready: false, revision: None, release: None, error: Some(reason) }
    }
}

/// Returns what keeps the servers from being one.
fn problems(servers: &[Server], expect: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    for Server { address, ready, revision, release, error } in servers {
        if let Some(error) = error {
            problems.push(format!("{address}: {error}"));
            continue;
        }
        if !ready {
            problems.push(format!("{address} is not ready"));
        }
        if let Some(problem) = release.as_ref().and_then(|release| release.problem.as_ref()) {
            problems.push(format!("{address}: {problem}"));
        }
        let in_force = release.as_ref().and_then(|release| release.in_force.as_ref());
        let digest = in_force.map(|release| release.digest.to_string());
        if let Some(expect) = expect
            && digest.as_deref() != Some(expect)
            && revision.as_deref() != Some(expect)
        {
            problems.push(format!("{address} does not have {expect} in force"));
        }
    }
    let known = || servers.iter().filter(|server| server.error.is_none());
    let revisions: BTreeSet<Option<&str>> =
        known().map(|server| server.revision.as_deref()).collect();
    if revisions.len() > 1 {
        problems.push(format!("{} revisions are in force", revisions.len()));
    }
    let releases = || {
        known().filter_map(|server| {
            let release = server.release.as_ref()?;
            let in_force = release.in_force.as_ref()?;
            Some((&release.set, &release.channel, in_force.counter, in_force.statement))
        })
    };
    let statements: BTreeSet<_> = releases().collect();
    let numbers: BTreeSet<_> =
        releases().map(|(set, name, counter, _)| (set, name, counter)).collect();
    if statements.len() > numbers.len() {
        // The source has told them different things, with signatures on both.
        problems.push("one release was signed twice, with different content".to_owned());
    }
    problems
}

fn show(servers: &[Server], problems: &[String], output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let agrees = problems.is_empty();
        return output.json(&FleetJson { agrees, problems, servers });
    }
    let mut table = Table::new(COLUMNS);
    servers.iter().for_each(|server| table.row(cells(server)));
    table.print(false, "no servers", output)?;
    problems.iter().for_each(|problem| output.complaint(problem));
    Ok(())
}

/// Returns what a row tells of a server.
fn cells(server: &Server) -> [String; 6] {
    let (mut channel, mut number, mut confirmed) = (String::new(), String::new(), String::new());
    if let Some(release) = &server.release {
        channel = format!("{}:{}", release.set, release.channel);
        let in_force = release.in_force.as_ref();
        number = in_force.map(|in_force| in_force.counter.to_string()).unwrap_or_default();
        confirmed = match release.confirmed {
            Some(_) => format!("{} s ago", release.stale_seconds),
            None => "never".to_owned(),
        };
    }
    let ready = if server.ready { "yes" } else { "no" };
    let revision = server.revision.clone().unwrap_or_default();
    let short = revision.get(..12).unwrap_or(&revision).to_owned();
    [server.address.clone(), ready.to_owned(), channel, number, short, confirmed]
}
