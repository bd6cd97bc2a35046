//! Leases, withdrawal and revocation.

use std::time::{Duration, Instant};

use crate::support::*;
use tensorgate_client::*;
use tensorgate_verify::Rejection;

const MOMENT: Duration = Duration::from_millis(1);

/// A receiver that runs release 5, and the instant at which it was activated.
fn running() -> (Gate, Receiver, Instant) {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.send(&mut receiver, at);
    (gate, receiver, at)
}

#[test]
fn without_a_word_from_the_gate_a_verified_policy_is_not_acted_on() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    gate.deliver(&mut receiver, at);
    for later in [at, at + LEASE, at + PATIENCE] {
        assert_eq!(receiver.state(later), State::Verified);
        assert!(receiver.active(later).is_none() && receiver.policy().is_some());
    }
    receiver.status(&gate.heartbeat(1), at);
    assert_eq!(receiver.state(at + LEASE - MOMENT), State::Active);
    assert_eq!(receiver.state(at + LEASE), State::Stale, "for good");
}

#[test]
fn a_verified_policy_can_be_withdrawn_revoked_and_expire() {
    let (gate, at) = (Gate::new(5), Instant::now());
    for (state, expected) in [(6, State::Stale), (4, State::Stale), (7, State::Revoked)] {
        let mut receiver = receiver();
        gate.deliver(&mut receiver, at);
        receiver.status(&gate.status(1, state), at);
        assert_eq!(receiver.state(at), expected);
    }
    let mut receiver = receiver();
    gate.deliver(&mut receiver, at);
    let year = Duration::from_secs(366 * 24 * 3600);
    assert_eq!(receiver.state(at + year), State::Stale);
}

#[test]
fn a_swap_takes_over_what_is_left_of_the_lease_and_no_more() {
    let (_, mut receiver, at) = running();
    let swapped = at + LEASE / 2;
    let next = Gate::new(6).at(1, 2);
    next.deliver(&mut receiver, swapped);
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 6);
    assert_eq!(receiver.state(at + LEASE - MOMENT), State::Active);
    assert_eq!(receiver.state(at + LEASE), State::Stale);
    receiver.status(&next.heartbeat(1), at + LEASE);
    assert_eq!(receiver.state(at + LEASE), State::Active);
}

#[test]
fn nothing_is_taken_over_from_a_policy_that_may_not_be_acted_on() {
    let (old, next) = (Gate::new(5), Gate::new(6).at(1, 2));
    let at = Instant::now();
    for (state, after) in [(3, LEASE), (6, MOMENT), (7, MOMENT)] {
        let mut receiver = receiver();
        old.send(&mut receiver, at);
        receiver.status(&old.status(1, state), at);
        next.deliver(&mut receiver, at + after);
        assert_eq!(receiver.state(at + after), State::Verified, "after {state}");
    }
}

#[test]
fn what_expires_while_it_runs_may_not_be_acted_on() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    let shortly_before = instant("2027-10-31T23:59:59.9Z");
    receiver
        .announce(gate.announcement(), shortly_before, at)
        .unwrap();
    for index in 0..gate.count() {
        receiver
            .fragment(&gate.fragment(index), shortly_before, at)
            .unwrap();
    }
    receiver.status(&gate.heartbeat(1), at);
    assert_eq!(
        receiver.state(at + Duration::from_millis(99)),
        State::Active
    );
    receiver.status(&gate.heartbeat(2), at + Duration::from_millis(99));
    assert_eq!(
        receiver.state(at + Duration::from_millis(100)),
        State::Stale
    );
}

#[test]
fn heartbeats_keep_it_active_and_wake_it_again() {
    let (gate, mut receiver, at) = running();
    receiver.status(&gate.heartbeat(1), at);
    assert_eq!(receiver.state(at + LEASE - MOMENT), State::Active);
    assert_eq!(receiver.state(at + LEASE), State::Stale);
    receiver.status(&gate.heartbeat(2), at + 3 * LEASE);
    assert_eq!(receiver.state(at + 3 * LEASE), State::Active);
}

#[test]
fn heartbeats_that_arrive_during_the_transfer_count() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.status(&gate.heartbeat(1), at);
    for index in 0..gate.count() {
        receiver.fragment(&gate.fragment(index), now(), at).unwrap();
    }
    assert_eq!(receiver.state(at + LEASE - MOMENT), State::Active);
    assert_eq!(receiver.state(at + LEASE), State::Stale);
}

