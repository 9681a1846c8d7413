//! Records of what the webhooks decide.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use stagedoor_audit::{DecisionLog, DecisionSink, Form, LogOptions};
use stagedoor_webhook::ServerConfig;

use crate::support::{Client, Files, POLICIES, Running, eventually, review};

#[derive(Clone, Default)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    is_full: Arc<Mutex<bool>>,
}

impl DecisionSink for Lines {
    fn write(&mut self, lines: &str) -> std::io::Result<()> {
        if *self.is_full.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(std::io::Error::other("no room"));
        }
        let lines = lines.lines().map(str::to_owned);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
        Ok(())
    }
}

impl Lines {
    fn records(&self) -> Result<Vec<Value>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?)
    }
}

#[tokio::test]
async fn everything_that_was_asked_is_in_the_record() -> Result<()> {
    let files = Files::new()?;
    let lines = Lines::default();
    let log = DecisionLog::new(LogOptions::default(), Form::Own, Box::new(lines.clone()));
    let log = Arc::new(log);
    let mut config = files.config();
    config.log = Some(Arc::clone(&log));
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let asked = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {
            "user": "ann", "uid": "u1", "groups": ["devs"], "extra": {"k": ["v"]},
            "resourceAttributes": {
                "namespace": "t", "verb": "delete", "version": "v1", "resource": "pods",
                "subresource": "eviction", "name": "p",
            },
        },
    });
    client.review(asked.to_string()).await?;
    // Allowed, and only reads: not among denials and changes.
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    let path = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "ann", "nonResourceAttributes": {"verb": "get", "path": "/metrics"}},
    });
    client.review(path.to_string()).await?;
    client.review(review("get", "secrets")).await?;
    running.stop().await?;

    let records = lines.records()?;
    let decided: Vec<&Value> = records.iter().filter(|r| r["endpoint"] == "authorize").collect();
    assert_eq!(decided.len(), 3, "{records:?}");
    assert_eq!(records[0]["outcome"], "changed", "the policies that were loaded");
    let first = decided.first().context("a record")?;
    assert_eq!(
        first["request"],
        json!({
            "user": "ann", "uid": "u1", "groups": ["devs"], "extra": {"k": ["v"]},
            "verb": "delete", "apiGroup": "", "apiVersion": "v1", "resource": "pods",
            "subresource": "eviction", "namespace": "t", "name": "p",
        })
    );
    assert_eq!(first["outcome"], "no-opinion");
    assert_eq!(first["policies"], json!([]));
    assert_eq!(first["revision"], records[0]["revision"]);
    assert!(first["requestId"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(decided[1]["request"]["path"], "/metrics");
    assert_eq!(decided[2]["outcome"], "denied");
    assert_eq!(decided[2]["policies"], json!([{"id": "no-secrets", "effect": "forbid"}]));
    let counts = log.counts();
    assert_eq!((counts.written, counts.dropped), (records.len() as u64, 0));
    Ok(())
}

#[tokio::test]
async fn nothing_is_allowed_that_must_be_recorded_and_is_not() -> Result<()> {
    let files = Files::new()?;
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.required = true;
    options.rules.decisions = stagedoor_audit::Decisions::All;
    let log = DecisionLog::new(options, Form::Own, Box::new(lines.clone()));
    let mut config = files.config();
    config.log = Some(Arc::new(log));
    let running = Running::start(&files, config).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    *lines.is_full.lock().unwrap_or_else(PoisonError::into_inner) = true;
    let status = client.review(review("list", "pods")).await?;
    assert_eq!((&status["allowed"], &status["denied"]), (&json!(false), &json!(true)), "{status}");
    *lines.is_full.lock().unwrap_or_else(PoisonError::into_inner) = false;
    assert_eq!(client.review(review("list", "pods")).await?["allowed"], json!(true));
    running.stop().await
}

/// Returns a running server whose log must have every decision, and the log's sink.
async fn recording(
    files: &Files,
    change: impl FnOnce(&mut ServerConfig),
) -> Result<(Running, Lines)> {
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.required = true;
    options.rules.decisions = stagedoor_audit::Decisions::All;
    let log = DecisionLog::new(options, Form::Own, Box::new(lines.clone()));
    let mut config = files.config();
    config.log = Some(Arc::new(log));
    change(&mut config);
    Ok((Running::start(files, config).await?, lines))
}

/// A permit of objects, and one that hangs on the object.
const CONDITIONAL: &str = r#"
@id("all") permit(principal, action, resource is k8s::admission::Resource);
@id("owners-write")
permit(principal, action in k8s::Action::"write", resource is k8s::Resource) when {
  resource has object && resource.object.hasTag("/owner") &&
  resource.object.getTag("/owner").contains(principal.name)
};
@id("broken")
forbid(principal, action, resource is k8s::Resource)
when { resource.resource == "sums" && 9223372036854775807 + 1 > 0 };
"#;

fn conditions(uid: &str) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1alpha1", "kind": "AuthorizationConditionsReview",
        "request": {
            "uid": uid, "operation": "CREATE", "object": {},
            "conditionSets": [{"authorizerName": "stagedoor", "failureMode": "Deny", "conditions": [
                {"id": "c", "effect": "Allow", "type": "stagedoor-cedar", "condition": "true"},
            ]}],
        },
    })
}

