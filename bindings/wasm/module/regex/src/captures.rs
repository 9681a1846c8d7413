//! Where a match is, and those of its groups: Pike's machine.

use super::program::{Program, Step, has};

/// Places in a text that were remembered.
pub(super) type Marks = Vec<Option<usize>>;

/// What the machine does at a time: steps, the preferred first, with what was remembered on the way.
#[derive(Default)]
struct Threads {
    list: Vec<(usize, Marks)>,
    met: Vec<bool>,
}

/// Returns the marks of the first match at `start` or after it, of the one expression that there is.
pub(super) fn first_match(program: &Program, text: &str, start: usize) -> Option<Marks> {
    let mut found: Option<Marks> = None;
    let mut now = Threads::default();
    let mut place = start;
    let mut left = text.get(start..)?.chars();
    loop {
        let here = Here { program, place, end: text.len() };
        if found.is_none() {
            for begins in &program.starts {
                now.add(&here, *begins, vec![None; program.marks]);
            }
        }
        let character = left.next();
        let mut next = Threads::default();
        let there = Here { place: place + character.map_or(0, char::len_utf8), ..here };
        for (step, marks) in std::mem::take(&mut now.list) {
            match program.steps.get(step) {
                Some(Step::Match(_)) => {
                    found = Some(marks);
                    // The others are less preferred.
                    break;
                }
                Some(Step::Chars(ranges)) if character.is_some_and(|c| has(ranges, c)) => {
                    next.add(&there, step + 1, marks);
                }
                _ => {}
            }
        }
        if character.is_none() || (found.is_some() && next.list.is_empty()) {
            return found;
        }
        (now, place) = (next, there.place);
    }
}

#[derive(Clone, Copy)]
struct Here<'p> {
    program: &'p Program,
    place: usize,
    end: usize,
}

impl Threads {
    /// Adds a step and what it leads to. As deep as the expression is.
    fn add(&mut self, here: &Here<'_>, step: usize, mut marks: Marks) {
        if self.met.len() < here.program.steps.len() {
            self.met.resize(here.program.steps.len(), false);
        }
        match self.met.get_mut(step) {
            Some(met) if !*met => *met = true,
            _ => return,
        }
        match here.program.steps.get(step) {
            Some(Step::Fork(one, other)) => {
                self.add(here, *one, marks.clone());
                self.add(here, *other, marks);
            }
            Some(Step::Jump(to)) => self.add(here, *to, marks),
            Some(Step::Mark(number)) => {
                if let Some(mark) = marks.get_mut(*number) {
                    *mark = Some(here.place);
                }
                self.add(here, step + 1, marks);
            }
            Some(Step::Start) if here.place == 0 => self.add(here, step + 1, marks),
            Some(Step::End) if here.place == here.end => self.add(here, step + 1, marks),
            Some(Step::Chars(_) | Step::Match(_)) => self.list.push((step, marks)),
            Some(Step::Start | Step::End) | None => {}
        }
    }
}
