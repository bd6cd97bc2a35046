use std::hint::black_box;
use std::time::Instant;

use safetensors::SafeTensors;
use tensorgate_verify::Header;

use crate::signed::FIRST;
use crate::{Result, Signed};

/// How many seconds something takes; what the measurement itself needs is made before.
type Way = fn(&Signed) -> Result<f64>;

/// What a worker can be asked for, by name: ours first, then the peers in Rust.
pub const WAYS: &[(&str, Way)] = &[
    ("open", |signed| seconds(|| signed.open_guarded())),
    ("open-sealed", |signed| seconds(|| signed.open_sealed())),
    ("on-demand", |signed| seconds(|| signed.open_on_demand())),
    ("first", first),
    ("tensor", tensor),
    ("finish", finish),
    ("reopen", reopen),
    ("hand-off", hand_off),
    ("hand-off-proven", hand_off_proven),
    ("authenticate", |signed| seconds(|| signed.manifest())),
    ("header", header),
    ("blake3", |signed| seconds(|| signed.blake3())),
    ("sha256", sha256),
    ("mmap", |signed| seconds(|| signed.open_unverified())),
    ("mmap-first", |signed| seconds(|| signed.first_unverified())),
    ("mmap-header", mmap_header),
];

/// A policy that is opened on demand, and its first tensor.
fn first(signed: &Signed) -> Result<f64> {
    seconds(|| {
        let policy = signed.open_on_demand()?;
        policy.tensor(FIRST)?.ok_or("no such tensor")?;
        Ok(policy)
    })
}

/// One tensor alone, of a policy that was opened on demand before.
fn tensor(signed: &Signed) -> Result<f64> {
    let policy = signed.open_on_demand()?;
    seconds(|| Ok(policy.tensor(FIRST)?.ok_or("no such tensor")?))
}

/// A policy that is opened on demand, then all of it.
fn finish(signed: &Signed) -> Result<f64> {
    seconds(|| Ok(signed.open_on_demand()?.finish()?))
}

/// A policy that is held already.
fn reopen(signed: &Signed) -> Result<f64> {
    let held = signed.open_guarded()?;
    seconds(|| signed.reopen(&held))
}

/// A policy that another process holds.
fn hand_off(signed: &Signed) -> Result<f64> {
    let gate = signed.gate()?;
    seconds(|| signed.receive(&gate))
}

fn hand_off_proven(signed: &Signed) -> Result<f64> {
    let gate = signed.gate()?;
    seconds(|| signed.receive_and_prove(&gate))
}

fn header(signed: &Signed) -> Result<f64> {
    let map = signed.map()?;
    let len = Header::prefix_len(&map, signed.limits())?;
    let prefix = map.get(..len as usize).ok_or("too short")?;
    seconds(|| Ok(Header::parse(prefix, map.len() as u64, signed.limits())?))
}

fn mmap_header(signed: &Signed) -> Result<f64> {
    let map = signed.map()?;
    seconds(|| Ok(SafeTensors::deserialize(&map)?.len()))
}

fn sha256(signed: &Signed) -> Result<f64> {
    let expected = signed.sha256()?;
    seconds(|| signed.open_sha256(&expected))
}

/// Of the work alone: what it made is dropped afterwards.
fn seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    let made = black_box(work()?);
    let seconds = start.elapsed().as_secs_f64();
    drop(made);
    Ok(seconds)
}
