//! A replica of a channel in JavaScript: what somebody trusted has signed, whole and never backwards.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use napi::Task;
use napi::bindgen_prelude::{AsyncTask, Buffer, Env, Unknown};
use napi_derive::napi;
use stagedoor_distribution::store::oci::Credentials;
use stagedoor_distribution::{
    Channel, Location, OfferedRelease, OfferedStore, PolicyStore, Replica, ReplicaOptions,
    SignedSet, StoreOptions, Version, read_trust,
};
use stagedoor_source::SetRefusal;

use crate::engine::Engine;
use crate::failure::{Failure, Result};
use crate::json::Json;
use crate::loading::Policies;
use crate::options::Options;

/// What everybody may know of a set that does not load: the reason itself may quote policies.
const UNLOADED: &str = "policies or schemas have problems";

/// What a replica follows, and whom it trusts.
#[napi(object, object_to_js = false)]
#[derive(Debug, Clone)]
pub struct PolicyReplicaOptions {
    /// The store and the channel, such as `ghcr.io/acme/payments:production`, `https://…`, or a
    /// directory `./published/payments:production`.
    pub source: Option<String>,
    /// In its place the channel alone, such as `payments:production`: what is published is read by
    /// whoever has the replica, and handed over with `look`.
    pub channel: Option<String>,
    /// What messages call the place that is read so.
    pub place: Option<String>,
    /// The file that says whom to trust. It is read again at each look.
    pub trust: String,
    /// A directory of this replica's own, where the last good releases are kept.
    pub state: String,
    /// The one bundle that may be in force, whatever its number is.
    pub pin: Option<String>,
    /// Not ready when what is in force was not confirmed for so many seconds, or has expired.
    pub max_staleness_seconds: Option<u32>,
    /// Time for one answer of the store, in seconds (60).
    pub store_timeout_seconds: Option<u32>,
    /// A file of authorities of the store's server, in PEM.
    pub store_ca: Option<String>,
    /// A file with a bearer token for a web server.
    pub store_token: Option<String>,
    /// A file of names and passwords for registries, in the form of Docker's `config.json`.
    pub registry_config: Option<String>,
}

/// A release that was read somewhere.
#[napi(object, object_to_js = false)]
pub struct OfferedReleaseInput {
    /// What it is told apart by where it was read.
    pub version: String,
    /// Its signature.
    pub envelope: Buffer,
    /// Its bundle, if `lacks` says that it is needed.
    pub bundle: Option<Buffer>,
}

/// A replica, and what it has been given to load.
#[derive(Debug)]
pub struct Following {
    replica: Replica,
    trust: PathBuf,
    /// What is handed over, if it looks at no store itself.
    offered: Option<OfferedStore>,
    loading: Mutex<Option<Arc<SignedSet>>>,
}

/// Follows a channel: what is in force is one whole set that somebody trusted has signed, never an
/// older one, and it is on disk.
#[napi]
pub struct PolicyReplica(RefCell<Option<Arc<Following>>>);

#[napi]
impl PolicyReplica {
    /// Opens a replica: what was in force before is what it loads first.
    #[napi(ts_return_type = "Promise<PolicyReplica>", catch_unwind)]
    pub fn open(options: PolicyReplicaOptions) -> AsyncTask<Open> {
        AsyncTask::new(Open(options))
    }

    /// Looks at the store, or takes what is handed over; `null` says that nothing was published. How the
    /// replica is then, tells what is wrong: this does not reject for it.
    #[napi(ts_return_type = "Promise<ReplicaStatus>", catch_unwind)]
    pub fn look(
        &self,
        env: Env,
        offered: Option<OfferedReleaseInput>,
    ) -> napi::Result<AsyncTask<Look>> {
        let following = self.following(&env)?;
        let offered = offered.map(|release| OfferedRelease {
            version: Version(release.version),
            envelope: release.envelope.to_vec(),
            bundle: release.bundle.map(|bundle| bundle.to_vec()),
        });
        Ok(AsyncTask::new(Look { following, offered }))
    }

