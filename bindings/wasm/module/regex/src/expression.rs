//! Expressions as trees: the syntax that Cedar's have, and no other.

use super::Error;
use super::digits::DIGITS;

/// Part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    /// One character of these ranges.
    Chars(Vec<(char, char)>),
    /// The beginning of the text.
    Start,
    /// Its end.
    End,
    Sequence(Vec<Self>),
    Alternatives(Vec<Self>),
    /// So many times, as often as possible.
    Repeat(Box<Self>, u32, Option<u32>),
    /// A group, with its number.
    Group(usize, Box<Self>),
}

/// No expression repeats a part more often by a number.
const MOST_TIMES: u32 = 64;

struct Parser<'e> {
    left: std::iter::Peekable<std::str::Chars<'e>>,
    groups: usize,
}

/// Reads an expression. Returns how many groups it has beside itself.
pub(super) fn parse(expression: &str) -> Result<(Node, usize), Error> {
    let mut parser = Parser { left: expression.chars().peekable(), groups: 0 };
    let node = parser.alternatives()?;
    match parser.left.next() {
        None => Ok((node, parser.groups)),
        Some(_) => Err(Error::of("a group ends that has not begun")),
    }
}

impl Parser<'_> {
    fn takes(&mut self, expected: char) -> bool {
        self.left.next_if_eq(&expected).is_some()
    }

    fn alternatives(&mut self) -> Result<Node, Error> {
        let mut alternatives = vec![self.sequence()?];
        while self.takes('|') {
            alternatives.push(self.sequence()?);
        }
        Ok(Node::Alternatives(alternatives))
    }

    fn sequence(&mut self) -> Result<Node, Error> {
        let mut sequence = Vec::new();
        while let Some(next) = self.left.next_if(|next| !matches!(next, '|' | ')')) {
            let node = self.node(next)?;
            let repeated = self.repeated(node)?;
            sequence.push(repeated);
        }
        Ok(Node::Sequence(sequence))
    }

    fn node(&mut self, first: char) -> Result<Node, Error> {
        Ok(match first {
            '^' => Node::Start,
            '$' => Node::End,
            '.' => Node::Chars(others(vec![('\n', '\n')])),
            '[' => Node::Chars(self.class()?),
            '\\' => Node::Chars(self.escaped()?),
            '(' => self.group()?,
            '*' | '+' | '?' | '{' | '}' | ']' => return Err(Error::of("nothing is repeated")),
            literal => Node::Chars(vec![(literal, literal)]),
        })
    }

    fn group(&mut self) -> Result<Node, Error> {
        let number = if self.takes('?') {
            if !self.takes(':') {
                return Err(Error::of("a group of an unknown kind"));
            }
            None
        } else {
            self.groups += 1;
            Some(self.groups)
        };
        let inner = self.alternatives()?;
        if !self.takes(')') {
            return Err(Error::of("a group does not end"));
        }
        Ok(match number {
            Some(number) => Node::Group(number, Box::new(inner)),
            None => inner,
        })
    }

    fn repeated(&mut self, node: Node) -> Result<Node, Error> {
        let (least, most) = match self.left.next_if(|next| matches!(next, '*' | '+' | '?' | '{')) {
            None => return Ok(node),
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some(_) => self.times()?,
        };
        if self.left.peek().is_some_and(|next| matches!(next, '*' | '+' | '?' | '{')) {
            return Err(Error::of("what is repeated is repeated in another way"));
        }
        Ok(Node::Repeat(Box::new(node), least, most))
    }

    fn times(&mut self) -> Result<(u32, Option<u32>), Error> {
        let least = self.number()?.ok_or_else(|| Error::of("how often is not told"))?;
        let most = if self.takes(',') { self.number()? } else { Some(least) };
        if !self.takes('}') || most.is_some_and(|most| most < least) {
            return Err(Error::of("how often is not told"));
        }
        Ok((least, most))
    }

    fn number(&mut self) -> Result<Option<u32>, Error> {
        let mut number = None;
        while let Some(digit) = self.left.peek().and_then(|next| next.to_digit(10)) {
            self.left.next();
            let grown = number.unwrap_or(0) * 10 + digit;
            if grown > MOST_TIMES {
                return Err(Error::of("a part is repeated too often"));
            }
            number = Some(grown);
        }
        Ok(number)
    }

    fn class(&mut self) -> Result<Vec<(char, char)>, Error> {
        let negated = self.takes('^');
        let mut ranges = Vec::new();
        loop {
            let first = match self.left.next() {
                None => return Err(Error::of("a class does not end")),
                Some(']') => break,
                Some('[') => return Err(Error::of("a class in a class")),
                Some('\\') => match self.escaped()?.as_slice() {
                    [(one, _)] => *one,
                    many => {
                        ranges.extend_from_slice(many);
                        continue;
                    }
                },
                Some(literal) => literal,
            };
            let last = if self.takes('-') {
                match self.left.next() {
                    Some('\\') => match self.escaped()?.as_slice() {
                        [(one, _)] => *one,
                        _ => return Err(Error::of("a range that ends with a class")),
                    },
                    Some(last) if last != ']' => last,
                    _ => return Err(Error::of("a range does not end")),
                }
            } else {
                first
            };
            if last < first {
                return Err(Error::of("a range ends before it begins"));
            }
            ranges.push((first, last));
        }
        Ok(if negated { others(ranges) } else { ranges })
    }

    fn escaped(&mut self) -> Result<Vec<(char, char)>, Error> {
        let one = match self.left.next() {
            Some('d') => return Ok(DIGITS.to_vec()),
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(literal) if literal.is_ascii_punctuation() || literal == ' ' => literal,
            _ => return Err(Error::of("an escape that is not known")),
        };
        Ok(vec![(one, one)])
    }
}

/// Returns all characters that are in none of these ranges.
fn others(mut ranges: Vec<(char, char)>) -> Vec<(char, char)> {
    ranges.sort_unstable();
    let mut others = Vec::new();
    let mut from = Some('\0');
    for (first, last) in ranges {
        let Some(begun) = from else { break };
        if begun < first
            && let Some(before) = ('\0'..first).next_back()
        {
            others.push((begun, before));
        }
        if last >= begun {
            from = (last..=char::MAX).nth(1);
        }
    }
    others.extend(from.map(|from| (from, char::MAX)));
    others
}
