//! Requests as JSON Lines: one object a line.

use std::io::{self, BufRead as _, BufReader, Read};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stagedoor_core::{Decision, Entities, Request, Schema};

use crate::failure::Failure;
use crate::input::unreadable;

/// Size of one request, in bytes.
pub(crate) const REQUEST_BYTES: usize = 8 << 20;

/// What some editors put before a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A line longer than this is none of a file of requests: reading ends.
const LINE_BYTES: usize = 64 << 20;

/// One line of a file of requests.
#[derive(Debug)]
pub(crate) struct RequestLine {
    pub(crate) request: Request,
    /// The entities that stand in the line, with those that all lines share; without, only these.
    pub(crate) entities: Option<Entities>,
    /// What was decided, where the line is the record of a decision.
    pub(crate) decision: Option<Decision>,
}

/// The fields of a line as they are written, so that a key given twice stays an error.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LineJson<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    principal: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    action: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    resource: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    entities: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    decision: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    description: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    validate_request: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    errors: Option<&'a RawValue>,
}

impl RequestLine {
    /// Reads a line: the request, with `entities` and `decision` beside it if it has them.
    pub(crate) fn read(
        json: &str,
        shared: &Entities,
        schema: Option<&Schema>,
    ) -> Result<Self, String> {
        let request = |json: &str| Request::from_json_str(json, schema).map_err(|e| e.to_string());
        // Nearly all lines are requests alone.
        if !json.contains("entities") && !json.contains("decision") && !json.contains("\\u") {
            return Ok(Self { request: request(json)?, entities: None, decision: None });
        }
        let mut line: LineJson<'_> = serde_json::from_str(json).map_err(|e| e.to_string())?;
        let decision = line.decision.and_then(|decision| match decision.get() {
            "\"allow\"" | "\"Allow\"" | "\"ALLOW\"" => Some(Decision::Allow),
            "\"deny\"" | "\"Deny\"" | "\"DENY\"" => Some(Decision::Deny),
            _ => None,
        });
        let own = line.entities.take();
        let request = request(&serde_json::to_string(&line).map_err(|e| e.to_string())?)?;
        let with = |own: &RawValue| -> Result<Entities, String> {
            let own = Entities::from_json_str(own.get(), schema).map_err(|e| e.to_string())?;
            // Cedar adds the schema's actions, which the shared entities have, too.
            let new = own.iter().filter(|entity| shared.get(&entity.uid).is_none()).cloned();
            shared.with(new).map_err(|e| e.to_string())
        };
        Ok(Self { request, entities: own.map(with).transpose()?, decision })
    }
}

/// Reads one request after another, so that a file may be longer than the memory.
pub(crate) struct Requests<'s> {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    schema: Option<&'s Schema>,
    shared: &'s Entities,
    line: usize,
    buffer: Vec<u8>,
}

impl<'s> Requests<'s> {
    pub(crate) fn new(
        name: String,
        reader: BufReader<Box<dyn Read>>,
        schema: Option<&'s Schema>,
        shared: &'s Entities,
    ) -> Self {
        Self { name, reader, schema, shared, line: 0, buffer: Vec::new() }
    }

    /// Returns the next request, or what is wrong with its line; `None` at the end.
    /// Empty lines are passed over.
    ///
    /// The failure is that of reading: what follows is not known then.
    pub(crate) fn next(&mut self) -> Result<Option<Result<RequestLine, String>>, Failure> {
        loop {
            let whole = self.next_line().map_err(|e| unreadable(&self.name, &e))?;
            let place = format!("{}:{}", self.name, self.line);
            match whole {
                None => return Ok(None),
                Some(false) => {
                    let reason = format!("{place}: the line is longer than {REQUEST_BYTES} bytes");
                    return Ok(Some(Err(reason)));
                }
                Some(true) => {}
            }
            if self.line == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.drain(..BYTE_ORDER_MARK.len());
            }
            let request = match std::str::from_utf8(&self.buffer) {
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => RequestLine::read(text, self.shared, self.schema),
                Err(_) => Err("not UTF-8".to_owned()),
            };
            return Ok(Some(request.map_err(|reason| format!("{place}: {reason}"))));
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

    use super::*;

    fn read(text: Vec<u8>) -> Result<Vec<Result<String, String>>, Failure> {
        let reader = BufReader::with_capacity(16, Box::new(Cursor::new(text)) as Box<dyn Read>);
        let shared = Entities::empty();
        let mut requests = Requests::new("r.jsonl".to_owned(), reader, None, &shared);
        let mut all = Vec::new();
        while let Some(request) = requests.next()? {
            all.push(request.map(|r| r.request.principal.id().unescaped().to_owned()));
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
        let expected = [Ok("a"), Err("r.jsonl:3"), Err("r.jsonl:4"), Err("r.jsonl:5"), Ok("a")];
        assert_eq!(seen, expected);
        Ok(())
    }
}