fn asked(verb: &str, resource: &str) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": "alice", "conditionalAuthorization": {"mode": "HumanReadable"},
            "resourceAttributes": {"verb": verb, "resource": resource, "version": "v1"},
        },
    })
}

#[tokio::test]
async fn whatever_is_allowed_is_denied_where_it_cannot_be_recorded() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(CONDITIONAL)?;
    let (running, lines) =
        recording(&files, |config| config.experimental_conditional = true).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let could_not = json!("the decision could not be recorded");
    for is_full in [false, true, false] {
        *lines.is_full.lock().unwrap_or_else(PoisonError::into_inner) = is_full;
        let (_, body) = client.post("/admit", admission("u")).await?;
        let admitted: Value = serde_json::from_str(&body)?;
        let response = &admitted["response"];
        assert_eq!(response["allowed"], json!(!is_full), "{body}");
        let (_, body) = client.post("/conditions", conditions("").to_string()).await?;
        let evaluated: Value = serde_json::from_str(&body)?;
        let evaluated = &evaluated["response"];
        assert_eq!(evaluated["allowed"] == json!(true), !is_full, "{body}");
        assert_eq!(evaluated["denied"] == json!(true), is_full, "{body}");
        // Nobody gets conditions that may allow later.
        let status = client.review(asked("create", "pods").to_string()).await?;
        assert_eq!(status["conditionsChain"] == Value::Null, is_full, "{status}");
        assert_eq!(status["denied"] == json!(true), is_full, "{status}");
        if is_full {
            assert_eq!(response["status"]["message"], could_not);
            assert_eq!(response["auditAnnotations"]["evaluation-error"], could_not);
            assert_eq!(evaluated["evaluationError"], could_not);
            assert_eq!((&status["reason"], &status["evaluationError"]), (&could_not, &could_not));
        }
        // What is denied anyway keeps its reason.
        let status = client.review(asked("get", "sums").to_string()).await?;
        assert_eq!(status["reason"], json!("forbidden by `broken`"), "{status}");
    }
    running.stop().await
}

#[tokio::test]
async fn conditions_and_failures_are_in_the_record() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(CONDITIONAL)?;
    let (running, lines) =
        recording(&files, |config| config.experimental_conditional = true).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    client.review(asked("create", "pods").to_string()).await?;
    client.review(asked("get", "sums").to_string()).await?;
    let mut long = asked("get", "pods");
    long["spec"]["user"] = json!("x".repeat(70_000));
    client.review(long.to_string()).await?;
    client.post("/conditions", conditions("").to_string()).await?;
    client.post("/admit", admission("u-7")).await?;
    let (_, metrics) = client.get("/metrics").await?;
    running.stop().await?;
    let (revision, records) = decided(&lines)?;
    let [conditional, broken, long, evaluated, admitted] = records.as_slice() else {
        anyhow::bail!("{records:?}");
    };
    assert_eq!(conditional["outcome"], "conditional");
    assert_eq!(conditional["conditions"][0]["effect"], "Allow", "{conditional}");
    assert_eq!(conditional["conditions"][0]["id"], "0-owners-write");
    assert_eq!(conditional.get("error"), None, "{conditional}");
    // What a policy failed by is its error, and told once.
    assert_eq!(broken["outcome"], "denied");
    assert_eq!(broken["errors"][0]["policy"], "broken", "{broken}");
    assert_eq!(broken.get("error"), None, "{broken}");
    // What was asked could not be decided: no policy was.
    ensure!(long["error"]["message"].as_str().is_some_and(|m| m.contains("70000")), "{long}");
    assert_eq!(long["revision"], revision, "it was loaded all the same");
    assert_eq!(evaluated["endpoint"], "conditions");
    assert_eq!(evaluated["outcome"], "allowed");
    assert_eq!(evaluated["conditions"][0]["condition"], "true");
    assert_eq!(evaluated.get("auditId"), None, "{evaluated}");
    assert_eq!(evaluated.get("revision"), None, "{evaluated}");
    assert_eq!((&admitted["outcome"], &admitted["auditId"]), (&json!("allowed"), &json!("u-7")));
    assert_eq!(admitted["revision"], revision);
    // Nothing of the objects, unless that is asked for.
    assert_eq!(admitted["request"].get("object"), None, "{admitted}");
    ensure!(metrics.contains("stagedoor_evaluation_errors_total 2\n"), "{metrics}");
    Ok(())
}

