//! What a server is asked, in the words of one protocol.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::Response;
use http::request::Parts;

use crate::memory::MemoryCost;
use crate::refusal::Refusal;
use crate::reload::Reloadable;

/// What is asked of a server and how it is answered: everything that Kubernetes' webhooks and
/// AuthZEN do not have in common.
pub trait Protocol: Send + Sync + 'static {
    /// Returns the paths at which decisions are asked for, by POST.
    fn endpoints(&self) -> Vec<Endpoint>;

    /// Returns the paths that are read, by GET.
    fn pages(&self) -> Vec<Page> {
        Vec::new()
    }

    /// Returns what is read from files and reloaded when they change. The server is ready when
    /// all of it was loaded once.
    fn sources(&self) -> Vec<Arc<dyn Reloadable>>;

    /// Looks at the head of a request for a decision, before its body is read. What it finds out
    /// about the caller it may leave in the extensions of the head.
    ///
    /// # Errors
    ///
    /// The refusal, of callers that may not ask say.
    fn admit(&self, endpoint: &'static str, head: &mut Parts) -> Result<(), Refusal>;

    /// Returns how much memory the parts of a body may cost now: by what is in force, or else by the
    /// endpoint.
    fn memory(&self, endpoint: &Endpoint) -> MemoryCost {
        endpoint.memory
    }

    /// Answers a question. Runs on a thread of its own and may block.
    ///
    /// # Errors
    ///
    /// The refusal, if there is no decision.
    fn answer(&self, question: &Question<'_>) -> Result<Answer, Refusal>;

    /// Returns a refusal as clients of this protocol read it.
    fn refuse(&self, refusal: &Refusal) -> Response<Body>;

    /// Returns the same protocol by other policies, from which nothing is enforced: what they
    /// would decide otherwise is counted and logged. All that it answers by is read from its own
    /// [`sources`](Self::sources), and a server does not wait for these. It must record nothing.
    fn shadow(&self) -> Option<Arc<dyn Protocol>> {
        None
    }

    /// Returns in few words what was asked by one of the decisions of a question, for the log of
    /// what shadow policies would decide otherwise. It has nothing of the contents of objects.
    fn asked(&self, question: &Question<'_>, decision: usize) -> String {
        format!("decision {decision} of request {}", question.request_id)
    }
}

/// A path at which decisions are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name in metrics and logs: `authorize`.
    pub name: &'static str,
    /// The path: `/authorize`. `{name}` in it stands for one part.
    pub path: String,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// How much memory the parts of a body may cost while it is decided.
    pub memory: MemoryCost,
    /// Whether a request may take long whatever the size of its body, so that it counts as large.
    pub is_heavy: bool,
    /// Whether shadow policies are asked the same, if there are any.
    pub is_compared: bool,
}

/// A path that is read.
#[derive(Clone)]
pub struct Page {
    /// The path.
    pub path: String,
    /// Returns what is there now.
    pub content: Arc<dyn Fn() -> Response<Body> + Send + Sync>,
}

/// A request for decisions that has been read.
#[derive(Debug)]
pub struct Question<'a> {
    /// The name of the endpoint.
    pub endpoint: &'static str,
    /// The head of the request.
    pub head: &'a Parts,
    /// The id of the request: the caller's, or one made up.
    pub request_id: &'a str,
    /// The body.
    pub body: &'a str,
    /// When it is time to come to an end, if the answer consists of parts: some time before the
    /// whole is refused for taking too long.
    pub part_deadline: Instant,
    /// Whether the answer is compared with another: its [`reasons`](Answer::reasons) are wanted.
    pub is_compared: bool,
}

/// The answer to a request for decisions.
#[derive(Debug)]
pub struct Answer {
    /// The response.
    pub response: Response<Body>,
    /// What was decided: one outcome for each decision.
    pub outcomes: Vec<Outcome>,
    /// How many of the decisions had a policy that could not be evaluated, or failed.
    pub errors: u64,
    /// The revision of the policies that decided, from the same set as the decision; none where no
    /// policies were asked. It is in the head of the answer.
    pub revision: Option<String>,
    /// Why, one for each outcome; left empty unless the question [is
    /// compared](Question::is_compared).
    pub reasons: Vec<Reason>,
}

/// Why a decision is as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reason {
    /// In words, which make no difference.
    pub text: String,
    /// What the answer has besides the outcome and what does make a difference: conditions, or
    /// what a list holds.
    pub rest: String,
}

/// What a decision came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Allowed.
    Allowed,
    /// Denied.
    Denied,
    /// Neither: others may decide.
    NoOpinion,
    /// Conditions instead of an answer.
    Conditional,
    /// A list of what is allowed.
    Listed,
    /// No decision: the request was refused.
    Refused,
}

impl Outcome {
    pub(crate) const ALL: [Self; 6] = [
        Self::Allowed,
        Self::Denied,
        Self::NoOpinion,
        Self::Conditional,
        Self::Listed,
        Self::Refused,
    ];

    /// Returns the name in metrics and logs: `no_opinion`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NoOpinion => "no_opinion",
            Self::Conditional => "conditional",
            Self::Listed => "listed",
            Self::Refused => "refused",
        }
    }
}
