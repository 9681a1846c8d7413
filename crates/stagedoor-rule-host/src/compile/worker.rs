//! The child's side: one component in, its compiled form out.

use std::io::{self, Read, Write};

use blake3::KEY_LEN;
use serde::{Deserialize, Serialize};

use crate::compiler::Processor;
use crate::engine::compiling_engine;
use crate::error::causes;
use crate::seal::Seal;

/// What an order begins with.
pub(super) const MAGIC: [u8; 8] = *b"sdrule\x02\n";
/// What the answer is called.
pub(super) const ANSWER: &str = "compiled";
/// No order is longer without its component.
const HEAD_BYTES: u64 = 64 << 10;

/// What is to be compiled, and within which bounds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The parent's version: another program may have taken the place of the one that runs.
    pub(super) version: String,
    /// The parent's largest memory of a rule, on which compiled code depends.
    pub(super) rule_memory_bytes: usize,
    pub(super) processor: Processor,
    /// Processor time, in seconds.
    pub(super) seconds: u64,
    /// Memory of this process, in bytes.
    pub(super) memory_bytes: u64,
    /// Size of the component.
    pub(super) bytes: u64,
}

/// What came of it, beside the compiled code.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Compiled,
    /// It cannot be compiled.
    Refused(String),
    /// This program cannot compile.
    Failed(String),
}

/// Compiles one component: what a program does when it is started as a
/// [`ChildCompiler`](crate::ChildCompiler).
///
/// The order comes by `input`, the answer goes to `output`. This process is bounded from then on,
/// and should end. It ends by itself when `input` does before it is done: whoever waited for the
/// answer is gone then.
///
/// # Errors
///
/// If the order is none, or the answer cannot be written.
pub fn run_compiler(
    mut input: impl Read + Send + 'static,
    mut output: impl Write,
) -> io::Result<()> {
    let mut magic = [0; MAGIC.len()];
    let mut key = [0; KEY_LEN];
    let mut length = [0; 4];
    input.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(io::Error::other("this is not an order to compile a rule"));
    }
    input.read_exact(&mut key)?;
    input.read_exact(&mut length)?;
    let mut head = Vec::new();
    let length = u64::from(u32::from_le_bytes(length)).min(HEAD_BYTES);
    input.by_ref().take(length).read_to_end(&mut head)?;
    let order: Order = serde_json::from_slice(&head)?;
    let (answer, compiled) = match answer(&order, input) {
        Ok(compiled) => (Answer::Compiled, compiled),
        Err(answer) => (answer, Vec::new()),
    };
    let head = Seal::new(key).head(ANSWER, &answer, &compiled).unwrap_or_default();
    output.write_all(&head)?;
    output.write_all(&compiled)?;
    output.flush()
}

fn answer(order: &Order, mut input: impl Read + Send + 'static) -> Result<Vec<u8>, Answer> {
    if order.version != env!("CARGO_PKG_VERSION") {
        let (theirs, ours) = (&order.version, env!("CARGO_PKG_VERSION"));
        return Err(Answer::Failed(format!("it is of version {ours}, not {theirs}: restart")));
    }
    // Before a byte of the component is looked at.
    bound(order).map_err(|e| Answer::Failed(format!("it cannot be bounded: {e}")))?;
    let mut bytes = Vec::new();
    let read = input.by_ref().take(order.bytes).read_to_end(&mut bytes);
    read.map_err(|e| Answer::Failed(e.to_string()))?;
    end_with(input);
    let engine = compiling_engine(order.rule_memory_bytes, order.processor)
        .map_err(|e| Answer::Failed(e.to_string()))?;
    engine.precompile_component(&bytes).map_err(|e| Answer::Refused(causes(&e)))
}

/// Ends this process when nobody holds the other end any more: a server that is killed leaves no
/// compiler behind.
fn end_with(mut input: impl Read + Send + 'static) {
    let waits = move || {
        // Nothing more is ever written: it ends, or fails.
        let _ = io::copy(&mut input, &mut io::sink());
        std::process::exit(1);
    };
    // Without a thread the bounds end it.
    let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(waits);
}

/// Has the system bound this process.
#[cfg(unix)]
fn bound(order: &Order) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let lower = |resource, soft: u64, hard: u64| -> io::Result<()> {
        let (_, most) = getrlimit(resource)?;
        Ok(setrlimit(resource, soft.min(most), hard.min(most))?)
    };
    // A program that is larger than this one has used some of it already.
    let used = cpu_time::ProcessTime::try_now()?.as_duration().as_secs();
    let seconds = used.saturating_add(order.seconds.max(1));
    lower(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    yield_to_others();
    // It writes no files.
    lower(Resource::RLIMIT_CORE, 0, 0)?;
    lower(Resource::RLIMIT_FSIZE, 0, 0)?;
    // What is mapped but not there, of libraries say, does not count.
    if let Some((mapped, resident)) = memory() {
        let left = order.memory_bytes.saturating_sub(resident);
        let most = mapped.saturating_add(left);
        lower(Resource::RLIMIT_AS, most, most)?;
    }
    Ok(())
}

/// Has decisions served first: on a machine that is busy with them, compiling takes what they leave.
#[cfg(unix)]
fn yield_to_others() {
    /// A tenth of the share of others.
    const NICENESS: nix::libc::c_int = 10;
    // SAFETY: it takes a number and gives one.
    #[expect(unsafe_code, reason = "the system's call")]
    // Where that is not possible, it is compiled all the same.
    let _ = unsafe { nix::libc::nice(NICENESS) };
}

#[cfg(not(unix))]
fn bound(_: &Order) -> io::Result<()> {
    // The parent's clock bounds it there.
    Ok(())
}

/// Returns the addresses and the memory that this process has, in bytes, where the system tells.
#[cfg(unix)]
fn memory() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let of = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some((of("VmSize:")?, of("VmRSS:")?))
}
