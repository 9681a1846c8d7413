//! PostgreSQL: one table of releases, to which rows are only added.
//!
//! The newest row of a channel is its newest release. `NOTIFY` is a hint that there is a new one, and
//! polling finds what no hint came for.

mod tls;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::{Client, Config};

use super::{Head, Hint, PolicyStore, Publication, StoreError, Version};
use crate::channel::Channel;
use crate::digest::Digest;
use crate::envelope::ENVELOPE_BYTES;
use crate::store::http::HttpOptions;
use tls::Tls;

/// The name under which hints are given.
const HINTS: &str = "stagedoor_releases";

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS stagedoor_releases (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  set_name text NOT NULL,
  channel text NOT NULL,
  digest text NOT NULL,
  envelope bytea NOT NULL,
  bundle bytea NOT NULL,
  published_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS stagedoor_releases_newest
  ON stagedoor_releases (set_name, channel, id DESC);
CREATE INDEX IF NOT EXISTS stagedoor_releases_bundles ON stagedoor_releases (set_name, digest);
";

const NEWEST: &str = "
SELECT id, octet_length(envelope)::bigint FROM stagedoor_releases
WHERE set_name = $1 AND channel = $2 ORDER BY id DESC LIMIT 1";

/// A store in a database.
pub struct PostgresStore {
    name: String,
    config: Config,
    tls: Tls,
    client: Mutex<Option<Client>>,
    /// A connection of its own: whoever waits for hints keeps nobody from asking.
    listener: Mutex<Option<Client>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresStore({})", self.name)
    }
}

/// Why an address names no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// It is not of the form.
    #[error("it is not an address of a database: {0}")]
    Address(String),
    /// The authorities of the server cannot be used.
    #[error("the authorities of servers are no certificates in PEM")]
    Authorities,
}

impl PostgresStore {
    /// Returns the store in a database, without asking it yet. The token of the options is the
    /// password, if the address has none.
    ///
    /// # Errors
    ///
    /// [`PostgresError`].
    pub fn new(address: &str, options: &HttpOptions) -> Result<Self, PostgresError> {
        // What is wrong may quote the address, and with it a password.
        let mut config: Config = address.parse().map_err(|_| {
            PostgresError::Address("write postgres://USER@HOST/DATABASE".to_owned())
        })?;
        if let Some(password) = options.token.as_ref().filter(|_| config.get_password().is_none()) {
            config.password(password);
        }
        config.connect_timeout(options.timeout);
        config.application_name("stagedoor");
        // INVARIANT: no statement takes longer than an answer may.
        let limit = options.timeout.as_millis();
        config.options(&format!("-c statement_timeout={limit} -c lock_timeout={limit}"));
        config.tcp_user_timeout(options.timeout);
        let tls = Tls::new(options.authorities.as_deref())?;
        let hosts: Vec<String> = config
            .get_hosts()
            .iter()
            .map(|host| match host {
                postgres::config::Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                postgres::config::Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let database = config.get_dbname().unwrap_or_default();
        let name = format!("the database `{}/{database}`", hosts.join(","));
        Ok(Self { name, config, tls, client: Mutex::default(), listener: Mutex::default() })
    }

    fn connect(&self) -> Result<Client, StoreError> {
        self.config.connect(self.tls.clone()).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &postgres::Error) -> StoreError {
        let store = self.name.clone();
        let reason = match error.as_db_error() {
            Some(error) => error.message().to_owned(),
            None => match std::error::Error::source(error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            },
        };
        match error.code() {
            Some(code) if *code == SqlState::UNDEFINED_TABLE => {
                StoreError::Missing { what: "table `stagedoor_releases`".to_owned(), store }
            }
            Some(code)
                if [
                    SqlState::INVALID_PASSWORD,
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                ]
                .contains(code) =>
            {
                StoreError::Denied { store, reason }
            }
            _ => StoreError::Unreachable { store, reason },
        }
    }

    /// Asks on the connection that there is, or a new one: one that was closed meanwhile is no
    /// failure.
    fn ask<T>(
        &self,
        ask: impl Fn(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        let mut client = lock(&self.client);
        if let Some(open) = client.as_mut() {
            match ask(open) {
                Err(error) if error.is_closed() || open.is_closed() || was_ended(&error) => {}
                answer => return answer.map_err(|error| self.failed(&error)),
            }
        }
        let mut open = self.connect()?;
        let answer = ask(&mut open).map_err(|error| self.failed(&error));
        *client = Some(open);
        answer
    }

    fn missing(&self, what: String) -> StoreError {
        StoreError::Missing { what, store: self.name.clone() }
    }

    fn bounded(&self, bytes: i64, limit: u64, what: &str) -> Result<(), StoreError> {
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= limit) {
            return Ok(());
        }
        let (what, store) = (what.to_owned(), self.name.clone());
        Err(StoreError::TooLarge { what, store, limit })
    }
}

/// Returns whether the server has ended the connection and says so, before it is seen to be closed.
fn was_ended(error: &postgres::Error) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN]
        .iter()
        .any(|code| error.code() == Some(code))
}

