//! Expressions as programs: Thompson's automata.

use super::Error;
use super::expression::{Node, parse};

/// So many steps are enough for all that Cedar has.
const MOST_STEPS: usize = 1 << 14;

/// One step of a program. Where it goes on is the number of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// Takes a character of these ranges, and goes on with the next step.
    Chars(Vec<(char, char)>),
    /// Goes on at both places; the first is preferred.
    Fork(usize, usize),
    /// Goes on there.
    Jump(usize),
    /// Remembers the place in the text, and goes on with the next step.
    Mark(usize),
    /// Goes on at the beginning of the text only.
    Start,
    /// Goes on at its end only.
    End,
    /// The expression of this number matches.
    Match(usize),
}

/// The programs of some expressions.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    /// Where each expression begins.
    pub(super) starts: Vec<usize>,
    /// How many places an expression remembers, at most.
    pub(super) marks: usize,
}

impl Program {
    pub(super) fn of<'e>(expressions: impl IntoIterator<Item = &'e str>) -> Result<Self, Error> {
        let mut program = Self::default();
        for (number, expression) in expressions.into_iter().enumerate() {
            let (node, groups) = parse(expression)?;
            program.marks = program.marks.max(2 * (groups + 1));
            program.starts.push(program.steps.len());
            program.add(&Node::Group(0, Box::new(node)))?;
            program.push(Step::Match(number))?;
        }
        Ok(program)
    }

    fn push(&mut self, step: Step) -> Result<usize, Error> {
        if self.steps.len() >= MOST_STEPS {
            return Err(Error::of("it is too long"));
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn set(&mut self, place: usize, step: Step) {
        if let Some(old) = self.steps.get_mut(place) {
            *old = step;
        }
    }

    fn add(&mut self, node: &Node) -> Result<(), Error> {
        match node {
            Node::Chars(ranges) => self.push(Step::Chars(ranges.clone())).map(drop),
            Node::Start => self.push(Step::Start).map(drop),
            Node::End => self.push(Step::End).map(drop),
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.add(node)),
            Node::Group(number, inner) => {
                self.push(Step::Mark(2 * number))?;
                self.add(inner)?;
                self.push(Step::Mark(2 * number + 1)).map(drop)
            }
            Node::Alternatives(nodes) => {
                let mut ends = Vec::new();
                let (last, before) = nodes.split_last().ok_or_else(|| Error::of("it is empty"))?;
                for node in before {
                    let fork = self.push(Step::Jump(0))?;
                    self.add(node)?;
                    ends.push(self.push(Step::Jump(0))?);
                    self.set(fork, Step::Fork(fork + 1, self.steps.len()));
                }
                self.add(last)?;
                let end = self.steps.len();
                ends.into_iter().for_each(|place| self.set(place, Step::Jump(end)));
                Ok(())
            }
            Node::Repeat(inner, least, most) => {
                (0..*least).try_for_each(|_| self.add(inner))?;
                let Some(most) = most else {
                    let fork = self.push(Step::Jump(0))?;
                    self.add(inner)?;
                    self.push(Step::Jump(fork))?;
                    self.set(fork, Step::Fork(fork + 1, self.steps.len()));
                    return Ok(());
                };
                let mut forks = Vec::new();
                for _ in *least..*most {
                    forks.push(self.push(Step::Jump(0))?);
                    self.add(inner)?;
                }
                let end = self.steps.len();
                forks.into_iter().for_each(|fork| self.set(fork, Step::Fork(fork + 1, end)));
                Ok(())
            }
        }
    }
}

/// Returns whether a character is in one of these ranges.
pub(super) fn has(ranges: &[(char, char)], character: char) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&character))
}
