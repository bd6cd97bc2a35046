//! Fragments in every order and disorder; a second policy beside the first.

use std::time::Instant;

use crate::support::*;
use tensorgate_client::*;
use tensorgate_verify::{Hold, Rejection};

#[test]
fn a_policy_arrives_whole_and_sealed() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    assert_eq!(receiver.state(at), State::NoPolicy);
    let policy = gate.send(&mut receiver, at);
    assert_eq!(bytes(&policy), bytes(&gate.policy));
    assert_eq!(policy.evidence().signers[0].name, "acme");
    assert!(matches!(
        policy.file("model.safetensors").unwrap().hold(),
        Hold::Sealed(_)
    ));
    assert_eq!(receiver.state(at), State::Active);
}

#[test]
fn fragments_before_the_announcement_are_ignored() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    assert!(receiver.fragment(&gate.fragment(0), at).unwrap().is_none());
    assert_eq!(receiver.state(at), State::NoPolicy);
    gate.send(&mut receiver, at);
}

#[test]
fn fragments_after_completion_are_ignored() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.send(&mut receiver, at);
    assert!(receiver.fragment(&gate.fragment(0), at).unwrap().is_none());
}

#[test]
fn reordered_and_repeated_fragments_complete_it_once() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    assert_eq!(receiver.receiving(), Some((gate.session, gate.epoch)));
    for index in (1..gate.count()).rev() {
        for _ in 0..2 {
            assert!(
                receiver
                    .fragment(&gate.fragment(index), at)
                    .unwrap()
                    .is_none()
            );
        }
    }
    assert_eq!(receiver.missing().collect::<Vec<_>>(), [0]);
    assert_eq!(receiver.state(at), State::Receiving);
    let policy = receiver.fragment(&gate.fragment(0), at).unwrap().unwrap();
    assert_eq!(bytes(&policy), bytes(&gate.policy));
    assert_eq!(receiver.missing().count(), 0);
}

#[test]
fn corrupted_fragments_are_refused_and_the_genuine_ones_still_count() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    let genuine = gate.fragment(1);
    let mut data = genuine.data.to_vec();
    data[100] ^= 1;
    let corrupted = Fragment {
        data: &data,
        ..genuine
    };
    assert_eq!(
        refusal(receiver.fragment(&corrupted, at)),
        Rejection::DigestMismatch
    );
    let short = Fragment {
        data: &genuine.data[1..],
        ..genuine
    };
    assert_eq!(
        refusal(receiver.fragment(&short, at)),
        Rejection::SizeMismatch
    );
    let swapped = Fragment {
        index: 2,
        ..genuine
    };
    assert_eq!(
        refusal(receiver.fragment(&swapped, at)),
        Rejection::DigestMismatch
    );
    let beyond = Fragment {
        index: gate.count() as u32,
        ..genuine
    };
    assert_eq!(
        refusal(receiver.fragment(&beyond, at)),
        Rejection::FileUnexpected
    );
    assert_eq!(receiver.missing().count(), gate.count());
    for index in 0..gate.count() {
        receiver.fragment(&gate.fragment(index), at).unwrap();
    }
    assert_eq!(bytes(receiver.policy().unwrap()), bytes(&gate.policy));
}

#[test]
fn fragments_of_other_sessions_and_epochs_are_ignored() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    for index in 0..gate.count() {
        let fragment = gate.fragment(index);
        let foreign = Fragment {
            session: [9; 16],
            ..fragment
        };
        assert!(receiver.fragment(&foreign, at).unwrap().is_none());
        let later = Fragment {
            epoch: 2,
            ..fragment
        };
        assert!(receiver.fragment(&later, at).unwrap().is_none());
    }
    assert_eq!(receiver.missing().count(), gate.count());
}

#[test]
fn the_running_policy_stays_until_the_next_is_proven() {
    let (mut receiver, at) = (receiver(), Instant::now());
    let (old, new) = (Gate::new(5), Gate::new(6).at(1, 2));
    let held = old.send(&mut receiver, at);
    receiver.announce(new.announcement(), now(), at).unwrap();
    for index in 1..new.count() {
        receiver.fragment(&new.fragment(index), at).unwrap();
        assert_eq!(receiver.policy().unwrap().evidence().sequence, 5);
    }
    let swapped = receiver.fragment(&new.fragment(0), at).unwrap().unwrap();
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 6);
    assert_eq!(bytes(&swapped), bytes(&new.policy));
    assert_eq!(
        bytes(&held),
        bytes(&old.policy),
        "who still holds the old one reads the old one"
    );
}

#[test]
fn a_later_announcement_takes_the_place_of_one_that_is_incomplete() {
    let (mut receiver, at) = (receiver(), Instant::now());
    let (first, second) = (Gate::new(5), Gate::new(6).at(1, 2));
    receiver.announce(first.announcement(), now(), at).unwrap();
    let policy = second.send(&mut receiver, at);
    assert_eq!(policy.evidence().sequence, 6);
    assert!(receiver.fragment(&first.fragment(0), at).unwrap().is_none());
}

#[test]
fn a_known_announcement_changes_nothing() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.fragment(&gate.fragment(0), at).unwrap();
    receiver.announce(gate.announcement(), now(), at).unwrap();
    assert_eq!(
        receiver.missing().count(),
        gate.count() - 1,
        "what arrived is kept"
    );
}

#[test]
fn a_restarted_gate_with_the_same_manifest_needs_no_transfer() {
    let (mut receiver, at) = (receiver(), Instant::now());
    let gate = Gate::new(5);
    gate.send(&mut receiver, at);
    let late = at + DEFAULT_LEASE;
    let restarted = gate.at(2, 1);
    assert!(
        receiver
            .announce(restarted.announcement(), now(), late)
            .unwrap()
            .is_none()
    );
    assert_eq!(receiver.receiving(), None);
    assert_eq!(
        receiver.state(late),
        State::Stale,
        "an announcement is no heartbeat"
    );
    receiver.status(&restarted.heartbeat(1), late);
    assert_eq!(receiver.state(late), State::Active);
}

#[test]
fn a_policy_without_tensors_is_complete_at_once() {
    let (gate, mut receiver, at) = (Gate::without_weights(), receiver(), Instant::now());
    let policy = receiver
        .announce(gate.announcement(), now(), at)
        .unwrap()
        .unwrap();
    assert_eq!(bytes(&policy), bytes(&gate.policy));
    assert_eq!(receiver.state(at), State::Active);
}