#[test]
fn repeated_and_older_heartbeats_do_not_count() {
    let (gate, mut receiver, at) = running();
    receiver.status(&gate.heartbeat(7), at);
    for sequence in [7, 6, 0] {
        receiver.status(&gate.heartbeat(sequence), at + LEASE);
        assert_eq!(receiver.state(at + LEASE), State::Stale);
    }
}

#[test]
fn heartbeats_of_something_else_do_not_count() {
    let (gate, mut receiver, at) = running();
    let late = at + LEASE;
    let beat = gate.heartbeat(1);
    receiver.status(
        &Status {
            session: [9; 16],
            ..beat
        },
        late,
    );
    receiver.status(&Status { epoch: 2, ..beat }, late);
    receiver.status(
        &Status {
            manifest_digest: [9; 32],
            ..beat
        },
        late,
    );
    assert_eq!(receiver.state(late), State::Stale);
    receiver.status(&beat, late);
    assert_eq!(receiver.state(late), State::Active);
}

#[test]
fn a_lease_is_bounded_whatever_the_heartbeat_says() {
    let (gate, mut receiver, at) = running();
    receiver.status(
        &Status {
            lease: Duration::MAX,
            ..gate.heartbeat(1)
        },
        at,
    );
    assert_eq!(receiver.state(at + MAX_LEASE - MOMENT), State::Active);
    assert_eq!(receiver.state(at + MAX_LEASE), State::Stale);
}

#[test]
fn withdrawal_is_immediate_and_can_be_taken_back() {
    let (gate, mut receiver, at) = running();
    receiver.status(&gate.heartbeat(3), at);
    receiver.status(&gate.status(1, Status::WITHDRAWN), at);
    assert_eq!(
        receiver.state(at),
        State::Stale,
        "a stop counts though it comes late"
    );
    receiver.status(&gate.heartbeat(4), at);
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.status(&gate.heartbeat(5), at);
    assert_eq!(
        receiver.state(at),
        State::Stale,
        "no heartbeat of this announcement undoes it"
    );
    let again = gate.at(1, 2);
    receiver.announce(again.announcement(), now(), at).unwrap();
    assert_eq!(receiver.state(at), State::Stale);
    receiver.status(&again.heartbeat(6), at);
    assert_eq!(
        receiver.state(at),
        State::Stale,
        "the word of a gate that repeats it outlasts who says otherwise"
    );
    let later = at + OBEYED;
    receiver.status(&again.heartbeat(7), later);
    assert_eq!(receiver.state(later), State::Active);
}

/// Topics have no order among them.
#[test]
fn a_late_word_on_the_last_announcement_does_not_end_the_next() {
    let (gate, mut receiver, at) = running();
    receiver.status(&gate.status(2, Status::WITHDRAWN), at);
    let late = gate.status(3, Status::WITHDRAWN);
    let again = gate.at(1, 2);
    receiver.announce(again.announcement(), now(), at).unwrap();
    receiver.status(&late, at);
    receiver.status(&again.heartbeat(4), at);
    assert_eq!(receiver.state(at), State::Stale, "it counts for a second");
    let later = at + OBEYED;
    receiver.status(&again.heartbeat(5), later);
    assert_eq!(receiver.state(later), State::Active);
}

/// Only an announcement wakes what a gate called back, under whatever session or epoch it did: a
/// heartbeat alone never does.
#[test]
fn a_word_from_another_announcement_is_not_undone_by_a_heartbeat() {
    for (session, epoch) in [(2, 1), (1, 2)] {
        let (gate, mut receiver, at) = running();
        let other = Gate::new(5).at(session, epoch);
        receiver.status(&other.status(1, Status::WITHDRAWN), at);
        let later = at + OBEYED;
        receiver.status(&gate.heartbeat(2), later);
        assert_eq!(receiver.state(later), State::Stale);
        receiver
            .announce(other.announcement(), now(), later)
            .unwrap();
        receiver.status(&other.heartbeat(3), later);
        assert_eq!(receiver.state(later), State::Active);
    }
}

/// As long as a word that names the manifest counts.
const OBEYED: Duration = Duration::from_secs(1);

