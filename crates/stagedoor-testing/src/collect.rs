//! Tests, collected from what a file says.

use std::collections::BTreeSet;
use std::path::Path;

use serde_saphyr::Spanned;
use stagedoor_core::Decision;

use crate::environment::{Platform, TestEnvironment};
use crate::expectation::Expectation;
use crate::file::{BoundFixture, Case, Invariant, Suite, Table, TestFile};
use crate::names::Names;
use crate::problem::{Position, Problem, TestError};
use crate::resolve::{list_question, platform, question};
use crate::resolved_case::ResolvedCase;
use crate::test_case::TestCase;
use crate::{bound, invariant, table};

type Parts<'a> =
    (Option<&'a str>, &'a [Spanned<Case>], &'a [Spanned<Table>], &'a [Spanned<Invariant>]);

/// Returns what a file says outside suites and in each, with the suite's name.
pub(crate) fn parts(file: &TestFile) -> impl Iterator<Item = Parts<'_>> {
    let own = (None, &*file.cases, &*file.tables, &*file.invariants);
    let suites = file.suites.iter().map(|suite| {
        let Suite { name, cases, tables, invariants } = suite;
        (Some(name.as_str()), &**cases, &**tables, &**invariants)
    });
    std::iter::once(own).chain(suites)
}

/// Returns the platforms of a file's cases, as far as they can be told before loading.
pub(crate) fn platforms(file: &TestFile) -> Vec<Platform> {
    let mut platforms = Vec::new();
    let mut of_keys = |keys: &mut dyn Iterator<Item = &str>| {
        for key in keys {
            match key {
                "permission" => platforms.push(Platform::Backstage),
                "verb" => platforms.push(Platform::Kubernetes),
                // Who asks for admission is somebody of authorization's schema.
                "operation" => platforms.extend([Platform::Kubernetes, Platform::Admission]),
                "principal" => platforms.push(Platform::Cedar),
                _ => {}
            }
        }
    };
    for (_, cases, tables, invariants) in parts(file) {
        for case in cases {
            let Case { permission, verb, operation, principal, .. } = &case.value;
            let keys = [
                ("permission", permission),
                ("verb", verb),
                ("operation", operation),
                ("principal", principal),
            ];
            of_keys(&mut keys.into_iter().filter(|(_, v)| v.is_some()).map(|(key, _)| key));
        }
        for table in tables {
            let varied = [table.value.columns.as_str()];
            let header = table.value.grid.split('|').map(str::trim);
            of_keys(&mut table.value.with.keys().map(String::as_str).chain(varied).chain(header));
        }
        for about in invariants {
            of_keys(&mut about.value.over.keys().map(String::as_str));
        }
    }
    platforms
}

