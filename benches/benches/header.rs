//! Reading the table of a safetensors file: this parser beside the crate's, and the hostile file.
#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends")]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use safetensors::SafeTensors;
use tensorgate_verify::{Directory, Header, Limits, Rules, Survey};

fn header(criterion: &mut Criterion) {
    let mut limits = Limits::default();
    // Beyond what is read by default, to see whether the time stays linear.
    limits.tensors = 1 << 20;
    limits.header_bytes = 64 << 20;
    let mut group = criterion.benchmark_group("header");
    for tensors in [1_000, 10_000, 100_000] {
        let bytes = table(tensors);
        let len = u64::try_from(bytes.len()).expect("a length");
        group.throughput(Throughput::Elements(tensors));
        group.bench_function(BenchmarkId::new("tensorgate", tensors), |bencher| {
            bencher.iter(|| black_box(Header::parse(&bytes, len, &limits).expect("a good table")));
        });
        group.bench_function(
            BenchmarkId::new("safetensors, deserialize", tensors),
            |bencher| {
                bencher.iter(|| black_box(SafeTensors::deserialize(&bytes).expect("a good table")));
            },
        );
        group.bench_function(
            BenchmarkId::new("safetensors, read_metadata", tensors),
            |bencher| {
                bencher
                    .iter(|| black_box(SafeTensors::read_metadata(&bytes).expect("a good table")));
            },
        );
    }
    group.finish();
}

/// 91 MB of header about 1.55 million tensors of no bytes: refused before it is read.
fn hostile(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = File::create(folder.path().join("model.safetensors")).expect("a file");
    let mut out = BufWriter::new(file);
    let row =
        |i: u32| format!("\"{i:010}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}},");
    let len = row(0).len() as u64 * 1_550_000;
    out.write_all(&(len + 1).to_le_bytes()).expect("room");
    out.write_all(b"{").expect("room");
    (0..1_550_000).for_each(|i| out.write_all(row(i).as_bytes()).expect("room"));
    out.into_inner().expect("room");
    let directory = Directory::new(OwnedFd::from(
        File::open(folder.path()).expect("the folder"),
    ));
    let rules = Rules::default();
    criterion.bench_function("header/hostile 91 MB, refused", |bencher| {
        bencher.iter(|| black_box(Survey::new(&rules).run(&directory).expect_err("hostile")));
    });
}

/// A file of so many tensors of one byte, named as those of a transformer are.
fn table(tensors: u64) -> Vec<u8> {
    let row = |i| {
        let (layer, part) = (i / 12, i % 12);
        format!(
            "\"model.layers.{layer}.self_attn.proj.{part}.weight\":{{\"dtype\":\"U8\",\"shape\":[1,1],\"data_offsets\":[{i},{}]}}",
            i + 1
        )
    };
    let rows: Vec<String> = (0..tensors).map(row).collect();
    let json = format!(
        "{{\"__metadata__\":{{\"format\":\"pt\"}},{}}}",
        rows.join(",")
    );
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.extend((0..tensors).map(|_| 0));
    bytes
}

criterion_group!(benches, header, hostile);
criterion_main!(benches);
