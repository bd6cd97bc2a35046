//! Session and epoch are not signed: whoever saw an announcement can send it again under others.
//! What is signed decides.

use std::time::{Duration, Instant};

use crate::support::*;
use tensorgate_client::*;
use tensorgate_verify::Rejection;

const NEVER_SEEN: u8 = 66;
/// As long as a word that names the manifest counts.
const OBEYED: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn a_withdrawal_counts_though_a_replay_took_the_policy_to_another_session() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.send(&mut receiver, at);
    receiver
        .announce(gate.replay(NEVER_SEEN, 1), now(), at)
        .unwrap();
    assert_eq!(receiver.state(at), State::Active);
    receiver.status(&gate.status(9, Status::WITHDRAWN), at);
    assert_eq!(receiver.state(at), State::Stale);
}

#[test]
fn a_withdrawal_counts_though_a_replay_came_during_the_transfer() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver
        .announce(gate.replay(NEVER_SEEN, 1), now(), at)
        .unwrap();
    receiver.status(&gate.status(9, Status::WITHDRAWN), at);
    gate.complete(&mut receiver, at);
    assert_eq!(receiver.state(at), State::Stale);
}

#[test]
fn a_replay_after_a_withdrawal_is_no_licence() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.status(&gate.status(9, Status::WITHDRAWN), at);
    receiver
        .announce(gate.replay(NEVER_SEEN, 1), now(), at)
        .unwrap();
    gate.complete(&mut receiver, at);
    assert_eq!(receiver.state(at), State::Stale);
}

#[test]
fn a_replay_under_the_last_epoch_keeps_no_later_release_away() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.send(&mut receiver, at);
    receiver
        .announce(gate.replay(1, u64::MAX), now(), at)
        .unwrap();
    Gate::new(6).at(1, 2).send(&mut receiver, at);
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 6);
}

#[test]
fn a_replay_under_the_last_epoch_keeps_the_gates_heartbeats_away_until_it_announces_again() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.send(&mut receiver, at);
    receiver
        .announce(gate.replay(1, u64::MAX), now(), at)
        .unwrap();
    let late = at + LEASE;
    receiver.status(&gate.heartbeat(1), late);
    assert_eq!(receiver.state(late), State::Stale);
    let again = gate.at(1, 2);
    receiver.announce(again.announcement(), now(), at).unwrap();
    receiver.status(&again.heartbeat(2), late);
    assert_eq!(receiver.state(late), State::Active);
}

#[test]
fn a_replay_of_the_running_release_does_not_cancel_an_update() {
    let (old, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    let new = Gate::new(6).at(1, 2);
    old.send(&mut receiver, at);
    receiver.announce(new.announcement(), now(), at).unwrap();
    for replay in [old.replay(NEVER_SEEN, 1), old.replay(1, 3)] {
        let refused = refusal(receiver.announce(replay, now(), at));
        assert_eq!(refused, Rejection::ManifestRollback);
        assert_eq!(receiver.receiving(), Some((new.session, new.epoch)));
    }
    assert_eq!(new.complete(&mut receiver, at).evidence().sequence, 6);
}

#[test]
fn an_older_release_does_not_take_the_place_of_one_that_is_being_received() {
    let (new, mut receiver, at) = (Gate::new(6), receiver(), Instant::now());
    receiver.announce(new.announcement(), now(), at).unwrap();
    let replay = Gate::new(5).replay(NEVER_SEEN, 1);
    let refused = refusal(receiver.announce(replay, now(), at));
    assert_eq!(refused, Rejection::ManifestRollback);
    new.complete(&mut receiver, at);
}

#[test]
fn an_old_release_under_the_gates_own_name_does_not_hide_the_genuine_one() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    let old = Gate::new(3);
    receiver.announce(old.replay(1, 1), now(), at).unwrap();
    gate.send(&mut receiver, at);
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 5);

    let mut receiver = crate::support::receiver();
    old.send(&mut receiver, at);
    gate.send(&mut receiver, at);
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 5);
}

#[test]
fn another_cut_under_the_gates_own_name_does_not_hide_the_genuine_one() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    let coarse = Gate::new(5).cut_into(1 << 20);
    receiver.announce(coarse.announcement(), now(), at).unwrap();
    gate.send(&mut receiver, at);
}

#[test]
fn a_replay_under_another_session_keeps_what_arrived() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    for index in [0, 1] {
        receiver.fragment(&gate.fragment(index), now(), at).unwrap();
    }
    let missing = gate.count() - 2;
    receiver
        .announce(gate.replay(NEVER_SEEN, 1), now(), at)
        .unwrap();
    assert_eq!(receiver.missing().count(), missing);
    gate.complete(&mut receiver, at);
    assert_eq!(bytes(receiver.policy().unwrap()), bytes(&gate.policy));
}

