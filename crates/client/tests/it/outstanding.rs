//! Two batches on their way at a time, and gates that answer late, twice, or with something else.

use std::time::{Duration, Instant};

use crate::pulls::{TICK, answer, pulled};
use crate::support::*;
use tensorgate_client::*;

/// A receiver to which the first batch came of 25 MB.
fn flowing(gate: &Gate, at: Instant) -> Receiver {
    let mut receiver = receiver();
    receiver.announce(pulled(gate), now(), at).unwrap();
    let first = receiver.pull(at).unwrap().unwrap();
    assert_eq!(receiver.pull(at).unwrap(), None, "nothing came yet");
    answer(gate, &mut receiver, &first, at);
    receiver
}

/// The two batches that are due, and no third.
pub(crate) fn two(receiver: &mut Receiver, at: Instant) -> (Pull, Pull) {
    let due: Vec<Pull> = std::iter::from_fn(|| receiver.pull(at).unwrap()).collect();
    let [one, other] = due.try_into().unwrap();
    (one, other)
}

#[test]
fn once_answers_bring_something_two_batches_are_on_their_way_and_nothing_twice() {
    let (gate, at) = (Gate::large(5), Instant::now());
    let mut receiver = flowing(&gate, at);
    let mut asked: Vec<u32> = (0..16).collect();
    let mut underway = Vec::new();
    // Whichever answer comes first: here always the later one.
    loop {
        while let Some(pull) = receiver.pull(at).unwrap() {
            asked.extend(pull.first..pull.first + pull.count);
            underway.push(pull);
        }
        assert!(underway.len() <= 2);
        let Some(pull) = underway.pop() else { break };
        answer(&gate, &mut receiver, &pull, at);
    }
    asked.sort_unstable();
    assert!(asked.into_iter().eq(0..gate.count() as u32));
    assert_eq!(bytes(receiver.policy().unwrap()), bytes(&gate.policy));
}

#[test]
fn after_an_answer_that_brought_nothing_it_is_one_batch_at_a_time_again() {
    let (gate, at) = (Gate::large(5), Instant::now());
    let mut receiver = flowing(&gate, at);
    let (empty, other) = two(&mut receiver, at);
    receiver.pulled(&empty, at);
    let later = at + Duration::from_millis(100);
    assert_eq!(receiver.pull(later).unwrap(), None, "the other is awaited");
    answer(&gate, &mut receiver, &other, later);
    let (again, _) = two(&mut receiver, later);
    assert_eq!(again.first, empty.first);
}

/// A gate that answers with what somebody else asked for, or twice: it proves itself, and is no answer.
#[test]
fn what_was_not_asked_for_is_taken_and_does_not_count_as_an_answer() {
    let (gate, at) = (Gate::large(5), Instant::now());
    let mut receiver = flowing(&gate, at);
    let (one, other) = two(&mut receiver, at);
    let last = gate.count() - 1;
    for index in [0, last] {
        receiver.fragment(&gate.fragment(index), now(), at).unwrap();
    }
    assert!(receiver.missing().all(|index| index != last));
    receiver.pulled(&one, at);
    receiver.pulled(&other, at);
    receiver.pulled(&other, at);
    assert_eq!(
        receiver.pull(at + 3 * TICK).unwrap(),
        None,
        "100 and 200 ms"
    );
    let again = receiver.pull(at + 4 * TICK).unwrap().unwrap();
    assert_eq!(again.first, one.first);
}

#[test]
fn an_answer_that_comes_twice_ends_no_other_batch() {
    let (gate, at) = (Gate::large(5), Instant::now());
    let mut receiver = flowing(&gate, at);
    let (one, other) = two(&mut receiver, at);
    for _ in 0..10 {
        answer(&gate, &mut receiver, &one, at);
    }
    let third = receiver.pull(at).unwrap().unwrap();
    assert_eq!(third.first, other.first + other.count);
    assert_eq!(receiver.pull(at).unwrap(), None, "two are awaited");
}

#[test]
fn an_answer_for_another_epoch_is_taken_where_it_proves_itself_and_ignored_where_not() {
    let (gate, at) = (Gate::large(5), Instant::now());
    let mut receiver = flowing(&gate, at);
    let (one, other) = two(&mut receiver, at);
    let foreign = |index: u32| Fragment {
        epoch: 9,
        ..gate.fragment(index as usize)
    };
    let missing = receiver.missing().count();
    for index in one.first..one.first + one.count {
        receiver.fragment(&foreign(index), now(), at).unwrap();
    }
    receiver.pulled(&one, at);
    assert_eq!(receiver.missing().count(), missing - one.count as usize);
    let forged = Fragment {
        data: &[9; 64 << 10],
        ..foreign(other.first)
    };
    assert!(receiver.fragment(&forged, now(), at).unwrap().is_none());
    assert_eq!(receiver.refusals().count, 0);
    receiver.pulled(&other, at);
    assert_eq!(
        receiver.pull(at + TICK).unwrap(),
        None,
        "it brought nothing"
    );
    assert!(receiver.pull(at + 2 * TICK).unwrap().is_some());
}

#[test]
fn a_batch_behind_another_has_its_time_from_its_turn_on() {
    let (gate, at) = (Gate::large(5), Instant::now());
    let mut receiver = flowing(&gate, at);
    let (one, other) = two(&mut receiver, at);
    let turn = at + Duration::from_secs(2) - TICK;
    answer(&gate, &mut receiver, &one, turn);
    let third = receiver.pull(turn).unwrap().unwrap();
    assert_eq!(third.first, other.first + other.count);
    let lost = turn + Duration::from_secs(2);
    answer(&gate, &mut receiver, &third, lost - TICK);
    let fourth = receiver.pull(lost - TICK).unwrap().unwrap();
    assert!(fourth.first > third.first, "the other is awaited");
    // Whoever answers what comes after it does not put it off.
    assert_eq!(
        receiver.pull(lost).unwrap(),
        None,
        "after a loss one at a time"
    );
    answer(&gate, &mut receiver, &fourth, lost);
    assert_eq!(receiver.pull(lost).unwrap().unwrap().first, other.first);
}

/// Whoever keeps requests by their numbers keeps some of them into the next transfer, and an answer of
/// then ends nothing of now.
#[test]
fn no_two_requests_of_a_receiver_have_one_number() {
    let (gate, at) = (Gate::large(5), Instant::now());
    let mut receiver = receiver();
    receiver.announce(pulled(&gate), now(), at).unwrap();
    let lost = receiver.pull(at).unwrap().unwrap();
    let later = at + PATIENCE;
    receiver.pull(later).unwrap_err();
    receiver.announce(pulled(&gate), now(), later).unwrap();
    let again = receiver.pull(later).unwrap().unwrap();
    assert_eq!((again.first, again.count), (lost.first, lost.count));
    assert!(again.number > lost.number);
    receiver.pulled(&lost, later);
    assert_eq!(
        receiver.pull(later + 3 * TICK).unwrap(),
        None,
        "it is awaited"
    );

    let next = Gate::large(6).at(2, 1);
    receiver.announce(pulled(&next), now(), later).unwrap();
    let of_next = receiver.pull(later).unwrap().unwrap();
    assert!(of_next.number > again.number);
}
