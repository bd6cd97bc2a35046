//! What judging weights adds to hashing them: the same bytes, held in memory, hashed alone, and
//! proven in full (signed table, digests, NaN and infinity, polyglots, audit).
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends")]

use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tensorgate_benches::{Dtype, Signed};

/// Name, tensors, bytes of each. The last one only where `TENSORGATE_BENCH_FULL` is set: it takes
/// 3 GB of memory and a minute.
const SHAPES: [(&str, usize, usize); 4] = [
    ("200 MB in 100 tensors", 100, 2 << 20),
    ("200 MB in 1 tensor", 1, 200 << 20),
    ("40 MB in 10000 tensors", 10_000, 4 << 10),
    ("1 GB in 100 tensors", 100, 10 << 20),
];

fn audit(criterion: &mut Criterion) {
    let full = std::env::var_os("TENSORGATE_BENCH_FULL").is_some();
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(20).warm_up_time(Duration::from_secs(1));
    for (name, tensors, bytes) in SHAPES.into_iter().take(if full { 4 } else { 3 }) {
        let signed = Signed::new(
            Path::new(env!("CARGO_TARGET_TMPDIR")),
            Dtype::F32,
            tensors,
            bytes,
        )
        .expect("a signed policy");
        let input = || {
            (
                signed.manifest().expect("signed"),
                signed.hold().expect("its file"),
            )
        };
        group.throughput(Throughput::Bytes(signed.weights_bytes().expect("its size")));
        group.bench_function(BenchmarkId::new("blake3 alone", name), |bencher| {
            let hash = |(manifest, hold)| signed.hash(manifest, hold).expect("its tensors");
            bencher.iter_batched(input, hash, BatchSize::PerIteration);
        });
        group.bench_function(
            BenchmarkId::new("tensorgate, all checks", name),
            |bencher| {
                let prove =
                    |(manifest, hold)| signed.prove(manifest, hold).expect("what was signed");
                bencher.iter_batched(input, prove, BatchSize::PerIteration);
            },
        );
    }
    group.finish();
}

criterion_group!(benches, audit);
criterion_main!(benches);
