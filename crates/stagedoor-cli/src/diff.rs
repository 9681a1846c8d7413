//! `stagedoor diff`: who gains and who loses what between two policy sets.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_core::{Engine, Entities, Limits};
use stagedoor_review::diff::{AccessRow, Comparison, Direction, PolicyChanges, format};
use stagedoor_review::{Platform, Policies};
use stagedoor_source::{GitTree, PolicySources};
use stagedoor_testing::{Space, SpaceRequest};
use stagedoor_wire::Verdict;

use crate::ending::Ending;
use crate::engine::{LoadArgs, tell_of_files};
use crate::failure::Failure;
use crate::input::Input;
use crate::output::Output;
use crate::requests::Requests;
use crate::review::{catalog, or_unusable, policies, suite};
use crate::terminal::line;

/// Tell who gains and who loses what between two policy sets.
///
/// Both decide the same requests: everything that the fixtures of the test files make possible, all
/// that users of a catalog can ask, a list of requests, or decisions that were recorded. What is
/// decided differently is grouped by who, by action and by resource.
///
/// Exits with 0; with 1 if `--fail-on` is given and access changes that way; with 2 if something
/// cannot be used.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The policies before: a directory, a file, or `REVISION:PATH` of a git repository.
    #[arg(value_name = "OLD")]
    old: String,

    /// The policies after.
    #[arg(value_name = "NEW")]
    new: String,

    /// Take OLD and NEW for revisions, even where a file or directory has that name.
    #[arg(long)]
    git: bool,

    #[command(flatten)]
    load: LoadArgs,

    /// Test files whose fixtures say what can be asked, or directories with such files; those
    /// among the policies by default.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    tests: Vec<PathBuf>,

    /// Catalog files of Backstage: all that their users can ask about their entities.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    catalog: Vec<PathBuf>,

    /// Requests, one JSON object a line; `entities` may stand in each.
    #[arg(long, value_name = "FILE.jsonl")]
    requests: Vec<PathBuf>,

    /// Decisions that were recorded: requests with their `decision`.
    #[arg(long, value_name = "FILE.jsonl")]
    decisions: Vec<PathBuf>,

    /// Entities of `--requests` and `--decisions`, in Cedar's JSON form.
    #[arg(long, value_name = "FILE")]
    entities: Option<PathBuf>,

    /// Ask at most so many requests, evenly chosen.
    #[arg(long, value_name = "COUNT", default_value_t = 500_000)]
    limit: usize,

    /// Show at most so many rows.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    rows: usize,

    /// Exit with 1 if access is widened, narrowed, or changed in any way.
    #[arg(long, value_enum, value_name = "DIRECTION")]
    fail_on: Option<FailOn>,

    /// How to report, instead of text for people.
    #[arg(long, value_enum, value_name = "FORMAT")]
    report: Option<ReportFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Something that was denied is allowed.
    Widened,
    /// Something that was allowed is denied.
    Narrowed,
    /// Either.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Markdown, for a comment on a pull request.
    Markdown,
}

#[derive(Serialize)]
struct DiffJson<'a> {
    requests: usize,
    left_out: usize,
    widened: usize,
    narrowed: usize,
    refused_before: usize,
    refused_after: usize,
    recorded: usize,
    contradicted: usize,
    policies: &'a PolicyChanges,
    rows: Vec<AccessRow>,
}

/// What both sets are asked.
#[derive(Default)]
struct Asked {
    requests: Vec<SpaceRequest>,
    left_out: usize,
    /// Recorded decisions by the numbers of their requests.
    recorded: Vec<(usize, Verdict)>,
}

pub(crate) fn run(args: &DiffArgs, output: &mut Output) -> Result<Ending, Failure> {
    let ended = compare(args, output);
    or_unusable(ended, output)
}

fn compare(args: &DiffArgs, output: &mut Output) -> Result<Ending, Failure> {
    let (old, old_place) = side(args, &args.old, output)?;
    let (new, new_place) = side(args, &args.new, output)?;
    let mut ending = Ending::Done;
    for (old, new) in pairs(old, new)? {
        let places = [new_place.clone(), old_place.clone()];
        if compare_sets(args, &old, &new, places, output)? == Ending::Failed {
            ending = Ending::Failed;
        }
    }
    Ok(ending)
}

