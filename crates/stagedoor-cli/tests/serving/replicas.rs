//! Servers that follow a channel: three of them, published to by the command, cut off, killed and
//! taken back.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::serving::{Serving, eventually};

const SCHEMA: &str =
    "entity User, Doc; action read, write appliesTo { principal: User, resource: Doc };";
const TESTS: &str = "cases:
  - name: ana reads
    principal: User::\"ana\"
    action: Action::\"read\"
    resource: Doc::\"d\"
    expect: allow
";

struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Result<Self> {
        let place = Self(tempfile::tempdir()?);
        std::fs::create_dir(place.path().join("set"))?;
        std::fs::write(place.path().join("set/app.cedarschema"), SCHEMA)?;
        std::fs::write(place.path().join("set/app.test.yaml"), TESTS)?;
        place.allow("read", &["ana"])?;
        let made = place.run(&["sign", "--new-key", "ci.key"])?;
        ensure!(made.code == Some(0), "{}", made.err);
        Ok(place)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes the set: these users may do this, and nobody anything else.
    fn allow(&self, action: &str, users: &[&str]) -> Result<()> {
        let policy = |user: &&str| {
            format!(
                "@id(\"{user}\") permit (principal == User::\"{user}\", \
                 action == Action::\"{action}\", resource);\n"
            )
        };
        let policies: String = users.iter().map(policy).collect();
        Ok(std::fs::write(self.path().join("set/p.cedar"), policies)?)
    }

    fn run(&self, args: &[&str]) -> Result<Run> {
        let run = Command::new(env!("CARGO_BIN_EXE_stagedoor"))
            .args(args)
            .current_dir(self.path())
            .env_remove("DOCKER_CONFIG")
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Run { code: run.status.code(), out: text(&run.stdout), err: text(&run.stderr) })
    }

    /// Publishes the set; returns what was published.
    fn push(&self, more: &[&str]) -> Result<Value> {
        let args =
            ["--format", "json", "push", "set", "./store/docs:production", "--key", "ci.key"];
        let run = self.run(&[&args, more].concat())?;
        ensure!(run.code == Some(0), "{}{}", run.out, run.err);
        Ok(serde_json::from_str(&run.out)?)
    }

    fn serve(&self, state: &str, more: &[&str]) -> Result<Serving> {
        let path = |name: &str| self.path().join(name).display().to_string();
        let (source, trust, state) =
            (path("store/docs:production"), path("ci.key.pub"), path(state));
        let args = ["--source", &source, "--trust", &trust, "--state", &state];
        Serving::start(&[&args, ["--poll-interval", "1"].as_slice(), more].concat())
    }
}

/// Asks whether somebody may; returns the answer and the revision that it was given by.
fn ask(serving: &Serving, user: &str, action: &str) -> Result<(u16, Option<bool>, Option<String>)> {
    let body = json!({
        "subject": {"type": "User", "id": user},
        "action": {"name": action},
        "resource": {"type": "Doc", "id": "d"},
    });
    let answered = serving.post("/access/v1/evaluation", &body.to_string(), &[])?;
    let revision = answered.headers.get("stagedoor-revision");
    let revision = revision.map(|value| value.to_str().map(str::to_owned)).transpose()?;
    let decision = (answered.code == 200).then(|| answered.json()).transpose()?;
    let decision = decision.and_then(|decision| decision["decision"].as_bool());
    Ok((answered.code, decision, revision))
}

fn allows(serving: &Serving, user: &str) -> Result<bool> {
    Ok(ask(serving, user, "read")?.1 == Some(true))
}

fn health(serving: &Serving) -> Result<String> {
    Ok(serving.get("/readyz?verbose")?.text)
}

