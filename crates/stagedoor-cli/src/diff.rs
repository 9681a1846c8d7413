//! `stagedoor diff`: who gains and who loses what between two policy sets.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use stagedoor_core::{Engine, Entities, Limits};
use stagedoor_kubernetes::rbac::ResolvedRbac;
use stagedoor_review::diff::{
    AccessRow, Cases, Comparison, Direction, Meaning, PolicyChanges, Verdict as MeaningVerdict,
    format,
};
use stagedoor_review::{Platform, Policies};
use stagedoor_source::{GitTree, PolicySources, RealFileSystem};
use stagedoor_testing::{RequestSpace, SpaceRequest};
use stagedoor_wire::Verdict;

use crate::built_in_roles::{BuiltIn, BuiltInArgs, resolved_texts};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::granted;
use crate::input::Input;
use crate::load::{LoadArgs, tell_of_files};
use crate::manifests;
use crate::output::Output;
use crate::requests::Requests;
use crate::review::{catalog, or_unusable, policies_beside, suite};
use crate::terminal::line;

/// Tell who gains and who loses what between two policy sets.
///
/// What changes is decided for all requests, from policies and schemas alone: each row has a request
/// that both sets decide, and differently; no row means that there is no such request. What cannot
/// be decided is told as such. Either side may also be manifests of Kubernetes' RBAC.
///
/// To give names to what changes, both also decide requests that are known: everything that the
/// fixtures of the test files of either side make possible, all that users of a catalog can ask, a
/// list of requests, what roles grant, or decisions that were recorded.
///
/// Exits with 0; with 1 if `--fail-on` is given and access changes that way, or if that is not
/// decided; with 2 if something cannot be used.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The policies before: a directory, a file, or `REVISION:PATH` of a git repository. A
    /// directory or file of manifests, here or in a commit, stands for the RBAC that they say.
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

    /// Roles and bindings, as `kubectl get clusterroles,clusterrolebindings,roles,rolebindings -A -o
    /// json` prints them: what each of them grants is asked, for the whole cluster without a
    /// namespace. What is decided for all requests sees namespaces too.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    grants: Vec<PathBuf>,

    /// Entities of `--requests` and `--decisions`, in Cedar's JSON form.
    #[arg(long, value_name = "FILE")]
    entities: Option<PathBuf>,

    /// Ask at most so many of the known requests, spread over all. What is decided for all requests
    /// does not depend on it.
    #[arg(long, value_name = "COUNT", default_value_t = 500_000)]
    limit: usize,

    /// Show at most so many rows.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    rows: usize,

    /// Exit with 1 if access is widened, narrowed, or changed in any way.
    #[arg(long, value_enum, value_name = "DIRECTION")]
    fail_on: Option<FailOn>,

    /// Do not fail because something is not decided.
    #[arg(long)]
    allow_undecided: bool,

    /// Write the requests that are decided differently as test cases that pass on NEW.
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,

    /// How to report, instead of text for people.
    #[arg(long, value_enum, value_name = "FORMAT")]
    report: Option<ReportFormat>,

    #[command(flatten)]
    built_in: BuiltInArgs,
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
    /// What holds for all requests; left out where nothing is validated.
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<&'a Meaning>,
}

/// What both sets are asked.
#[derive(Default)]
struct ComparedRequests {
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
    let (old_roles, new_roles) = (roles(args, &args.old)?, roles(args, &args.new)?);
    let (old_roles, new_roles) = (old_roles.as_ref(), new_roles.as_ref());
    let (old, old_place) = side(args, &args.old, [old_roles, new_roles], &[], output)?;
    let (new, new_place) = side(args, &args.new, [new_roles, old_roles], &old, output)?;
    let mut ending = Ending::Done;
    let pairs = pairs(old, new)?;
    let is_kubernetes = |(_, new): &(_, Policies)| new.platform == Platform::Kubernetes;
    if !args.grants.is_empty() && !pairs.iter().any(is_kubernetes) {
        return Err(Failure::input("`--grants` is about Kubernetes, and these policies are not"));
    }
    for (old, new) in pairs {
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
    let new_place = places.first().cloned().unwrap_or_default();
    let asked = asked(args, [old, new], places, output)?.about(old, new);
    let wanted = output.is_json() || args.witnesses.is_some();
    let cases = if wanted { Cases::Kept } else { Cases::Dropped };
    let mut meaning = Meaning::of(&old.enforced, &new.enforced, cases)
        .map_err(|error| Failure::input(error.to_string()))?;
    if asked.requests.is_empty() && meaning.is_none() {
        return Err(Failure::input("there is nothing to compare the policies by").with_help(
            "give test files with `--tests`, a catalog with `--catalog`, or `--requests`",
        ));
    }
    let mut comparison = Comparison::of(&old.enforced, &new.enforced, &asked.requests);
    // Also those that are not enforced, before or after.
    comparison.policies = PolicyChanges::between(&old.engine, &new.engine);
    if let Some(meaning) = &mut meaning {
        meaning.name_people(&comparison);
    }
    let contradicted = asked.contradicted(old);
    match args.report {
        Some(ReportFormat::Markdown) => {
            let text = format::markdown(&comparison, meaning.as_ref(), args.rows);
            output.bytes(text.as_bytes())?;
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
            meaning: meaning.as_ref(),
        })?,
        None => tell(&comparison, meaning.as_ref(), args.rows, output)?,
    }
    remarks(&comparison, meaning.as_ref(), &asked, contradicted, output);
    if let Some(path) = &args.witnesses {
        write_witnesses(path, meaning.as_ref(), &new_place)?;
    }
    let goes = |direction| {
        let is_proved = |meaning: &Meaning| meaning.may_go(direction, args.allow_undecided);
        comparison.count(direction) > 0 || meaning.as_ref().is_some_and(is_proved)
    };
    let fails = match args.fail_on {
        None => false,
        Some(FailOn::Widened) => goes(Direction::Widened),
        Some(FailOn::Narrowed) => goes(Direction::Narrowed),
        Some(FailOn::Any) => goes(Direction::Widened) || goes(Direction::Narrowed),
    };
    Ok(if fails { Ending::Failed } else { Ending::Done })
}