fn lock(client: &Mutex<Option<Client>>) -> MutexGuard<'_, Option<Client>> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PolicyStore for PostgresStore {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn head(&self, channel: &Channel, known: Option<&Version>) -> Result<Head, StoreError> {
        let (set, name) = (channel.set.as_str(), channel.channel.as_str());
        let newest = self.ask(|client| client.query_opt(NEWEST, &[&set, &name]))?;
        let newest = newest.ok_or_else(|| self.missing(format!("release of `{channel}`")))?;
        let (id, bytes): (i64, i64) = (newest.get(0), newest.get(1));
        let version = Version(id.to_string());
        if known == Some(&version) {
            return Ok(Head::Unchanged);
        }
        self.bounded(bytes, ENVELOPE_BYTES, "the signature")?;
        let sql = "SELECT envelope FROM stagedoor_releases WHERE id = $1";
        let row = self.ask(|client| client.query_opt(sql, &[&id]))?;
        let row = row.ok_or_else(|| self.missing(format!("release of `{channel}`")))?;
        Ok(Head::Found { version: Some(version), envelope: row.get(0) })
    }

    fn bundle(&self, channel: &Channel, digest: Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let (set, text) = (channel.set.as_str(), digest.to_string());
        let what = format!("the bundle `{digest}`");
        let sql = "SELECT id, octet_length(bundle)::bigint FROM stagedoor_releases
                   WHERE set_name = $1 AND digest = $2 ORDER BY id DESC LIMIT 1";
        let row = self.ask(|client| client.query_opt(sql, &[&set, &text]))?;
        let row = row.ok_or_else(|| self.missing(what.clone()))?;
        let (id, bytes): (i64, i64) = (row.get(0), row.get(1));
        self.bounded(bytes, limit, &what)?;
        let sql = "SELECT bundle FROM stagedoor_releases WHERE id = $1";
        let row = self.ask(|client| client.query_opt(sql, &[&id]))?;
        Ok(row.ok_or_else(|| self.missing(what))?.get(0))
    }

    fn publish(&self, channel: &Channel, publication: &Publication<'_>) -> Result<(), StoreError> {
        let (set, name) = (channel.set.as_str(), channel.channel.as_str());
        let digest = publication.digest.to_string();
        let published = self.ask(|client| {
            // Whoever publishes need not own the table, nor be allowed to make any: even making what is
            // there already would ask for that.
            let sql = "SELECT to_regclass('stagedoor_releases') IS NOT NULL";
            if !client.query_one(sql, &[])?.get::<_, bool>(0) {
                client.batch_execute(TABLE)?;
            }
            let mut transaction = client.transaction()?;
            // INVARIANT: one publishes to a channel at a time, so that the order of the rows is the
            // order of the releases: numbers of rows that are written at one time are not.
            let key = channel.to_string();
            let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
            transaction.execute(sql, &[&key])?;
            let newest = transaction.query_opt(NEWEST, &[&set, &name])?;
            let before: Option<Vec<u8>> = match newest {
                None => None,
                Some(row) => {
                    let id: i64 = row.get(0);
                    let sql = "SELECT envelope FROM stagedoor_releases WHERE id = $1";
                    transaction.query_opt(sql, &[&id])?.map(|row| row.get(0))
                }
            };
            if before.as_deref() != publication.after {
                return Ok(false);
            }
            let sql = "INSERT INTO stagedoor_releases (set_name, channel, digest, envelope, bundle)
                       VALUES ($1, $2, $3, $4, $5)";
            let values: [&(dyn postgres::types::ToSql + Sync); 5] =
                [&set, &name, &digest, &publication.envelope, &publication.bundle];
            transaction.execute(sql, &values)?;
            transaction.execute("SELECT pg_notify($1, $2)", &[&HINTS, &key])?;
            transaction.commit()?;
            Ok(true)
        })?;
        if published { Ok(()) } else { Err(StoreError::Changed(self.name.clone())) }
    }

    fn wait(&self, channel: &Channel, timeout: Duration) -> Hint {
        let mut listener = lock(&self.listener);
        if listener.is_none() {
            let listening = self.connect().ok().and_then(|mut client| {
                client.batch_execute(&format!("LISTEN {HINTS}")).ok().map(|()| client)
            });
            match listening {
                // What was published before it listened may have been missed.
                Some(client) => {
                    *listener = Some(client);
                    return Hint::Given;
                }
                None => return Hint::NotGiven,
            }
        }
        let Some(client) = listener.as_mut() else { return Hint::NotGiven };
        let key = channel.to_string();
        let is_given = {
            let mut notifications = client.notifications();
            let mut hints = notifications.timeout_iter(timeout);
            // Hints for others are passed over; a failure shows in the connection.
            hints.any(|hint| Ok(hint.payload() == key)).unwrap_or_default()
        };
        let is_closed = client.is_closed();
        if is_closed {
            *listener = None;
        }
        match is_given {
            true => Hint::Given,
            false if is_closed => Hint::NotGiven,
            false => Hint::TimedOut,
        }
    }
}
