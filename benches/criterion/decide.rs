//! Time of one decision, by the number of grants and by what is prepared beforehand.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use cedar_policy::Authorizer;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, measurement::WallTime};
use stagedoor_benches::stagedoor::{self, Names};
use stagedoor_benches::{Form, Workload, WorkloadRequest, cedar};
use stagedoor_core::{Engine, Entities};

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const REQUESTS: usize = 1_000;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("decide");
    for n in SIZES {
        let workload = Workload::new(n, REQUESTS);
        let names = Names::new()?;
        let users = stagedoor::users(&workload, &names)?;
        let engine = stagedoor::builder(&workload, Form::Text)?.build()?;
        let linked = stagedoor::builder(&workload, Form::Links)?.build()?;
        prepared(&mut group, "prepared", n, &engine, &workload, &names, &users)?;
        prepared(&mut group, "prepared-links", n, &linked, &workload, &names, &users)?;
        attributes(&mut group, n, &engine, &workload, &names, &users);
        plain_cedar(&mut group, n, &workload)?;
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Request and entities are there.
fn prepared(
    group: &mut Group<'_>,
    what: &str,
    n: usize,
    engine: &Engine,
    workload: &Workload,
    names: &Names,
    users: &Entities,
) -> Result<()> {
    let prepared = stagedoor::prepared(workload, names, users)?;
    let mut requests = prepared.iter().cycle();
    group.bench_function(BenchmarkId::new(what, n), |bencher| {
        bencher.iter(|| {
            let next = requests.next();
            black_box(next.map(|(request, entities)| engine.decide(request, entities)))
        });
    });
    Ok(())
}

/// The users are there; the request and its resource are built from attributes.
fn attributes(
    group: &mut Group<'_>,
    n: usize,
    engine: &Engine,
    workload: &Workload,
    names: &Names,
    users: &Entities,
) {
    let mut requests = workload.requests().iter().cycle();
    let decide = |asked: &WorkloadRequest| {
        stagedoor::decide_attributes(engine, workload, names, users, asked)
    };
    group.bench_function(BenchmarkId::new("attributes", n), |bencher| {
        bencher.iter(|| black_box(requests.next().map(decide)));
    });
}

/// Cedar's authorizer with all policies.
fn plain_cedar(group: &mut Group<'_>, n: usize, workload: &Workload) -> Result<()> {
    let schema = cedar::schema()?;
    let set = cedar::policy_set(&workload.policies(Form::Text))?;
    let prepared = workload.requests().iter().map(|asked| cedar::prepare(workload, &schema, asked));
    let prepared = prepared.collect::<Result<Vec<_>>>()?;
    let mut requests = prepared.iter().cycle();
    let authorizer = Authorizer::new();
    if n >= 10_000 {
        // A decision takes so long that ten of them are enough.
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_millis(500));
    }
    group.bench_function(BenchmarkId::new("plain-cedar", n), |bencher| {
        bencher.iter(|| {
            let next = requests.next();
            black_box(
                next.map(|(request, entities)| authorizer.is_authorized(request, &set, entities)),
            )
        });
    });
    group.sample_size(100).sampling_mode(SamplingMode::Auto).warm_up_time(Duration::from_secs(3));
    Ok(())
}