/// Returns the revision of the policies that were loaded, and the records of decisions.
fn decided(lines: &Lines) -> Result<(Value, Vec<Value>)> {
    let (loaded, decided): (Vec<Value>, Vec<Value>) =
        lines.records()?.into_iter().partition(|record| record["endpoint"] == "reload");
    Ok((loaded.first().context("policies")?["revision"].clone(), decided))
}

#[tokio::test]
async fn what_secrets_hold_is_masked_and_nothing_else() -> Result<()> {
    let files = Files::new()?;
    files.write_policies(CONDITIONAL)?;
    let (running, lines) = recording(&files, |config| {
        config.record_objects = true;
        config.experimental_conditional = true;
    })
    .await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let object = json!({
        "metadata": {"name": "s", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "p", "note": "n"}},
        "data": {"password": "p"},
        "stringData": {"password": "p"},
    });
    let options = json!({"kind": "CreateOptions", "data": "o"});
    for (group, resource) in [("", "secrets"), ("example.com", "secrets"), ("", "configmaps")] {
        let mut review: Value = serde_json::from_str(&admission("u"))?;
        let request = &mut review["request"];
        request["resource"] = json!({"group": group, "version": "v1", "resource": resource});
        (request["object"], request["options"]) = (object.clone(), options.clone());
        request["oldObject"] = json!({"data": {"password": "old"}});
        client.post("/admit", review.to_string()).await?;
    }
    running.stop().await?;
    let (_, records) = decided(&lines)?;
    let [secret, other, config] = records.as_slice() else {
        anyhow::bail!("{records:?}");
    };
    for plain in [other, config] {
        assert_eq!(plain["request"]["object"], object);
        assert_eq!(plain.get("masked"), None, "{plain}");
    }
    let (request, masked) = (&secret["request"], &secret["masked"]);
    let mask = json!(stagedoor_audit::MASK);
    assert_eq!((&request["object"]["data"], &request["object"]["stringData"]), (&mask, &mask));
    assert_eq!(request["oldObject"], json!({"data": mask}));
    assert_eq!(request["options"], options);
    let annotations = &request["object"]["metadata"]["annotations"];
    let applied = "kubectl.kubernetes.io/last-applied-configuration";
    assert_eq!(*annotations, json!({applied: mask, "note": "n"}));
    let pointers = [
        "/request/object/data",
        "/request/object/stringData",
        "/request/object/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
        "/request/oldObject/data",
    ];
    assert_eq!(*masked, json!(pointers));
    Ok(())
}

#[tokio::test]
async fn what_only_reads_is_no_change_and_callers_are_known_by_their_certificate() -> Result<()> {
    let files = Files::new()?;
    files.write_policies("permit(principal, action, resource);")?;
    let lines = Lines::default();
    let log = DecisionLog::new(LogOptions::default(), Form::Own, Box::new(lines.clone()));
    let mut config = files.mutual();
    config.log = Some(Arc::new(log));
    let running = Running::start(&files, config).await?;
    let tls = files.client(Some(&files.client_authority))?;
    let mut client = Client::connect(running.address, tls).await?;
    let path = |verb: &str| {
        json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "spec": {"user": "ann", "nonResourceAttributes": {"verb": verb, "path": "/x"}},
        })
    };
    for verb in ["get", "list", "watch", "head", "options", "post"] {
        client.review(path(verb).to_string()).await?;
    }
    for verb in ["get", "list", "watch", "head", "create"] {
        client.review(review(verb, "pods")).await?;
    }
    running.stop().await?;
    let records = lines.records()?;
    let decided = records.iter().filter(|record| record["endpoint"] == "authorize");
    let verbs: Vec<&Value> = decided.clone().map(|record| &record["request"]["verb"]).collect();
    assert_eq!(verbs, ["post", "head", "create"]);
    for record in decided {
        let certificate = record["caller"]["certificate"].as_str().unwrap_or_default();
        ensure!(certificate.starts_with("sha256:") && certificate.len() == 71, "{record}");
    }
    Ok(())
}