    /// Returns the digest of the bundle that is to be handed over with a signature, if it is needed.
    #[napi(catch_unwind)]
    pub fn lacks(&self, env: Env, envelope: Buffer) -> napi::Result<Option<String>> {
        let following = self.following(&env)?;
        Ok(following.replica.lacks(&envelope).map(|digest| digest.to_string()))
    }

    /// Says that something keeps the replica from being looked after, such as a database that does not
    /// answer.
    #[napi(catch_unwind)]
    pub fn report(&self, env: Env, problem: String) -> napi::Result<()> {
        self.following(&env)?.replica.report(problem);
        Ok(())
    }

    /// Another number when there is another release to be loaded.
    #[napi(catch_unwind)]
    pub fn version(&self, env: Env) -> napi::Result<i64> {
        Ok(i64::try_from(self.following(&env)?.replica.version()).unwrap_or(i64::MAX))
    }

    /// Whether there is anything to be loaded.
    #[napi(catch_unwind)]
    pub fn has_release(&self, env: Env) -> napi::Result<bool> {
        Ok(self.following(&env)?.replica.to_load().is_some())
    }

    /// Whether whoever decides by it should be asked: something is in force, is trusted and is not too
    /// old.
    #[napi(catch_unwind)]
    pub fn is_ready(&self, env: Env) -> napi::Result<bool> {
        Ok(self.following(&env)?.replica.status().is_ready())
    }

    /// Returns how the replica is.
    #[napi(ts_return_type = "ReplicaStatus", catch_unwind)]
    pub fn status(&self, env: Env) -> napi::Result<Json> {
        let following = self.following(&env)?;
        Json::of(&following.replica.status()).map_err(|failure| failure.thrown(&env))
    }

    /// Loads what is to be in force, with other options of an engine. It is in force with `admit`. What
    /// does not load is refused, and tried again a minute later.
    #[napi(ts_return_type = "Promise<Engine>", catch_unwind)]
    pub fn load(
        &self,
        env: Env,
        #[napi(ts_arg_type = "EngineOptions")] options: Unknown<'_>,
    ) -> napi::Result<AsyncTask<LoadRelease>> {
        self.loading(&env, options, true)
    }

    /// Loads what is in force with more texts beside it, which changes nothing.
    #[napi(ts_return_type = "Promise<Engine>", catch_unwind)]
    pub fn load_beside(
        &self,
        env: Env,
        #[napi(ts_arg_type = "EngineOptions")] options: Unknown<'_>,
    ) -> napi::Result<AsyncTask<LoadRelease>> {
        self.loading(&env, options, false)
    }

    /// Puts in force what was loaded. It is on disk then.
    #[napi(ts_return_type = "Promise<void>", catch_unwind)]
    pub fn admit(&self, env: Env) -> napi::Result<AsyncTask<Admit>> {
        Ok(AsyncTask::new(Admit(self.following(&env)?)))
    }

    /// Says that what was loaded is not to be in force.
    #[napi(catch_unwind)]
    pub fn refuse(&self, env: Env, reason: String) -> napi::Result<()> {
        let following = self.following(&env)?;
        if let Some(set) = following.take() {
            following.replica.refuse(&set, &reason);
        }
        Ok(())
    }

    /// Lets go of the directory. Whatever is called afterwards throws `replica::closed`.
    #[napi]
    pub fn close(&self) {
        self.0.replace(None);
    }
}

impl PolicyReplica {
    fn following(&self, env: &Env) -> napi::Result<Arc<Following>> {
        let closed = || Failure::new("replica::closed", "the replica was closed").thrown(env);
        self.0.borrow().clone().ok_or_else(closed)
    }

