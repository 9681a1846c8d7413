//! Reading the body of a request within bounds of size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::connection_limit::Permit;
use crate::refusal::Refusal;

/// What every body may hold without asking the budget, in bytes: more than nearly all reviews.
pub(crate) const FREE: usize = 16 << 10;
/// How much of a body is taken off the connection once it is refused, in bytes: a client that is
/// still writing when the connection ends may never read why.
const DISCARDED: u64 = 8 << 20;
/// The unit of the budget, in bytes.
const UNIT: usize = 1 << 10;

/// Bounds on bodies.
pub(crate) struct BodyLimits {
    pub(crate) time: Duration,
    budget: Arc<Semaphore>,
}

impl BodyLimits {
    /// Returns bounds with `in_flight` bytes for all bodies together.
    pub(crate) fn new(time: Duration, in_flight: usize) -> Self {
        let permits = (in_flight / UNIT).min(Semaphore::MAX_PERMITS);
        Self { time, budget: Arc::new(Semaphore::new(permits)) }
    }

    /// Reads a body of at most `most` bytes as UTF-8, while the request gives way to others.
    pub(crate) async fn read(
        &self,
        mut body: Body,
        most: usize,
        permit: &Permit,
    ) -> Result<Text, Refusal> {
        let deadline = Instant::now() + self.time;
        let refusal = tokio::select! {
            biased;
            read = self.read_all(&mut body, most) => match read {
                Ok(text) => return Ok(text),
                Err(refusal) => refusal,
            },
            () = tokio::time::sleep_until(deadline) => return Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not arrive within {:?}", self.time),
            )),
            () = permit.evicted() => return Err(Refusal::unavailable(
                "too many requests at a time, and the body of this one was not there yet",
            )),
        };
        tokio::select! {
            biased;
            () = discard(&mut body) => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = permit.evicted() => {}
        }
        Err(refusal)
    }

    async fn read_all(&self, body: &mut Body, most: usize) -> Result<Text, Refusal> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > most {
            return Err(Refusal::too_large(most));
        }
        let mut bytes = Vec::with_capacity(announced.min(FREE));
        let mut permits: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|e| Refusal::bad_request(format!("the body cannot be read: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(Refusal::too_large(most));
            }
            self.claim(bytes.len() + data.len(), &mut permits)?;
            bytes.extend_from_slice(&data);
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Refusal::bad_request(format!("the body is not UTF-8 after byte {at}"))
        })?;
        Ok(Text { text, _permits: permits })
    }

    /// Claims a body's part of the budget.
    fn claim(
        &self,
        size: usize,
        permits: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(), Refusal> {
        let held = permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = size.saturating_sub(FREE).div_ceil(UNIT).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let refusal = || Refusal::unavailable("too many large bodies at a time");
        let more = u32::try_from(more).map_err(|_| refusal())?;
        let claimed =
            Arc::clone(&self.budget).try_acquire_many_owned(more).map_err(|_| refusal())?;
        match permits {
            Some(permits) => permits.merge(claimed),
            None => *permits = Some(claimed),
        }
        Ok(())
    }
}

/// Takes a body off its connection, unless it is far too large.
async fn discard(body: &mut Body) {
    let mut left = DISCARDED;
    while body.size_hint().lower() <= left
        && let Some(Ok(frame)) = body.frame().await
    {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(1, |d| d.len() as u64)) else {
            return;
        };
        left = rest;
    }
}

/// The body of a request, with its part of the budget.
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    _permits: Option<OwnedSemaphorePermit>,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the text alone, and gives back its part of the budget.
    pub(crate) fn into_string(self) -> String {
        self.text
    }
}