/// Writes a test file; `new` is where the new policies are, if they are files.
fn write_witnesses(path: &Path, meaning: Option<&Meaning>, new: &Path) -> Result<(), Failure> {
    let Some(meaning) = meaning else { return Ok(()) };
    let place = |path: &Path| path.canonicalize().ok();
    let beside = path
        .parent()
        .map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let policies: Vec<String> = match (place(new), beside.and_then(place)) {
        // Where nothing else is said, a test file is about the policies beside it.
        (Some(new), Some(beside)) if new == beside => Vec::new(),
        (Some(new), _) => vec![new.display().to_string()],
        (None, _) => Vec::new(),
    };
    let text = serde_json::to_string_pretty(&meaning.test_file(&policies));
    let text = text.map_err(|e| Failure::input(e.to_string()))?;
    std::fs::write(path, text + "\n")
        .map_err(|e| Failure::input(format!("`{}` cannot be written: {e}", path.display())))
}

/// Returns the roles of a side that is manifests.
fn roles(args: &DiffArgs, given: &str) -> Result<Option<ResolvedRbac>, Failure> {
    let path = Path::new(given);
    let texts = if args.git || !path.exists() {
        let tree = commit(given)?;
        manifests::texts_below(&tree, tree.path())?
    } else {
        manifests::texts_below(&RealFileSystem, path)?
    };
    if texts.is_empty() {
        return Ok(None);
    }
    // Both sides have the same bindings of a cluster's own, so that roles are enough.
    let texts = texts.into_iter().map(Ok);
    resolved_texts(texts, None, &args.built_in, BuiltIn::Roles).map(Some)
}

/// Opens a revision of the repository here.
fn commit(given: &str) -> Result<GitTree, Failure> {
    GitTree::open(given).map_err(|error| Failure::input(error.to_string()).with_help(error.help()))
}

