//! A gate that sends what a test has it send.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketType, accept, bind, listen, sendmsg, socket,
};
use tensorgate_handoff::*;
use tensorgate_verify::{Limits, Policy, Rejection, Verified};

use crate::support::*;

/// A packet as the documentation of the crate has it, and the descriptors that go with it.
#[derive(Debug)]
pub(crate) struct Step(pub(crate) Vec<u8>, pub(crate) Vec<OwnedFd>);

pub(crate) const HELLO: u8 = 1;
pub(crate) const SMALL: u8 = 2;
pub(crate) const WEIGHTS: u8 = 3;
pub(crate) const END: u8 = 4;

pub(crate) fn packet(kind: u8, number: u32) -> Vec<u8> {
    let mut bytes = vec![0; 72];
    bytes[..8].copy_from_slice(b"tensorg\x01");
    bytes[8] = kind;
    bytes[12..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

pub(crate) fn hello(policy: &Verified<Policy>, weights: u32) -> Vec<u8> {
    let mut bytes = packet(HELLO, weights);
    bytes[16..48].copy_from_slice(policy.evidence().manifest.as_bytes());
    bytes[48..64].copy_from_slice(&SESSION);
    bytes[64..].copy_from_slice(&EPOCH.to_le_bytes());
    bytes
}

pub(crate) fn small(policy: &Policy) -> Vec<u8> {
    let small = policy
        .files()
        .iter()
        .filter(|file| !file.kind().is_tensors());
    small.flat_map(|file| file.bytes().to_vec()).collect()
}

pub(crate) fn model(policy: &Policy) -> &[u8] {
    policy.file("model.safetensors").unwrap().bytes()
}

/// What an honest gate sends.
pub(crate) fn genuine(policy: &Verified<Policy>) -> Vec<Step> {
    let envelope = memfd(policy.evidence().envelope(), ALL_SEALS);
    vec![
        Step(hello(policy, 1), vec![envelope]),
        Step(packet(SMALL, 0), vec![memfd(&small(policy), ALL_SEALS)]),
        Step(packet(WEIGHTS, 0), vec![memfd(model(policy), ALL_SEALS)]),
        Step(packet(END, 0), vec![]),
    ]
}

/// Sends these steps to the one who comes, and keeps the line open until it is gone.
pub(crate) fn gate(path: &Path, steps: Vec<Step>) -> thread::JoinHandle<()> {
    let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&listener, 1).unwrap();
    thread::spawn(move || {
        let line = accept(&listener).unwrap();
        for Step(bytes, descriptors) in &steps {
            let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(64))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
            }
            // The other end may have left.
            let flags = SendFlags::NOSIGNAL;
            if sendmsg(&line, &[IoSlice::new(bytes)], &mut control, flags).is_err() {
                break;
            }
        }
        // It is gone when nothing more can be read.
        let mut nothing = [0];
        let _gone = rustix::io::read(&line, &mut nothing);
    })
}

pub(crate) fn receive_all(steps: Vec<Step>) -> Result<Handed, HandoffError> {
    receive_within(steps, PATIENCE)
}

pub(crate) fn receive_within(steps: Vec<Step>, patience: Duration) -> Result<Handed, HandoffError> {
    let home = home();
    let path = home.path().join("gate");
    let gate = gate(&path, steps);
    let handed = receive(&path, &Peers::default(), &Limits::default(), patience);
    gate.join().unwrap();
    handed
}

#[track_caller]
pub(crate) fn malformed(steps: Vec<Step>, expected: &str) {
    match receive_all(steps) {
        Err(HandoffError::Malformed(why)) => assert_eq!(why, expected),
        other => panic!("{other:?}, expected {expected:?}"),
    }
}

#[track_caller]
pub(crate) fn rejected(steps: Vec<Step>) -> Rejection {
    let refused = prove(receive_all(steps).unwrap()).unwrap_err();
    refused
        .rejection()
        .unwrap_or_else(|| panic!("no verdict: {refused}"))
}

/// The refusal of a policy whose weights come in this descriptor.
#[track_caller]
pub(crate) fn weights_in(descriptor: impl FnOnce(&[u8]) -> OwnedFd) -> Rejection {
    let policy = policy();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![descriptor(model(&policy))];
    rejected(steps)
}
