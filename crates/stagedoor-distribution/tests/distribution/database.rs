//! A real PostgreSQL, where it is installed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use stagedoor_distribution::{
    Hint, Location, PolicyStore, PollOutcome, Replica, ReplicaOptions, StoreError, StoreOptions,
    Trust, newest, publish,
};

use crate::stores::behaves;
use crate::support::{SignedFixture, channel, key};

/// A database that ends with the test.
struct Database {
    child: Child,
    _directory: tempfile::TempDir,
    port: u16,
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns where the programs are, if they are installed.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|path| path.join("initdb").exists() && path.join("postgres").exists());
    found.sort();
    found.pop()
}

/// Returns a command that is not run as root, which PostgreSQL refuses.
fn command(program: &Path, is_root: bool) -> Command {
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

impl Database {
    fn start() -> Result<Option<Self>> {
        let Some(programs) = programs() else {
            eprintln!("skipped: there is no PostgreSQL");
            return Ok(None);
        };
        let is_root = Command::new("id").arg("-u").output()?.stdout == b"0\n";
        let directory = tempfile::tempdir()?;
        let data = directory.path().join("data");
        std::fs::create_dir(&data)?;
        if is_root {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
            ensure!(Command::new("chown").arg("postgres").arg(&data).status()?.success());
        }
        let made = command(&programs.join("initdb"), is_root)
            .args(["--auth=trust", "--username=stagedoor", "--no-sync", "--pgdata"])
            .arg(&data)
            .current_dir("/")
            .output()?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = command(&programs.join("postgres"), is_root)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "unix_socket_directories="])
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let database = Self { child, _directory: directory, port };
        let begun = Instant::now();
        // It listens before it takes questions.
        while database
            .store(5)?
            .head(&channel()?, None)
            .is_err_and(|error| matches!(error, StoreError::Unreachable { .. }))
        {
            ensure!(begun.elapsed() < Duration::from_secs(60), "the database does not start");
            std::thread::yield_now();
        }
        Ok(Some(database))
    }

    fn store(&self, seconds: u64) -> Result<Box<dyn PolicyStore>> {
        self.store_of("stagedoor", seconds)
    }

    fn store_of(&self, user: &str, seconds: u64) -> Result<Box<dyn PolicyStore>> {
        let location =
            format!("postgres://{user}@127.0.0.1:{}/postgres/payments:production", self.port);
        let mut options = StoreOptions::default();
        options.http.timeout = Duration::from_secs(seconds);
        Ok(location.parse::<Location>()?.open(&options)?)
    }
}

#[test]
fn a_database_is_a_store() -> Result<()> {
    let Some(database) = Database::start()? else { return Ok(()) };
    let (key, state) = (key()?, tempfile::tempdir()?);
    let store = database.store(20)?;
    behaves(&*store, &key)?;

    let trust = Trust::in_key("ci", key.verifying_key());
    let options = ReplicaOptions::new(channel()?, state.path());
    let replica = Replica::open(options, database.store(20)?, trust.clone())?;
    let PollOutcome::Candidate(set) = replica.poll()? else { anyhow::bail!("no candidate") };
    replica.admit(&set).map_err(anyhow::Error::msg)?;
    ensure!(set.release().counter == 2 && matches!(replica.poll()?, PollOutcome::Confirmed));

    // A hint comes when something is published, and not for another channel.
    let wait = |store: &dyn PolicyStore, seconds| {
        anyhow::Ok(store.wait(&channel()?, Duration::from_secs(seconds)))
    };
    ensure!(wait(&*store, 1)? == Hint::Given, "what came before it listened may be missed");
    ensure!(wait(&*store, 1)? == Hint::TimedOut);
    let three = SignedFixture::new(3, 3, &key)?;
    let before = newest(&*store, &channel()?, &trust)?;
    publish(&*database.store(20)?, &key, &three.release, &three.bundle, before.as_ref())?;
    ensure!(wait(&*store, 20)? == Hint::Given);
    ensure!(matches!(replica.poll()?, PollOutcome::Candidate(set) if set.release().counter == 3));

    // A connection that was closed meanwhile is no failure; a database that is gone is one.
    let port = database.port;
    let mut admin = postgres::Client::connect(
        &format!("postgres://stagedoor@127.0.0.1:{port}/postgres"),
        postgres::NoTls,
    )?;
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stagedoor'",
        &[],
    )?;
    ensure!(store.head(&channel()?, None).is_ok(), "it does not connect again");
    drop((admin, database));
    let gone = store.head(&channel()?, None);
    ensure!(matches!(gone, Err(StoreError::Unreachable { .. })), "{gone:?}");
    ensure!(wait(&*store, 1)? == Hint::NotGiven);
    Ok(())
}

