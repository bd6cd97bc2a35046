//! Several slices of one large file at a time: the same bytes, the same refusals, one question to
//! the Hub, and one connection where a server or a link does not bear more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::time::Duration;

use common::{ID, Set, WEIGHTS};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Place, Port, Repository};
use tensorgate_verify::{Rejection, Sha256};

const SIZE: u64 = 36_000_001;
const SLICE: u64 = 2 << 20;

/// A set whose weights are large enough to be split, and their digest.
fn set() -> (Set, Sha256) {
    let mut bytes = vec![0; SIZE as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let expected = Sha256::of(&bytes);
    let repository = Repository::new(ID).unwrap();
    let set = Set::of(repository.commit_files([(WEIGHTS, bytes)]).unwrap());
    (set, expected)
}

fn assert_whole(fetched: &Fetched, expected: Sha256) {
    let bytes = fs::read(fetched.path.join(WEIGHTS)).unwrap();
    assert_eq!((bytes.len() as u64, Sha256::of(&bytes)), (SIZE, expected));
}

/// The `Range` of each request to the CDN, in order of arrival.
fn ranges(set: &Set) -> Vec<Option<String>> {
    let requests = set.hub.requests_at(Port::Cdn).into_iter();
    requests.map(|request| request.range).collect()
}

fn resolved(set: &Set) -> usize {
    let requests = set.hub.requests_at(Port::Hub);
    let is_file = |target: &str| target.contains("/resolve/");
    requests.iter().filter(|r| is_file(&r.target)).count()
}

fn slice(number: u64) -> Option<String> {
    let (first, end) = (number * SLICE, ((number + 1) * SLICE).min(SIZE));
    Some(format!("bytes={first}-{}", end - 1))
}

#[tokio::test]
async fn a_large_file_comes_in_slices_and_the_hub_is_asked_once() {
    let (set, expected) = set();
    let fetched = set.fetch().await.unwrap();
    assert_whole(&fetched, expected);
    let mut asked = ranges(&set);
    assert_eq!(asked.remove(0), None);
    asked.sort_by_key(|range| range.as_ref().map(|range| (range.len(), range.clone())));
    let mut slices: Vec<_> = (1..SIZE.div_ceil(SLICE)).map(slice).collect();
    slices.sort_by_key(|range| range.as_ref().map(|range| (range.len(), range.clone())));
    assert_eq!(asked, slices);
    assert_eq!((resolved(&set), fetched.bytes), (1, SIZE));
    let strangers = set.hub.requests_at(Port::Cdn);
    assert!(strangers.iter().all(|r| r.authorization.is_none()));
    assert_eq!(set.parts().len(), 0);
}

#[tokio::test]
async fn a_little_more_than_nothing_is_not_split() {
    let (set, expected) = set();
    let mut config = set.config(None);
    config.limits.split_from = SIZE + 1;
    let (hub, target) = (Hub::new(&config).unwrap(), set.target());
    let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &set.said).await;
    assert_whole(&fetched.unwrap(), expected);
    assert_eq!(ranges(&set), [None]);
}

/// Each connection has its speed, and a file more than one connection.
#[tokio::test]
async fn slices_come_at_the_same_time() {
    let (set, expected) = set();
    let (path, bytes_per_second) = (WEIGHTS.into(), 1_000_000);
    set.hub.inject(Fault::Throttled {
        path,
        bytes_per_second,
    });
    let hub = Hub::new(&set.config(None)).unwrap();
    let target = set.target();
    let mut fetched = Box::pin(fetch(
        &set.store,
        Some(&hub),
        Request::new(&target),
        &Silent,
    ));
    let some_time = Duration::from_millis(1200);
    assert!(tokio::time::timeout(some_time, &mut fetched).await.is_err());
    // The first slice takes two seconds, and the others do not wait for it.
    let mut asked = ranges(&set);
    asked.sort();
    let mut first = vec![None, slice(1), slice(2), slice(3)];
    first.sort();
    assert_eq!(asked, first);
    set.hub.clear_faults();
    assert_whole(&fetched.await.unwrap(), expected);
}

