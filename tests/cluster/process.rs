//! Processes that end with the test.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long anything may take on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);

/// A process with its log in a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a command whose output goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Fails if the process has ended, with the end of its log.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended with {status}:\n{}", self.end_of_log()?),
        }
    }

    /// Returns what the process has written last.
    pub(crate) fn end_of_log(&self) -> Result<String> {
        let mut file = File::open(&self.log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(8 << 10)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Returns all that the process has written.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }
}

/// Returns an address of the loopback that nobody listens at, and that is given out once.
///
/// Its port is below those that systems give to connections (from 32768 on): one of theirs may be taken by any
/// connection between this and the moment at which the server listens there.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const PORTS: u16 = 20_000;
    // Other test programs begin elsewhere.
    let begin = u16::try_from(std::process::id().wrapping_mul(131) % u32::from(PORTS))?;
    for _ in 0..PORTS {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed) % PORTS;
        let port = FIRST + (begin + given) % PORTS;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no port is free")
}

/// Waits until `check` returns something.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check().with_context(|| format!("waiting for {what}"))? {
            return Ok(found);
        }
        if Instant::now() > until {
            bail!("never: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}