#[test]
fn nobody_needs_more_rights_than_that() -> Result<()> {
    let Some(database) = Database::start()? else { return Ok(()) };
    let key = key()?;
    let trust = Trust::in_key("ci", key.verifying_key());
    let one = SignedFixture::new(1, 1, &key)?;
    let owner = database.store(30)?;
    publish(&*owner, &key, &one.release, &one.bundle, None)?;
    let address = format!("postgres://stagedoor@127.0.0.1:{}/postgres", database.port);
    let mut admin = postgres::Client::connect(&address, postgres::NoTls)?;
    admin.batch_execute(
        "CREATE ROLE writer LOGIN; GRANT SELECT, INSERT ON stagedoor_releases TO writer;
         CREATE ROLE reader LOGIN; GRANT SELECT ON stagedoor_releases TO reader;
         CREATE ROLE stranger LOGIN;",
    )?;
    let before = newest(&*owner, &channel()?, &trust)?;
    let two = SignedFixture::new(2, 2, &key)?;
    let (writer, reader) = (database.store_of("writer", 30)?, database.store_of("reader", 30)?);
    publish(&*writer, &key, &two.release, &two.bundle, before.as_ref())?;
    let read = newest(&*reader, &channel()?, &trust)?;
    ensure!(read.as_ref().is_some_and(|read| read.verified.release == two.release));
    ensure!(reader.bundle(&channel()?, two.release.digest, 1 << 20)? == two.bundle);
    let three = SignedFixture::new(3, 3, &key)?;
    let refused = publish(&*reader, &key, &three.release, &three.bundle, read.as_ref());
    ensure!(
        matches!(
            refused,
            Err(stagedoor_distribution::PublishError::Store(StoreError::Denied { .. }))
        ),
        "{refused:?}"
    );
    let stranger = database.store_of("stranger", 30)?.head(&channel()?, None);
    ensure!(matches!(stranger, Err(StoreError::Denied { .. })), "{stranger:?}");
    Ok(())
}

#[test]
fn publishing_at_one_time_leaves_one_order() -> Result<()> {
    let Some(database) = Database::start()? else { return Ok(()) };
    let key = key()?;
    let trust = Trust::in_key("ci", key.verifying_key());
    let stores: Vec<Box<dyn PolicyStore>> =
        (0..4).map(|_| database.store(30)).collect::<Result<_>>()?;
    let first = SignedFixture::new(1, 1, &key)?;
    let store = stores.first().context("a store")?;
    publish(&**store, &key, &first.release, &first.bundle, None)?;
    // Each publishes until it has had its turn three times.
    std::thread::scope(|scope| -> Result<()> {
        let publishing: Vec<_> = stores
            .iter()
            .map(|store| {
                let (key, trust) = (&key, &trust);
                scope.spawn(move || -> Result<()> {
                    let mut left = 3;
                    while left > 0 {
                        let before = newest(&**store, &channel()?, trust)?.context("a head")?;
                        let counter = before.verified.release.counter + 1;
                        let signed = SignedFixture::new(counter, 1 + counter % 5, key)?;
                        let (release, bundle) = (&signed.release, &signed.bundle);
                        if publish(&**store, key, release, bundle, Some(&before)).is_ok() {
                            left -= 1;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in publishing {
            thread.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
        }
        Ok(())
    })?;
    let last = newest(&**store, &channel()?, &trust)?.context("a head")?;
    // One may be told that another came after it at once: then it has published, and does not know.
    ensure!(last.verified.release.counter >= 13, "{}", last.verified.release.counter);
    Ok(())
}
