//! What a controller refuses, whoever sends it.

use std::fs;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, ftruncate, open};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketType, accept, bind, listen, sendmsg, socket,
};
use tensorgate_handoff::*;
use tensorgate_verify::{Limits, Policy, Rejection, Verified};

use crate::support::*;

/// A packet as the documentation of the crate has it, and the descriptors that go with it.
#[derive(Debug)]
struct Step(Vec<u8>, Vec<OwnedFd>);

const HELLO: u8 = 1;
const SMALL: u8 = 2;
const WEIGHTS: u8 = 3;
const END: u8 = 4;

fn packet(kind: u8, number: u32) -> Vec<u8> {
    let mut bytes = vec![0; 72];
    bytes[..8].copy_from_slice(b"tensorg\x01");
    bytes[8] = kind;
    bytes[12..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn hello(policy: &Verified<Policy>, weights: u32) -> Vec<u8> {
    let mut bytes = packet(HELLO, weights);
    bytes[16..48].copy_from_slice(policy.evidence().manifest.as_bytes());
    bytes[48..64].copy_from_slice(&SESSION);
    bytes[64..].copy_from_slice(&EPOCH.to_le_bytes());
    bytes
}

fn small(policy: &Policy) -> Vec<u8> {
    let small = policy
        .files()
        .iter()
        .filter(|file| !file.kind().is_tensors());
    small.flat_map(|file| file.bytes().to_vec()).collect()
}

fn model(policy: &Policy) -> &[u8] {
    policy.file("model.safetensors").unwrap().bytes()
}

/// What an honest gate sends.
fn genuine(policy: &Verified<Policy>) -> Vec<Step> {
    let envelope = memfd(policy.evidence().envelope(), ALL_SEALS);
    vec![
        Step(hello(policy, 1), vec![envelope]),
        Step(packet(SMALL, 0), vec![memfd(&small(policy), ALL_SEALS)]),
        Step(packet(WEIGHTS, 0), vec![memfd(model(policy), ALL_SEALS)]),
        Step(packet(END, 0), vec![]),
    ]
}

/// Sends these steps to the one who comes, and keeps the line open until it is gone.
fn gate(path: &Path, steps: Vec<Step>) -> thread::JoinHandle<()> {
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

fn receive_all(steps: Vec<Step>) -> Result<Handed, HandoffError> {
    receive_within(steps, PATIENCE)
}

fn receive_within(steps: Vec<Step>, patience: Duration) -> Result<Handed, HandoffError> {
    let home = home();
    let path = home.path().join("gate");
    let gate = gate(&path, steps);
    let handed = receive(&path, &Peers::default(), &Limits::default(), patience);
    gate.join().unwrap();
    handed
}

#[track_caller]
fn malformed(steps: Vec<Step>, expected: &str) {
    match receive_all(steps) {
        Err(HandoffError::Malformed(why)) => assert_eq!(why, expected),
        other => panic!("{other:?}, expected {expected:?}"),
    }
}

#[track_caller]
fn rejected(steps: Vec<Step>) -> Rejection {
    let refused = prove(receive_all(steps).unwrap()).unwrap_err();
    refused
        .rejection()
        .unwrap_or_else(|| panic!("no verdict: {refused}"))
}

/// The refusal of a policy whose weights come in this descriptor.
#[track_caller]
fn weights_in(descriptor: impl FnOnce(&[u8]) -> OwnedFd) -> Rejection {
    let policy = policy();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![descriptor(model(&policy))];
    rejected(steps)
}

#[test]
fn what_an_honest_gate_sends_is_proven() {
    let policy = policy();
    let handed = receive_all(genuine(&policy)).unwrap();
    assert_eq!((handed.session(), handed.epoch()), (SESSION, EPOCH));
    assert_eq!(handed.manifest(), policy.evidence().manifest);
    let proven = prove(handed).unwrap();
    for (file, original) in proven.files().iter().zip(policy.files()) {
        assert_eq!(file.path(), original.path());
        assert_eq!(file.bytes(), original.bytes());
    }
}

#[test]
fn a_memfd_that_lacks_any_seal_is_refused() {
    let all = [
        SealFlags::WRITE,
        SealFlags::GROW,
        SealFlags::SHRINK,
        SealFlags::SEAL,
    ];
    for missing in all {
        let rejection = weights_in(|bytes| memfd(bytes, ALL_SEALS.difference(missing)));
        assert_eq!(rejection, Rejection::FileNotRegular, "{missing:?}");
    }
    let open = weights_in(|bytes| memfd(bytes, SealFlags::empty()));
    assert_eq!(open, Rejection::FileNotRegular);
    // It keeps those away who come later, and not those who have it mapped.
    let future = ALL_SEALS.difference(SealFlags::WRITE) | SealFlags::FUTURE_WRITE;
    assert_eq!(
        weights_in(|bytes| memfd(bytes, future)),
        Rejection::FileNotRegular
    );
}

#[test]
fn every_descriptor_has_to_be_sealed() {
    let policy = policy();
    let mut steps = genuine(&policy);
    steps[0].1 = vec![memfd(policy.evidence().envelope(), SealFlags::empty())];
    malformed(steps, "an envelope that is not sealed");
    let mut steps = genuine(&policy);
    steps[1].1 = vec![memfd(&small(&policy), SealFlags::empty())];
    assert_eq!(rejected(steps), Rejection::FileNotRegular);
}

#[test]
fn a_memfd_that_somebody_can_write_to_cannot_be_sealed_and_is_refused() {
    let policy = policy();
    let descriptor = memfd(model(&policy), SealFlags::empty());
    let path = format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd());
    let script = "import mmap, os, sys\n\
                  m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0, mmap.MAP_SHARED)\n\
                  print('mapped', flush=True)\n\
                  sys.stdin.read()";
    let mut writer = Command::new("python3")
        .args(["-c", script, &path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 maps the memory");
    let mut said = [0; 6];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut said).unwrap();
    assert_eq!(
        fcntl_add_seals(&descriptor, SealFlags::WRITE),
        Err(Errno::BUSY)
    );
    fcntl_add_seals(&descriptor, ALL_SEALS.difference(SealFlags::WRITE)).unwrap();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![descriptor];
    assert_eq!(rejected(steps), Rejection::FileNotRegular);
    drop(writer.stdin.take());
    writer.wait().unwrap();
}

#[test]
fn what_is_no_memfd_is_refused() {
    let regular = weights_in(|bytes| {
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), bytes).unwrap();
        fs::File::open(path.path()).unwrap().into()
    });
    assert_eq!(regular, Rejection::FileNotRegular);
    let shared = weights_in(|bytes| {
        // A file of the same file system that memfds are on.
        let path = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        fs::write(path.path(), bytes).unwrap();
        fs::File::open(path.path()).unwrap().into()
    });
    assert_eq!(shared, Rejection::FileNotRegular);
    let device = weights_in(|_| fs::File::open("/dev/zero").unwrap().into());
    assert_eq!(device, Rejection::FileNotRegular);
    let handle = weights_in(|bytes| {
        let sealed = memfd(bytes, ALL_SEALS);
        let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    });
    assert_eq!(handle, Rejection::FileNotRegular);
    let unreadable = weights_in(|bytes| {
        let sealed = memfd(bytes, SealFlags::empty());
        let path = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        let write_only = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        fcntl_add_seals(&write_only, ALL_SEALS).unwrap();
        write_only
    });
    assert_eq!(unreadable, Rejection::FileNotRegular);
    let socket = weights_in(|_| socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap());
    assert_eq!(socket, Rejection::FileNotRegular);
}

#[test]
fn a_memfd_of_huge_pages_is_refused() {
    let policy = policy();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let Ok(huge) = rustix::fs::memfd_create("huge", flags) else {
        eprintln!("NOT TRIED: this kernel has no hugetlbfs");
        return;
    };
    // No page is reserved: reading one may fail, with SIGBUS.
    if let Err(error) = ftruncate(&huge, 2 << 20) {
        eprintln!("NOT TRIED: {error}");
        return;
    }
    fcntl_add_seals(&huge, ALL_SEALS).unwrap();
    let mut steps = genuine(&policy);
    steps[2].1 = vec![huge.try_clone().unwrap()];
    assert_eq!(rejected(steps), Rejection::SizeMismatch);
    // With the right size, it is its file system that is refused.
    let mut steps = genuine(&policy);
    steps[0].1 = vec![huge];
    malformed(steps, "an envelope that is not sealed");
}

#[test]
fn a_memfd_with_holes_is_refused() {
    // Reading a hole takes memory, and ends in SIGBUS where there is none.
    let rejection = weights_in(|bytes| {
        let hole = memfd(b"", SealFlags::empty());
        ftruncate(&hole, bytes.len() as u64).unwrap();
        fcntl_add_seals(&hole, ALL_SEALS).unwrap();
        hole
    });
    assert_eq!(rejection, Rejection::FileNotRegular);
}

#[test]
fn a_memfd_of_another_size_is_refused() {
    let longer = |bytes: &[u8]| memfd(&[bytes, &[0]].concat(), ALL_SEALS);
    assert_eq!(weights_in(longer), Rejection::SizeMismatch);
    let shorter = |bytes: &[u8]| memfd(&bytes[1..], ALL_SEALS);
    assert_eq!(weights_in(shorter), Rejection::SizeMismatch);
    assert_eq!(
        weights_in(|_| memfd(b"", ALL_SEALS)),
        Rejection::SizeMismatch
    );
    let policy = policy();
    let mut steps = genuine(&policy);
    steps[1].1 = vec![memfd(&small(&policy)[1..], ALL_SEALS)];
    assert_eq!(rejected(steps), Rejection::SizeMismatch);
}

#[test]
fn sealed_bytes_that_are_not_the_signed_ones_are_refused() {
    let policy = policy();
    let len = model(&policy).len();
    let flipped = |at: usize| {
        weights_in(|bytes| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1;
            memfd(&bytes, ALL_SEALS)
        })
    };
    for at in [0, 9, len / 2, len - 1] {
        assert_eq!(flipped(at), Rejection::DigestMismatch, "byte {at}");
    }
    let mut steps = genuine(&policy);
    let mut small = small(&policy);
    small[3] ^= 1;
    steps[1].1 = vec![memfd(&small, ALL_SEALS)];
    assert_eq!(rejected(steps), Rejection::DigestMismatch);
}