/// Makes tests of what a file says.
pub(crate) struct Collector<'a> {
    pub(crate) world: &'a TestEnvironment,
    pub(crate) names: &'a Names<'a>,
    pub(crate) suite: Option<String>,
    pub(crate) path: &'a Path,
    /// The file's text.
    pub(crate) text: &'a str,
    pub(crate) error: &'a mut TestError,
    /// What was told of names: all requests of a matrix have the same.
    pub(crate) told: BTreeSet<(Position, String)>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(
        (world, names): (&'a TestEnvironment, &'a Names<'a>),
        suite: Option<String>,
        (path, text): (&'a Path, &'a str),
        error: &'a mut TestError,
    ) -> Self {
        Self { world, names, suite, path, text, error, told: BTreeSet::new() }
    }

    pub(crate) fn case(&mut self, case: &Spanned<Case>) -> Option<TestCase> {
        self.one(&case.value, case.referenced.into())
    }

    fn one(&mut self, case: &Case, place: Position) -> Option<TestCase> {
        if case.expect.is_conditional() {
            return self.list(case, place);
        }
        let asked = self.asked(case, place)?;
        Some(self.test(case.name.clone(), place, vec![asked], false))
    }

    /// Makes the test about all resources of a permission: the answer, and for each entity of
    /// the catalog the decision about it alone, which has to agree.
    fn list(&mut self, case: &Case, place: Position) -> Option<TestCase> {
        let question = match list_question(case, self.world) {
            Ok(question) => question,
            Err(message) => {
                self.problem(&case.name, message, place);
                return None;
            }
        };
        let unknown = self.names.backstage(case);
        if self.tell(&case.name, unknown, place) {
            return None;
        }
        let mut asked = Vec::new();
        if let Some(selected) = case.expect.selects() {
            for entity in self.world.catalog.references().map(ToString::to_string) {
                let allowed = selected.contains(&entity);
                let decision = if allowed { Decision::Allow } else { Decision::Deny };
                let expect = Expectation::of(decision);
                let name = entity.clone();
                let one = Case { name, entity: Some(entity), expect, ..case.clone() };
                asked.push(self.asked(&one, place)?);
            }
        }
        let list = Some((question, case.expect.clone()));
        Some(TestCase { list, ..self.test(case.name.clone(), place, asked, true) })
    }

    pub(crate) fn table(&mut self, table: &Spanned<Table>) -> Vec<TestCase> {
        let place: Position = table.referenced.into();
        match table::cases(&table.value) {
            Ok(cells) => {
                let first = self.first_line(&table.value, place);
                let place_of = |line: usize| match first {
                    Some(first) => Position { line: first + line as u64, column: 1 },
                    None => place,
                };
                let tests =
                    cells.iter().filter_map(|cell| self.one(&cell.case, place_of(cell.line)));
                tests.collect()
            }
            Err(message) => {
                self.problem(&table.value.name, message, place);
                Vec::new()
            }
        }
    }

    /// Returns the line of the file that a grid's first line stands in; nothing where the grid is
    /// not written in lines.
    fn first_line(&self, table: &Table, place: Position) -> Option<u64> {
        let mut grid = table.grid.lines().map(str::trim).enumerate();
        let (before, first) = grid.find(|(_, line)| !line.is_empty())?;
        let after = usize::try_from(place.line).ok()?.saturating_sub(1);
        let at = self.text.lines().skip(after).position(|line| line.trim() == first)?;
        u64::try_from((after + at + 1).checked_sub(before)?).ok()
    }

    pub(crate) fn invariant(&mut self, about: &Spanned<Invariant>) -> Option<TestCase> {
        let place = about.referenced.into();
        match invariant::cases(&about.value, self.world) {
            Ok(cases) => {
                let asked = cases.iter().filter_map(|case| self.asked(case, place)).collect();
                Some(self.test(about.value.name.clone(), place, asked, true))
            }
            Err(message) => {
                self.problem(&about.value.name, message, place);
                None
            }
        }
    }

    pub(crate) fn bound(&mut self, given: &Spanned<BoundFixture>) -> Option<TestCase> {
        let place = given.referenced.into();
        let name = given.value.name.clone();
        match bound::bound(&given.value) {
            Ok(bound) => {
                let test = self.test(name, place, Vec::new(), true);
                Some(TestCase { bound: Some(bound), ..test })
            }
            Err(message) => {
                self.problem(&name, message, place);
                None
            }
        }
    }

    fn asked(&mut self, case: &Case, place: Position) -> Option<ResolvedCase> {
        let asked = platform(case).and_then(|of| Ok((of, question(case, self.world)?)));
        match asked {
            Ok((platform, question)) => {
                let unknown = self.names.unknown(case, platform, &question);
                if self.tell(&case.name, unknown, place) {
                    return None;
                }
                Some(ResolvedCase {
                    name: case.name.clone(),
                    question,
                    expect: case.expect.clone(),
                })
            }
            Err(message) => {
                self.problem(&case.name, message, place);
                None
            }
        }
    }

    /// Tells of what is wrong with names, each once at a place; returns whether there is any.
    fn tell(&mut self, name: &str, unknown: Vec<String>, place: Position) -> bool {
        let is_any = !unknown.is_empty();
        for message in unknown {
            if self.told.insert((place, message.clone())) {
                self.problem(name, message, place);
            }
        }
        is_any
    }

    fn problem(&mut self, name: &str, message: impl std::fmt::Display, place: Position) {
        self.error.add(Problem::new(self.path, format!("`{name}`: {message}")).at(place));
    }

    fn test(
        &self,
        name: String,
        place: Position,
        asked: Vec<ResolvedCase>,
        is_matrix: bool,
    ) -> TestCase {
        TestCase {
            suite: self.suite.clone(),
            name,
            place,
            asked,
            list: None,
            is_matrix,
            bound: None,
        }
    }
}