/// Loads one side, whose own roles come first, beside the other one if that is loaded; returns where
/// its test files may be, too.
fn side(
    args: &DiffArgs,
    given: &str,
    roles: [Option<&ResolvedRbac>; 2],
    other: &[Policies],
    output: &Output,
) -> Result<(Vec<Policies>, PathBuf), Failure> {
    let path = Path::new(given);
    if let [Some(own), beside] = roles {
        // Manifests have no test files of policies beside them.
        return Ok((vec![Policies::of_rbac(own, beside)?], PathBuf::new()));
    }
    if !args.git && path.exists() {
        let sets = policies_beside(other, &[path.to_owned()], &args.load, output)?;
        return Ok((sets, path.to_owned()));
    }
    let tree = commit(given)?;
    let limits = args.load.limits()?;
    let sources = PolicySources::read_with(&tree, &[tree.path()], &limits, args.load.manifest());
    let sets = Policies::all_beside(other, sources, None, &limits)?;
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
    [old, new]: [&Policies; 2],
    places: [PathBuf; 2],
    output: &Output,
) -> Result<ComparedRequests, Failure> {
    let mut asked = ComparedRequests::default();
    let lists = args.requests.iter().map(|path| (path, false));
    let lists: Vec<_> = lists.chain(args.decisions.iter().map(|path| (path, true))).collect();
    if !args.catalog.is_empty() {
        let catalog = catalog(&args.catalog)?;
        let permissions = new.permissions.union(&old.permissions);
        asked.add(RequestSpace::of_catalog(&catalog, permissions, args.limit));
    }
    if !args.grants.is_empty() && new.platform == Platform::Kubernetes {
        asked.add(granted::space(&args.grants, &args.built_in, new, args.limit)?);
    }
    let explicit = !args.tests.is_empty();
    let tests: Vec<PathBuf> = match explicit {
        true => args.tests.clone(),
        // Other requests are asked instead of those of fixtures, unless both are wanted.
        false if !lists.is_empty() || !args.catalog.is_empty() || !args.grants.is_empty() => {
            Vec::new()
        }
        // Whom a change concerns may stand among the fixtures of either side alone.
        false => {
            let mut places: Vec<PathBuf> =
                places.into_iter().filter(|place| place.is_dir()).collect();
            places.dedup();
            places
        }
    };
    if explicit {
        match suite(&tests, &[new, old], output) {
            Some(suite) => asked.add(suite.space(args.limit)),
            None => return Err(Failure::input("the tests cannot be used")),
        }
    } else {
        // Each on its own: the tests of one side may not load where the other's do.
        for place in &tests {
            if let Some(suite) = suite(std::slice::from_ref(place), &[new, old], output) {
                asked.add(suite.space(args.limit));
            }
        }
        asked.leave_out_repeated();
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

impl ComparedRequests {
    fn add(&mut self, space: RequestSpace) {
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

    /// Leaves out requests that both sides' fixtures make possible: those of the new side stay.
    fn leave_out_repeated(&mut self) {
        let mut seen = std::collections::HashSet::new();
        let mut kept: Vec<SpaceRequest> = std::mem::take(&mut self.requests);
        kept.reverse();
        kept.retain(|of| {
            let SpaceRequest { who, groups, action, resource, request, .. } = of;
            seen.insert(format!("{who:?} {groups:?} {action:?} {resource:?} {request:?}"))
        });
        kept.reverse();
        self.requests = kept;
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
                let outcome = old.enforced.decide(&asked.request, &asked.entities);
                outcome.map_or(Verdict::Deny, |outcome| outcome.decision().into()) != *decision
            })
        };
        self.recorded.iter().filter(differs).count()
    }
}

fn tell(
    comparison: &Comparison<'_>,
    meaning: Option<&Meaning>,
    shown: usize,
    output: &mut Output,
) -> Result<(), Failure> {
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
    if asked > 0 {
        output.line(format_args!("{widened} widened, {narrowed} narrowed, of {asked} requests"))?;
    }
    if let Some(meaning) = meaning {
        tell_meaning(meaning, shown, output)?;
    }
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

/// Tells what holds for all requests.
fn tell_meaning(meaning: &Meaning, shown: usize, output: &mut Output) -> Result<(), Failure> {
    let paint = output.paint();
    let verdict = match meaning.verdict {
        MeaningVerdict::Equal => "nothing changes, as is proved",
        MeaningVerdict::Widened => "access is widened",
        MeaningVerdict::Narrowed => "access is narrowed",
        MeaningVerdict::Both => "access is widened and narrowed",
        MeaningVerdict::Undecided => "whether access changes is not decided",
    };
    let more = match meaning.undecided && meaning.verdict != MeaningVerdict::Undecided {
        true => "; more is not decided",
        false => "",
    };
    output.line(format_args!("for all requests: {}{more}", paint.bold(verdict)))?;
    for row in meaning.rows.iter().take(shown) {
        let sign = match (row.proved, row.direction) {
            (false, _) => paint.notable("? unknown").to_string(),
            (true, Direction::Widened) => paint.bad("+ widened").to_string(),
            (true, Direction::Narrowed) => paint.notable("- narrowed").to_string(),
        };
        output.line(format_args!("{sign}  {}", line(&row.in_words())))?;
        let reasons: Vec<&str> = row.reasons.iter().map(String::as_str).collect();
        let because = match &row.example {
            Some(example) => format!("such as {example}"),
            None => format!("it depends on {}", reasons.join(", ")),
        };
        output.line(format_args!("         {}", paint.dim(line(&because))))?;
    }
    if let Some(hidden) = meaning.rows.get(shown..).filter(|hidden| !hidden.is_empty()) {
        output.line(format_args!("and {} rows more: `--rows`", hidden.len()))?;
    }
    Ok(())
}

fn remarks(
    comparison: &Comparison<'_>,
    meaning: Option<&Meaning>,
    asked: &ComparedRequests,
    contradicted: usize,
    output: &Output,
) {
    let is_equal = meaning.is_some_and(|meaning| meaning.verdict == MeaningVerdict::Equal);
    let asked_any = !comparison.requests.is_empty();
    if asked_any && !is_equal && comparison.changes.is_empty() && !comparison.policies.is_empty() {
        output.remark(
            "policies differ, and no request that was asked notices: are there cases for it?",
        );
    }
    if asked.left_out > 0 {
        let left_out = asked.left_out;
        output.remark(&format!("{left_out} of the known requests were not asked: raise `--limit`"));
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
