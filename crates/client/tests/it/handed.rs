//! A policy that a gate on this machine hands over goes by the rules of every other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tensorgate_client::*;
use tensorgate_handoff::{Handed, Offer, Peers, Server};
use tensorgate_verify::{Holding, Limits, Rejection, Unguarded};

use crate::support::*;

/// What a controller gets from the socket of this gate.
fn handed(gate: &Gate) -> Handed {
    let home = tempfile::tempdir().unwrap();
    // Whatever the umask: where a group may write, nobody listens.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(home.path(), mode).unwrap();
    let path = home.path().join("gate");
    let server = Server::start(&path, Peers::default(), |_| {}).unwrap();
    server.offer(Offer::seal(&gate.policy, gate.session, gate.epoch).unwrap());
    let patience = Duration::from_secs(20);
    tensorgate_handoff::receive(&path, &Peers::default(), &Limits::default(), patience).unwrap()
}

#[test]
fn a_handed_over_policy_is_in_the_gates_memory() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    let policy = receiver
        .take_handed(handed(&gate), now(), at)
        .unwrap()
        .unwrap();
    assert_eq!(bytes(&policy), bytes(&gate.policy));
    let hold = policy.file("model.safetensors").unwrap().hold();
    assert_eq!(hold.holding(), Holding::Sealed(Unguarded::HandedOff));
    // It needs heartbeats as any other.
    assert_eq!(receiver.state(at), State::Verified);
    receiver.status(&gate.heartbeat(1), at);
    assert!(Arc::ptr_eq(receiver.active(at).unwrap(), &policy));
    assert_eq!(receiver.state(at + LEASE), State::Stale);
}

#[test]
fn an_older_release_does_not_come_back_by_hand() {
    let (mut receiver, at) = (receiver(), Instant::now());
    receiver
        .take_handed(handed(&Gate::new(5)), now(), at)
        .unwrap();
    let older = receiver.take_handed(handed(&Gate::new(4)), now(), at);
    assert_eq!(refusal(older), Rejection::ManifestRollback);
    let newer = receiver.take_handed(handed(&Gate::new(6)), now(), at);
    assert_eq!(newer.unwrap().unwrap().evidence().sequence, 6);
    // Nor by message.
    let announced = receiver.announce(Gate::new(5).announcement(), now(), at);
    assert_eq!(refusal(announced), Rejection::ManifestRollback);
}

#[test]
fn what_is_older_than_the_release_on_its_way_is_not_taken_by_hand() {
    let (mut receiver, at, coming) = (receiver(), Instant::now(), Gate::new(7));
    receiver.announce(coming.announcement(), now(), at).unwrap();
    let older = receiver.take_handed(handed(&Gate::new(6)), now(), at);
    assert_eq!(refusal(older), Rejection::ManifestRollback);
    // What is on its way still arrives.
    assert_eq!(coming.complete(&mut receiver, at).evidence().sequence, 7);
}

#[test]
fn what_is_on_its_way_can_be_handed_over_instead() {
    let (mut receiver, at, gate) = (receiver(), Instant::now(), Gate::new(5));
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.fragment(&gate.fragment(0), now(), at).unwrap();
    assert!(
        receiver
            .take_handed(handed(&gate), now(), at)
            .unwrap()
            .is_some()
    );
    assert_eq!(
        (receiver.receiving(), receiver.missing().count()),
        (None, 0)
    );
    assert_eq!(receiver.state(at), State::Verified);
    // The rest of the fragments is nobody's any more.
    assert!(
        receiver
            .fragment(&gate.fragment(1), now(), at)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_word_of_withdrawal_counts_for_what_is_handed_over_afterwards() {
    let (mut receiver, at, gate) = (receiver(), Instant::now(), Gate::new(5));
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.status(&gate.status(1, Status::WITHDRAWN), at);
    receiver
        .take_handed(handed(&gate), now(), at)
        .unwrap()
        .unwrap();
    assert_eq!(receiver.state(at), State::Stale);
    receiver.status(&gate.heartbeat(2), at);
    assert_eq!(receiver.state(at), State::Stale);
}

#[test]
fn what_was_revoked_is_not_taken_by_hand() {
    let (mut receiver, at, gate) = (receiver(), Instant::now(), Gate::new(5));
    receiver.status(&gate.status(1, Status::REVOKED), at);
    let revoked = receiver.take_handed(handed(&gate), now(), at);
    assert_eq!(refusal(revoked), Rejection::ManifestRevoked);
}

#[test]
fn what_runs_stays_when_it_is_handed_over_again() {
    let (mut receiver, at, gate) = (receiver(), Instant::now(), Gate::new(5));
    let running = gate.send(&mut receiver, at);
    let again = Gate::new(5).at(9, 4);
    assert!(
        receiver
            .take_handed(handed(&again), now(), at)
            .unwrap()
            .is_none()
    );
    assert!(Arc::ptr_eq(receiver.policy().unwrap(), &running));
    // It answers to the gate that handed it over.
    let later = at + LEASE;
    receiver.status(&gate.heartbeat(1), later);
    assert_eq!(receiver.state(later), State::Stale);
    receiver.status(&again.heartbeat(1), later);
    assert_eq!(receiver.state(later), State::Active);
}

#[test]
fn other_rules_hold_by_hand_as_well() {
    let at = Instant::now();
    let mut receiver = receiver();
    let foreign = receiver.take_handed(handed(&Gate::signed_by(2, REPO, 5)), now(), at);
    assert_eq!(refusal(foreign), Rejection::SignatureInvalid);
    let other = receiver.take_handed(handed(&Gate::signed_by(1, "acme/run", 5)), now(), at);
    assert_eq!(refusal(other), Rejection::RepoMismatch);
    let data = receiver.take_handed(handed(&Gate::new(5)), instant("2027-12-01T00:00:00Z"), at);
    assert_eq!(refusal(data), Rejection::ManifestExpired);
    let nameless = receiver.take_handed(handed(&Gate::new(5).at(1, 0)), now(), at);
    assert_eq!(refusal(nameless), Rejection::ManifestMalformed);
    let mut narrow = receiver.with_max_bytes(1000);
    let large = narrow.take_handed(handed(&Gate::new(5)), now(), at);
    assert_eq!(refusal(large), Rejection::SizeMismatch);
    assert_eq!(narrow.state(at), State::NoPolicy);
}
