//! Any order and repetition of fragments; any flipped bit.

use std::sync::LazyLock;
use std::time::Instant;

use crate::drive::drive;
use crate::support::*;
use proptest::prelude::*;
use proptest::sample::Index;
use tensorgate_client::*;
use tensorgate_verify::Rejection;

static GATE: LazyLock<Gate> = LazyLock::new(|| Gate::new(5));

/// Every fragment at least once, some again, in any order.
fn arrivals() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(any::<Index>(), 0..10).prop_flat_map(|again| {
        let again = again.iter().map(|index| index.index(GATE.count()));
        Just((0..GATE.count()).chain(again).collect::<Vec<_>>()).prop_shuffle()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_and_repetition_gives_the_identical_policy(arrivals in arrivals()) {
        let (mut receiver, at) = (receiver(), Instant::now());
        receiver.announce(GATE.announcement(), now(), at).unwrap();
        let mut arrived = |index: &usize| receiver.fragment(&GATE.fragment(*index), now(), at).unwrap();
        let policies: Vec<_> = arrivals.iter().filter_map(&mut arrived).collect();
        prop_assert_eq!(policies.len(), 1);
        prop_assert_eq!(bytes(&policies[0]), bytes(&GATE.policy));
    }

    #[test]
    fn any_flipped_bit_of_a_fragment_is_refused(index: Index, byte: Index, bit in 0..8_u32) {
        let (mut receiver, at) = (receiver(), Instant::now());
        receiver.announce(GATE.announcement(), now(), at).unwrap();
        let genuine = GATE.fragment(index.index(GATE.count()));
        let mut data = genuine.data.to_vec();
        data[byte.index(genuine.data.len())] ^= 1_u8 << bit;
        let flipped = Fragment { data: &data, ..genuine };
        prop_assert_eq!(refusal(receiver.fragment(&flipped, now(), at)), Rejection::DigestMismatch);
        prop_assert_eq!(receiver.missing().count(), GATE.count());
        prop_assert_eq!(receiver.state(at), State::Receiving);
    }

    #[test]
    fn any_flipped_bit_of_the_table_is_refused(byte: Index, bit in 0..8_u32) {
        let (mut receiver, at) = (receiver(), Instant::now());
        let mut announcement = GATE.announcement();
        let byte = byte.index(announcement.fragment_digests.len());
        announcement.fragment_digests[byte] ^= 1_u8 << bit;
        let result = receiver.announce(announcement, now(), at);
        prop_assert_eq!(refusal(result), Rejection::DigestMismatch);
        prop_assert_eq!(receiver.state(at), State::NoPolicy);
    }

    #[test]
    fn whatever_comes_in_whatever_order(steps in proptest::collection::vec(step(), 0..60)) {
        drive(&steps.concat());
    }
}

/// Any bytes; and what random ones seldom are.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let (announced, heartbeat) = (0..3_usize, 0..3_usize);
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..8),
        (announced, 0..3_u8, 0..4_u8, 0..4_u8).prop_map(|(gate, session, epoch, delivery)| vec![
            ANNOUNCE[gate],
            session,
            epoch,
            delivery
        ]),
        (0..3_usize).prop_map(|gate| vec![ALL_FRAGMENTS[gate]]),
        Just(vec![SETTLE]),
        (heartbeat, any::<u8>(), 0..9_u8, 0..3_u8, 0..4_u8).prop_map(
            |(gate, n, state, session, epoch)| vec![STATUS[gate], n, state, session, epoch, 5]
        ),
        (0..3_usize).prop_map(|gate| vec![PULL[gate], 1]),
    ]
}

/// For each gate; `drive` tells them apart by their remainder.
const ANNOUNCE: [u8; 3] = [0, 70, 130];
const ALL_FRAGMENTS: [u8; 3] = [4, 64, 134];
const STATUS: [u8; 3] = [5, 65, 135];
const PULL: [u8; 3] = [8, 68, 128];
const SETTLE: u8 = 9;
const WAIT: u8 = 7;

/// A property of sequences shows nothing where nothing happens in them.
#[test]
fn what_matters_is_reached_by_bytes() {
    let (ready, revoked) = (Status::READY, Status::REVOKED);
    let mut input = vec![ANNOUNCE[0], 1, 1, 1];
    assert_eq!(drive(&input), (State::Receiving, None));
    input.extend([ALL_FRAGMENTS[0], SETTLE]);
    assert_eq!(drive(&input), (State::Verified, Some(5)));
    input.extend([STATUS[0], 1, ready, 1, 1, 5]);
    assert_eq!(drive(&input), (State::Active, Some(5)));
    let stale = [&input[..], &[WAIT, 1, 6]].concat();
    assert_eq!(drive(&stale), (State::Stale, Some(5)));
    input.extend([ANNOUNCE[1], 1, 2, 2, PULL[1], 1, SETTLE]);
    assert_eq!(drive(&input), (State::Active, Some(6)));
    input.extend([STATUS[1], 2, revoked, 2, 0, 5]);
    assert_eq!(drive(&input), (State::Revoked, Some(6)));
    input.extend([ANNOUNCE[2], 2, 3, 1, WAIT, 2, 7]);
    let given_up = [&input[..], &[PULL[2], 0, ALL_FRAGMENTS[2], SETTLE]].concat();
    assert_eq!(drive(&given_up), (State::Revoked, Some(6)));
    input.extend([ALL_FRAGMENTS[2], SETTLE]);
    assert_eq!(drive(&input), (State::Verified, Some(7)));
}
