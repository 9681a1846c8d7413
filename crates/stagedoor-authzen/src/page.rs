//! Pages of lists, and the tokens by which they go on.
//!
//! Lists are sorted by id, and a token says after which id its page begins. So tokens survive
//! reloads and restarts: a page is of what is stored and in force when it is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::json::{Json, Object, member};
use crate::query::{BadRequest, optional_object};

/// What of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Whether the request has a `page`: then the answer has one too.
    pub(crate) is_asked: bool,
    /// The most results.
    pub(crate) limit: Option<usize>,
    /// The last result of the page before.
    pub(crate) after: Option<String>,
    query: String,
}

/// What a token says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    /// Hash of what was asked for.
    query: String,
    limit: Option<usize>,
    after: Option<String>,
}

impl Page {
    /// Reads the page of a request. `query` is everything that must be as before.
    pub(crate) fn of(object: &Object, query: &[&Json]) -> Result<Self, BadRequest> {
        let query = hash(query);
        let Some(page) = optional_object("page", member(object, "page"))? else {
            return Ok(Self { is_asked: false, limit: None, after: None, query });
        };
        let limit = match member(page, "limit") {
            None => None,
            Some(Json::Integer(limit)) if *limit >= 0 => {
                Some(usize::try_from(*limit).unwrap_or(usize::MAX))
            }
            Some(_) => return Err(BadRequest::new("`page.limit` is not an integer of 0 or more")),
        };
        let token = match member(page, "token") {
            None => None,
            Some(Json::String(token)) if token.is_empty() => None,
            Some(Json::String(token)) => Some(read(token)?),
            Some(_) => return Err(BadRequest::new("`page.token` is not a string")),
        };
        let Some(token) = token else {
            return Ok(Self { is_asked: true, limit, after: None, query });
        };
        if token.query != query {
            return Err(BadRequest::new("`page.token` is of another request"));
        }
        if limit.is_some() && limit != token.limit {
            return Err(BadRequest::new(
                "`page.limit` is not the one that `page.token` was given for",
            ));
        }
        Ok(Self { is_asked: true, limit: token.limit, after: token.after, query })
    }

    /// Returns the token of the page after this one, whose last result is `last`.
    pub(crate) fn next(&self, last: Option<String>) -> String {
        // A limit of 0 would come to no end.
        let limit = self.limit.filter(|limit| *limit > 0);
        let after = last.or_else(|| self.after.clone());
        let token = Token { query: self.query.clone(), limit, after };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }
}

fn read(token: &str) -> Result<Token, BadRequest> {
    let wrong = || BadRequest::new("`page.token` is none that was given here");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    serde_json::from_slice(&bytes).map_err(|_| wrong())
}

fn hash(query: &[&Json]) -> String {
    let text = serde_json::to_vec(query).unwrap_or_default();
    let hash = Sha256::digest(&text);
    URL_SAFE_NO_PAD.encode(hash.get(..12).unwrap_or_default())
}