fn compare_sets(
    args: &DiffArgs,
    old: &Policies,
    new: &Policies,
    places: [PathBuf; 2],
    output: &mut Output,
) -> Result<Ending, Failure> {
    let asked = asked(args, new, places, output)?.about(old, new);
    if asked.requests.is_empty() {
        return Err(Failure::input("there is nothing to compare the policies by").with_help(
            "give test files with `--tests`, a catalog with `--catalog`, or `--requests`",
        ));
    }
    let comparison = Comparison::of(&old.engine, &new.engine, &asked.requests);
    let contradicted = asked.contradicted(old);
    match args.report {
        Some(ReportFormat::Markdown) => {
            output.bytes(format::markdown(&comparison, args.rows).as_bytes())?;
        }
        None if output.is_json() => output.json(&DiffJson {
            requests: asked.requests.len(),
            left_out: asked.left_out,
            widened: comparison.count(Direction::Widened),
            narrowed: comparison.count(Direction::Narrowed),
            refused_before: comparison.refused_before,
            refused_after: comparison.refused_after,
            recorded: asked.recorded.len(),
            contradicted,
            policies: &comparison.policies,
            rows: comparison.rows(),
        })?,
        None => tell(&comparison, args.rows, output)?,
    }
    remarks(&comparison, &asked, contradicted, output);
    let went = |direction| comparison.count(direction) > 0;
    let fails = match args.fail_on {
        None => false,
        Some(FailOn::Widened) => went(Direction::Widened),
        Some(FailOn::Narrowed) => went(Direction::Narrowed),
        Some(FailOn::Any) => !comparison.changes.is_empty(),
    };
    Ok(if fails { Ending::Failed } else { Ending::Done })
}

/// Loads one side; returns where its test files may be, too.
fn side(
    args: &DiffArgs,
    given: &str,
    output: &Output,
) -> Result<(Vec<Policies>, PathBuf), Failure> {
    let path = Path::new(given);
    if !args.git && path.exists() {
        return Ok((policies(&[path.to_owned()], &args.load, output)?, path.to_owned()));
    }
    let tree = GitTree::open(given)
        .map_err(|error| Failure::input(error.to_string()).with_help(error.help()))?;
    let limits = args.load.limits()?;
    let sources = PolicySources::read_with(&tree, &[tree.path()], &limits, args.load.manifest());
    let sets = Policies::all(sources, None, &limits)?;
    sets.iter().for_each(|set| tell_of_files(set.engine.warnings(), output));
    Ok((sets, here(&tree)))
}

/// Returns the path in a commit as one from here, where that can be told.
fn here(tree: &GitTree) -> PathBuf {
    match tree.path() {
        path if path.as_os_str().is_empty() => PathBuf::from("."),
        path => path.to_owned(),
    }
}

/// Returns the sets of both sides, each with the one of the other side about the same platform.
fn pairs(old: Vec<Policies>, new: Vec<Policies>) -> Result<Vec<(Policies, Policies)>, Failure> {
    if let ([_], [_]) = (old.as_slice(), new.as_slice()) {
        return Ok(old.into_iter().zip(new).collect());
    }
    let mut pairs = Vec::new();
    let mut new = new;
    for old in old {
        let at = new.iter().position(|new| new.platform == old.platform);
        let at = at.ok_or_else(|| unpaired(&old, "NEW"))?;
        pairs.push((old, new.swap_remove(at)));
    }
    match new.first() {
        Some(new) => Err(unpaired(new, "OLD")),
        None => Ok(pairs),
    }
}

fn unpaired(set: &Policies, side: &str) -> Failure {
    let platform = format!("{:?}", set.platform);
    Failure::input(format!("{side} has no policies about {platform}, which the other side has"))
        .with_help("compare the directory of each platform")
}

fn asked(
    args: &DiffArgs,
    new: &Policies,
    places: [PathBuf; 2],
    output: &Output,
) -> Result<Asked, Failure> {
    let mut asked = Asked::default();
    let lists = args.requests.iter().map(|path| (path, false));
    let lists: Vec<_> = lists.chain(args.decisions.iter().map(|path| (path, true))).collect();
    if !args.catalog.is_empty() {
        asked.add(Space::of_catalog(&catalog(&args.catalog)?, &new.permissions, args.limit));
    }
    let explicit = !args.tests.is_empty();
    let tests: Vec<PathBuf> = match explicit {
        true => args.tests.clone(),
        // Other requests are asked instead of those of fixtures, unless both are wanted.
        false if !lists.is_empty() || !args.catalog.is_empty() => Vec::new(),
        false => places.into_iter().filter(|place| place.is_dir()).take(1).collect(),
    };
    if !tests.is_empty() {
        match suite(&tests, output) {
            Some(suite) => asked.add(suite.space(args.limit)),
            None if explicit => return Err(Failure::input("the tests cannot be used")),
            None => {}
        }
    }
    let entities = match &args.entities {
        Some(path) => {
            let text = Input::default().text(path, Limits::default().file_bytes)?;
            Entities::from_json_str(&text, new.engine.schema())
                .map_err(|e| Failure::input(format!("`{}`: {e}", path.display())))?
        }
        None => Entities::empty(),
    };
    for (path, recorded) in lists {
        asked.read(path, recorded, &entities, &new.engine)?;
    }
    Ok(asked)
}

impl Asked {
    fn add(&mut self, space: Space) {
        self.requests.extend(space.requests);
        self.left_out += space.left_out;
    }