#[test]
fn a_replay_with_an_altered_table_is_refused_and_keeps_what_arrived() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.fragment(&gate.fragment(0), now(), at).unwrap();
    let mut short = gate.replay(NEVER_SEEN, 1);
    short.fragment_count -= 1;
    short.fragment_digests.truncate(32 * (gate.count() - 1));
    let refused = refusal(receiver.announce(short, now(), at));
    assert_eq!(refused, Rejection::SizeMismatch);
    let mut altered = gate.replay(NEVER_SEEN, 1);
    altered.fragment_digests[0] ^= 1;
    let refused = refusal(receiver.announce(altered, now(), at));
    assert_eq!(refused, Rejection::DigestMismatch);
    assert_eq!(receiver.receiving(), Some((gate.session, gate.epoch)));
    assert_eq!(receiver.missing().count(), gate.count() - 1);
}

/// A `READY` under that announcement, from whoever made it.
fn ready(gate: &Gate, announcement: &Announcement) -> Status {
    Status {
        session: announcement.session,
        epoch: announcement.epoch,
        ..gate.heartbeat(1)
    }
}

#[test]
fn a_replay_in_another_cut_undoes_no_word_of_the_gate() {
    for state in [Status::WITHDRAWN, 2, 4] {
        let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
        receiver.announce(gate.announcement(), now(), at).unwrap();
        receiver.status(&gate.status(9, state), at);
        let other = Gate::new(5).cut_into(1 << 20);
        let replay = other.replay(NEVER_SEEN, 1);
        let forged = ready(&gate, &replay);
        receiver.announce(replay, now(), at).unwrap();
        other.complete(&mut receiver, at);
        assert_eq!(receiver.state(at), State::Stale);
        receiver.status(&forged, at + OBEYED - MOMENT);
        assert_eq!(receiver.state(at + OBEYED - MOMENT), State::Stale);
        let again = Status {
            sequence: 2,
            ..forged
        };
        receiver.status(&again, at + OBEYED);
        assert_eq!(receiver.state(at + OBEYED), State::Active);
    }
}

#[test]
fn a_replay_in_another_cut_during_the_proof_undoes_no_word_of_the_gate() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.begin(gate.announcement(), now(), at).unwrap();
    let arrived = |index| receiver.accept(&gate.fragment(index), at).unwrap();
    let candidate = (0..gate.count()).find_map(arrived).unwrap();
    let other = Gate::new(5).cut_into(1 << 20).replay(NEVER_SEEN, 1);
    receiver.announce(other, now(), at).unwrap();
    receiver.status(&gate.status(9, Status::WITHDRAWN), at);
    let settled = receiver.settle(candidate.prove(), now(), at);
    assert!(settled.unwrap().is_some());
    assert_eq!(receiver.state(at), State::Stale);
    assert_eq!(receiver.receiving(), None);
}

/// Whoever comes late has a replay and the gate's word on it in either order.
#[test]
fn a_replay_wakes_nothing_of_which_the_gate_spoke_before_it_came() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.status(&gate.status(9, Status::WITHDRAWN), at);
    let replay = gate.replay(NEVER_SEEN, 1);
    let forged = ready(&gate, &replay);
    receiver.announce(replay, now(), at).unwrap();
    receiver.status(&forged, at);
    gate.complete(&mut receiver, at);
    let again = Status {
        sequence: 2,
        ..forged
    };
    receiver.status(&again, at + OBEYED - MOMENT);
    assert_eq!(receiver.state(at + OBEYED - MOMENT), State::Stale);
}

#[test]
fn a_successor_of_which_the_gate_spoke_before_it_came_takes_over_no_lease() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.send(&mut receiver, at);
    let next = Gate::new(6).at(2, 1);
    receiver.status(&next.status(9, Status::WITHDRAWN), at);
    assert_eq!(receiver.state(at), State::Active, "of another session");
    next.deliver(&mut receiver, at);
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 6);
    assert_eq!(receiver.state(at), State::Stale);
}

#[test]
fn a_flood_of_words_about_nothing_hides_none_that_is_repeated() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    for forged in 0..1000_u16 {
        let mut status = gate.status(9, Status::WITHDRAWN);
        status.manifest_digest[..2].copy_from_slice(&forged.to_le_bytes());
        receiver.status(&status, at);
    }
    receiver.status(&gate.status(10, Status::WITHDRAWN), at);
    gate.send(&mut receiver, at);
    assert_eq!(receiver.state(at), State::Stale);
}
