//! Every limit has its error, and input that is too much is refused fast.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use stagedoor_core::{
    DecideError, Engine, EngineBuilder, Entities, EntitiesError, Entity, EntityUid, Limits, Record,
    Request, RequestError, TemplateLink, Value,
};
use stagedoor_source::FromFiles as _;
use stagedoor_tests::bounded::{on_stack, within};

/// Far more than anything here takes on a slow machine, far less than what is not bounded.
const SOON: Duration = Duration::from_secs(60);

/// A quarter of the stack that a thread has where nobody asks for another.
const STACK: usize = 512 << 10;

fn exact(policies: impl Into<String>) -> EngineBuilder {
    Engine::builder().policies("p.cedar", policies).exact_cedar()
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

/// Returns the codes of the problems that keep a builder from building.
fn codes(builder: EngineBuilder) -> Result<Vec<String>> {
    match builder.build() {
        Ok(_) => bail!("it loaded"),
        Err(error) => Ok(error.problems().iter().map(|p| p.code().to_owned()).collect()),
    }
}

fn uid(text: &str) -> Result<EntityUid> {
    Ok(text.parse()?)
}

fn user(number: usize) -> Result<EntityUid> {
    uid(&format!("User::\"{number}\""))
}

fn request() -> Result<Request> {
    Ok(Request::new(user(0)?, uid("Action::\"read\"")?, uid("Doc::\"plan\"")?))
}

const PERMIT: &str = "permit(principal, action, resource);";

#[test]
fn each_limit_on_policies_has_its_error() -> Result<()> {
    let condition = |text: &str| format!("permit(principal, action, resource) when {{ {text} }};");
    let cases: [(&str, EngineBuilder); 10] = [
        ("limit::file-bytes", exact(PERMIT.repeat(10)).limits(limits(|l| l.file_bytes = 300))),
        ("limit::policy-bytes", exact(PERMIT).limits(limits(|l| l.policy_bytes = 30))),
        ("limit::policies", exact(PERMIT.repeat(3)).limits(limits(|l| l.policies = 2))),
        (
            "limit::policies",
            exact("permit(principal == ?principal, action, resource);")
                .link(TemplateLink {
                    template: "policy0".into(),
                    id: "l".into(),
                    principal: Some(user(0)?),
                    resource: None,
                })
                .limits(limits(|l| l.policies = 1)),
        ),
        ("limit::nesting", exact(condition("((((true))))")).limits(limits(|l| l.nesting = 4))),
        ("limit::nesting", exact(condition("[[[[1]]]] == [1]")).limits(limits(|l| l.nesting = 4))),
        (
            "limit::operators",
            exact(condition("true || true || true")).limits(limits(|l| l.operators = 1)),
        ),
        ("limit::operators", exact(condition("!!!true")).limits(limits(|l| l.operators = 2))),
        (
            "limit::nesting",
            Engine::builder()
                .schema("s", "entity User { a: Set<Set<Set<Set<Long>>>> };")
                .limits(limits(|l| l.nesting = 4)),
        ),
        ("policies::json", Engine::builder().policies_json("p", "[".repeat(1_000)).exact_cedar()),
    ];
    for (code, builder) in cases {
        let found = codes(builder)?;
        ensure!(found.iter().any(|c| c == code), "{code}: {found:?}");
    }
    // At the limit, not past it, they load.
    exact(condition("((true))")).limits(limits(|l| l.nesting = 3)).build()?;
    exact(PERMIT.repeat(3)).limits(limits(|l| l.policies = 3)).build()?;
    exact(condition("!!true")).limits(limits(|l| l.operators = 2)).build()?;
    Ok(())
}

#[test]
fn files_are_measured_before_they_are_read() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("p.cedar");
    std::fs::write(&path, PERMIT.repeat(100))?;
    let small = || limits(|l| l.file_bytes = 1_000);
    let file = Engine::builder().file(&path).exact_cedar().limits(small());
    ensure!(codes(file)? == ["limit::file-bytes"]);
    let directory = Engine::builder().directory(folder.path()).exact_cedar().limits(small());
    ensure!(codes(directory)? == ["limit::file-bytes"]);
    std::fs::write(&path, b"permit(principal, action, resource); // \xff")?;
    ensure!(codes(Engine::builder().file(&path).exact_cedar())? == ["file::utf8"]);
    Ok(())
}

