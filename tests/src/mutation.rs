//! Mutates seed inputs, the same way each time.

/// Pieces that parsers stumble over.
const TOKENS: [&str; 56] = [
    "permit(principal, action, resource);",
    "forbid(principal,action,resource);",
    "when { ",
    "unless { ",
    " }",
    "@id(\"a\")",
    "@a ",
    "permit",
    "?principal",
    "User::\"u0\"",
    " && ",
    " || ",
    " == ",
    " in ",
    " has ",
    " like \"*\"",
    ".a",
    "if true then ",
    " else ",
    "ip(\"1.1.1.1\")",
    ";",
    "//",
    "\r",
    "\n",
    "\r\n",
    "\"",
    "\\",
    "\\\"",
    "\\u{0}",
    "'",
    "/*",
    "*/",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "\u{a0}",
    "\u{feff}",
    "\u{2028}",
    "\u{202e}",
    "\0",
    "---\n",
    "- ",
    ": ",
    "&a ",
    "*a",
    "!!str ",
    "<<: *a",
    "null",
    "1e400",
    "9223372036854775808",
    "\"__entity\": ",
    "\"__extn\": ",
    "{\"type\": \"User\", \"id\": \"u0\"}",
];

/// A source of mutated inputs.
#[derive(Debug)]
pub struct Mutator {
    random: fastrand::Rng,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// Returns a source over `seeds`; an equal `seed` gives equal inputs.
    #[must_use]
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), seeds }
    }

    /// Returns the next input.
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.some_seed();
        for _ in 0..=self.below(6) {
            self.mutate(&mut input);
        }
        input.truncate(1 << 16);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let from = self.below(input.len() + 1);
        let to = (from + self.below(24)).min(input.len());
        match self.below(9) {
            0 => drop(input.drain(from..to)),
            1 => {
                let token = TOKENS.get(self.below(TOKENS.len())).copied().unwrap_or_default();
                drop(input.splice(from..from, token.bytes()));
            }
            2 => {
                let token = TOKENS.get(self.below(TOKENS.len())).copied().unwrap_or_default();
                drop(input.splice(from..to, token.bytes()));
            }
            3 => {
                if let Some(byte) = input.get_mut(from) {
                    *byte ^= 1 << self.below(8);
                }
            }
            4 => {
                let piece: Vec<u8> = input.get(from..to).unwrap_or_default().to_vec();
                let piece = piece.repeat(self.below(40));
                drop(input.splice(from..from, piece));
            }
            5 => {
                let other = self.some_seed();
                let start = self.below(other.len() + 1);
                let end = (start + self.below(80)).min(other.len());
                let piece = other.get(start..end).unwrap_or_default().to_vec();
                drop(input.splice(from..to, piece));
            }
            6 => {
                let at = self.below(input.len() + 1);
                input.truncate(at.max(input.len() / 2));
            }
            7 => {
                let byte = u8::try_from(self.below(256)).unwrap_or_default();
                input.insert(from, byte);
            }
            _ => {
                let piece: Vec<u8> = input.drain(from..to).collect();
                let at = self.below(input.len() + 1);
                drop(input.splice(at..at, piece));
            }
        }
    }

    fn some_seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds.get(at).cloned().unwrap_or_default()
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.usize(..bound.max(1))
    }
}
