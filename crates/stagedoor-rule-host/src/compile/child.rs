//! The parent's side: starts the child, hands over the component, and does not wait for ever.

use std::io::{self, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use super::worker::{ANSWER, Answer, MAGIC, Order};
use crate::compiler::{ChildCompiler, Processor};
use crate::error::WasmRuleLoadError;
use crate::host::HostConfig;
use crate::limits::CompileLimits;
use crate::seal::Seal;

/// What of the environment a child gets: where libraries are.
const ENVIRONMENT: [&str; 5] = [
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SystemRoot",
    "NAPI_RS_NATIVE_LIBRARY_PATH",
    "ASAN_OPTIONS",
];
/// How much of what it says on the standard error is looked at.
const ERROR_BYTES: u64 = 4 << 10;
/// What an answer may have beside the compiled code.
const HEAD_BYTES: u64 = 64 << 10;

impl ChildCompiler {
    pub(super) fn compile(
        &self,
        bytes: &[u8],
        host: &HostConfig,
        processor: Processor,
    ) -> Result<Vec<u8>, WasmRuleLoadError> {
        let limits = &host.compile;
        let failed = |e: io::Error| WasmRuleLoadError::Compiler(e.to_string());
        let mut key = [0; blake3::KEY_LEN];
        getrandom::fill(&mut key).map_err(|e| failed(io::Error::other(e)))?;
        let order = Order {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            rule_memory_bytes: host.memory_bytes,
            processor,
            seconds: limits.seconds(),
            memory_bytes: limits.memory_bytes,
            bytes: bytes.len() as u64,
        };
        let head = serde_json::to_vec(&order).map_err(|e| failed(e.into()))?;
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes();
        let head = [MAGIC.as_slice(), &key, &length, &head].concat();

        let mut child = self.start().map_err(|e| {
            WasmRuleLoadError::Compiler(format!("`{}`: {e}", self.program.display()))
        })?;
        let talked = talk(&mut child, &head, bytes, limits);
        if !matches!(talked, Ok(ChildOutput { ended: true, .. })) {
            // Already gone, perhaps.
            let _ = child.kill();
        }
        // A child that was killed ends; one that closed its output is about to.
        let status = child.wait().map_err(failed)?;
        let ChildOutput { answer, error, ended } = talked.map_err(failed)?;
        if !ended {
            return Err(WasmRuleLoadError::CompileLimit(format!("{:?}", limits.longest())));
        }
        // INVARIANT: code is run of a child alone that was given this key, and that has come to its
        // end: what was cut off does not open.
        let opened = Seal::new(key).open::<Answer, _>(ANSWER, answer.as_slice(), Vec::new());
        match opened.unwrap_or_default() {
            Some((Answer::Compiled, compiled)) => Ok(compiled),
            Some((Answer::Refused(reason), _)) if is_memory(&reason) => Err(memory_limit(limits)),
            Some((Answer::Refused(reason), _)) => Err(WasmRuleLoadError::Compile(reason)),
            Some((Answer::Failed(reason), _)) => Err(WasmRuleLoadError::Compiler(reason)),
            None if answer.len() as u64 > limits.output_bytes => {
                let what = format!("{} bytes of compiled code", limits.output_bytes);
                Err(WasmRuleLoadError::CompileLimit(what))
            }
            None => Err(broken_off(status, &String::from_utf8_lossy(&error), limits)),
        }
    }

    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.spawn()
    }
}

/// What a child said.
struct ChildOutput {
    answer: Vec<u8>,
    error: Vec<u8>,
    /// Whether it came to an end in time.
    ended: bool,
}

