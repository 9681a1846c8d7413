//! The texts of a policy set, wherever they come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stagedoor_core::{
    Engine, EngineBuilder, Limits, LoadError, Problem, SourceKind, has_policies,
    without_byte_order_mark,
};

use crate::bundle::Bundle;
use crate::file_system::{EntryKind, FileSystem};
use crate::kind::{FileKind, MANIFEST_NAME};
use crate::manifest::{Manifest, ManifestUse};
use crate::source_file::SourceFile;
use crate::walk::{ListedFile, Listing, special, unreadable};

/// The texts of a policy set, and what is wrong with where they come from.
///
/// Texts are sorted by name within each directory that was given. Nothing is lost on the way:
/// what cannot be read, or lies among policies and is not read, is one of
/// [`problems`](Self::problems), which keep the engine from being built or become its warnings.
#[derive(Debug, Clone, Default)]
pub struct PolicySources {
    pub(crate) files: Vec<SourceFile>,
    rules: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    problems: Vec<Problem>,
    /// Whether all directories are what their manifests say.
    is_pinned: bool,
    /// The digests of the rules that a bundle was made with, by the rules' names.
    pinned_rules: Vec<(String, String)>,
}

impl PolicySources {
    /// Reads files, and directories with all below them. A file that is named itself is read
    /// whatever it is called: a [bundle](Bundle), or policies.
    ///
    /// Does not fail: what is wrong becomes [`problems`](Self::problems).
    #[must_use]
    pub fn read(files: &dyn FileSystem, paths: &[impl AsRef<Path>], limits: &Limits) -> Self {
        Self::read_with(files, paths, limits, ManifestUse::Optional)
    }

    /// Reads as [`read`](Self::read) does, and holds each directory to its [manifest](Manifest).
    #[must_use]
    pub fn read_with(
        files: &dyn FileSystem,
        paths: &[impl AsRef<Path>],
        limits: &Limits,
        manifest: ManifestUse,
    ) -> Self {
        let mut sources = Self { is_pinned: !paths.is_empty(), ..Self::default() };
        for (number, path) in paths.iter().map(AsRef::as_ref).enumerate() {
            let place = files.display(path);
            // Several roots are told apart, so that each may be a set of its own.
            let root = (paths.len() > 1).then(|| number.to_string());
            match files.metadata(path) {
                Err(error) => sources.problems.push(unreadable(&place, &error)),
                Ok(metadata) => match metadata.kind {
                    EntryKind::Directory => {
                        sources.directories.push(path.to_owned());
                        sources.directory(files, path, root, limits, manifest);
                    }
                    EntryKind::File | EntryKind::Link => {
                        sources.is_pinned = false;
                        sources.directories.extend(path.parent().map(Path::to_owned));
                        sources.file(files, path, limits);
                    }
                    EntryKind::Special => sources.problems.push(special(&place)),
                },
            }
        }
        sources
    }

    /// Returns texts, given as names and texts in any order. A text whose name does not tell what
    /// it is holds policies.
    #[must_use]
    pub fn from_texts<N: Into<String>, T: Into<String>>(
        texts: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        let mut texts: Vec<(String, String)> =
            texts.into_iter().map(|(name, text)| (name.into(), text.into())).collect();
        texts.sort();
        texts
            .into_iter()
            .fold(Self::default(), |sources, (name, text)| sources.with_text(name, text))
    }

    /// Returns the texts of a bundle.
    #[must_use]
    pub fn from_bundle(bundle: &Bundle) -> Self {
        let mut sources = Self::from_texts(bundle.files());
        sources.pinned_rules = bundle.rules().map(|(n, d)| (n.to_owned(), d.to_owned())).collect();
        sources
    }