#[test]
fn a_replay_wakes_nothing_while_the_gate_says_otherwise() {
    let (gate, mut receiver, begin) = running();
    let ticks = (1..=100).map(|tick| (tick, begin + tick * Duration::from_millis(100)));
    for (tick, at) in ticks {
        receiver.status(&gate.status(u64::from(tick), Status::WITHDRAWN), at);
        // Somebody has the genuine manifest announced anew, under a session of his own.
        let epoch = u64::from(tick) + 1;
        receiver.announce(gate.replay(9, epoch), now(), at).unwrap();
        let ready = Status {
            session: [9; 16],
            epoch,
            ..gate.heartbeat(1)
        };
        receiver.status(&ready, at + Duration::from_millis(50));
        assert_eq!(receiver.state(at + Duration::from_millis(50)), State::Stale);
    }
}

#[test]
fn every_state_but_ready_stops() {
    let (gate, mut receiver, begin) = running();
    let others = (0..=u8::MAX).filter(|state| ![Status::READY, Status::REVOKED].contains(state));
    for (turn, state) in (1..).zip(others) {
        let (epoch, at) = (u64::from(turn) + 1, begin + turn * OBEYED);
        receiver.announce(gate.replay(1, epoch), now(), at).unwrap();
        let (ready, other) = (gate.heartbeat(1), gate.status(2, state));
        receiver.status(&Status { epoch, ..ready }, at);
        assert_eq!(receiver.state(at), State::Active);
        receiver.status(&Status { epoch, ..other }, at);
        assert_eq!(receiver.state(at), State::Stale, "state {state}");
    }
}

/// A gate says `STATE_LOADING`, of no announcement, until all fragments are published.
fn loading(gate: &Gate, sequence: u64) -> Status {
    Status {
        epoch: 0,
        manifest_digest: [0; 32],
        ..gate.status(sequence, 2)
    }
}

#[test]
fn a_gate_that_is_still_loading_stops_it_for_as_long() {
    let (gate, mut receiver, at) = running();
    receiver.status(&loading(&gate, 2), at);
    assert_eq!(receiver.state(at), State::Stale);
    receiver.status(&gate.heartbeat(1), at);
    assert_eq!(receiver.state(at), State::Stale, "an older heartbeat");
    receiver.status(&gate.heartbeat(3), at);
    assert_eq!(receiver.state(at), State::Active);
}

#[test]
fn a_gate_that_is_still_publishing_has_withdrawn_nothing() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.status(&loading(&gate, 1), at);
    gate.complete(&mut receiver, at);
    assert_eq!(receiver.state(at), State::Stale);
    receiver.status(&gate.heartbeat(2), at);
    assert_eq!(receiver.state(at), State::Active);
}

#[test]
fn withdrawn_while_it_was_received_it_does_not_start() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.status(&gate.status(1, Status::WITHDRAWN), at);
    for index in 0..gate.count() {
        receiver.fragment(&gate.fragment(index), now(), at).unwrap();
    }
    assert_eq!(receiver.state(at), State::Stale);
}

#[test]
fn revocation_is_immediate_and_latched() {
    let (gate, mut receiver, at) = running();
    receiver.status(&gate.status(1, Status::REVOKED), at);
    assert_eq!(receiver.state(at), State::Revoked);
    receiver.status(&gate.heartbeat(2), at);
    assert_eq!(receiver.state(at), State::Revoked);
    assert!(receiver.active(at).is_none());
    let again = gate.at(2, 1);
    let result = receiver.announce(again.announcement(), now(), at);
    assert_eq!(refusal(result), Rejection::ManifestRevoked);
    Gate::new(6).at(2, 1).send(&mut receiver, at);
    assert_eq!(receiver.state(at), State::Active, "another policy ends it");
}

#[test]
fn a_revocation_by_another_session_counts() {
    let (gate, mut receiver, at) = running();
    let foreign = Status {
        session: [9; 16],
        ..gate.status(1, Status::REVOKED)
    };
    receiver.status(&foreign, at);
    assert_eq!(receiver.state(at), State::Revoked);
}