#[test]
fn problems_are_reported_up_to_a_limit_and_then_counted() -> Result<()> {
    let builder = exact("permit(principal, action);\n".repeat(50));
    let Err(error) = builder.limits(limits(|l| l.problems = 7)).build() else {
        bail!("it loaded");
    };
    ensure!(error.problems().len() == 7 && error.unreported() == 43, "{error}");
    Ok(())
}

#[test]
fn each_limit_on_entities_has_its_error() -> Result<()> {
    let chain = |length: usize| -> Result<Vec<Entity>> {
        (0..length).map(|n| Ok(Entity::new(user(n)?).with_parent(user(n + 1)?))).collect()
    };
    let deep = (0..5).fold(Value::from(1), |value, _| Value::Set(vec![value]));
    let error = |entities: Vec<Entity>, limits: Limits| match Entities::within(entities, &limits) {
        Ok(_) => bail!("they were taken"),
        Err(error) => Ok(error),
    };
    let too_many = error(chain(4)?, limits(|l| l.entities = 3))?;
    ensure!(matches!(too_many, EntitiesError::TooMany { limit: 3, .. }), "{too_many}");
    let above = error(chain(4)?, limits(|l| l.ancestors = 3))?;
    ensure!(matches!(above, EntitiesError::TooManyAncestors { limit: 3, .. }), "{above}");
    let together = error(chain(4)?, limits(|l| l.memberships = 9))?;
    ensure!(matches!(together, EntitiesError::TooManyMemberships { limit: 9 }), "{together}");
    let small = || limits(|l| l.string_bytes = 8);
    for entity in [
        Entity::new(user(123_456_789)?),
        Entity::new(user(0)?).with_parent(user(123_456_789)?),
        Entity::new(user(0)?).with_attribute("a", "123456789"),
        Entity::new(user(0)?).with_attribute("a23456789", 1),
        Entity::new(user(0)?).with_tag("a", "123456789"),
        Entity::new(user(0)?).with_attribute("a", user(123_456_789)?),
        Entity::new(user(0)?).with_attribute("a", Value::from_iter(["123456789"])),
    ] {
        let long = error(vec![entity.clone()], small())?;
        ensure!(
            matches!(long, EntitiesError::StringTooLong { limit: 8, .. }),
            "{entity:?}: {long}"
        );
    }
    let nested =
        error(vec![Entity::new(user(0)?).with_attribute("a", deep)], limits(|l| l.nesting = 4))?;
    ensure!(matches!(nested, EntitiesError::TooDeep { limit: 4, .. }), "{nested}");
    let json = Entities::from_json_within("[ ]", None, &limits(|l| l.file_bytes = 2));
    ensure!(matches!(json, Err(EntitiesError::TooLarge { given: 3, limit: 2 })), "{json:?}");
    let cycle = chain(3)?.into_iter().chain([Entity::new(user(3)?).with_parent(user(0)?)]);
    let cycle = Entities::from_entities(cycle);
    ensure!(matches!(cycle, Err(EntitiesError::Cycle(_))), "{cycle:?}");
    let own_parent = Entities::from_entities([Entity::new(user(0)?).with_parent(user(0)?)]);
    ensure!(matches!(own_parent, Err(EntitiesError::Cycle(_))), "{own_parent:?}");
    Entities::within(chain(3)?, &limits(|l| (l.entities, l.ancestors, l.memberships) = (3, 3, 6)))?;
    Ok(())
}

