//! Opening weights and letting go of them: verified, hashed as usual, and not checked at all; page
//! cache warm. `TENSORGATE_BENCH_FULL=1` adds the large ones, which take minutes and 12 GB of memory
//! and disk.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends")]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tensorgate_benches::{Dtype, FIRST, Signed};

/// Where the policies lie.
const PLACE: &str = env!("CARGO_TARGET_TMPDIR");

/// Name, type, tensors, bytes of each: a walking net, an ACT policy, one huge tensor, many small
/// ones; other types, whose numbers are judged differently.
const SHAPES: [(&str, Dtype, usize, usize); 6] = [
    ("1 MB in 8 tensors", Dtype::F32, 8, 128 << 10),
    ("200 MB in 100 tensors", Dtype::F32, 100, 2 << 20),
    ("200 MB in 1 tensor", Dtype::F32, 1, 200 << 20),
    ("40 MB in 10000 tensors", Dtype::F32, 10_000, 4 << 10),
    ("200 MB in 100 tensors, BF16", Dtype::BF16, 100, 2 << 20),
    ("200 MB in 100 tensors, I8", Dtype::I8, 100, 2 << 20),
];
const LARGE: [(&str, Dtype, usize, usize); 3] = [
    ("1 GB in 100 tensors", Dtype::F32, 100, 10 << 20),
    ("4 GB in 100 tensors", Dtype::F32, 100, 40 << 20),
    ("400 MB in 100000 tensors", Dtype::F32, 100_000, 4 << 10),
];

fn open(criterion: &mut Criterion) {
    let full = std::env::var_os("TENSORGATE_BENCH_FULL").is_some_and(|value| value == "1");
    let large = if full { &LARGE[..] } else { &[] };
    for (name, dtype, tensors, bytes) in SHAPES.iter().chain(large) {
        let signed =
            Signed::new(Path::new(PLACE), *dtype, *tensors, *bytes).expect("a signed policy");
        shape(criterion, name, &signed);
    }
}

fn shape(criterion: &mut Criterion, name: &str, signed: &Signed) {
    let sha256 = signed.sha256().expect("its digest");
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Bytes(signed.weights_bytes().expect("its size")));
    group.bench_function(BenchmarkId::new("tensorgate, verified", name), |bencher| {
        bencher.iter(|| black_box(signed.open_guarded().expect("what was signed")));
    });
    group.bench_function(
        BenchmarkId::new("tensorgate, verified, a sealed copy", name),
        |bencher| {
            bencher.iter(|| black_box(signed.open_sealed().expect("what was signed")));
        },
    );
    group.bench_function(BenchmarkId::new("sha256, then mmap", name), |bencher| {
        bencher.iter(|| black_box(signed.open_sha256(&sha256).expect("the same file")));
    });
    group.bench_function(
        BenchmarkId::new("safetensors + memmap2, unverified", name),
        |bencher| {
            bencher.iter(|| black_box(signed.open_unverified().expect("safetensors")));
        },
    );
    group.bench_function(BenchmarkId::new("tensorgate, on demand", name), |bencher| {
        bencher.iter(|| black_box(signed.open_on_demand().expect("what was signed")));
    });
    group.bench_function(
        BenchmarkId::new("tensorgate, on demand, first tensor", name),
        |bencher| {
            bencher.iter(|| {
                let policy = signed.open_on_demand().expect("what was signed");
                black_box(policy.tensor(FIRST).expect("what was signed"));
            });
        },
    );
    let held = signed.open_guarded().expect("what was signed");
    group.bench_function(BenchmarkId::new("tensorgate, again", name), |bencher| {
        bencher.iter(|| black_box(signed.reopen(&held).expect("the same")));
    });
    let gate = signed.gate().expect("a socket");
    group.bench_function(BenchmarkId::new("tensorgate, hand-off", name), |bencher| {
        bencher.iter(|| black_box(signed.receive(&gate).expect("what was signed")));
    });
    group.finish();
}

/// Signature and list of files, before any file is opened.
fn authenticate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("authenticate");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    for tensors in [1, 100, 10_000, 100_000] {
        let signed =
            Signed::new(Path::new(PLACE), Dtype::F32, tensors, 4).expect("a signed policy");
        group.throughput(Throughput::Elements(tensors as u64));
        group.bench_function(
            BenchmarkId::new("tensorgate, tensors", tensors),
            |bencher| {
                bencher.iter(|| black_box(signed.manifest().expect("what was signed")));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, open, authenticate);
criterion_main!(benches);