#[tokio::test]
async fn cut_slices_are_gone_on_from_in_order() {
    let (set, expected) = set();
    // The first answers come whole, as far as they are slices; some later ones are cut.
    for after in [SLICE, SLICE, SLICE, SLICE, SLICE, 7, SLICE, 1_000_000, 9] {
        let path = WEIGHTS.into();
        set.hub.inject_once(Fault::ConnectionCut { path, after });
    }
    let fetched = set.fetch().await.unwrap();
    assert_whole(&fetched, expected);
    let said = set.said.all();
    let gone_on = ranges(&set).into_iter().flatten();
    let gone_on: Vec<String> = gone_on.filter(|range| range.ends_with('-')).collect();
    // Two slices that are asked for at the same time may arrive in either order.
    let places = (2..=5).map(|slices| slices * SLICE);
    let place = places
        .rev()
        .find(|at| gone_on.contains(&format!("bytes={at}-")));
    let cut = format!(
        "cut at {} of {SIZE} bytes, trying again from",
        place.unwrap()
    );
    assert!(said.contains(&cut), "{said}");
}

/// Slices would be lost again and again.
#[tokio::test]
async fn where_every_answer_is_cut_within_a_slice_it_comes_by_one_connection() {
    let (set, expected) = set();
    let (path, after) = (WEIGHTS.into(), SLICE - 1);
    set.hub.inject(Fault::ConnectionCut { path, after });
    let fetched = set.fetch().await.unwrap();
    assert_whole(&fetched, expected);
    let asked = ranges(&set);
    let ends_with_the_file = |range: &&Option<String>| match range {
        Some(range) => range.ends_with('-'),
        None => true,
    };
    let whole = asked.iter().filter(ends_with_the_file).count() as u64;
    assert_eq!(whole, 1 + SIZE.div_ceil(SLICE - 1));
    assert_eq!(asked.len() as u64, whole + 3);
}

/// A signed address has an end.
#[tokio::test]
async fn an_address_that_expires_is_asked_for_again() {
    for status in [401, 403] {
        let (set, expected) = set();
        let place = Place::Cdn;
        let (path, bytes_per_second) = (WEIGHTS.into(), 4_000_000);
        set.hub.inject(Fault::Throttled {
            path,
            bytes_per_second,
        });
        let hub = Hub::new(&set.config(None)).unwrap();
        let target = set.target();
        let mut fetched = Box::pin(fetch(
            &set.store,
            Some(&hub),
            Request::new(&target),
            &Silent,
        ));
        // The first slice is on its way when the address expires.
        while ranges(&set).len() < 4 {
            let moment = Duration::from_millis(10);
            assert!(tokio::time::timeout(moment, &mut fetched).await.is_err());
        }
        set.hub.clear_faults();
        set.hub.inject_once(Fault::Status { place, status });
        assert_whole(&fetched.await.unwrap(), expected);
        assert_eq!(resolved(&set), 2);
        assert!(
            ranges(&set)
                .last()
                .unwrap()
                .as_ref()
                .unwrap()
                .ends_with('-')
        );
    }
}

#[tokio::test]
async fn what_gives_no_slices_after_all_is_asked_for_the_whole() {
    for fault in [
        Fault::RangeIgnored {
            path: WEIGHTS.into(),
        },
        Fault::ContentRange {
            path: WEIGHTS.into(),
            value: "bytes 0-1/36000001".into(),
        },
    ] {
        let (set, expected) = set();
        for _ in 0..4 {
            set.hub.inject_once(fault.clone());
        }
        let fetched = set.fetch().await.unwrap();
        assert_whole(&fetched, expected);
        assert_eq!(resolved(&set), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn one_bit_less_in_a_slice_is_digest_mismatch() {
    let (set, _) = set();
    let (path, at) = (WEIGHTS.into(), 9 * SLICE);
    set.hub.inject(Fault::ByteFlipped { path, at });
    let error = set.fetch().await.unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::DigestMismatch),
        "{error}"
    );
    // The second time, of one answer.
    assert_eq!(ranges(&set).last(), Some(&None));
    assert_eq!((resolved(&set), set.parts().len()), (2, 0));
}

/// Whatever of it comes in slices, and whatever by one connection.
#[tokio::test]
async fn wherever_it_is_cut_the_bytes_are_the_same() {
    for seed in [1_u64, 2] {
        println!("seed {seed}");
        let (set, expected) = set();
        let mut state = seed;
        for _ in 0..8 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            let (path, after) = (WEIGHTS.into(), (state >> 32) % 3_000_000);
            set.hub.inject_once(Fault::ConnectionCut { path, after });
        }
        let mut config = set.config(None);
        config.limits.retries = 8;
        let (hub, target) = (Hub::new(&config).unwrap(), set.target());
        let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &set.said).await;
        assert_whole(&fetched.unwrap(), expected);
        assert!(set.said.all().contains("trying again"));
        assert_eq!(set.parts().len(), 0);
    }
}
