//! What is asked of `~/get_fragments`, and when; servers that are slow, busy, silent and hostile.

use std::time::{Duration, Instant};

use crate::outstanding::two;
use crate::support::*;
use tensorgate_client::*;
use tensorgate_verify::Rejection;

pub(crate) const TICK: Duration = Duration::from_millis(50);

pub(crate) fn pulled(gate: &Gate) -> Announcement {
    Announcement {
        delivery: Announcement::PULLED,
        ..gate.announcement()
    }
}

/// Takes in the fragments that were asked for.
pub(crate) fn answer(gate: &Gate, receiver: &mut Receiver, pull: &Pull, at: Instant) {
    for index in pull.first..pull.first + pull.count {
        receiver
            .fragment(&gate.fragment(index as usize), now(), at)
            .unwrap();
    }
    receiver.pulled(pull, at);
}

#[test]
fn a_policy_that_is_pulled_is_asked_for_at_once_batch_after_batch() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(pulled(&gate), now(), at).unwrap();
    let mut asked = Vec::new();
    while let Some(pull) = receiver.pull(at).unwrap() {
        assert_eq!((pull.session, pull.epoch), receiver.receiving().unwrap());
        assert_eq!(receiver.pull(at).unwrap(), None, "it is on its way");
        asked.extend(pull.first..pull.first + pull.count);
        answer(&gate, &mut receiver, &pull, at);
    }
    assert!(asked.into_iter().eq(0..gate.count() as u32));
    assert_eq!(bytes(receiver.policy().unwrap()), bytes(&gate.policy));
    assert_eq!(receiver.pull(at).unwrap(), None);
}

#[test]
fn batches_grow_with_success_and_shrink_with_loss() {
    // 25 MB in fragments of 64 KiB: 16 are a first batch.
    let (gate, mut receiver, mut at) = (Gate::large(5), receiver(), Instant::now());
    receiver.announce(pulled(&gate), now(), at).unwrap();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let pull = receiver.pull(at).unwrap().unwrap();
        counts.push(pull.count);
        answer(&gate, &mut receiver, &pull, at);
    }
    assert_eq!(counts, [16, 32, 64, 64], "4 MiB at the most");
    let (lost, _lost_too) = two(&mut receiver, at);
    at += Duration::from_secs(2);
    let again = receiver.pull(at).unwrap().unwrap();
    assert_eq!((again.first, again.count), (lost.first, 32), "one loss");
    assert_eq!(receiver.pull(at).unwrap(), None, "one at a time again");
    // The next loss is believed later: the link may be slow.
    assert_eq!(receiver.pull(at + Duration::from_secs(3)).unwrap(), None);
    let third = receiver.pull(at + Duration::from_secs(4)).unwrap().unwrap();
    assert_eq!((third.first, third.count), (lost.first, 16));
}

#[test]
fn what_is_latched_is_waited_for_and_then_asked_for() {
    for delivery in [0, Announcement::LATCHED, 99] {
        let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
        let announcement = Announcement {
            delivery,
            ..gate.announcement()
        };
        receiver.announce(announcement, now(), at).unwrap();
        let first = at + Duration::from_secs(10);
        assert_eq!(receiver.pull(first - TICK).unwrap(), None);
        assert!(receiver.pull(first).unwrap().is_some());
    }
}

#[test]
fn a_gap_is_asked_for_after_two_seconds_and_only_what_is_missing() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    for index in [0, 1, 4] {
        receiver.fragment(&gate.fragment(index), now(), at).unwrap();
    }
    let gap = at + Duration::from_secs(2);
    assert_eq!(receiver.pull(gap - TICK).unwrap(), None);
    let pull = receiver.pull(gap).unwrap().unwrap();
    assert_eq!((pull.first, pull.count), (2, 2));
    answer(&gate, &mut receiver, &pull, gap);
    let rest = receiver.pull(gap).unwrap().unwrap();
    assert_eq!((rest.first, rest.count as usize), (5, gate.count() - 5));
    answer(&gate, &mut receiver, &rest, gap);
    assert_eq!(bytes(receiver.policy().unwrap()), bytes(&gate.policy));
}