#[test]
fn a_revocation_before_and_during_the_transfer_counts() {
    let (gate, mut early, at) = (Gate::new(5), receiver(), Instant::now());
    early.status(&gate.status(1, Status::REVOKED), at);
    let result = early.announce(gate.announcement(), now(), at);
    assert_eq!(refusal(result), Rejection::ManifestRevoked);

    let mut meanwhile = receiver();
    meanwhile.announce(gate.announcement(), now(), at).unwrap();
    meanwhile.status(&gate.status(1, Status::REVOKED), at);
    assert_eq!(meanwhile.state(at), State::NoPolicy);
    assert!(
        meanwhile
            .fragment(&gate.fragment(0), now(), at)
            .unwrap()
            .is_none()
    );
}

/// Revokes manifests that nobody has seen, more than are remembered.
fn flood(receiver: &mut Receiver, at: Instant) {
    for forged in 0..5000_u32 {
        let mut status = Status {
            state: Status::REVOKED,
            ..Status::default()
        };
        status.manifest_digest[..4].copy_from_slice(&forged.to_le_bytes());
        receiver.status(&status, at);
    }
}

#[test]
fn a_flood_of_revocations_hides_none_of_what_is_in_hand() {
    let (gate, mut receiver, at) = running();
    flood(&mut receiver, at);
    assert_eq!(receiver.state(at), State::Active);
    receiver.status(&gate.status(1, Status::REVOKED), at);
    flood(&mut receiver, at);
    assert_eq!(receiver.state(at), State::Revoked);
}

#[test]
fn a_flood_of_revocations_does_not_crowd_out_the_next() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    flood(&mut receiver, at);
    receiver.status(&gate.status(1, Status::REVOKED), at);
    let result = receiver.announce(gate.announcement(), now(), at);
    assert_eq!(refusal(result), Rejection::ManifestRevoked);
}

#[test]
fn a_revocation_that_is_repeated_outlasts_a_flood() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    for sequence in 1..5 {
        receiver.status(&gate.status(sequence, Status::REVOKED), at);
        for forged in 0..1000_u16 {
            let mut status = gate.status(sequence, Status::REVOKED);
            status.manifest_digest = [sequence as u8; 32];
            status.manifest_digest[..2].copy_from_slice(&forged.to_le_bytes());
            receiver.status(&status, at);
        }
    }
    let result = receiver.announce(gate.announcement(), now(), at);
    assert_eq!(refusal(result), Rejection::ManifestRevoked);
}

#[test]
fn a_snapshot_runs_out_like_the_receiver_that_it_was_taken_of() {
    assert_eq!(receiver().snapshot().state(Instant::now()), State::NoPolicy);
    let (gate, mut receiver, at) = running();
    let snapshot = receiver.snapshot();
    receiver.status(&gate.status(1, Status::WITHDRAWN), at);
    assert_eq!(snapshot.state(at), State::Active);
    assert!(snapshot.active(at).is_some());
    assert_eq!(snapshot.state(at + LEASE), State::Stale);
    assert!(snapshot.active(at + LEASE).is_none());
    assert_eq!(receiver.snapshot().state(at), State::Stale);
}

#[test]
fn the_successors_heartbeats_keep_the_running_policy_for_a_bounded_time() {
    let (_, mut receiver, at) = running();
    let next = Gate::new(6).at(1, 2);
    receiver.announce(next.announcement(), now(), at).unwrap();
    let (mut time, mut sequence) = (at, 0);
    while time < at + PATIENCE {
        sequence += 1;
        receiver.status(&next.heartbeat(sequence), time);
        assert_eq!(receiver.state(time), State::Active);
        time += LEASE / 2;
    }
    receiver.status(&next.heartbeat(sequence + 1), time + LEASE);
    assert_eq!(receiver.state(time + LEASE), State::Stale);
}

#[test]
fn the_successors_heartbeats_do_not_wake_a_stale_policy() {
    let (_, mut receiver, at) = running();
    let late = at + LEASE;
    let next = Gate::new(6).at(2, 1);
    receiver.announce(next.announcement(), now(), late).unwrap();
    receiver.status(&next.heartbeat(1), late);
    assert_eq!(receiver.state(late), State::Stale);
}

#[test]
fn the_states_are_those_of_the_message() {
    let message = include_str!("../../../../msg/msg/PolicyStatus.msg");
    let constants = [
        ("READY", Status::READY),
        ("WITHDRAWN", Status::WITHDRAWN),
        ("REVOKED", Status::REVOKED),
    ];
    for (name, value) in constants {
        assert!(
            message.contains(&format!("uint8 STATE_{name}={value} ")),
            "{name}"
        );
    }
}