/// Writes to and reads from a child, until it closes its output or its time is out.
fn talk(
    child: &mut Child,
    head: &[u8],
    bytes: &[u8],
    limits: &CompileLimits,
) -> io::Result<ChildOutput> {
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut input), Some(output), Some(errors)) = pipes else {
        return Err(io::Error::other("it has no pipes"));
    };
    let most = limits.output_bytes.saturating_add(HEAD_BYTES);
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel();
        // A child that ends early closes its end, so that writing fails: what it said tells why. Ours
        // stays open until the child is done, which tells it that somebody still waits.
        let (release, held) = mpsc::channel::<()>();
        scope.spawn(move || {
            let _ = input.write_all(head).and_then(|()| input.write_all(bytes));
            // Nothing is sent: it ends when the other end is dropped.
            let _ = held.recv();
        });
        let answer = scope.spawn(move || {
            let answer = read(output, most);
            // The receiver is gone only if the time was out.
            let _ = done.send(());
            answer
        });
        let error = scope.spawn(move || read(errors, ERROR_BYTES));
        let ended = wait.recv_timeout(limits.longest()) != Err(RecvTimeoutError::Timeout);
        // Whatever of it is left, such as a process of its own, sees the end as well.
        drop(release);
        if !ended {
            child.kill()?;
        }
        let answer = answer.join().unwrap_or_else(|_| Err(io::Error::other("reading failed")))?;
        if answer.len() as u64 >= most {
            // It may have more to say, and wait for a reader.
            let _ = child.kill();
        }
        let error = error.join().unwrap_or_else(|_| Ok(Vec::new()))?;
        Ok(ChildOutput { answer, error, ended })
    })
}

fn read(pipe: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    pipe.take(most).read_to_end(&mut read)?;
    Ok(read)
}

fn is_memory(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["memory allocation of", "out of memory", "cannot allocate memory"]
        .iter()
        .any(|told| reason.contains(told))
}

fn memory_limit(limits: &CompileLimits) -> WasmRuleLoadError {
    WasmRuleLoadError::CompileLimit(format!("{} MiB of memory", limits.memory_bytes >> 20))
}

/// Returns why a child ended without an answer.
fn broken_off(status: ExitStatus, error: &str, limits: &CompileLimits) -> WasmRuleLoadError {
    if is_memory(error) {
        return memory_limit(limits);
    }
    let told = error.lines().next().unwrap_or_default();
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;

        /// What Linux, macOS and the BSDs call these signals.
        const KILLED: i32 = 9;
        const PROCESSOR_TIME: i32 = 24;
        match status.signal() {
            Some(PROCESSOR_TIME) => {
                let what = format!("{} s of processor time", limits.seconds());
                return WasmRuleLoadError::CompileLimit(what);
            }
            Some(KILLED) => {
                let what = "the memory or time that the system gives: it was killed".to_owned();
                return WasmRuleLoadError::CompileLimit(what);
            }
            Some(signal) => {
                return WasmRuleLoadError::Compile(format!(
                    "the compiler ended by signal {signal}: {told}"
                ));
            }
            None => {}
        }
    }
    WasmRuleLoadError::Compiler(format!("it gave no answer, and ended with {status}: {told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_want_of_memory_is_known_by_its_words() {
        for told in
            ["memory allocation of 8 bytes failed", "Out of Memory", "Cannot allocate memory"]
        {
            assert!(is_memory(told), "{told}");
        }
        assert!(!is_memory("it is invalid"));
    }

    #[cfg(unix)]
    #[test]
    fn why_a_child_ended_is_told() {
        use std::os::unix::process::ExitStatusExt as _;

        let limits = CompileLimits::default();
        let told = |status: i32, error: &str| {
            broken_off(ExitStatus::from_raw(status), error, &limits).to_string()
        };
        let seconds = limits.seconds();
        assert!(
            told(24, "").contains(&format!("{seconds} s of processor time")),
            "{}",
            told(24, "")
        );
        assert!(told(9, "").contains("it was killed"), "{}", told(9, ""));
        let text = told(11, "first\nsecond");
        assert!(text.contains("signal 11: first") && !text.contains("second"), "{text}");
        assert!(told(256, "x").contains("gave no answer"), "{}", told(256, "x"));
        assert!(
            told(9, "out of memory").contains("256 MiB of memory"),
            "{}",
            told(9, "out of memory")
        );
    }
}