#[test]
fn a_fragment_that_comes_by_itself_puts_the_gap_off() {
    let (gate, mut receiver, mut at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(gate.announcement(), now(), at).unwrap();
    for index in 0..gate.count() - 1 {
        receiver.fragment(&gate.fragment(index), now(), at).unwrap();
        at += Duration::from_secs(2) - TICK;
        assert_eq!(receiver.pull(at).unwrap(), None);
        // What came before is no progress, and what is forged is none.
        receiver.fragment(&gate.fragment(0), now(), at).unwrap();
        let forged = Fragment {
            data: &[7; 64 << 10],
            ..gate.fragment(index + 1)
        };
        let _refused = receiver.fragment(&forged, now(), at);
    }
    assert!(receiver.pull(at + TICK).unwrap().is_some());
}

/// Answers each batch with `reply` until the receiver gives up, a tick at a time; returns how often
/// it asked.
fn suffer(gate: &Gate, reply: impl Fn(&mut Receiver, &Pull, Instant)) -> usize {
    let (mut receiver, begun) = (receiver(), Instant::now());
    receiver.announce(pulled(gate), now(), begun).unwrap();
    let (mut at, mut asked) = (begun, 0);
    loop {
        match receiver.pull(at) {
            Ok(Some(pull)) => {
                asked += 1;
                reply(&mut receiver, &pull, at);
            }
            Ok(None) => {}
            Err(error) => {
                assert_eq!(error.rejection(), None, "it is no verdict");
                let count = gate.count();
                assert_eq!(error.detail(), format!("{count} of {count} did not arrive"));
                assert_eq!(at - begun, PATIENCE);
                assert_eq!(
                    (receiver.receiving(), receiver.state(at)),
                    (None, State::NoPolicy)
                );
                return asked;
            }
        }
        at += TICK;
    }
}

#[test]
fn a_server_that_is_busy_or_lies_is_asked_ever_more_rarely_and_given_up() {
    let gate = Gate::new(5);
    let nothing = suffer(&gate, |receiver, pull, at| receiver.pulled(pull, at));
    let useless = suffer(&gate, |receiver, pull, at| {
        for index in 0..gate.count() {
            let forged = Fragment {
                data: &[7; 64 << 10],
                ..gate.fragment(index)
            };
            let refused = receiver.fragment(&forged, now(), at);
            assert!(refused.is_err());
        }
        receiver.pulled(pull, at);
    });
    assert_eq!(nothing, useless, "whatever it says");
    assert!((10..25).contains(&nothing), "{nothing} times in 60 s");
}

#[test]
fn a_server_that_is_silent_is_asked_ever_more_rarely_and_given_up() {
    let silent = suffer(&Gate::new(5), |_, _, _| {});
    assert!((3..10).contains(&silent), "{silent} times in 60 s");
}

#[test]
fn answers_to_nothing_that_was_asked_change_nothing() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(pulled(&gate), now(), at).unwrap();
    let first = receiver.pull(at).unwrap().unwrap();
    let later = at + Duration::from_secs(2);
    let second = receiver.pull(later).unwrap().unwrap();
    assert_ne!(first, second);
    for _ in 0..100 {
        receiver.pulled(&first, later);
        assert_eq!(receiver.pull(later).unwrap(), None, "the second is awaited");
    }
    // But what a late answer brings is taken.
    answer(&gate, &mut receiver, &first, later);
    assert_eq!(bytes(receiver.policy().unwrap()), bytes(&gate.policy));
    receiver.pulled(&second, later);
    assert_eq!(receiver.pull(later).unwrap(), None);
}

#[test]
fn progress_extends_the_time_and_a_trickle_does_not() {
    let gate = Gate::large(5);
    // 64 KiB each 5 s are 13 KiB/s; each 8 s, 8 KiB/s.
    for (pause, arrives) in [(5, true), (8, false)] {
        let (mut receiver, mut at) = (receiver(), Instant::now());
        receiver.announce(gate.announcement(), now(), at).unwrap();
        let arrived = (0..gate.count()).all(|index| {
            at += Duration::from_secs(pause);
            let alive = receiver.pull(at).is_ok();
            receiver.fragment(&gate.fragment(index), now(), at).unwrap();
            alive
        });
        assert_eq!(arrived, arrives, "a fragment each {pause} s");
        assert_eq!(receiver.policy().is_some(), arrives);
    }
}

