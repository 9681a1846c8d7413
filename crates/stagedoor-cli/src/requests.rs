//! Requests as JSON Lines: one object a line.

use std::io::{self, BufRead as _, BufReader, Read};

use stagedoor_wire::{RequestInput, Verdict, WireError};

use crate::failure::Failure;
use crate::input::unreadable;

/// Size of one request, in bytes.
pub(crate) const REQUEST_BYTES: usize = 8 << 20;

/// A line longer than this is none of a file of requests: reading ends.
const LINE_BYTES: usize = 64 << 20;

/// A request, and what was decided where the line says it.
pub(crate) type RecordedRequest = (RequestInput, Option<Verdict>);

/// Reads one request after another, so that a file may be longer than the memory.
pub(crate) struct Requests {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    line: usize,
    buffer: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(name: String, reader: BufReader<Box<dyn Read>>) -> Self {
        Self { name, reader, line: 0, buffer: Vec::new() }
    }

    /// Returns the next request, or what is wrong with its line; `None` at the end.
    /// Empty lines are passed over.
    ///
    /// The failure is that of reading: what follows is not known then.
    pub(crate) fn next(&mut self) -> Result<Option<Result<RecordedRequest, WireError>>, Failure> {
        loop {
            let whole = self.next_line().map_err(|e| unreadable(&self.name, &e))?;
            let refused = |message: String| Err(WireError::new("request::refused", message));
            let request = match (whole, std::str::from_utf8(&self.buffer)) {
                (None, _) => return Ok(None),
                (Some(false), _) => {
                    refused(format!("the line is longer than {REQUEST_BYTES} bytes"))
                }
                (Some(true), Ok(text)) if text.trim().is_empty() => continue,
                (Some(true), Ok(text)) => RequestInput::from_recorded(text),
                (Some(true), Err(_)) => refused("not UTF-8".to_owned()),
            };
            return Ok(Some(request.map_err(|error| error.within(self.place()))));
        }
    }

    /// Returns whether nothing more is at hand: reading on may have to wait.
    pub(crate) fn is_idle(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    /// Returns file and number of the line that was read last.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.name, self.line)
    }

    /// Reads a line; returns whether it was kept as a whole, or `None` at the end.
    fn next_line(&mut self) -> io::Result<Option<bool>> {
        self.buffer.clear();
        let mut whole = true;
        let mut length: Option<usize> = None;
        loop {
            let read = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read.is_empty() {
                break;
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = end.and_then(|end| read.get(..end)).unwrap_or(read);
            let so_far = length.unwrap_or_default() + part.len();
            length = Some(so_far);
            whole = so_far <= REQUEST_BYTES;
            if whole {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
            if so_far > LINE_BYTES {
                let reason = format!("line {} is longer than {LINE_BYTES} bytes", self.line + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        self.line += usize::from(length.is_some());
        Ok(length.map(|_| whole))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use stagedoor_wire::Uid;

    use super::*;

    fn read(text: Vec<u8>) -> Result<Vec<Result<String, String>>, Failure> {
        let reader = BufReader::with_capacity(16, Box::new(Cursor::new(text)) as Box<dyn Read>);
        let mut requests = Requests::new("r.jsonl".to_owned(), reader);
        let mut all = Vec::new();
        while let Some(request) = requests.next()? {
            all.push(request.map_err(|e| e.error).map(|(request, _)| match request.principal {
                Uid::Text(text) => text,
                Uid::Parts(parts) => parts.id,
            }));
        }
        Ok(all)
    }

    #[test]
    fn a_bad_line_does_not_hide_the_next() -> Result<(), Failure> {
        let good = br#"{"principal":"U::\"a\"","action":"Action::\"x\"","resource":"R::\"1\""}"#;
        let mut text = good.to_vec();
        text.extend_from_slice(b"\n\n{]\n\xff\n");
        text.resize(text.len() + REQUEST_BYTES + 1, b' ');
        text.push(b'\n');
        text.extend_from_slice(good);
        let all = read(text)?;
        let seen: Vec<_> = all
            .iter()
            .map(|r| r.as_deref().map_err(|e| e.split(": ").next().unwrap_or_default()))
            .collect();
        let (a, lines) = (r#"U::"a""#, ["r.jsonl:3", "r.jsonl:4", "r.jsonl:5"]);
        let expected = [Ok(a), Err(lines[0]), Err(lines[1]), Err(lines[2]), Ok(a)];
        assert_eq!(seen, expected);
        Ok(())
    }
}
