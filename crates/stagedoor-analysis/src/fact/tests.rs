use super::*;

fn facts(condition: &str) -> anyhow::Result<Vec<Fact>> {
    Ok(Fact::all_of(&condition.parse()?, true))
}

#[test]
fn what_cannot_hold_at_once_is_found() -> anyhow::Result<()> {
    for (condition, contradictory) in [
        (r#"resource.kind == "a" && resource.kind == "b""#, true),
        (r#"resource.kind == "a" && ["b", "c"].contains(resource.kind)"#, true),
        (r#"resource.kind == "a" || resource.kind == "b""#, false),
        (r#"(resource.kind == "a" || resource.kind == "b") && resource.kind == "c""#, true),
        (r#"resource.kind == "a" && resource.name == "b""#, false),
        (r#"resource.kind == "a" && !(resource.kind == "a")"#, true),
        (r#"resource.kind != "a" && resource.kind != "b""#, false),
        (r#"principal in G::"a" && !(principal in G::"a")"#, true),
        (r#"principal in G::"a" && !(principal in G::"b")"#, false),
        (r#"principal == U::"a" && !(principal in [U::"a", G::"b"])"#, true),
        ("context.n > 5 && context.n < 5", true),
        ("context.n >= 5 && 5 >= context.n", false),
        ("context.n > 5 && !(context.n > 3)", true),
        ("context.n > 9223372036854775807", true),
        ("context.a && !context.a", true),
        ("context.a == true && context.a == false", true),
        ("context.a || !context.a", false),
        ("(context.a && context.b) || (context.c && !context.c)", false),
        ("(context.a && !context.a) || (context.c && !context.c)", true),
        ("false", true),
        (r#"resource.kind == "web-1" && resource.kind like "db-*""#, true),
        (r#"["web-1", "db-1"].contains(resource.kind) && resource.kind like "db-*""#, false),
        ("context.n == 5 && context.n > 5", true),
        ("principal is A && principal is B", true),
        (r#"principal == A::"x" && !(principal is A)"#, true),
        (r#"principal in A::"x" && !(principal is A)"#, false),
    ] {
        let facts = facts(condition)?;
        let found = contradiction(&facts.iter().collect::<Vec<_>>());
        assert_eq!(found.is_some(), contradictory, "{condition}: {found:?}");
    }
    Ok(())
}

#[test]
fn what_follows_is_found() -> anyhow::Result<()> {
    use Implication::{IfEvaluated, Unknown, Yes};
    for (given, wanted, expected) in [
        (r#"resource.kind == "a""#, r#"["a", "b"].contains(resource.kind)"#, Yes),
        (r#"resource.kind == "a""#, r#""a" == resource.kind"#, Yes),
        (r#"resource.kind == "a""#, r#"resource.kind != "b""#, Yes),
        (r#"["a", "b"].contains(resource.kind)"#, r#"resource.kind == "a""#, Unknown),
        (r#"principal == G::"a""#, r#"principal in G::"a""#, Yes),
        (r#"principal in G::"a""#, r#"principal in [G::"a", G::"b"]"#, Yes),
        (r#"principal in G::"a""#, r#"principal in G::"b""#, Unknown),
        ("context.n > 5", "context.n > 3", Yes),
        ("context.n > 3", "context.n > 5", Unknown),
        ("context.a && context.b", "context.b", Yes),
        ("context.a", "context.a || context.b", Yes),
        ("context.b", "context.a || context.b", IfEvaluated),
        ("context.a || context.b", "context.b", Unknown),
        (r#"(context.a && context.b) || (context.b && context.c)"#, "context.b", Yes),
        ("!(context.a || context.b)", "!context.b", Yes),
        ("context.a == context.b", "context.b == context.a", Yes),
        (r#"resource.kind == "web-1""#, r#"resource.kind like "web-*""#, Yes),
        (r#"["web-1", "db"].contains(resource.kind)"#, r#"resource.kind like "web-*""#, Unknown),
        ("context.n == 7", "context.n >= 7", Yes),
        (r#"principal == A::"x""#, "principal is A", Yes),
    ] {
        let (given_facts, wanted_facts) = (facts(given)?, facts(wanted)?);
        let given_facts: Vec<&Fact> = given_facts.iter().collect();
        let found = wanted_facts.iter().map(|fact| follows(&given_facts, fact)).min();
        assert_eq!(found, Some(expected), "{given} ⇒ {wanted}");
    }
    Ok(())
}

#[test]
fn facts_are_written_as_people_write_them() -> anyhow::Result<()> {
    for text in [
        "context.a == 1",
        "context.a != 1",
        "context.a > context.b",
        "context.a <= context.b",
        "!(context.a)",
        r#"["a", "b"].contains(context.a)"#,
        r#"resource.name like "web-*""#,
    ] {
        let told: Vec<String> = facts(text)?.iter().map(ToString::to_string).collect();
        assert_eq!(told, [text]);
    }
    Ok(())
}
