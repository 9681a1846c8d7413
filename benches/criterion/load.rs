//! Time from policies to an engine that can decide.

use std::time::Duration;

use anyhow::Result;
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode};
use stagedoor_benches::{Form, Workload, cedar, stagedoor};

const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500));
    for n in SIZES {
        let workload = Workload::new(n, 0);
        for (what, form) in [("text", Form::Text), ("links", Form::Links)] {
            let builder = stagedoor::builder(&workload, form)?;
            group.bench_function(BenchmarkId::new(what, n), |bencher| {
                bencher.iter_batched(|| builder.clone(), |b| b.build(), BatchSize::PerIteration);
            });
        }
        let text = workload.policies(Form::Text);
        group.bench_function(BenchmarkId::new("plain-cedar", n), |bencher| {
            bencher.iter(|| cedar::load(&text));
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