#[test]
fn three_replicas_follow_a_channel() -> Result<()> {
    let place = Place::new()?;
    let first = place.push(&["--commit", "c1"])?;
    ensure!(first["counter"] == 1 && first["provenance"]["testsPassed"] == 1, "{first}");
    let mut servers =
        ["s1", "s2", "s3"].iter().map(|s| place.serve(s, &[])).collect::<Result<Vec<_>>>()?;
    for server in &servers {
        eventually("the first release decides", || allows(server, "ana"))?;
        ensure!(!allows(server, "bob")?);
    }
    let bases: Vec<String> = servers.iter().map(|server| server.base.clone()).collect();
    let fleet = |more: &[&str]| {
        let bases: Vec<&str> = bases.iter().map(String::as_str).collect();
        place.run(&[&["--format", "json", "fleet"], bases.as_slice(), more].concat())
    };
    let digest = first["digest"].as_str().context("a digest")?.to_owned();
    let run = fleet(&["--expect", &digest, "--html", "fleet.html"])?;
    ensure!(run.code == Some(0), "{}{}", run.out, run.err);
    let page = std::fs::read_to_string(place.path().join("fleet.html"))?;
    ensure!(page.matches("<td>docs:production</td><td>1</td>").count() == 3, "{page}");
    let told: Value = serde_json::from_str(&run.out)?;
    ensure!(told["servers"][0]["release"]["inForce"]["commit"] == "c1", "{told}");
    let revisions: BTreeSet<Option<String>> =
        servers.iter().map(|server| Ok(ask(server, "ana", "read")?.2)).collect::<Result<_>>()?;
    ensure!(revisions.len() == 1 && !revisions.contains(&None), "{revisions:?}");

    place.allow("read", &["ana", "bob"])?;
    let second = place.push(&[])?;
    ensure!(second["counter"] == 2 && second["provenance"]["verdict"] == "widened", "{second}");
    ensure!(second["provenance"]["predecessor"] == first["digest"], "{second}");
    let begun = Instant::now();
    for server in &servers {
        eventually("the second release decides", || allows(server, "bob"))?;
    }
    eprintln!("published to in force on all three: {} ms", begun.elapsed().as_millis());

    // A release of somebody else changes nothing, and is told.
    ensure!(place.run(&["sign", "--new-key", "foreign.key"])?.code == Some(0));
    place.allow("read", &["ana", "eve"])?;
    let args = ["push", "set", "./store/docs:production", "--trust", "ci.key.pub", "--no-diff"];
    let run = place.run(&[&args, ["--key", "foreign.key"].as_slice()].concat())?;
    ensure!(run.code == Some(0), "{}", run.err);
    for server in &servers {
        eventually("the foreign release is told", || {
            Ok(health(server)?.contains("nobody trusted has signed it"))
        })?;
        ensure!(!allows(server, "eve")? && allows(server, "bob")?);
        ensure!(server.get("/readyz")?.code == 200);
    }
    ensure!(fleet(&[])?.code == Some(1));

    // The source is gone; one is killed, and starts without it.
    std::fs::rename(place.path().join("store"), place.path().join("away"))?;
    servers.remove(0).signal("-KILL")?;
    let again = place.serve("s1", &[])?;
    eventually("the last good release decides", || allows(&again, "bob"))?;
    ensure!(!allows(&again, "eve")?);
    ensure!(health(&again)?.contains("source not confirmed"), "{}", health(&again)?);
    Ok(())
}