    fn loading(
        &self,
        env: &Env,
        options: Unknown<'_>,
        is_admitted: bool,
    ) -> napi::Result<AsyncTask<LoadRelease>> {
        let following = self.following(env)?;
        let options = Options::read_beside_release(options).map_err(|e| e.thrown(env))?;
        Ok(AsyncTask::new(LoadRelease { following, options: Some(options), is_admitted }))
    }
}

impl Following {
    fn open(options: &PolicyReplicaOptions) -> Result<Self> {
        let wrong = |message: String| Failure::new("replica::options", message);
        let trust = PathBuf::from(&options.trust);
        let trusted = read_trust(&trust).map_err(wrong)?;
        let (channel, offered, store) = match (&options.source, &options.channel) {
            (Some(source), None) => {
                let location: Location = source.parse().map_err(|e| wrong(format!("{e}")))?;
                let store = location.open(&options.store()?).map_err(|e| wrong(e.to_string()))?;
                (location.channel().clone(), None, store)
            }
            (None, Some(channel)) => {
                let channel: Channel = channel.parse().map_err(|e| wrong(format!("{e}")))?;
                let place = options.place.as_deref().unwrap_or("what is handed over");
                let offered = OfferedStore::new(place);
                let store: Box<dyn PolicyStore> = Box::new(offered.clone());
                (channel, Some(offered), store)
            }
            _ => return Err(wrong("give either `source` or `channel`".to_owned())),
        };
        let mut follows = ReplicaOptions::new(channel, &options.state);
        let pin = options.pin.as_ref().map(|pin| pin.parse()).transpose();
        follows.pin = pin.map_err(|error| wrong(format!("`pin`: {error}")))?;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        follows.max_staleness = options.max_staleness_seconds.map(seconds);
        let replica = Replica::open(follows, store, trusted);
        let replica = replica.map_err(|error| wrong(error.to_string()))?;
        Ok(Self { replica, trust, offered, loading: Mutex::default() })
    }

    fn look(&self, release: Option<OfferedRelease>) -> Result<Json> {
        if let Some(offered) = &self.offered {
            offered.offer(release);
        }
        match read_trust(&self.trust) {
            Ok(trust) => {
                self.replica.trust(trust);
                // What is wrong is in the status.
                let _ = self.replica.poll();
            }
            // What cannot be read leaves whom was trusted before.
            Err(problem) => self.replica.report(problem),
        }
        Json::of(&self.replica.status())
    }

    fn load(&self, mut options: Options, is_admitted: bool) -> Result<Policies> {
        let set = if is_admitted { self.replica.to_load() } else { self.replica.in_force() };
        let set = set.ok_or_else(|| {
            let problem = self.replica.status().problem;
            let reason = problem.unwrap_or_else(|| "nobody has looked yet".to_owned());
            let channel = self.replica.channel();
            Failure::new("replica::nothing", format!("no release of {channel} is here: {reason}"))
        })?;
        if is_admitted {
            self.replica.place_rules(&set).map_err(|error| {
                Failure::new("replica::rules", format!("the rules cannot be written: {error}"))
            })?;
            *self.lock() = Some(Arc::clone(&set));
        }
        if options.rules.is_none() && set.bundle().components().next().is_some() {
            options.rules = Some(self.replica.rules().to_owned());
        }
        options.release = Some(Arc::clone(&set));
        let refuse = |details: &str| {
            let refusal = SetRefusal { reason: UNLOADED, details, problems: &[] };
            self.replica.refuse_with(&set, &refusal);
        };
        let loaded = Policies::load(options);
        match &loaded {
            Ok(_) if !is_admitted => {}
            Ok(policies) => {
                let checked = self.replica.check(&set, &policies.current().engine, None);
                checked.map_err(|reason| {
                    self.replica.refuse(&set, &reason);
                    Failure::new("replica::refused", reason)
                })?;
            }
            Err(failure) if is_admitted => refuse(&failure.text()),
            Err(_) => {}
        }
        loaded
    }

