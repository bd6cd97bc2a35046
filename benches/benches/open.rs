//! Opening weights: verified, hashed as usual, and not checked at all; page cache warm.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tensorgate_benches::{Dtype, Signed};

/// Name, tensors, bytes of each: a walking net, an ACT policy, one huge tensor, many small ones.
const SHAPES: [(&str, usize, usize); 4] = [
    ("1 MB in 8 tensors", 8, 128 << 10),
    ("200 MB in 100 tensors", 100, 2 << 20),
    ("200 MB in 1 tensor", 1, 200 << 20),
    ("40 MB in 10000 tensors", 10_000, 4 << 10),
];

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(20);
    for (name, tensors, bytes) in SHAPES {
        let signed = Signed::new(Dtype::F32, tensors, bytes).expect("a signed policy");
        let sha256 = signed.sha256().expect("its digest");
        group.throughput(Throughput::Bytes(signed.weights_bytes().expect("its size")));
        group.bench_function(BenchmarkId::new("tensorgate, verified", name), |bencher| {
            bencher.iter(|| black_box(signed.open_guarded().expect("what was signed")));
        });
        group.bench_function(BenchmarkId::new("sha256, then mmap", name), |bencher| {
            bencher.iter(|| black_box(signed.open_sha256(&sha256).expect("the same file")));
        });
        group.bench_function(
            BenchmarkId::new("safetensors + memmap2, unverified", name),
            |bencher| {
                bencher.iter(|| black_box(signed.open_unverified().expect("safetensors")));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
