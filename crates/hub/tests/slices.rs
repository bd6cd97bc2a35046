//! Several slices of one large file at a time: the same bytes, the same refusals, one question to
//! the Hub, and one connection where a server or a link does not bear more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::time::Duration;

use common::{ID, Set, WEIGHTS};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Noise, Place, Port, Repository};
use tensorgate_verify::{Rejection, Sha256};

const SIZE: u64 = 40_000_001;
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

/// The first and the last byte of each slice, in order of the file.
fn slices(set: &Set) -> Vec<(u64, u64)> {
    let slice = |range: Option<String>| {
        let range = range?;
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let mut slices: Vec<_> = ranges(set).into_iter().filter_map(slice).collect();
    slices.sort_unstable();
    slices
}

/// The first byte of each request for all that is missing, in order of arrival.
fn rests(set: &Set) -> Vec<u64> {
    let rest = |range: Option<String>| match range {
        None => Some(0),
        Some(range) => range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok(),
    };
    ranges(set).into_iter().filter_map(rest).collect()
}

/// With limits for which no connection is fast enough.
fn hub(set: &Set, limit: impl FnOnce(&mut FetchLimits)) -> Hub {
    let mut config = set.config(None);
    config.limits.enough = u64::MAX;
    limit(&mut config.limits);
    Hub::new(&config).unwrap()
}

async fn fetch_split(set: &Set) -> Result<Fetched, FetchError> {
    let target = set.target();
    fetch(
        &set.store,
        Some(&hub(set, |_| {})),
        Request::new(&target),
        &set.said,
    )
    .await
}

#[tokio::test]
async fn a_large_file_comes_in_slices_and_the_hub_is_asked_once() {
    let (set, expected) = set();
    let fetched = fetch_split(&set).await.unwrap();
    assert_whole(&fetched, expected);
    let slices = slices(&set);
    // The first connection brings what it is judged by, and a slice of its own.
    let begin = slices[0].0;
    assert!((2 * SLICE..3 * SLICE).contains(&begin), "{begin}");
    let begins = (begin..SIZE).step_by(SLICE as usize);
    let whole: Vec<_> = begins.map(|at| (at, (at + SLICE).min(SIZE) - 1)).collect();
    assert_eq!(slices, whole);
    assert_eq!(rests(&set), [0]);
    assert_eq!((resolved(&set), fetched.bytes), (1, SIZE));
    let strangers = set.hub.requests_at(Port::Cdn);
    assert!(strangers.iter().all(|r| r.authorization.is_none()));
    assert_eq!(set.parts().len(), 0);
}

#[tokio::test]
async fn what_is_fast_or_small_enough_is_not_split() {
    let limits: [fn(&mut FetchLimits); 3] = [
        |limits| limits.enough = 0,
        |limits| limits.split_from = SIZE,
        |limits| limits.slices = 1,
    ];
    for limit in limits {
        let (set, expected) = set();
        let (hub, target) = (hub(&set, limit), set.target());
        let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &set.said).await;
        assert_whole(&fetched.unwrap(), expected);
        assert_eq!(ranges(&set), [None]);
    }
}

/// Fetches slowly until four connections bring something, then does something, and goes on.
async fn meanwhile(set: &Set, act: impl FnOnce()) -> Result<Fetched, FetchError> {
    let (path, bytes_per_second) = (WEIGHTS.into(), 4_000_000);
    set.hub.inject(Fault::Throttled {
        path,
        bytes_per_second,
    });
    let (hub, target) = (hub(set, |_| {}), set.target());
    let mut fetched = Box::pin(fetch(
        &set.store,
        Some(&hub),
        Request::new(&target),
        &Silent,
    ));
    while ranges(set).len() < 4 {
        let moment = Duration::from_millis(10);
        assert!(tokio::time::timeout(moment, &mut fetched).await.is_err());
    }
    set.hub.clear_faults();
    act();
    fetched.await
}

