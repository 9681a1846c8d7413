//! Cedar's evaluator in the shadow of the compiled conditions: both decide, and are compared.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::request::Request;

/// Is told where Cedar's evaluator differs. It should never be called: report it if it is.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroU32;
/// use std::sync::Arc;
///
/// use stagedoor_core::{DifferenceSink, Engine, Entities, Request};
///
/// #[derive(Debug)]
/// struct Log;
///
/// impl DifferenceSink for Log {
///     fn differs(&self, request: &Request, policies: &[&str]) {
///         eprintln!("{policies:?} differ about {request:?}");
///     }
/// }
///
/// let engine = Engine::builder()
///     .schema("s.cedarschema", "entity User; entity Doc;
///         action view appliesTo { principal: User, resource: Doc };")
///     .policies("p.cedar", "permit(principal, action, resource);")
///     .shadow(NonZeroU32::MIN, Arc::new(Log))
///     .build()?;
/// let request = Request::new(
///     r#"User::"ana""#.parse()?, r#"Action::"view""#.parse()?, r#"Doc::"1""#.parse()?);
/// let _ = engine.decide(&request, &Entities::empty())?;
/// let statistics = engine.statistics();
/// assert_eq!((statistics.compared, statistics.differences), (1, 0));
/// assert_eq!((statistics.policies, statistics.interpreted), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait DifferenceSink: fmt::Debug + Send + Sync {
    /// Takes the ids of policies of which Cedar says something else about a request.
    fn differs(&self, request: &Request, policies: &[&str]);
}

/// How often Cedar's evaluator decides as well, and what came of that.
#[derive(Debug)]
pub(crate) struct Shadow {
    one_in: NonZeroU32,
    pub(crate) sink: Arc<dyn DifferenceSink>,
    decisions: AtomicU32,
    pub(crate) compared: AtomicU64,
    pub(crate) differences: AtomicU64,
}

/// In debug builds Cedar decides one in so many requests as well.
const ONE_IN_DEBUG: NonZeroU32 = NonZeroU32::MIN.saturating_add(63);
/// Up to so many policies: Cedar reads all of them again for each comparison.
const FEW_POLICIES: usize = 100;

/// Tells of differences on standard error.
#[derive(Debug)]
struct StandardError;

impl DifferenceSink for StandardError {
    fn differs(&self, request: &Request, policies: &[&str]) {
        eprintln!(
            "stagedoor: Cedar's evaluator says something else of {policies:?} about {request:?}; \
             the stricter answer is given. Please report this"
        );
    }
}

impl Shadow {
    pub(crate) fn new(one_in: NonZeroU32, sink: Arc<dyn DifferenceSink>) -> Self {
        let (decisions, compared) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { one_in, sink, decisions, compared, differences: AtomicU64::new(0) }
    }

    /// Returns the shadow that engines have in debug builds without being asked for one.
    pub(crate) fn of_debug_build(policies: usize) -> Option<Self> {
        let is_wanted = cfg!(debug_assertions) && policies <= FEW_POLICIES;
        is_wanted.then(|| Self::new(ONE_IN_DEBUG, Arc::new(StandardError)))
    }

    /// Returns whether this decision is one that Cedar makes as well.
    pub(crate) fn is_due(&self) -> bool {
        self.decisions.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in.get())
    }
}