    /// Adds one text after the others.
    #[must_use]
    pub fn with_text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        self.add(name.clone(), name, &text, None);
        self
    }

    /// Adds one text after the others, which holds what is said here, whatever its name is.
    #[must_use]
    pub fn with_source(
        mut self,
        name: impl Into<String>,
        kind: SourceKind,
        text: impl Into<String>,
    ) -> Self {
        let (name, text) = (name.into(), text.into());
        self.push(name.clone(), name, FileKind::Source(kind), &text, None);
        self
    }

    /// Adds other sources after these.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.rules.extend(other.rules);
        self.directories.extend(other.directories);
        self.problems.extend(other.problems);
        self.is_pinned &= other.is_pinned;
        self.pinned_rules.extend(other.pinned_rules);
    }

    /// Returns the texts, in the order in which they are loaded.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Returns the permission files, each as what messages call it and its text.
    pub fn permission_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_one = |file: &&SourceFile| file.kind == FileKind::Permissions;
        self.files.iter().filter(is_one).map(|file| (file.place.as_str(), file.text.as_ref()))
    }

    /// Returns the paths of the custom rules beside the policies: `*.wasm` in directories
    /// `rules`, sorted.
    #[must_use]
    pub fn rules(&self) -> &[PathBuf] {
        &self.rules
    }

    /// Returns the directories that policies were read from, and those that files stand in which
    /// were named themselves: where a lock for custom rules may lie.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Returns whether everything comes from directories that are what their manifests say.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.is_pinned
    }

    /// Returns what is wrong with where the texts come from.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Adds a problem.
    pub fn push_problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Returns whether a schema of the set itself declares an entity type, by its full name.
    #[must_use]
    pub fn declares_entity_type(&self, entity_type: &str, limits: &Limits) -> bool {
        self.files.iter().any(|file| match file.kind {
            FileKind::Source(kind)
                if kind.is_schema() && file.text.contains(last_word(entity_type)) =>
            {
                let declared = stagedoor_core::declared_entity_types(kind, &file.text, limits);
                declared.iter().any(|declared| declared == entity_type)
            }
            _ => false,
        })
    }

    /// Adds the texts and problems to what an engine is made of. Platforms' schemas are not among
    /// them: [`PolicySet::builder`](crate::PolicySet::builder) adds those, too.
    #[must_use]
    pub fn add_to(&self, mut builder: EngineBuilder) -> EngineBuilder {
        for file in &self.files {
            let (place, text) = (file.place.as_str(), file.text.as_ref());
            builder = match file.kind {
                FileKind::Source(SourceKind::Policies) => builder.policies(place, text),
                FileKind::Source(SourceKind::PoliciesJson) => builder.policies_json(place, text),
                FileKind::Source(SourceKind::Schema) => builder.schema(place, text),
                FileKind::Source(SourceKind::SchemaJson) => builder.schema_json(place, text),
                _ => builder,
            };
        }
        let builder = builder.pinned_rules(self.pinned_rules.iter().cloned());
        self.problems.iter().cloned().fold(builder, EngineBuilder::problem)
    }

    /// Returns the same without some of the files.
    pub(crate) fn retain(mut self, keep: impl FnMut(&SourceFile) -> bool) -> Self {
        self.files.retain(keep);
        self
    }

    fn directory(
        &mut self,
        files: &dyn FileSystem,
        path: &Path,
        root: Option<String>,
        limits: &Limits,
        manifest: ManifestUse,
    ) {
        let mut listing = Listing::of(files, path);
        listing.tell_unread(files, limits);
        let first = self.files.len();
        for file in listing.files.iter().filter(|file| file.kind.is_of_set()) {
            self.listed(files, file, root.as_deref(), limits);
        }
        if !listing.files.iter().any(|file| file.kind.is_policies()) {
            let name = files.display(path);
            let problem =
                Problem::error("directory::empty", format!("there are no policies below `{name}`"))
                    .with_help("policies stand in `.cedar` or `.cedar.json` files")
                    .in_file(&name);
            self.problems.push(problem);
        }
        let rules: Vec<PathBuf> = listing.rules().map(|rule| rule.path.clone()).collect();
        let of_directory = self.files.get(first..).unwrap_or_default();
        let checked =
            Manifest::check(files, &path.join(MANIFEST_NAME), of_directory, &rules, manifest);
        let has_manifest = listing.files.iter().any(|file| file.name == MANIFEST_NAME);
        self.is_pinned &= has_manifest && checked.is_empty();
        self.problems.extend(listing.problems);
        self.problems.extend(checked);
        self.rules.extend(rules);
    }

    fn listed(
        &mut self,
        files: &dyn FileSystem,
        file: &ListedFile,
        root: Option<&str>,
        limits: &Limits,
    ) {
        let place = files.display(&file.path);
        if let Some(text) = self.text(files, &file.path, &place, limits) {
            self.add(file.name.clone(), place, &text, root);
        }
    }

    fn file(&mut self, files: &dyn FileSystem, path: &Path, limits: &Limits) {
        let place = files.display(path);
        let Some(text) = self.text(files, path, &place, limits) else { return };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if FileKind::of(&name) == FileKind::Bundle || Bundle::looks_like_one(&text) {
            match Bundle::from_json(&place, &text) {
                Ok(bundle) => self.extend(Self::from_bundle(&bundle)),
                Err(error) => self.problems.extend(error.problems().iter().cloned()),
            }
            return;
        }
        self.add(name, place, &text, None);
    }

    /// Reads a file as text; what is wrong becomes a problem.
    fn text(
        &mut self,
        files: &dyn FileSystem,
        path: &Path,
        place: &str,
        limits: &Limits,
    ) -> Option<String> {
        let problem = match files.read(path, limits.file_bytes as u64) {
            Ok(bytes) if bytes.len() > limits.file_bytes => {
                Problem::file_too_large(place, limits.file_bytes)
            }
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => return Some(text),
                Err(error) => {
                    let at = error.utf8_error().valid_up_to();
                    Problem::error("file::utf8", format!("not UTF-8 after byte {at}"))
                        .with_help("save the file as UTF-8")
                        .in_file(place)
                }
            },
            Err(error) => unreadable(place, &error),
        };
        self.problems.push(problem);
        None
    }

    fn add(&mut self, name: String, place: String, text: &str, root: Option<&str>) {
        let base = name.rsplit('/').next().unwrap_or(&name);
        let kind = match FileKind::of(base) {
            FileKind::Permissions => FileKind::Permissions,
            _ => FileKind::Source(SourceKind::of_text(base, text)),
        };
        self.push(name, place, kind, text, root);
    }

    fn push(
        &mut self,
        name: String,
        place: String,
        kind: FileKind,
        text: &str,
        root: Option<&str>,
    ) {
        let text = without_byte_order_mark(text);
        if let FileKind::Source(kind) = kind
            && !kind.is_schema()
            && !has_policies(kind, text)
        {
            // A disk that was full, a copy that stalls: the forbids in it would be gone.
            // Comments alone somebody wrote.
            let message = "there is no policy in the file";
            let problem = match text.trim_start().starts_with("//") {
                true => Problem::warning("file::empty", message),
                false => Problem::error("file::empty", message),
            };
            let help = "was it cut short? write it again, or remove it";
            let problem = problem.with_help(help).in_file(&place);
            self.problems.push(problem);
        }
        let mut directory: Vec<String> = root.map(str::to_owned).into_iter().collect();
        if let Some((above, _)) = name.rsplit_once('/') {
            directory.extend(above.split('/').map(str::to_owned));
        }
        self.files.push(SourceFile { name, place, kind, text: text.into(), directory });
    }
}

/// Returns the name of a type without its namespace.
fn last_word(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

impl Bundle {
    /// Returns the bundle of a set that loads: its texts, and the digests of the rules that
    /// guard its policies.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with what keeps the texts from being read as a whole.
    pub fn of(sources: &PolicySources, engine: &Engine) -> Result<Self, LoadError> {
        let is_error = |problem: &&Problem| problem.severity() == stagedoor_core::Severity::Error;
        let mut problems: Vec<Problem> =
            sources.problems().iter().filter(is_error).cloned().collect();
        let mut files = BTreeMap::new();
        for file in sources.files() {
            if files.insert(file.name.clone(), file.text.to_string()).is_some() {
                let message = format!("there are two files `{}`", file.name);
                let problem = Problem::error("bundle::duplicate", message)
                    .with_help("bundle one directory, in which each file has its own name");
                problems.push(problem.in_file(&file.place));
            }
        }
        if !problems.is_empty() {
            return Err(LoadError::of(problems));
        }
        let guards = engine.policies().flat_map(|policy| policy.guards());
        let rules = guards.map(|guard| (guard.rule().to_owned(), guard.digest().to_owned()));
        let (tests, components) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { files, rules: rules.collect(), tests, components })
    }
}