/// Each connection has its speed, and the file more than one connection.
#[tokio::test]
async fn slices_come_at_the_same_time() {
    let (set, expected) = set();
    // While the first slice is on its way, nothing behind it is on the disk.
    let act = || {
        let part = set.parts().remove(0);
        assert!(fs::metadata(part).unwrap().len() < 2 * SLICE);
    };
    assert_whole(&meanwhile(&set, act).await.unwrap(), expected);
}

/// A signed address has an end.
#[tokio::test]
async fn an_address_that_expires_is_asked_for_again() {
    for status in [401, 403] {
        let (set, expected) = set();
        let place = Place::Cdn;
        let act = || set.hub.inject_once(Fault::Status { place, status });
        assert_whole(&meanwhile(&set, act).await.unwrap(), expected);
        assert_eq!((resolved(&set), rests(&set).len()), (2, 2));
    }
}

#[tokio::test]
async fn cut_slices_are_gone_on_from_in_order() {
    let (set, expected) = set();
    // Some come whole.
    for after in [
        3 * SLICE,
        SLICE,
        SLICE,
        SLICE,
        SLICE,
        7,
        SLICE,
        1_000_000,
        9,
    ] {
        let path = WEIGHTS.into();
        set.hub.inject_once(Fault::ConnectionCut { path, after });
    }
    let fetched = fetch_split(&set).await.unwrap();
    assert_whole(&fetched, expected);
    let (rests, said) = (rests(&set), set.said.all());
    assert!(rests[1] > 2 * SLICE, "{rests:?}");
    for at in &rests[1..] {
        let cut = format!("cut at {at} of {SIZE} bytes, trying again from there");
        assert!(said.contains(&cut), "{at}: {said}");
    }
}

/// Slices would be lost again and again.
#[tokio::test]
async fn where_every_answer_is_cut_early_it_comes_by_one_connection() {
    let (set, expected) = set();
    let (path, after) = (WEIGHTS.into(), 2 * SLICE - 1);
    set.hub.inject(Fault::ConnectionCut { path, after });
    let fetched = fetch_split(&set).await.unwrap();
    assert_whole(&fetched, expected);
    // As many as are asked for at a time, beside the connection that began, and no more.
    assert!((1..=3).contains(&slices(&set).len()), "{:?}", slices(&set));
    let steps = (SIZE - rests(&set)[1]).div_ceil(after) as usize;
    assert_eq!(rests(&set).len(), 1 + steps);
}

#[tokio::test]
async fn what_gives_no_slices_after_all_is_asked_for_the_whole() {
    for fault in [
        Fault::RangeIgnored {
            path: WEIGHTS.into(),
        },
        Fault::ContentRange {
            path: WEIGHTS.into(),
            value: format!("bytes 0-1/{SIZE}"),
        },
    ] {
        let (set, expected) = set();
        // For the first answer, which is the whole, and for a slice.
        for _ in 0..2 {
            set.hub.inject_once(fault.clone());
        }
        let fetched = fetch_split(&set).await.unwrap();
        assert_whole(&fetched, expected);
        assert_eq!((resolved(&set), rests(&set).len()), (2, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn one_bit_less_in_a_slice_is_digest_mismatch() {
    let (set, _) = set();
    let (path, at) = (WEIGHTS.into(), 9 * SLICE);
    set.hub.inject(Fault::ByteFlipped { path, at });
    let error = fetch_split(&set).await.unwrap_err();
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
        let mut noise = Noise::new(seed);
        for _ in 0..8 {
            let (path, after) = (WEIGHTS.into(), noise.below(9_000_000));
            set.hub.inject_once(Fault::ConnectionCut { path, after });
        }
        let (hub, target) = (hub(&set, |limits| limits.retries = 8), set.target());
        let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &set.said).await;
        assert_whole(&fetched.unwrap(), expected);
        assert!(set.said.all().contains("trying again"));
        assert_eq!(set.parts().len(), 0);
    }
}
