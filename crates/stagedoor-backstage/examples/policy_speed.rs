//! Prints how long answers of the policy take, in nanoseconds: definitive and conditional,
//! kept and worked out anew.
//!
//! `cargo run -p stagedoor-backstage --release --example policy_speed [POLICIES]`

use std::time::Instant;

use stagedoor_backstage::{
    PermissionQuery, Permissions, PolicyEngine, Principal, SCHEMA, STARTER_POLICIES, User,
};
use stagedoor_core::Engine;

fn main() -> anyhow::Result<()> {
    let extra: usize = std::env::args().nth(1).map_or(Ok(0), |arg| arg.parse())?;
    let mut builder = Engine::builder().schema("s", SCHEMA);
    for (name, text) in STARTER_POLICIES {
        builder = builder.policies(name, text);
    }
    let grants: String = (0..extra)
        .map(|n| {
            format!(
                r#"@id("grant-{n}") permit (principal in Backstage::Group::"group:default/g{n}",
                   action == Backstage::Action::"catalog.entity.delete",
                   resource is Backstage::CatalogEntity)
                   when {{ resource.owners.contains("group:default/g{n}") }};"#
            )
        })
        .collect();
    let engine = builder.policies("grants.cedar", grants).build()?;
    let policy = PolicyEngine::new(engine, Permissions::known()?);
    let groups: Result<Vec<_>, _> =
        (0..30).map(|n| format!("group:default/g{n}").parse()).collect();
    let user: Principal = User::new("user:default/ana".parse()?).with_ownership(groups?).into();
    let basic = PermissionQuery { name: "kubernetes.proxy", action: None, resource_type: None };
    let delete = PermissionQuery {
        name: "catalog.entity.delete",
        action: Some("delete"),
        resource_type: Some("catalog-entity"),
    };
    for (name, asked, rounds) in [("basic", basic, 20_000), ("conditional", delete, 20_000)] {
        println!("{name}, kept: {} ns", time(rounds, || policy.decide(&asked, Some(&user))));
    }
    let policy = policy.with_cache(0);
    for (name, asked, rounds) in [("basic", basic, 2_000), ("conditional", delete, 200)] {
        println!("{name}, anew: {} ns", time(rounds, || policy.decide(&asked, Some(&user))));
    }
    Ok(())
}

/// Returns the median of several runs.
fn time<R>(rounds: u32, mut work: impl FnMut() -> R) -> u128 {
    let mut times: Vec<u128> = (0..15)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..rounds {
                std::hint::black_box(work());
            }
            start.elapsed().as_nanos() / u128::from(rounds)
        })
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
