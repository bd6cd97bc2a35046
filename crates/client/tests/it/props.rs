//! Any order and repetition of fragments; any flipped bit.

use std::sync::LazyLock;
use std::time::Instant;

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
}