#[test]
fn each_limit_on_requests_has_its_error() -> Result<()> {
    let engine = exact(PERMIT).limits(limits(|l| (l.string_bytes, l.nesting) = (8, 4))).build()?;
    let refused = |request: Request| match engine.decide(&request, &Entities::empty()) {
        Err(DecideError::Request(error)) => Ok(error),
        other => bail!("{other:?}"),
    };
    let mut long_id = request()?;
    long_id.principal = user(123_456_789)?;
    for request in [
        long_id,
        request()?.with_context("a", "123456789"),
        request()?.with_context("a23456789", 1),
        request()?.with_context("a", Record::from([("a23456789".into(), Value::from(1))])),
    ] {
        let long = refused(request.clone())?;
        ensure!(matches!(long, RequestError::StringTooLong { given: 9, limit: 8 }), "{long}");
    }
    let deep = (0..5).fold(Value::from(1), |value, _| Value::Set(vec![value]));
    let deep = refused(request()?.with_context("a", deep))?;
    ensure!(matches!(deep, RequestError::TooDeep { limit: 4, .. }), "{deep}");
    Ok(())
}

/// Neither the parser's stack nor its time may be used up.
#[test]
fn policies_that_nest_or_repeat_are_refused_soon() -> Result<()> {
    let many = 1_000_000;
    let opened =
        |open: &str| format!("permit(principal, action, resource) when {{ {}", open.repeat(many));
    let both = |open: &str, close: &str| {
        let (open, close) = (open.repeat(many), close.repeat(many));
        format!("permit(principal, action, resource) when {{ {open}1{close} }};")
    };
    let mut texts = vec![
        both("(", ")"),
        both("[", "]"),
        both("{a: ", "}"),
        both("", " || 1"),
        both("", " + 1"),
        both("", ".a"),
        both("", "[\"a\"]"),
        both("if true then 1 else ", ""),
        "\"".repeat(many),
        "//".repeat(many),
        ";".repeat(many),
        "@a ".repeat(many),
        "permit".repeat(many),
        "permit(principal, action, resource)".repeat(many / 10),
        "\u{a0}".repeat(many),
        "/ ".repeat(many),
        format!("permit(principal, action in [{}], resource);", "A::\"a\", ".repeat(many)),
        format!("permit(principal == {}\"a\", action, resource);", "A::".repeat(many)),
        format!("permit(principal, action, resource) when {{ \"{}\" }};", "\\n".repeat(many)),
    ];
    texts.extend(["(", "[", "{", "!", "-", "if ", "ip(", "\"\\", "principal["].map(opened));
    for text in texts {
        let start: String = text.chars().take(60).collect();
        // Blanks and comments alone are an empty policy set.
        let none =
            within(SOON, move || exact(text).build().map_or(true, |e| e.policies().len() == 0))
                .map_err(|error| error.context(start.clone()))?;
        ensure!(none, "{start} was loaded");
    }
    Ok(())
}

/// The same for what stays just within the limits: it loads or not, but soon.
#[test]
fn policies_at_the_limits_are_loaded_and_decided_soon() -> Result<()> {
    let inside = |open: &str, close: &str, many: usize| {
        let (open, close) = (open.repeat(many), close.repeat(many));
        format!("permit(principal, action, resource) when {{ {open}context.n{close} }};")
    };
    let texts = [
        inside("(", ")", 60),
        inside("[", "]", 60),
        inside("{a: ", "}", 60),
        inside("!!!!(", ")", 60),
        inside("----(", ")", 60),
        inside("", " + 1", 1_990),
        inside("", " || true", 1_990),
        inside("", " && context.n", 990),
        inside("", ".a", 1_900),
        inside("", " == 1 && context.m", 600),
        inside("if context.a then true else ", "", 400),
        inside("(if context.a then 1 else ", ")", 60),
        format!(
            "permit(principal, action, resource) when {{ [{}].contains(context.n) }};",
            "\"abc\", ".repeat(7_000)
        ),
        format!(
            "permit(principal, action, resource) when {{ context.n == {{ {} }} }};",
            (0..4_000).map(|n| format!("k{n}: {n}, ")).collect::<String>()
        ),
    ];
    for text in texts {
        let start: String = text.chars().skip(40).take(40).collect();
        on_stack(STACK, SOON, move || -> Result<()> {
            if let Ok(engine) = exact(text).build() {
                let entities = Entities::empty();
                let _ = engine.decide(&request()?, &entities)?;
                let _ = engine
                    .decide(&request()?.with_context("n", 1).with_context("a", false), &entities)?;
                engine.explain(&request()?, &entities)?;
            }
            Ok(())
        })
        .map_err(|error| error.context(start.clone()))?
        .map_err(|error| error.context(start))?;
    }
    Ok(())
}