    /// Returns what is asked about these policies: where there are those of another platform beside
    /// them, its requests are left to those.
    fn about(mut self, old: &Policies, new: &Policies) -> Self {
        if new.platform == Platform::Cedar || !self.recorded.is_empty() {
            return self;
        }
        let of_namespace = |name: &str, namespace: &str| {
            name.split("::").next().is_some_and(|first| first == namespace)
        };
        let of_other = |asked: &SpaceRequest| {
            let action = asked.request.action.type_name().to_string();
            let known = |namespace| of_namespace(&action, namespace);
            match (old.platform, new.platform) {
                (Platform::Backstage, Platform::Backstage) => known("k8s"),
                (Platform::Kubernetes, Platform::Kubernetes) => known("Backstage"),
                _ => false,
            }
        };
        self.requests.retain(|asked| !of_other(asked));
        self
    }

    /// Reads requests, one JSON object a line.
    fn read(
        &mut self,
        path: &Path,
        recorded: bool,
        entities: &Entities,
        engine: &Engine,
    ) -> Result<(), Failure> {
        let reader = Input::default().open(path)?;
        let mut requests = Requests::new(Input::name(path), reader);
        while let Some(read) = requests.next()? {
            let (request, decision) = read?;
            let (request, entities) =
                request.read(engine, entities).map_err(|error| error.within(requests.place()))?;
            match decision {
                Some(decision) => self.recorded.push((self.requests.len(), decision)),
                None if recorded => {
                    let place = requests.place();
                    let message = format!("{place}: `decision` is neither `allow` nor `deny`");
                    return Err(Failure::input(message));
                }
                None => {}
            }
            self.requests.push(SpaceRequest::new(request, entities));
        }
        Ok(())
    }

    /// Returns how many recorded decisions the old policies do not make.
    fn contradicted(&self, old: &Policies) -> usize {
        let differs = |(number, decision): &&(usize, Verdict)| {
            self.requests.get(*number).is_some_and(|asked| {
                let outcome = old.engine.decide(&asked.request, &asked.entities);
                outcome.map_or(Verdict::Deny, |outcome| outcome.decision().into()) != *decision
            })
        };
        self.recorded.iter().filter(differs).count()
    }
}

fn tell(comparison: &Comparison<'_>, shown: usize, output: &mut Output) -> Result<(), Failure> {
    let paint = output.paint();
    let rows = comparison.rows();
    for row in rows.iter().take(shown) {
        let sign = match row.direction {
            Direction::Widened => paint.bad("+ gains").to_string(),
            Direction::Narrowed => paint.notable("- loses").to_string(),
        };
        let about = match row.about() {
            about if about.is_empty() => String::new(),
            about => format!(" on {}", line(&about)),
        };
        let (whom, does) = (line(&row.whom()), line(&row.does()));
        output.line(format_args!("{sign}  {}: {does}{about}", paint.bold(whom)))?;
        output.line(format_args!("         {}", paint.dim(line(&row.because()))))?;
    }
    if let Some(hidden) = rows.get(shown..).filter(|hidden| !hidden.is_empty()) {
        let requests: usize = hidden.iter().map(|row| row.requests).sum();
        output
            .line(format_args!("and {} rows more ({requests} requests): `--rows`", hidden.len()))?;
    }
    let (widened, narrowed) =
        (comparison.count(Direction::Widened), comparison.count(Direction::Narrowed));
    let asked = comparison.requests.len();
    output.line(format_args!("{widened} widened, {narrowed} narrowed, of {asked} requests"))?;
    let PolicyChanges { added, removed, changed, .. } = &comparison.policies;
    for (word, ids) in [("added", added), ("removed", removed), ("changed", changed)] {
        if !ids.is_empty() {
            let named: Vec<String> = ids.iter().take(10).map(|id| line(id)).collect();
            let more = ids.len().saturating_sub(10);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            output.line(format_args!("policies {word}: {}{more}", named.join(", ")))?;
        }
    }
    Ok(())
}

fn remarks(comparison: &Comparison<'_>, asked: &Asked, contradicted: usize, output: &Output) {
    if comparison.changes.is_empty() && !comparison.policies.is_empty() {
        output.remark(
            "policies differ, and no request that was asked notices: are there cases for it?",
        );
    }
    if asked.left_out > 0 {
        let left_out = asked.left_out;
        output.remark(&format!("{left_out} more requests were left out, evenly: raise `--limit`"));
    }
    let refused = comparison.refused_before.max(comparison.refused_after);
    if refused > 0 {
        let (before, after) = (comparison.refused_before, comparison.refused_after);
        output.remark(&format!(
            "requests that do not fit the schema count as denied: {before} before, {after} after"
        ));
    }
    if contradicted > 0 {
        let recorded = asked.recorded.len();
        output.remark(&format!(
            "{contradicted} of {recorded} recorded decisions are not what OLD decides: \
             other policies or entities were in force"
        ));
    }
}
