//! Which platform a policy set is about, and the schemas that it needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use stagedoor_core::{Engine, EngineBuilder, Limits, Problem, names_namespace};

use crate::kind::FileKind;
use crate::source_file::SourceFile;
use crate::sources::PolicySources;
use crate::split::{Platforms, Tree};
use crate::vocabulary::Vocabulary;

/// A policy set with the platforms that it is about.
///
/// What a set is about is what its policies and schemas name, found by parsing them: words in
/// strings, annotations and comments do not count, nor do the names of files. The choice is the
/// same for every command and every face.
#[derive(Debug, Clone)]
pub struct PolicySet {
    sources: PolicySources,
    platforms: Vec<Vocabulary>,
    fragments: Vec<(String, String)>,
    limits: Limits,
}

impl PolicySet {
    /// Returns the sets that sources make: one, or one for each platform where each has
    /// directories of its own.
    #[must_use]
    pub fn all(sources: PolicySources, vocabularies: &[Vocabulary]) -> Vec<Self> {
        Self::all_within(sources, vocabularies, &Limits::default())
    }

    /// Returns the sets that sources make, as [`all`](Self::all), within limits.
    #[must_use]
    pub fn all_within(
        sources: PolicySources,
        vocabularies: &[Vocabulary],
        limits: &Limits,
    ) -> Vec<Self> {
        let about = about(&sources, vocabularies, limits);
        let tree = Tree::of(sources.files.iter().zip(about.iter().copied()));
        let found = vocabularies.iter().zip(bits()).filter(|(_, bit)| tree.all() & bit != 0);
        if !tree.is_split() {
            let platforms = found.map(|(vocabulary, _)| vocabulary.clone()).collect();
            return vec![Self::new(sources, platforms, limits)];
        }
        let set = |(vocabulary, bit): (&Vocabulary, Platforms)| {
            let mut bits = about.iter();
            let own = sources
                .clone()
                .retain(|file| tree.belongs(file, bits.next().copied().unwrap_or_default(), bit));
            Self::new(own, vec![vocabulary.clone()], limits)
        };
        found.map(set).collect()
    }

    /// Returns the one set that is about these platforms, given by their names; the schemas of
    /// each are added even if no policy names it.
    ///
    /// If one platform is asked for, and others have directories of their own beside it, those
    /// are no part of the set, and a warning says so. If none is asked for, all is one set.
    #[must_use]
    pub fn of(
        sources: PolicySources,
        vocabularies: &[Vocabulary],
        platforms: &[&str],
        limits: &Limits,
    ) -> Self {
        let about = about(&sources, vocabularies, limits);
        let tree = Tree::of(sources.files.iter().zip(about.iter().copied()));
        let is_asked = |vocabulary: &Vocabulary| platforms.contains(&vocabulary.name);
        let asked = vocabularies.iter().zip(bits()).filter(|(vocabulary, _)| is_asked(vocabulary));
        let asked: Vec<(&Vocabulary, Platforms)> = asked.collect();
        if let [(platform, bit)] = asked.as_slice()
            && tree.is_split()
            && tree.all() & bit != 0
        {
            let mut bits = about.iter();
            let mut others = BTreeSet::new();
            let mut own = sources.clone().retain(|file| {
                let belongs = tree.belongs(file, bits.next().copied().unwrap_or_default(), *bit);
                if !belongs {
                    let above = file.place.rsplit_once('/').map_or(".", |(above, _)| above);
                    others.insert(above.to_owned());
                }
                belongs
            });
            others.iter().for_each(|place| own.push_problem(elsewhere(place, platform)));
            return Self::new(own, vec![(*platform).clone()], limits);
        }
        let numbered = vocabularies.iter().zip(bits());
        let has = numbered.filter(|(other, bit)| is_asked(other) || tree.all() & bit != 0);
        let platforms = has.map(|(vocabulary, _)| vocabulary.clone()).collect();
        Self::new(sources, platforms, limits)
    }

    fn new(sources: PolicySources, platforms: Vec<Vocabulary>, limits: &Limits) -> Self {
        Self { sources, platforms, fragments: Vec::new(), limits: limits.clone() }
    }

    /// Returns the texts.
    #[must_use]
    pub fn sources(&self) -> &PolicySources {
        &self.sources
    }

    /// Returns the texts, to add problems to.
    pub fn sources_mut(&mut self) -> &mut PolicySources {
        &mut self.sources
    }

    /// Returns the names of the platforms that the set is about: none for a schema of its own.
    pub fn platforms(&self) -> impl Iterator<Item = &str> {
        self.platforms.iter().map(|platform| platform.name)
    }

    /// Returns whether the set is about a platform.
    #[must_use]
    pub fn is_about(&self, platform: &str) -> bool {
        self.platforms().any(|name| name == platform)
    }

    /// Adds a schema that a platform makes of the set's own files, such as that of added
    /// permissions.
    #[must_use]
    pub fn with_fragment(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.fragments.push((name.into(), text.into()));
        self
    }

    /// Returns what builds the engine: the set's texts, the schemas of its platforms unless it
    /// brings them itself, and then the fragments.
    #[must_use]
    pub fn builder(&self) -> EngineBuilder {
        let mut builder = self.sources.add_to(Engine::builder()).limits(self.limits.clone());
        for schema in self.platforms.iter().flat_map(|platform| platform.schemas.iter()) {
            if !self.sources.declares_entity_type(schema.marker, &self.limits) {
                builder = builder.schema(schema.name, schema.text.as_ref());
            }
        }
        self.fragments.iter().fold(builder, |builder, (name, text)| builder.schema(name, text))
    }
}

fn bits() -> impl Iterator<Item = Platforms> {
    (0..Platforms::BITS).map(|number| 1 << number)
}

/// Returns what each file is about.
fn about(sources: &PolicySources, vocabularies: &[Vocabulary], limits: &Limits) -> Vec<Platforms> {
    let of_file = |file: &SourceFile| {
        let names = |vocabulary: &Vocabulary| match file.kind {
            FileKind::Source(kind) => {
                let text: &Arc<str> = &file.text;
                names_namespace(kind, text, vocabulary.namespace, limits)
            }
            FileKind::Permissions => vocabulary.has_permission_files,
            _ => false,
        };
        let named = vocabularies.iter().zip(bits()).filter(|(vocabulary, _)| names(vocabulary));
        named.fold(0, |all, (_, bit)| all | bit)
    };
    sources.files.iter().map(of_file).collect()
}

fn elsewhere(place: &str, platform: &Vocabulary) -> Problem {
    let message = format!(
        "what is here is about another platform than {}, and not in this set",
        platform.name
    );
    Problem::warning("set::other-platform", message)
        .with_help(
            "each platform's directory is a set of its own: name the directory that is meant",
        )
        .in_file(place)
}