/// Cedar's validator takes every policy through every combination of types and actions.
#[test]
fn policies_times_types_times_actions_are_refused_soon() -> Result<()> {
    let schema = |types: usize, actions: usize| {
        let names = |letter: char, count: usize| {
            (0..count).map(|n| format!("{letter}{n}")).collect::<Vec<_>>().join(", ")
        };
        let (types, actions) = (names('T', types), names('a', actions));
        format!(
            "entity {types} {{ n: Long }};
             action {actions} appliesTo {{ principal: [{types}], resource: [{types}] }};"
        )
    };
    let policies = |count: usize| -> String {
        let policy = |n: usize| {
            format!(
                "permit(principal, action, resource) when {{ principal.n == {n} && \
                 resource.n > {n} && principal.n + resource.n < 10{n} }};\n"
            )
        };
        (0..count).map(policy).collect()
    };
    let build = |schema: String, policies: String| {
        within(SOON, move || Engine::builder().schema("s", schema).policies("p", policies).build())
    };
    // Some 28 KB.
    for (types, actions, count) in [(30, 2_500, 60), (600, 1, 60), (60, 60, 60)] {
        let Err(error) = build(schema(types, actions), policies(count))? else {
            bail!("{types} types and {actions} actions loaded")
        };
        let codes: Vec<_> = error.problems().iter().map(|p| p.code()).collect();
        ensure!(
            codes == ["limit::validation-steps"],
            "{types} types, {actions} actions: {codes:?}"
        );
        let problem = error.problems().first().map(ToString::to_string).unwrap_or_default();
        let combinations = (types * types * actions).to_string();
        ensure!(problem.contains(&combinations), "{problem}");
    }
    // What differs in names and strings alone is validated once.
    let grants: String = (0..20_000)
        .map(|n| format!("permit(principal == T0::\"{n}\", action, resource is T1);\n"))
        .collect();
    ensure!(build(schema(20, 20), grants)?.is_ok());
    let start = std::time::Instant::now();
    ensure!(build(schema(17, 20), policies(60))?.is_ok());
    eprintln!("nearly all steps that are allowed: {:?}", start.elapsed());
    Ok(())
}