#[test]
fn a_channel_is_taken_back_by_a_release_that_says_so() -> Result<()> {
    let place = Place::new()?;
    let first = place.push(&[])?;
    let digest = first["digest"].as_str().context("a digest")?.to_owned();
    place.allow("read", &["ana", "bob"])?;
    place.push(&[])?;
    let server = place.serve("s1", &[])?;
    eventually("the second release decides", || allows(&server, "bob"))?;
    let promote = ["--format", "json", "promote", "./store/docs:production", "--key", "ci.key"];
    let pin = ["--trust", "ci.key.pub", "--pin", &digest, "--reason", "bob has left"];
    let run = place.run(&[promote.as_slice(), &pin].concat())?;
    ensure!(run.code == Some(0), "{}", run.err);
    let back: Value = serde_json::from_str(&run.out)?;
    ensure!(back["counter"] == 3 && back["rollback"]["from"] == 2, "{back}");
    eventually("the first set decides again", || Ok(!allows(&server, "bob")?))?;
    ensure!(health(&server)?.contains("release 3 takes back 2"), "{}", health(&server)?);

    // What was released for one channel is released for another one under its name.
    let to = ["./store/docs:production", "./store/docs:canary"];
    let run = place.run(
        &[&["promote"], to.as_slice(), &["--key", "ci.key", "--trust", "ci.key.pub"]].concat(),
    )?;
    ensure!(run.code == Some(0), "{}", run.err);
    let verify = ["--format", "json", "verify", "./store/docs:canary", "--trust", "ci.key.pub"];
    let canary: Value = serde_json::from_str(&place.run(&verify)?.out)?;
    ensure!(canary["counter"] == 1 && canary["digest"] == first["digest"], "{canary}");
    // A signature for the one is none for the other.
    let channels = place.path().join("store/docs/channels");
    std::fs::copy(
        channels.join("canary.sigstore.json"),
        channels.join("production.sigstore.json"),
    )?;
    let run = place.run(&["verify", "./store/docs:production", "--trust", "ci.key.pub"])?;
    ensure!(run.code == Some(1) && run.err.contains("signed for `docs:canary`"), "{}", run.err);
    Ok(())
}

#[test]
fn gates_keep_a_set_out() -> Result<()> {
    let place = Place::new()?;
    place.push(&[])?;
    let server = place.serve("s1", &["--refuse-change", "widened", "--set-tests", "required"])?;
    eventually("the first release decides", || allows(&server, "ana"))?;

    place.allow("read", &["ana", "bob"])?;
    let widened = place.push(&[])?;
    ensure!(widened["provenance"]["verdict"] == "widened", "{widened}");
    eventually("the gate is told", || Ok(health(&server)?.contains("a gate refuses the set")))?;
    ensure!(!allows(&server, "bob")? && allows(&server, "ana")?);
    place.push(&["--approve", "widened"])?;
    eventually("it is approved", || allows(&server, "bob"))?;

    // Its own test fails: it is not published, and where it is all the same, it is not taken up.
    place.allow("write", &["ana"])?;
    let push = ["push", "set", "./store/docs:production", "--key", "ci.key"];
    let run = place.run(&push)?;
    ensure!(run.code == Some(1) && run.err.contains("1 tests failed"), "{}", run.err);
    let bundle = place.run(&["bundle", "set", "--tests"])?;
    ensure!(bundle.code == Some(0), "{}", bundle.err);
    std::fs::write(place.path().join("b.bundle.json"), bundle.out.trim_end())?;
    let push = ["push", "b.bundle.json", "./store/docs:production", "--key", "ci.key"];
    ensure!(place.run(&[&push, ["--approve", "widened"].as_slice()].concat())?.code == Some(0));
    eventually("the failing test is told", || {
        Ok(health(&server)?.contains("release 4 is refused"))
    })?;
    ensure!(allows(&server, "bob")? && ask(&server, "ana", "write")?.1 == Some(false));

    // Neither is one without tests.
    place.allow("read", &["ana"])?;
    place.push(&["--no-tests"])?;
    eventually("that it has no tests is told", || {
        Ok(health(&server)?.contains("release 5 is refused"))
    })?;
    ensure!(allows(&server, "bob")?);
    let (_, log) = server.end()?;
    ensure!(log.contains("of its tests fail here") && log.contains("it brings no tests"), "{log}");
    Ok(())
}

