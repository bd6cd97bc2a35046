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
    assert!(
        receiver
            .fragment(&gate.fragment(0), now(), at)
            .unwrap()
            .is_none()
    );
    assert_eq!(receiver.state(at), State::NoPolicy);
    gate.send(&mut receiver, at);
}

#[test]
fn fragments_after_completion_are_ignored() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.send(&mut receiver, at);
    assert!(
        receiver
            .fragment(&gate.fragment(0), now(), at)
            .unwrap()
            .is_none()
    );
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
                    .fragment(&gate.fragment(index), now(), at)
                    .unwrap()
                    .is_none()
            );
        }
    }
    assert_eq!(receiver.missing().collect::<Vec<_>>(), [0]);
    assert_eq!(receiver.state(at), State::Receiving);
    let policy = receiver
        .fragment(&gate.fragment(0), now(), at)
        .unwrap()
        .unwrap();
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
        refusal(receiver.fragment(&corrupted, now(), at)),
        Rejection::DigestMismatch
    );
    let short = Fragment {
        data: &genuine.data[1..],
        ..genuine
    };
    assert_eq!(
        refusal(receiver.fragment(&short, now(), at)),
        Rejection::SizeMismatch
    );
    let swapped = Fragment {
        index: 2,
        ..genuine
    };
    assert_eq!(
        refusal(receiver.fragment(&swapped, now(), at)),
        Rejection::DigestMismatch
    );
    let beyond = Fragment {
        index: gate.count() as u32,
        ..genuine
    };
    assert_eq!(
        refusal(receiver.fragment(&beyond, now(), at)),
        Rejection::FileUnexpected
    );
    assert_eq!(receiver.missing().count(), gate.count());
    for index in 0..gate.count() {
        receiver.fragment(&gate.fragment(index), now(), at).unwrap();
    }
    assert_eq!(bytes(receiver.policy().unwrap()), bytes(&gate.policy));
}

#[test]
fn fragments_of_another_announcement_are_ignored() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    let other = Gate::new(6).at(1, 2);
    for index in 0..other.count() {
        let fragment = other.fragment(index);
        assert!(receiver.fragment(&fragment, now(), at).unwrap().is_none());
    }
    assert_eq!(receiver.missing().count(), gate.count());
}

#[test]
fn fragments_prove_themselves_under_whatever_announcement() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    let policy = gate.at(9, 9).complete(&mut receiver, at);
    assert_eq!(policy.evidence().sequence, 5);
}

#[test]
fn the_running_policy_stays_until_the_next_is_proven() {
    let (mut receiver, at) = (receiver(), Instant::now());
    let (old, new) = (Gate::new(5), Gate::new(6).at(1, 2));
    let held = old.send(&mut receiver, at);
    receiver.announce(new.announcement(), now(), at).unwrap();
    for index in 1..new.count() {
        receiver.fragment(&new.fragment(index), now(), at).unwrap();
        assert_eq!(receiver.policy().unwrap().evidence().sequence, 5);
    }
    let swapped = receiver
        .fragment(&new.fragment(0), now(), at)
        .unwrap()
        .unwrap();
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
    assert!(
        receiver
            .fragment(&first.fragment(0), now(), at)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_known_announcement_changes_nothing() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.fragment(&gate.fragment(0), now(), at).unwrap();
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
    let late = at + LEASE;
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
fn what_expires_during_the_transfer_is_given_up() {
    let (mut receiver, at) = (receiver(), Instant::now());
    let (old, new) = (Gate::new(5), Gate::new(6).at(1, 2));
    old.send(&mut receiver, at);
    receiver.announce(new.announcement(), now(), at).unwrap();
    let expired = instant("2027-11-01T00:00:00Z");
    let results = (0..new.count()).map(|i| receiver.fragment(&new.fragment(i), expired, at));
    let last = results.last().unwrap();
    assert_eq!(refusal(last), Rejection::ManifestExpired);
    assert_eq!(receiver.receiving(), None);
    assert_eq!(receiver.active(at).unwrap().evidence().sequence, 5);
}

#[test]
fn a_policy_without_tensors_is_complete_at_once() {
    let (gate, mut receiver, at) = (Gate::without_weights(), receiver(), Instant::now());
    let policy = receiver
        .announce(gate.announcement(), now(), at)
        .unwrap()
        .unwrap();
    assert_eq!(bytes(&policy), bytes(&gate.policy));
    assert_eq!(receiver.state(at), State::Verified);
}
