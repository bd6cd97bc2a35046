//! What a controller refuses of what a gate says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tensorgate_handoff::*;
use tensorgate_verify::{Limits, Rejection};

use crate::process::Role;
use crate::script::*;
use crate::support::*;

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
fn a_policy_of_more_files_than_are_ever_handed_over_is_not_offered() {
    let policy = policy_of_shards(MAX_WEIGHTS);
    let gate = Gate::of(&policy, Peers::default());
    assert!(prove(gate.receive().unwrap()).is_ok());
    let larger = policy_of_shards(MAX_WEIGHTS + 1);
    let refused = Offer::seal(&larger, SESSION, EPOCH).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
    assert!(
        refused.to_string().starts_with("129 files of tensors"),
        "{refused}"
    );
    // Nor is it taken, whatever the gate says their number is.
    let envelope = memfd(larger.evidence().envelope(), ALL_SEALS);
    let mut steps = vec![
        Step(hello(&larger, MAX_WEIGHTS as u32), vec![envelope]),
        Step(packet(SMALL, 0), vec![memfd(&small(&larger), ALL_SEALS)]),
    ];
    for (index, file) in (0..).zip(larger.tensor_files().take(MAX_WEIGHTS)) {
        steps.push(Step(
            packet(WEIGHTS, index),
            vec![memfd(file.bytes(), ALL_SEALS)],
        ));
    }
    steps.push(Step(packet(END, 0), vec![]));
    assert_eq!(rejected(steps), Rejection::FileMissing);
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

/// In a user namespace, all who have no number there have the same one: also this end.
#[test]
fn a_gate_that_could_be_anybodys_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT TRIED, wants root: a process of another user");
        return;
    }
    let (gate, _role) = Role::start("open_gate", Path::new("/"), Some(4242));
    let path = Path::new(gate.text("path")).to_owned();
    let (said, _stranger) = Role::start_nameless("stranger", &path);
    assert_eq!(
        said.text("outcome"),
        "user 65534 at the other end, who is none of those expected"
    );
}