/// A decision whose permit errs, since the store does not know what is asked about, takes about
/// as long as any other, in a large store as in a small one.
#[test]
fn what_is_unknown_is_decided_as_fast_as_what_is_known() -> Result<()> {
    let engine = Engine::builder()
        .schema(
            "s",
            "entity User { manager: User, peers: Set<User> };
             entity Doc { owner: User, size: Long };
             action read appliesTo { principal: User, resource: Doc };",
        )
        .policies(
            "p",
            "permit(principal, action, resource) when { resource.owner == principal };
             permit(principal, action, resource) when { resource.owner.manager == principal };
             permit(principal, action, resource) when { resource.size + 1 == 10 };
             forbid(principal, action, resource) when { principal.manager.manager == User::\"no\" };",
        )
        .unshadowed()
        .build()?;
    let quickest = |users: usize, doc: &str| -> Result<Duration> {
        let all: Value =
            (0..users.min(500)).map(user).collect::<Result<Vec<_>>>()?.into_iter().collect();
        let people = (0..users).map(|n| {
            Ok(Entity::new(user(n)?)
                .with_attribute("manager", user((n * 7 + 1) % users)?)
                .with_attribute("peers", all.clone()))
        });
        let plan = Entity::new(uid("Doc::\"plan\"")?)
            .with_attribute("owner", user(1)?)
            .with_attribute("size", 9);
        let entities = people.chain([Ok(plan)]).collect::<Result<Vec<_>>>()?;
        let entities = Entities::from_entities(entities)?;
        let request = Request::new(user(1)?, uid("Action::\"read\"")?, uid(doc)?);
        let erring = engine.decide(&request, &entities)?.errors().len();
        ensure!((erring > 0) == (doc != "Doc::\"plan\""), "{erring} policies err");
        let mut quickest = Duration::MAX;
        for _ in 0..200 {
            let start = std::time::Instant::now();
            for _ in 0..20 {
                let _ = engine.decide(&request, &entities)?;
                let _ = engine.ruling(&request, &entities)?;
            }
            quickest = quickest.min(start.elapsed());
        }
        Ok(quickest)
    };
    let known = quickest(2_000, "Doc::\"plan\"")?;
    let unknown = quickest(2_000, "Doc::\"none\"")?;
    let small = quickest(20, "Doc::\"none\"")?;
    eprintln!("20 decisions and rulings: known {known:?}, unknown {unknown:?}, of 20 {small:?}");
    // It was some 200 times as much.
    ensure!(unknown < known * 8, "{unknown:?}, but {known:?} of what is known");
    ensure!(unknown < small * 4, "{unknown:?} in a large store, {small:?} in a small one");
    Ok(())
}

/// Schemas come from files, too.
#[test]
fn schemas_that_nest_or_repeat_are_refused_soon() -> Result<()> {
    let many = 200_000;
    let texts = [
        format!("entity A {{ a: {}Long{} }};", "Set<".repeat(many), ">".repeat(many)),
        format!("entity A {}", "{ a: ".repeat(many)),
        "namespace A { ".repeat(many),
        format!("entity A in [{}];", "A, ".repeat(many)),
        "type A = B; ".repeat(many / 100),
        (0..3_000).map(|n| format!("type A{n} = A{};", n + 1)).collect(),
        (0..24)
            .map(|n| format!("type A{n} = {{ a: A{}, b: A{} }};", n + 1, n + 1))
            .collect::<String>()
            + "type A12 = Long; entity E { a: A0 };",
    ];
    for text in texts {
        let start: String = text.chars().take(60).collect();
        within(SOON, move || {
            let _ = Engine::builder().schema("s", text.as_str()).build();
            let _ = Engine::builder().schema_json("s", text).build();
        })
        .map_err(|error| error.context(start))?;
    }
    let json = format!("{}{}", "{\"a\":".repeat(many), "[".repeat(many));
    let refused = within(SOON, move || Engine::builder().schema_json("s", json).build().is_err())?;
    ensure!(refused, "deep JSON");
    Ok(())
}

#[test]
fn json_that_nests_or_repeats_is_refused_soon() -> Result<()> {
    let many = 1_000_000;
    let texts = [
        "[".repeat(many),
        "{\"a\":".repeat(many),
        format!("{{\"principal\": {}", "[".repeat(many)),
        format!("{{\"context\": {}", "[".repeat(many)),
        format!("[{{\"attrs\": {{\"a\": {}", "[".repeat(many)),
        format!("{{\"staticPolicies\": {{\"a\": {}", "{\"b\": ".repeat(many)),
        format!("{{\"staticPolicies\": {{{}", "\"a\": {}, ".repeat(many)),
        "\"".repeat(many),
        "9".repeat(many),
        format!("[{}", "{}, ".repeat(many)),
        format!("\"{}\"", "\\u0000".repeat(many)),
    ];
    for text in texts {
        let start: String = text.chars().take(60).collect();
        let taken = within(SOON, move || {
            Request::from_json_str(&text, None).is_ok()
                || Entities::from_json_str(&text, None).is_ok()
                || Engine::builder().policies_json("p", text).exact_cedar().build().is_ok()
        })
        .map_err(|error| error.context(start.clone()))?;
        ensure!(!taken, "{start} was taken");
    }
    Ok(())
}

/// A hierarchy may not make more of itself than a limit lets it.
#[test]
fn hierarchies_that_explode_are_refused_soon() -> Result<()> {
    // One under the other; and layers in which everyone is a member of all above.
    let chain: String = (0..60_000).map(|n| entity_json(n, &[n + 1])).collect();
    let layers: String = (0..8_000)
        .map(|n| entity_json(n, &(0..20).map(|m| (n / 20 + 1) * 20 + m).collect::<Vec<_>>()))
        .collect();
    for json in [chain, layers] {
        let json = format!("[{}]", json.trim_end_matches(','));
        let refused = within(SOON, move || Entities::from_json_str(&json, None).is_err())?;
        ensure!(refused);
    }
    Ok(())
}

fn entity_json(number: usize, parents: &[usize]) -> String {
    let parents: Vec<String> =
        parents.iter().map(|p| format!("{{\"type\":\"U\",\"id\":\"{p}\"}}")).collect();
    let parents = parents.join(",");
    format!(
        "{{\"uid\":{{\"type\":\"U\",\"id\":\"{number}\"}},\"attrs\":{{}},\"parents\":[{parents}]}},"
    )
}

/// Values that take long to compare: deep sets, and large ones.
#[test]
fn values_are_compared_soon() -> Result<()> {
    let deep = |inner: &str| (0..60).fold(Value::from(inner), |value, _| Value::Set(vec![value]));
    let large = |offset: i64| (offset..offset + 20_000).collect::<Value>();
    let pairs = [
        (deep("a"), deep("a")),
        (deep("a"), deep("b")),
        (large(0), large(0)),
        (large(0), large(30_000)),
        (Value::from_iter([large(0)]), Value::from_iter([large(1)])),
    ];
    for relation in ["==", ".containsAll(", ".containsAny(", ".contains("] {
        for (left, right) in &pairs {
            let close = if relation.ends_with('(') { ")" } else { "" };
            let engine = exact(format!(
                "permit(principal, action, resource) when {{ context.l {relation} context.r {close} }};"
            ))
            .build()?;
            let request =
                request()?.with_context("l", left.clone()).with_context("r", right.clone());
            within(SOON, move || engine.decide(&request, &Entities::empty()).map(|_| ()))
                .map_err(|error| error.context(relation.to_owned()))??;
        }
    }
    Ok(())
}

/// Policies whose clauses name many literals stand in many places of an index.
#[test]
fn an_index_stays_in_proportion_to_its_policies() -> Result<()> {
    let mut text = String::new();
    for n in 0..4_000_usize {
        let clause = |part: usize| {
            let some: Vec<String> = (0..8)
                .map(|m| format!("\"v{}\"", (n * (2 * part + 3) + m * (17 + part)) % 97))
                .collect();
            format!("[{}].contains(context.a{part})", some.join(", "))
        };
        let clauses: Vec<String> = (0..6).map(clause).collect();
        text.push_str(&format!(
            "permit(principal, action, resource) when {{ {} }};\n",
            clauses.join(" && ")
        ));
    }
    let loaded = within(3 * SOON, move || exact(text).build().map(|e| e.policies().len()))??;
    ensure!(loaded == 4_000);
    Ok(())
}

/// Repetition in typed values must not multiply the work of an index.
#[test]
fn repeated_values_cost_no_more_than_one() -> Result<()> {
    let mut text = String::new();
    for n in 0..64 {
        text.push_str(&format!(
            "permit(principal, action, resource) when {{
                 context.a.contains(\"{}\") && context.b.contains(\"{}\") && context.c.contains(\"{}\")
             }};\n",
            n % 4, n / 4 % 4, n / 16
        ));
    }
    let engine = exact(text).build()?;
    let repeated = || (0..20_000).map(|n| format!("{}", n % 4)).collect::<Value>();
    let request = request()?
        .with_context("a", repeated())
        .with_context("b", repeated())
        .with_context("c", repeated());
    let found = within(SOON, move || {
        engine.decide(&request, &Entities::empty()).map(|outcome| outcome.reasons().count())
    })??;
    ensure!(found == 64, "{found}");
    Ok(())
}