#[test]
fn without_anything_to_decide_by_a_server_waits() -> Result<()> {
    let place = Place::new()?;
    let server = place.serve("s1", &["--health-listen", "127.0.0.1:0"])?;
    let health = server.health.clone().context("an address of health")?;
    let get = |path: &str| server.get_at(&health, path);
    ensure!(get("/livez")?.code == 200);
    ensure!(get("/readyz")?.code == 503);
    eventually("why is told", || Ok(get("/readyz?verbose")?.text.contains("there is no")))?;
    place.push(&[])?;
    eventually("it is ready", || Ok(get("/readyz")?.code == 200))?;
    ensure!(allows(&server, "ana")?);
    let status: Value = get("/status")?.json()?;
    ensure!(status["sources"][0]["origin"]["inForce"]["counter"] == 1, "{status}");
    let metrics = get("/metrics")?.text;
    for line in ["stagedoor_release 1", "stagedoor_replica_ready 1"] {
        ensure!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    Ok(())
}

#[test]
fn bundles_are_equal_signed_and_verified() -> Result<()> {
    let place = Place::new()?;
    let bundle = |directory: &str| -> Result<String> {
        let run = place.run(&["bundle", directory, "--tests"])?;
        ensure!(run.code == Some(0), "{}", run.err);
        Ok(run.out)
    };
    let text = bundle("set")?;
    // The same files elsewhere, written in another order.
    std::fs::create_dir(place.path().join("copy"))?;
    for name in ["p.cedar", "app.test.yaml", "app.cedarschema"] {
        std::fs::copy(place.path().join("set").join(name), place.path().join("copy").join(name))?;
    }
    ensure!(bundle("copy")? == text);
    std::fs::write(place.path().join("b.bundle.json"), &text)?;
    let sign = ["sign", "b.bundle.json", "--as", "docs:production", "--counter", "3"];
    let run = place.run(&[&sign, ["--key", "ci.key", "--expires-in", "30"].as_slice()].concat())?;
    ensure!(run.code == Some(0), "{}", run.err);
    std::fs::write(place.path().join("b.sigstore.json"), &run.out)?;
    let verify = |bundle: &str, channel: &str, trust: &str| {
        let args = ["verify", bundle, "--signature", "b.sigstore.json", "--as", channel];
        place.run(&[&args, ["--trust", trust].as_slice()].concat())
    };
    let run = verify("b.bundle.json", "docs:production", "ci.key.pub")?;
    ensure!(run.code == Some(0) && run.out.contains("docs:production release 3"), "{}", run.err);
    ensure!(place.run(&["sign", "--new-key", "foreign.key"])?.code == Some(0));
    std::fs::write(place.path().join("other.bundle.json"), text.replace("ana", "eve"))?;
    for (bundle, channel, trust, code, says) in [
        ("b.bundle.json", "docs:staging", "ci.key.pub", 1, "it is signed for `docs:production`"),
        ("b.bundle.json", "docs:production", "foreign.key.pub", 1, "nobody trusted"),
        ("other.bundle.json", "docs:production", "ci.key.pub", 1, "the bundle is sha256:"),
        ("no.bundle.json", "docs:production", "ci.key.pub", 2, "cannot be read"),
        ("b.bundle.json", "docs:production", "ci.key", 2, "not a public key"),
    ] {
        let run = verify(bundle, channel, trust)?;
        ensure!(run.code == Some(code) && run.err.contains(says), "{says}: {}", run.err);
    }
    // A key is not written over.
    ensure!(place.run(&["sign", "--new-key", "ci.key"])?.code == Some(1));
    Ok(())
}

#[test]
fn what_does_not_load_is_not_signed() -> Result<()> {
    let place = Place::new()?;
    place.push(&[])?;
    let server = place.serve("s1", &[])?;
    eventually("the first release decides", || allows(&server, "ana"))?;
    let broken = "@id(\"b\") permit (principal, action, resource) when { resource.nope };";
    let files = json!({"files": {"app.cedarschema": SCHEMA, "p.cedar": broken}}).to_string();
    std::fs::write(place.path().join("b.bundle.json"), files)?;
    let store = "./store/docs:production";
    let sign = ["sign", "b.bundle.json", "--as", "docs:production", "--counter", "9"];
    let push = ["push", "b.bundle.json", store, "--no-diff"];
    let head = || std::fs::read(place.path().join("store/docs/channels/production.sigstore.json"));
    let before = head()?;
    for args in [sign.as_slice(), &push] {
        let run = place.run(&[args, &["--key", "ci.key"]].concat())?;
        ensure!(run.code == Some(1) && run.out.is_empty(), "{}", run.out);
        ensure!(run.err.contains("p.cedar:1:") && run.err.contains("nope"), "{}", run.err);
    }
    ensure!(head()? == before, "it is published");
    // A set of a limit of its own is loaded by it.
    place.run(&["bundle", "set"]).and_then(|run| {
        Ok(std::fs::write(place.path().join("good.bundle.json"), run.out.trim_end())?)
    })?;
    std::fs::write(place.path().join("limits.json"), r#"{"policyBytes": 10}"#)?;
    let good = ["sign", "good.bundle.json", "--as", "docs:production", "--counter", "9"];
    let run = place.run(&[&good, ["--key", "ci.key"].as_slice()].concat())?;
    ensure!(run.code == Some(0), "{}", run.err);
    let limited = ["--key", "ci.key", "--limits", "limits.json"];
    let run = place.run(&[&good, limited.as_slice()].concat())?;
    ensure!(run.code == Some(1) && run.err.contains("policyBytes"), "{}", run.err);

    // Who says so signs it, and replicas do not take it up. It is not promoted either.
    for args in [sign.as_slice(), &push] {
        let run = place.run(&[args, &["--key", "ci.key", "--no-load"]].concat())?;
        ensure!(run.code == Some(0), "{}", run.err);
    }
    let other = "./store/docs:canary";
    let promote = ["promote", store, other, "--key", "ci.key", "--trust", "ci.key.pub"];
    let run = place.run(&promote)?;
    ensure!(run.code == Some(1) && run.err.contains("p.cedar:1:"), "{}", run.err);
    eventually("it is refused", || Ok(health(&server)?.contains("release 2 is refused")))?;
    ensure!(allows(&server, "ana")?);
    let (_, log) = server.end()?;
    ensure!(log.contains("nope"), "{log}");
    Ok(())
}

#[test]
fn a_pulled_file_follows() -> Result<()> {
    let place = Place::new()?;
    place.push(&[])?;
    let pull = |more: &[&str]| {
        let args =
            ["pull", "./store/docs:production", "--trust", "ci.key.pub", "--output", "o.json"];
        place.run(&[&args, more].concat())
    };
    let read = || std::fs::read_to_string(place.path().join("o.json"));
    ensure!(pull(&[])?.code == Some(0));
    let first = read()?;
    ensure!(pull(&["--state", "state"])?.code == Some(0) && read()? == first);
    let head = place.path().join("store/docs/channels/production.sigstore.json");
    let old = std::fs::read(&head)?;
    place.allow("read", &["ana", "bob"])?;
    place.push(&[])?;
    ensure!(pull(&["--state", "state"])?.code == Some(0));
    let second = read()?;
    ensure!(second != first);
    // With a state, an older one is refused; what was pulled last stays.
    std::fs::write(&head, old)?;
    let run = pull(&["--state", "state"])?;
    ensure!(run.code == Some(1) && run.err.contains("release 1 is offered"), "{}", run.err);
    ensure!(read()? == second);
    Ok(())
}

/// Returns a rule called `hostile` that does this before it says yes.
pub fn rule(evaluate: &str) -> Result<Vec<u8>> {
    rule_with("", evaluate)
}

/// Returns one whose module has these items as well.
pub fn rule_with(core: &str, evaluate: &str) -> Result<Vec<u8>> {
    let parts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stagedoor-rule-host/tests/hostile");
    let part = |name: &str| std::fs::read_to_string(parts.join(name));
    let module = part("module.wat")?
        .replace("{core}", core)
        .replace("{describe}", "")
        .replace("{evaluate}", evaluate);
    let text = part("component.wat")?
        .replace("{imports}", "")
        .replace("{module}", &module)
        .replace("{version}", "0.1.0");
    Ok(wat::parse_str(text)?)
}

#[test]
fn rules_come_with_the_set_that_they_guard() -> Result<()> {
    const NO: &str = "(i32.store8 (i32.const 604) (i32.const 0))";
    let place = Place::new()?;
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(place.path().join("set").join(name), bytes);
    std::fs::create_dir(place.path().join("set/rules"))?;
    write("rules/hostile.wasm", &rule("")?)?;
    write("p.cedar", br#"@id("p") @guard("hostile") permit (principal, action, resource);"#)?;
    let first = place.push(&[])?;
    let cache = place.path().join("cache").display().to_string();
    let server = place.serve("s1", &["--rule-cache", &cache, "--refuse-change", "widened"])?;
    eventually("the rule says yes", || allows(&server, "ana"))?;

    // The same policies with another rule: what it says is not decided, and has to be approved of.
    write("rules/hostile.wasm", &rule(NO)?)?;
    let second = place.push(&["--no-tests"])?;
    ensure!(second["digest"] != first["digest"], "{second}");
    ensure!(second["provenance"]["verdict"] == "undecided", "{second}");
    eventually("the gate is told", || Ok(health(&server)?.contains("a gate refuses the set")))?;
    ensure!(allows(&server, "ana")?);
    place.push(&["--no-tests", "--approve", "undecided"])?;
    eventually("the rule says no", || Ok(!allows(&server, "ana")?))?;

    // Whoever can write to the replica's directory changes the rule: the set does not load with it.
    drop(server);
    std::fs::rename(place.path().join("store"), place.path().join("away"))?;
    std::fs::write(place.path().join("s1/set/rules/hostile.wasm"), rule("")?)?;
    let server = place.serve("s1", &["--rule-cache", &cache])?;
    eventually("it decides", || Ok(ask(&server, "ana", "read")?.0 == 200))?;
    ensure!(!allows(&server, "ana")?);
    Ok(())
}

/// Wherever a process is killed, there is the old set or the new one, and never an older one.
#[test]
fn killed_at_any_moment_it_has_a_whole_set() -> Result<()> {
    let place = Place::new()?;
    let args = ["pull", "./store/docs:production", "--trust", "ci.key.pub", "--output", "o.json"];
    let pull = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagedoor"));
        command.args(args).args(["--state", "state"]).current_dir(place.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let (mut published, mut highest, mut killed) = (Vec::new(), 0, 0);
    let mut whole = Duration::ZERO;
    for round in 0..24_u32 {
        let users: Vec<String> = (0..=round).map(|user| format!("u{user}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        place.allow("read", &users)?;
        ensure!(place.push(&["--no-tests", "--no-diff"])?["counter"] == round + 1);
        let bundle = place.run(&["bundle", "set"])?;
        published.push(bundle.out.trim_end().to_owned());

        let begun = Instant::now();
        let mut child = pull().spawn()?;
        // The first one comes to its end; the others are killed later each time.
        let is_over = |begun: Instant| round > 0 && begun.elapsed() > whole * round / 16;
        while !is_over(begun) && child.try_wait()?.is_none() {
            std::thread::yield_now();
        }
        if round == 0 {
            whole = begun.elapsed();
        }
        child.kill()?;
        killed += u32::from(child.wait()?.code().is_none());

        // Without the store, there is what was taken up last.
        std::fs::rename(place.path().join("store"), place.path().join("away"))?;
        let left = pull().output()?;
        std::fs::rename(place.path().join("away"), place.path().join("store"))?;
        if let Ok(text) = std::fs::read_to_string(place.path().join("o.json")) {
            let number = published.iter().position(|bundle| *bundle == text);
            let number = number.context("what is there was never published")?;
            ensure!(number >= highest, "{number} after {highest}");
            highest = number;
        }
        ensure!(left.status.code() == Some(1), "it is as new as it can be, and that is told");
    }
    ensure!(killed > 0 && highest > 0, "{killed} were killed, {highest} was the last one");
    Ok(())
}