    fn admit(&self) -> Result<()> {
        let nothing = || Failure::new("replica::nothing", "nothing was loaded");
        let set = self.take().ok_or_else(nothing)?;
        self.replica.admit(&set).map_err(|reason| {
            self.replica.refuse(&set, "the set cannot be put in force");
            Failure::new("replica::refused", reason)
        })
    }

    fn take(&self) -> Option<Arc<SignedSet>> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<SignedSet>>> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PolicyReplicaOptions {
    fn store(&self) -> Result<StoreOptions> {
        let read = |path: &Option<String>| path.as_deref().map(Path::new).map(small).transpose();
        let mut options = StoreOptions::default();
        if let Some(seconds) = self.store_timeout_seconds {
            options.http.timeout = Duration::from_secs(seconds.into());
        }
        options.http.authorities = read(&self.store_ca)?.map(String::into_bytes);
        options.http.token = read(&self.store_token)?.map(|token| token.trim().to_owned());
        if let Some(text) = read(&self.registry_config)? {
            let failed = |e| Failure::new("replica::options", format!("`registryConfig`: {e}"));
            options.credentials = Credentials::from_json(&text).map_err(failed)?;
        }
        Ok(options)
    }
}

/// Reads a small file.
fn small(path: &Path) -> Result<String> {
    use stagedoor_source::{FileSystem as _, RealFileSystem};

    const BYTES: u64 = 1 << 20;
    let failed = |reason: String| {
        Failure::new("file::read", format!("`{}` cannot be read: {reason}", path.display()))
    };
    let bytes = RealFileSystem.read(path, BYTES).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > BYTES {
        return Err(failed(format!("it is larger than {BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))
}

/// Opens a replica on another thread.
#[derive(Debug)]
pub struct Open(PolicyReplicaOptions);

impl Task for Open {
    type Output = Result<Following>;
    type JsValue = PolicyReplica;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(crate::loading::guarded(|| Following::open(&self.0)))
    }

    fn resolve(&mut self, env: Env, opened: Self::Output) -> napi::Result<PolicyReplica> {
        let opened = opened.map_err(|failure| failure.thrown(&env))?;
        Ok(PolicyReplica(RefCell::new(Some(Arc::new(opened)))))
    }
}

/// Looks at the store on another thread.
#[derive(Debug)]
pub struct Look {
    following: Arc<Following>,
    offered: Option<OfferedRelease>,
}

impl Task for Look {
    type Output = Result<Json>;
    type JsValue = Json;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let offered = self.offered.take();
        Ok(crate::loading::guarded(|| self.following.look(offered)))
    }

    fn resolve(&mut self, env: Env, status: Self::Output) -> napi::Result<Json> {
        status.map_err(|failure| failure.thrown(&env))
    }
}

/// Loads a release on another thread.
#[derive(Debug)]
pub struct LoadRelease {
    following: Arc<Following>,
    options: Option<Options>,
    is_admitted: bool,
}

impl Task for LoadRelease {
    type Output = Result<Policies>;
    type JsValue = Engine;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let options = self.options.take();
        let missing = || Failure::new("internal::task", "the task ran twice");
        let (following, is_admitted) = (&self.following, self.is_admitted);
        Ok(crate::loading::guarded(|| following.load(options.ok_or_else(missing)?, is_admitted)))
    }

    fn resolve(&mut self, env: Env, loaded: Self::Output) -> napi::Result<Engine> {
        loaded.map(Engine::of).map_err(|failure| failure.thrown(&env))
    }
}

/// Puts a release in force on another thread: it is written to disk.
#[derive(Debug)]
pub struct Admit(Arc<Following>);

impl Task for Admit {
    type Output = Result<()>;
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(crate::loading::guarded(|| self.0.admit()))
    }

    fn resolve(&mut self, env: Env, admitted: Self::Output) -> napi::Result<()> {
        admitted.map_err(|failure| failure.thrown(&env))
    }
}
