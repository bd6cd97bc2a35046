//! The file itself is held, and nobody changes it under a reader.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tensorgate_verify::{
    Hold, Holding, LeaseHolder, LeaseOutcome, LeaseSignal, Policy, Proof, Result, Rules, Unguarded,
    Verified,
};

use crate::support::*;

/// A holder, and how long each writer waited.
fn holder() -> (LeaseHolder, Receiver<Duration>) {
    let (sender, moved) = channel();
    let holder = LeaseHolder::start(LeaseSignal::default(), move |event| match event.outcome {
        LeaseOutcome::Moved { took } => sender.send(took).unwrap(),
        ref other => panic!("{other:?}"),
    });
    (holder.unwrap(), moved)
}

fn open(fixture: &Fixture, holder: &LeaseHolder) -> Result<Verified<Policy>> {
    let manifest = trust(1, &[1]).authenticate(&fixture.signed(), &context())?;
    let directory = directory(fixture.folder.path()).guarded_by(holder);
    manifest.open(&directory, Proof::Tensors, &Rules::default())
}

fn weights_hold(policy: &Verified<Policy>) -> &Hold {
    policy.file("model.safetensors").unwrap().hold()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_writer_waits_until_the_bytes_have_moved() {
    let Some(fixture) = Fixture::guarded() else {
        return;
    };
    let (holder, moved) = holder();
    let policy = open(&fixture, &holder).unwrap();
    let hold = weights_hold(&policy);
    assert_eq!(hold.holding(), Holding::Guarded);
    let (before, place) = (hold.to_vec(), hold.as_ptr());

    let path = fixture.path("model.safetensors");
    let mut writer = OpenOptions::new().write(true).open(path).unwrap();
    writer.seek(SeekFrom::Start(100)).unwrap();
    writer.write_all(&[0xff; 1000]).unwrap();
    writer.set_len(10).unwrap();

    moved.recv_timeout(PATIENCE).unwrap();
    assert_eq!(hold.holding(), Holding::Sealed(Unguarded::Moved));
    assert_eq!(hold.as_ptr(), place);
    assert_eq!(hold[..], before);
}

#[test]
fn a_file_that_somebody_writes_to_is_copied() {
    let Some(fixture) = Fixture::guarded() else {
        return;
    };
    let (holder, _moved) = holder();
    let path = fixture.path("model.safetensors");
    let _writer = OpenOptions::new().write(true).open(path).unwrap();
    let policy = open(&fixture, &holder).unwrap();
    assert_eq!(
        weights_hold(&policy).holding(),
        Holding::Sealed(Unguarded::BeingWritten)
    );
}

#[test]
fn a_memfd_of_a_guarded_hold_is_sealed_and_the_same() {
    let Some(fixture) = Fixture::guarded() else {
        return;
    };
    let (holder, _moved) = holder();
    let policy = open(&fixture, &holder).unwrap();
    let hold = weights_hold(&policy);
    let memfd = hold.to_memfd().unwrap();
    let other = Hold::of_memfd(&memfd, hold.len() as u64).unwrap();
    assert_eq!(other[..], hold[..]);
    assert_eq!(hold.holding(), Holding::Sealed(Unguarded::Moved));
    assert_eq!(other.holding(), Holding::Sealed(Unguarded::HandedOff));
    assert!(Hold::of_memfd(&memfd, hold.len() as u64 + 1).is_err());
}

#[test]
fn holds_outlive_their_holder() {
    let Some(fixture) = Fixture::guarded() else {
        return;
    };
    let (holder, moved) = holder();
    let policy = open(&fixture, &holder).unwrap();
    drop(holder);
    let before = weights_hold(&policy).to_vec();
    std::fs::write(fixture.path("model.safetensors"), "gone").unwrap();
    moved.recv_timeout(PATIENCE).unwrap();
    assert_eq!(weights_hold(&policy)[..], before);
}
