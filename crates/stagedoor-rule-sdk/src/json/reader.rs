//! The grammar of JSON, over text that is in memory.
//!
//! What is always inlined does less than a call of it would: a fifth of a rule's fuel.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::error::Error;

/// Beyond this, brackets in brackets would fill a rule's small stack.
const MAX_DEPTH: u8 = 128;

/// Where in a text one reads.
pub(super) struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
}

/// What stands between brackets.
pub(super) struct Items<'r, 'de> {
    pub(super) reader: &'r mut Reader<'de>,
    close: u8,
    begun: bool,
}

pub(super) enum Number<'de> {
    Natural(u64),
    Negative(i64),
    /// With a fraction or an exponent, or too large for an integer.
    Other(&'de str),
}

impl<'de> Reader<'de> {
    pub(super) const fn new(text: &'de str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Counts from 1.
    pub(super) const fn position(&self) -> usize {
        self.at + 1
    }

    /// Nothing but white space may be left.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err("the value has ended".into()),
        }
    }

    #[inline(always)]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn since(&self, start: usize) -> &'de str {
        // Both are at ASCII characters.
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Goes over white space to the next byte.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(..=b' ') => self.after_space(),
            byte => byte,
        }
    }

    /// The host writes none.
    #[cold]
    fn after_space(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.byte()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.byte() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Reads `true`, `false` or `null`, if it is next.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_next = rest.starts_with(word.as_bytes());
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// Reads a string whose opening quote is next.
    pub(super) fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        let plain = self.since(start);
        if self.take(b'"') { Ok(Cow::Borrowed(plain)) } else { self.escaped(plain).map(Cow::Owned) }
    }

    /// Reads on from the first escape.
    #[cold]
    fn escaped(&mut self, plain: &str) -> Result<String, Error> {
        let mut text = String::from(plain);
        while !self.take(b'"') {
            text.push(self.escape()?);
            let start = self.at;
            self.skip_plain();
            text.push_str(self.since(start));
        }
        Ok(text)
    }

    fn skip_string(&mut self) -> Result<(), Error> {
        self.at += 1;
        self.skip_plain();
        while !self.take(b'"') {
            self.escape()?;
            self.skip_plain();
        }
        Ok(())
    }

    /// Goes to the next quote, backslash or control character.
    fn skip_plain(&mut self) {
        let (words, _) = self.text.as_bytes().get(self.at..).unwrap_or_default().as_chunks();
        for word in words {
            let ends = ends(u64::from_le_bytes(*word));
            if ends != 0 {
                self.at += (ends.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += word.len();
        }
        while self.byte().is_some_and(|b| b >= b' ' && b != b'"' && b != b'\\') {
            self.at += 1;
        }
    }

    #[cold]
    fn escape(&mut self) -> Result<char, Error> {
        if !self.take(b'\\') {
            let ended = self.byte().is_none();
            return Err(
                if ended { "the string has no end" } else { "a string has no such byte" }.into()
            );
        }
        let escape = self.byte();
        self.at += 1;
        Ok(match escape {
            Some(b @ (b'"' | b'\\' | b'/')) => char::from(b),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err("there is no such escape".into()),
        })
    }

    fn unicode(&mut self) -> Result<char, Error> {
        let mut code = self.hex()?;
        if (0xD800..0xDC00).contains(&code) && self.word("\\u") {
            let low = self.hex()?.checked_sub(0xDC00).filter(|low| *low < 0x400);
            code = 0x1_0000 + ((code - 0xD800) << 10) + low.ok_or("half a character")?;
        }
        char::from_u32(code).ok_or_else(|| "half a character".into())
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|b| char::from(b).to_digit(16));
            code = code << 4 | digit.ok_or("`\\u` takes four digits")?;
            self.at += 1;
        }
        Ok(code)
    }

    /// Reads a number, whose first character is next.
    pub(super) fn number(&mut self) -> Result<Number<'de>, Error> {
        let start = self.at;
        let is_negative = self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.take(b'.') {
            is_integer = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_integer = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let text = self.since(start);
        let integer = match is_integer {
            true if is_negative => text.parse().ok().map(Number::Negative),
            true => text.parse().ok().map(Number::Natural),
            false => None,
        };
        Ok(integer.unwrap_or(Number::Other(text)))
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if start == self.at { Err("a digit is missing".into()) } else { Ok(()) }
    }

    /// Reads what stands between brackets, of which the opening one is next.
    pub(super) fn within<T>(
        &mut self,
        close: u8,
        read: impl FnOnce(&mut Items<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            return Err("brackets are nested too deep".into());
        }
        self.at += 1;
        self.depth += 1;
        let mut items = Items { reader: self, close, begun: false };
        let value = read(&mut items)?;
        if items.is_next()? {
            return Err("the list has ended".into());
        }
        self.at += 1;
        self.depth -= 1;
        Ok(value)
    }

    /// Goes over a value.
    pub(super) fn skip(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'[') => self.within(b']', |items| {
                while items.is_next()? {
                    items.reader.skip()?;
                }
                Ok(())
            }),
            Some(b'{') => self.within(b'}', |fields| {
                while fields.is_next()? {
                    fields.name_is_next()?;
                    fields.reader.skip_string()?;
                    fields.value_is_next()?;
                    fields.reader.skip()?;
                }
                Ok(())
            }),
            _ if self.word("null") || self.word("true") || self.word("false") => Ok(()),
            _ => Err("a value is missing".into()),
        }
    }
}

impl Items<'_, '_> {
    /// Goes over a comma; returns false at the closing bracket.
    #[inline(always)]
    pub(super) fn is_next(&mut self) -> Result<bool, Error> {
        let next = self.reader.peek();
        if next == Some(self.close) {
            return Ok(false);
        }
        if self.begun {
            if next != Some(b',') {
                return Err("a comma or a closing bracket is missing".into());
            }
            self.reader.at += 1;
        }
        self.begun = true;
        Ok(true)
    }

    /// A field's name follows.
    #[inline(always)]
    pub(super) fn name_is_next(&mut self) -> Result<(), Error> {
        if self.reader.peek() == Some(b'"') {
            return Ok(());
        }
        Err("a name in quotes is missing".into())
    }

    /// Goes over a colon.
    #[inline(always)]
    pub(super) fn value_is_next(&mut self) -> Result<(), Error> {
        if self.reader.peek() == Some(b':') {
            self.reader.at += 1;
            return Ok(());
        }
        Err("a colon is missing".into())
    }
}

/// Marks bytes that end plain text, with the high bit. The first mark is right.
const fn ends(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xFF;
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let control = word.wrapping_sub(EACH * b' ' as u64) & !word;
    let quote = quote.wrapping_sub(EACH) & !quote;
    let backslash = backslash.wrapping_sub(EACH) & !backslash;
    (control | quote | backslash) & (EACH << 7)
}