#[test]
fn what_was_given_up_begins_anew_and_what_runs_stays() {
    let (old, new, mut receiver, at) = (
        Gate::new(5),
        Gate::new(6).at(1, 2),
        receiver(),
        Instant::now(),
    );
    old.send(&mut receiver, at);
    receiver.announce(new.announcement(), now(), at).unwrap();
    assert!(receiver.knows(new.session, new.epoch));
    let late = at + PATIENCE;
    assert!(receiver.pull(late).is_err());
    assert!(receiver.pull(late).unwrap().is_none(), "it is said once");
    assert!(receiver.knows(old.session, old.epoch) && !receiver.knows(new.session, new.epoch));
    receiver.status(&old.heartbeat(9), late);
    assert_eq!(receiver.active(late).unwrap().evidence().sequence, 5);
    new.send(&mut receiver, late);
    assert_eq!(receiver.active(late).unwrap().evidence().sequence, 6);
}

#[test]
fn a_replay_cannot_turn_pulling_off() {
    let (gate, mut receiver, at) = (Gate::new(5), receiver(), Instant::now());
    receiver.announce(pulled(&gate), now(), at).unwrap();
    receiver.announce(gate.replay(66, 1), now(), at).unwrap();
    assert!(receiver.pull(at).unwrap().is_some());
    // And a gate that lets its fragments be pulled from now on is asked at once.
    let mut receiver = crate::support::receiver();
    receiver.announce(gate.announcement(), now(), at).unwrap();
    receiver.announce(pulled(&gate), now(), at).unwrap();
    assert!(receiver.pull(at).unwrap().is_some());
}

#[test]
fn while_a_policy_is_proven_elsewhere_words_about_it_count() {
    let gate = Gate::new(5);
    let at = Instant::now();
    for (state, expected) in [
        (Status::READY, State::Active),
        (Status::WITHDRAWN, State::Stale),
    ] {
        let (mut receiver, proven) = proven(&gate, at);
        receiver.status(&gate.status(1, state), at);
        receiver.settle(proven, now(), at).unwrap().unwrap();
        assert_eq!(receiver.state(at), expected);
    }
    let (mut receiver, proven) = proven(&gate, at);
    receiver.status(&gate.status(1, Status::REVOKED), at);
    let settled = receiver.settle(proven, now(), at);
    assert_eq!(refusal(settled), Rejection::ManifestRevoked);
    assert_eq!(receiver.state(at), State::NoPolicy);
}

#[test]
fn what_was_overtaken_while_it_was_proven_does_not_come_into_force() {
    let (gate, newer, at) = (Gate::new(5), Gate::new(6).at(1, 2), Instant::now());
    let (mut receiver, late) = proven(&gate, at);
    receiver.announce(newer.announcement(), now(), at).unwrap();
    let settled = receiver.settle(late, now(), at);
    assert_eq!(refusal(settled), Rejection::ManifestRollback);
    newer.complete(&mut receiver, at);
    assert_eq!(receiver.policy().unwrap().evidence().sequence, 6);

    let (mut receiver, late) = proven(&gate, at);
    newer.send(&mut receiver, at);
    let settled = receiver.settle(late, now(), at);
    assert_eq!(refusal(settled), Rejection::ManifestRollback);
    assert_eq!(receiver.active(at).unwrap().evidence().sequence, 6);
}

#[test]
fn a_proof_that_never_ends_is_given_up() {
    let (gate, at) = (Gate::new(5), Instant::now());
    let (mut receiver, _proven) = proven(&gate, at);
    assert_eq!(receiver.state(at), State::Receiving);
    assert_eq!(receiver.pull(at + PATIENCE - TICK).unwrap(), None);
    assert!(receiver.pull(at + PATIENCE).is_err());
    gate.send(&mut receiver, at + PATIENCE);
}

/// A receiver to which every fragment came, and what came of the proof.
fn proven(gate: &Gate, at: Instant) -> (Receiver, Proven) {
    let mut receiver = receiver();
    let begun = receiver.begin(gate.announcement(), now(), at).unwrap();
    assert!(begun.is_none());
    let arrived = |index| receiver.accept(&gate.fragment(index), at).unwrap();
    let candidates: Vec<_> = (0..gate.count()).filter_map(arrived).collect();
    let [candidate] = candidates.try_into().unwrap();
    (receiver, candidate.prove())
}

#[test]
fn delivery_is_as_in_the_message() {
    let message = include_str!("../../../../msg/msg/PolicyManifest.msg");
    for (name, value) in [
        ("LATCHED", Announcement::LATCHED),
        ("PULLED", Announcement::PULLED),
    ] {
        let constant = format!("uint8 DELIVERY_{name}={value} ");
        assert!(message.contains(&constant), "{name}");
    }
}