#[tokio::test]
async fn a_long_name_is_not_repeated() -> Result<()> {
    let files = Files::new()?;
    let running = Running::start(&files, files.config()).await?;
    let mut client = Client::connect(running.address, files.client(None)?).await?;
    let asked = json!({
        "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "x".repeat(1_000_000), "resourceAttributes": {"verb": "get", "resource": "pods"}},
    });
    let status = client.review(asked.to_string()).await?;
    assert_eq!(status["denied"], json!(true));
    assert!(status["evaluationError"].as_str().is_some_and(|e| e.len() < 1_100));
    running.stop().await
}

/// Clients, who ask until so many sets of policies were in force.
const CLIENTS: usize = 4;
const RELOADS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_answer_has_one_record_under_load_with_reloads() -> Result<()> {
    let files = Files::new()?;
    let lines = Lines::default();
    let mut options = LogOptions::default();
    options.rules.decisions = stagedoor_audit::Decisions::All;
    let log = Arc::new(DecisionLog::new(options, Form::Own, Box::new(lines.clone())));
    let mut config = files.config();
    config.log = Some(Arc::clone(&log));
    let running = Running::start(&files, config).await?;
    let (address, tls) = (running.address, files.client(None)?);
    let is_over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (tls, is_over) = (tls.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut connection = match client % 2 {
                    0 => Client::connect(address, tls).await?,
                    _ => Client::connect_http2(address, tls).await?,
                };
                let mut n = 0;
                while !is_over.load(Ordering::Acquire) {
                    let (path, body) = match n % 3 {
                        0 => ("/authorize", review("list", "pods")),
                        1 => ("/authorize", review("get", "secrets")),
                        _ => ("/admit", admission(&format!("u-{client}-{n}"))),
                    };
                    let mut request =
                        connection.request(http::Method::POST, path, body.into_bytes().into())?;
                    let id = format!("q-{client}-{n}").parse()?;
                    request.headers_mut().insert("x-request-id", id);
                    let (code, body) = connection.send(request).await?;
                    anyhow::ensure!(code == http::StatusCode::OK, "{code}: {body}");
                    n += 1;
                }
                anyhow::Ok(n)
            })
        })
        .collect();
    let mut watching = Client::connect(address, tls).await?;
    for n in 0..RELOADS {
        files.write_policies(&format!(
            "{POLICIES} @id(\"n{n}\") permit(principal == k8s::User::\"nobody-{n}\", action, resource);"
        ))?;
        let reloaded =
            format!("stagedoor_reloads_total{{result=\"success\",what=\"policies\"}} {}\n", n + 1);
        eventually("the change is in force", async || {
            Ok(watching.get("/metrics").await?.1.contains(&reloaded))
        })
        .await?;
    }
    is_over.store(true, Ordering::Release);
    let mut expected = std::collections::BTreeMap::new();
    for (client, asking) in asking.into_iter().enumerate() {
        expected.extend((0..asking.await??).map(|n| (format!("q-{client}-{n}"), 1)));
    }
    running.stop().await?;
    let mut found = std::collections::BTreeMap::<String, usize>::new();
    let mut revisions = std::collections::BTreeSet::new();
    for record in lines.records()?.iter().filter(|record| record["endpoint"] != "reload") {
        let id = record["requestId"].as_str().context("an id")?;
        *found.entry(id.to_owned()).or_default() += 1;
        revisions.insert(record["revision"].as_str().context("a revision")?.to_owned());
    }
    assert_eq!(found, expected);
    assert!(revisions.len() > 1, "nothing was asked meanwhile");
    assert_eq!((log.counts().dropped, log.counts().failed), (0, 0));
    Ok(())
}

fn admission(uid: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid, "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "name": "c", "namespace": "payments", "operation": "CREATE",
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
        },
    })
    .to_string()
}