#[test]
fn on_demand_tampering_is_noticed_at_that_tensor() {
    let policy = policy();
    let mut bytes = model(&policy).to_vec();
    // The last tensor is `gain`: what differs in alignment comes by name.
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    let mut steps = genuine(&policy);
    steps[2].1 = vec![memfd(&bytes, ALL_SEALS)];
    let handed = receive_all(steps).unwrap();
    let manifest = authenticate(1, handed.envelope()).unwrap();
    let holds = handed.into_holds(&manifest).unwrap();
    let on_demand = manifest
        .open_holds_on_demand(holds, &Default::default())
        .unwrap();
    assert!(on_demand.tensor("bias").unwrap().is_some());
    let refused = on_demand.tensor("gain").unwrap_err();
    assert_eq!(refused.rejection(), Some(Rejection::DigestMismatch));
}

#[test]
fn who_trusts_the_gate_says_so_by_a_type_and_still_checks_the_table() {
    let policy = policy();
    let vouched = |change: fn(&mut Vec<u8>)| {
        let mut bytes = model(&policy).to_vec();
        change(&mut bytes);
        let mut steps = genuine(&policy);
        steps[2].1 = vec![memfd(&bytes, ALL_SEALS)];
        let handed = receive_all(steps).unwrap();
        let manifest = authenticate(1, handed.envelope()).unwrap();
        let holds = handed.into_holds(&manifest).unwrap();
        manifest.dangerously_trust_sender(holds, &Default::default())
    };
    // This is what it gives away: the number is not the signed one, and nobody notices.
    let changed = vouched(|bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
    assert!(changed.tensor("gain").is_some());
    let header = vouched(|bytes| bytes[9] ^= 1).unwrap_err();
    assert_eq!(header.rejection(), Some(Rejection::DigestMismatch));
}

#[test]
fn a_manifest_of_another_key_is_refused() {
    let foreign = policy_of(2, &weights(1000));
    assert_eq!(rejected(genuine(&foreign)), Rejection::SignatureInvalid);
}

#[test]
fn the_envelope_says_which_files_come() {
    let policy = policy();
    let other = policy_of(1, &weights(500));
    let mut steps = genuine(&policy);
    // The digest in the hello is the other's.
    steps[0].0 = hello(&other, 1);
    assert_eq!(rejected(steps), Rejection::FileUnexpected);
    let mut steps = genuine(&policy);
    steps[0].0 = hello(&policy, 0);
    steps.remove(2);
    assert_eq!(rejected(steps), Rejection::FileMissing);
    let mut steps = genuine(&policy);
    steps[0].0 = hello(&policy, 2);
    let again = Step(packet(WEIGHTS, 1), vec![memfd(model(&policy), ALL_SEALS)]);
    steps.insert(3, again);
    assert_eq!(rejected(steps), Rejection::FileUnexpected);
}

#[test]
fn an_envelope_beyond_the_limit_is_not_mapped() {
    let policy = policy();
    let mut steps = genuine(&policy);
    let large = memfd(b"", SealFlags::empty());
    ftruncate(&large, 1 << 40).unwrap();
    fcntl_add_seals(&large, ALL_SEALS).unwrap();
    steps[0].1 = vec![large];
    malformed(steps, "an envelope that is too large");
}

#[test]
fn packets_of_another_size_are_refused() {
    let policy = policy();
    for len in [1, 71] {
        let mut steps = genuine(&policy);
        steps[0].0.truncate(len);
        malformed(steps, "a packet of another size");
    }
    for len in [73, 10_000] {
        let mut steps = genuine(&policy);
        steps[1].0.resize(len, 0);
        malformed(steps, "a packet of another size");
    }
    let mut steps = genuine(&policy);
    steps[2].0.clear();
    malformed(steps, "it ended early");
}

#[test]
fn packets_out_of_order_are_refused() {
    let policy = policy();
    let orders: [&[usize]; 8] = [
        &[1, 0, 2, 3],
        &[2, 1, 0, 3],
        &[0, 0, 1, 2],
        &[0, 1, 1, 2],
        &[0, 2, 1, 3],
        &[0, 1, 3, 2],
        &[3, 0, 1, 2],
        &[0, 3, 1, 2],
    ];
    for order in orders {
        let step = |at: &usize| genuine(&policy).swap_remove(*at);
        malformed(order.iter().map(step).collect(), "packets out of order");
    }
    let mut again = genuine(&policy);
    again.insert(3, genuine(&policy).swap_remove(2));
    malformed(again, "it does not end");
    let mut other = genuine(&policy);
    other[2].0 = packet(WEIGHTS, 1);
    malformed(other, "packets out of order");
}

#[test]
fn one_descriptor_belongs_to_a_packet_and_no_other_number_of_them() {
    let policy = policy();
    for at in 0..3 {
        let mut steps = genuine(&policy);
        steps[at].1.clear();
        malformed(steps, "a missing descriptor");
    }
    let before = descriptors();
    for (count, expected) in [(2, "more than one descriptor"), (3, ""), (64, "")] {
        let mut steps = genuine(&policy);
        let file = || fs::File::open("/dev/null").unwrap().into();
        steps[1].1 = (0..count).map(|_| file()).collect();
        match receive_all(steps) {
            Err(HandoffError::Malformed(why)) => {
                let some = ["more than one descriptor", "descriptors that did not fit"];
                assert!(why == expected || some.contains(&why), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
    let mut steps = genuine(&policy);
    steps[3].1.push(memfd(b"", ALL_SEALS));
    malformed(steps, "it does not end");
    // Other tests open some meanwhile; 70 that nobody closed would be seen.
    assert!(descriptors() < before + 50, "those not wanted were closed");
}

#[test]
fn more_files_than_are_ever_handed_over_are_refused_before_they_come() {
    let policy = policy();
    for weights in [MAX_WEIGHTS as u32 + 1, u32::MAX] {
        let mut steps = genuine(&policy);
        steps[0].0 = hello(&policy, weights);
        malformed(steps, "too many files");
    }
}

#[test]
fn an_unknown_packet_is_refused() {
    let policy = policy();
    let changes: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes[0] = b'T',
        |bytes| bytes[7] = 2,
        |bytes| bytes[8] = 9,
        |bytes| bytes[9] = 1,
        |bytes| bytes[71] = 1,
    ];
    for change in changes {
        let mut steps = genuine(&policy);
        change(&mut steps[1].0);
        malformed(steps, "an unknown packet");
    }
}

#[test]
fn a_gate_that_falls_silent_is_not_waited_for() {
    let policy = policy();
    for said in 0..4 {
        let steps = genuine(&policy).into_iter().take(said).collect();
        let received = receive_within(steps, Duration::from_millis(300));
        assert!(
            matches!(received, Err(HandoffError::Silent)),
            "{received:?}"
        );
    }
}

#[test]
fn a_gate_of_another_user_is_not_listened_to() {
    let gate = Gate::of(&policy(), Peers::default());
    let others = Peers::of([4242]);
    let received = receive(&gate.path(), &others, &Limits::default(), PATIENCE);
    let own = rustix::process::geteuid().as_raw();
    assert!(matches!(received, Err(HandoffError::Peer { uid }) if uid == own));
}

#[test]
fn a_socket_that_nobody_listens_at_is_named() {
    let home = home();
    let path = home.path().join("none");
    let error = receive_at(&path).unwrap_err();
    assert!(matches!(error, HandoffError::Place { .. }));
    assert!(error.to_string().contains("none"), "{error}");
    fs::write(&path, "no socket").unwrap();
    assert!(matches!(receive_at(&path), Err(HandoffError::Place { .. })));
    let stream = std::os::unix::net::UnixListener::bind(home.path().join("stream")).unwrap();
    let received = receive_at(&home.path().join("stream"));
    assert!(matches!(received, Err(HandoffError::Place { .. })));
    drop(stream);
}
