//! After a cut: what came is kept, read again, gone on from, and believed for nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use common::{ID, Set, WEIGHTS, assert_identical, files};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Noise, Place, Port, Repository};
use tensorgate_verify::{FilePath, Rejection, Sha256};

const PLAIN: &str = "tokenizer/vocab.txt";

fn cut(path: &str, after: u64) -> Fault {
    let path = path.into();
    Fault::ConnectionCut { path, after }
}

fn size_of(path: &str) -> u64 {
    let found = files().into_iter().find(|(name, _)| *name == path);
    found.unwrap().1.len() as u64
}

/// The `Range` of each request for the bytes of a file, in order.
fn ranges(set: &Set, path: &str) -> Vec<Option<String>> {
    let port = match path {
        PLAIN => Port::Hub,
        _ => Port::Cdn,
    };
    let of_file = |target: &str| target.split('?').next().unwrap().ends_with(path);
    let requests = set.hub.requests_at(port).into_iter();
    let requests = requests.filter(|request| of_file(&request.target));
    requests.map(|request| request.range).collect()
}

fn from(at: u64) -> Option<String> {
    Some(format!("bytes={at}-"))
}

/// Without a second attempt.
async fn fetch_once(set: &Set) -> Result<Fetched, FetchError> {
    let mut config = set.config(None);
    config.limits.retries = 0;
    let (hub, target) = (Hub::new(&config).unwrap(), set.target());
    fetch(&set.store, Some(&hub), Request::new(&target), &set.said).await
}

/// A set with `after` bytes of the file on the disk, as a process left them that is gone.
async fn cut_off(path: &str, after: u64) -> Set {
    let set = Set::new();
    set.hub.inject_once(cut(path, after));
    let error = fetch_once(&set).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    let part = set.part_of(path).unwrap();
    assert_eq!(fs::metadata(part).unwrap().len(), after);
    assert!(!set.place_of(path).exists());
    set.hub.clear_requests();
    set
}

fn assert_whole(set: &Set, fetched: &Fetched) {
    assert_identical(&fetched.path);
    assert_eq!(set.parts(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn after_a_cut_it_goes_on_from_there() {
    for path in [WEIGHTS, PLAIN] {
        let (set, size) = (Set::new(), size_of(path));
        set.hub.inject_once(cut(path, 270_000));
        let fetched = set.fetch().await.unwrap();
        assert_whole(&set, &fetched);
        assert_eq!(ranges(&set, path), [None, from(270_000)]);
        let said = format!("cut at 270000 of {size} bytes, trying again from there in 0.0 s");
        assert!(set.said.all().contains(&said), "{}", set.said.all());
        // Not a byte came twice.
        let all: u64 = fetched.files.iter().map(|file| file.size).sum();
        assert_eq!(fetched.bytes, all);
    }
}

#[tokio::test]
async fn the_next_fetch_goes_on_where_the_last_one_ended() {
    for path in [WEIGHTS, PLAIN] {
        for after in [1, 8, 270_000, size_of(path) - 1] {
            let set = cut_off(path, after).await;
            let kept = format!("{after} of {} bytes of {path:?} are kept", size_of(path));
            assert!(set.said.all().contains(&kept), "{}", set.said.all());
            let fetched = set.fetch().await.unwrap();
            assert_whole(&set, &fetched);
            assert_eq!(ranges(&set, path), [from(after)]);
        }
    }
}

#[tokio::test]
async fn what_is_there_is_not_asked_for_again() {
    let set = cut_off(WEIGHTS, 270_000).await;
    let here = |path: &&str| set.place_of(path).exists();
    let there = files().iter().map(|(path, _)| *path).filter(here).count();
    drop(set.fetch().await.unwrap());
    let asked = |part: &str| {
        let requests = set.hub.requests_at(Port::Hub);
        requests.iter().filter(|r| r.target.contains(part)).count()
    };
    // The listing has three pages, and a policy of five files, of which one was on its way, perhaps
    // to its last byte.
    assert_eq!(asked("/tree/"), 3);
    assert!((1..=5 - there).contains(&asked("/resolve/")), "{there}");
    assert_eq!(set.hub.requests_at(Port::Cdn).len(), 1);
}

#[tokio::test]
async fn a_complete_part_is_judged_without_a_request() {
    let set = cut_off(WEIGHTS, 270_000).await;
    let (_, whole) = files()
        .into_iter()
        .find(|(path, _)| *path == WEIGHTS)
        .unwrap();
    fs::write(set.part_of(WEIGHTS).unwrap(), whole).unwrap();
    let fetched = set.fetch().await.unwrap();
    assert_whole(&set, &fetched);
    assert_eq!(ranges(&set, WEIGHTS), []);
}

#[tokio::test]
async fn a_stall_is_a_cut() {
    let set = Set::new();
    let (path, after) = (WEIGHTS.into(), 270_000);
    set.hub.inject_once(Fault::BodyStalled { path, after });
    let mut config = set.config(None);
    config.limits.stall = Duration::from_millis(300);
    let (hub, target) = (Hub::new(&config).unwrap(), set.target());
    let request = Request::new(&target);
    let fetched = fetch(&set.store, Some(&hub), request, &set.said).await;
    assert_whole(&set, &fetched.unwrap());
    assert_eq!(ranges(&set, WEIGHTS), [None, from(270_000)]);
    let said = set.said.all();
    assert!(
        said.contains("no more bytes came; cut at 270000 of"),
        "{said}"
    );
}

/// What a bar shows.
#[derive(Default)]
struct Bar(Mutex<Vec<(&'static str, u64)>>);

impl Bar {
    fn of_weights(&self, what: &'static str, path: &FilePath, number: u64) {
        if path.as_str() == WEIGHTS {
            self.0.lock().unwrap().push((what, number));
        }
    }
}

impl Progress for Bar {
    fn file_started(&self, path: &FilePath, size: u64) {
        self.of_weights("of", path, size);
    }

    fn file_resumed(&self, path: &FilePath, bytes: u64) {
        self.of_weights("from", path, bytes);
    }

    fn file_advanced(&self, path: &FilePath, bytes: u64) {
        self.of_weights("more", path, bytes);
    }

    fn file_finished(&self, path: &FilePath) {
        self.of_weights("all of", path, 0);
    }
}

#[tokio::test]
async fn a_bar_begins_where_the_file_goes_on() {
    let (set, size) = (cut_off(WEIGHTS, 270_000).await, size_of(WEIGHTS));
    set.hub.inject_once(cut(WEIGHTS, 130_000));
    let (hub, bar) = (Hub::new(&set.config(None)).unwrap(), Bar::default());
    let target = set.target();
    let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &bar).await;
    let told = bar.0.into_inner().unwrap();
    let steps: Vec<_> = told.iter().filter(|(what, _)| *what != "more").collect();
    let expected = [
        ("of", size),
        ("from", 270_000),
        ("of", size),
        ("from", 400_000),
        ("all of", 0),
    ];
    assert_eq!(steps, expected.iter().collect::<Vec<_>>());
    let more: u64 = told
        .iter()
        .filter(|(what, _)| *what == "more")
        .map(|(_, n)| n)
        .sum();
    assert_eq!(more, size - 270_000);
    // The other files may have come before, or now.
    assert!(fetched.unwrap().bytes >= more);
}

/// What is done to a part while nobody downloads, and from where on the rest is asked for.
type Harm = fn(&Path);

#[tokio::test]
async fn a_part_that_was_tampered_with_is_no_beginning() {
    let harms: [(&str, Harm, &[Option<&str>]); 6] = [
        (
            "one bit",
            |at| {
                let mut bytes = fs::read(at).unwrap();
                bytes[9] ^= 1;
                fs::write(at, bytes).unwrap();
            },
            &[Some("bytes=270000-"), None],
        ),
        (
            "zeros at the end, as after a power cut",
            |at| {
                let mut bytes = fs::read(at).unwrap();
                bytes[200_000..].fill(0);
                fs::write(at, bytes).unwrap();
            },
            &[Some("bytes=270000-"), None],
        ),
        (
            "shorter",
            |at| {
                fs::File::options()
                    .write(true)
                    .open(at)
                    .unwrap()
                    .set_len(99)
                    .unwrap()
            },
            &[Some("bytes=99-")],
        ),
        (
            "longer than the file",
            |at| fs::write(at, vec![0; 2_000_000]).unwrap(),
            &[None],
        ),
        (
            "as long as the file",
            |at| fs::write(at, vec![0; size_of(WEIGHTS) as usize]).unwrap(),
            &[None],
        ),
        (
            "a link",
            |at| {
                fs::remove_file(at).unwrap();
                symlink("/etc/passwd", at).unwrap();
            },
            &[None],
        ),
    ];
    for (what, harm, expected) in harms {
        let set = cut_off(WEIGHTS, 270_000).await;
        harm(&set.part_of(WEIGHTS).unwrap());
        let fetched = set.fetch().await.unwrap();
        assert_whole(&set, &fetched);
        let asked = ranges(&set, WEIGHTS);
        let asked: Vec<_> = asked.iter().map(Option::as_deref).collect();
        assert_eq!(asked, expected, "{what}");
    }
}

/// Does something to the part of the weights when a person is told of the first cut.
struct Meddler<'a>(&'a Set, Mutex<Option<Harm>>);

impl Progress for Meddler<'_> {
    fn notice(&self, text: &str) {
        let harm = self
            .1
            .lock()
            .unwrap()
            .take()
            .filter(|_| text.contains("cut at"));
        if let Some(harm) = harm {
            std::thread::sleep(Duration::from_millis(20));
            let mut parts = self.0.parts().into_iter();
            harm(
                &parts
                    .find(|part| fs::metadata(part).unwrap().len() == 270_000)
                    .unwrap(),
            );
        }
    }
}

#[tokio::test]
async fn what_is_done_to_a_part_between_two_attempts_is_noticed() {
    let harms: [(Harm, Vec<Option<String>>); 3] = [
        (
            |at| {
                fs::File::options()
                    .write(true)
                    .open(at)
                    .unwrap()
                    .set_len(99)
                    .unwrap()
            },
            vec![None, from(99)],
        ),
        (
            |at| {
                use std::os::unix::fs::FileExt as _;
                let file = fs::File::options().write(true).open(at).unwrap();
                file.write_all_at(b"not what came", 5).unwrap();
            },
            vec![None, from(270_000), None],
        ),
        (|at| fs::remove_file(at).unwrap(), vec![None, None]),
    ];
    for (harm, expected) in harms {
        let set = Set::new();
        set.hub.inject_once(cut(WEIGHTS, 270_000));
        let meddler = Meddler(&set, Mutex::new(Some(harm)));
        let (hub, target) = (Hub::new(&set.config(None)).unwrap(), set.target());
        let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &meddler).await;
        assert_whole(&set, &fetched.unwrap());
        assert_eq!(ranges(&set, WEIGHTS), expected);
    }
}

#[tokio::test]
async fn an_object_that_changed_between_two_attempts_is_fetched_from_its_beginning() {
    let set = Set::new();
    let (path, at) = (WEIGHTS.to_owned(), 9);
    set.hub.inject_once(Fault::ByteFlipped { path, at });
    set.hub.inject_once(cut(WEIGHTS, 270_000));
    let fetched = set.fetch().await.unwrap();
    assert_whole(&set, &fetched);
    assert_eq!(ranges(&set, WEIGHTS), [None, from(270_000), None]);
    let said = set.said.all();
    assert!(said.contains("it is fetched from its beginning"), "{said}");
}

#[tokio::test]
async fn an_object_that_stays_wrong_is_digest_mismatch_after_one_more_attempt() {
    let set = cut_off(WEIGHTS, 270_000).await;
    let (path, at) = (WEIGHTS.to_owned(), 300_000);
    set.hub.inject(Fault::ByteFlipped { path, at });
    for expected in [vec![from(270_000), None], vec![None]] {
        let error = set.fetch().await.unwrap_err();
        assert_eq!(
            error.rejection(),
            Some(Rejection::DigestMismatch),
            "{error}"
        );
        assert_eq!(ranges(&set, WEIGHTS), expected);
        set.assert_absent(WEIGHTS);
        set.hub.clear_requests();
    }
}

#[tokio::test]
async fn where_range_is_ignored_the_whole_is_taken() {
    let (set, size) = (cut_off(WEIGHTS, 270_000).await, size_of(WEIGHTS));
    set.hub.inject(Fault::RangeIgnored {
        path: WEIGHTS.into(),
    });
    let (hub, bar) = (Hub::new(&set.config(None)).unwrap(), Bar::default());
    let target = set.target();
    let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &bar).await;
    assert_whole(&set, &fetched.unwrap());
    assert_eq!(ranges(&set, WEIGHTS), [from(270_000)]);
    let told = bar.0.into_inner().unwrap();
    let steps: Vec<_> = told.iter().filter(|(what, _)| *what != "more").collect();
    let expected = [("of", size), ("from", 270_000), ("of", size), ("all of", 0)];
    assert_eq!(steps, expected.iter().collect::<Vec<_>>());
}

/// What comes again is no progress, however much it is.
#[tokio::test]
async fn where_range_is_ignored_and_every_answer_is_cut_there_is_an_end() {
    let set = Set::new();
    set.hub.inject(Fault::RangeIgnored {
        path: WEIGHTS.into(),
    });
    set.hub.inject(cut(WEIGHTS, 900_000));
    let error = set.fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    let again = vec![from(900_000); 3];
    assert_eq!(ranges(&set, WEIGHTS), [vec![None], again].concat());
}

#[tokio::test]
async fn a_range_that_is_not_satisfiable_is_asked_for_once() {
    let set = cut_off(WEIGHTS, 270_000).await;
    let (place, status) = (Place::Cdn, 416);
    set.hub.inject_once(Fault::Status { place, status });
    let fetched = set.fetch().await.unwrap();
    assert_whole(&set, &fetched);
    assert_eq!(ranges(&set, WEIGHTS), [from(270_000), None]);

    let set = cut_off(WEIGHTS, 270_000).await;
    set.hub.inject(Fault::Status { place, status });
    let error = set.fetch().await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Refused(no) if no.status == 416),
        "{error:?}"
    );
    assert_eq!(ranges(&set, WEIGHTS), [from(270_000), None]);
}

#[tokio::test]
async fn a_part_of_another_file_is_not_taken() {
    let size = size_of(WEIGHTS);
    let (last, all) = (size - 1, size);
    for (value, rejection) in [
        (format!("bytes 270000-{last}/{}", all + 1), true),
        (format!("bytes 270000-{last}/999"), true),
        (format!("bytes 0-{last}/{all}"), false),
        (format!("bytes 269999-{last}/{all}"), false),
        (format!("bytes 270000-{}/{all}", last - 1), false),
        (format!("bytes 270000-{all}/{all}"), false),
        (format!("bytes 270000-{}/{all}", u64::MAX), false),
        (format!("bytes 270000-{last}/*"), false),
        (format!("bytes */{all}"), false),
        (format!("270000-{last}/{all}"), false),
        (String::new(), false),
    ] {
        let set = cut_off(WEIGHTS, 270_000).await;
        let path = WEIGHTS.into();
        set.hub.inject(Fault::ContentRange {
            path,
            value: value.clone(),
        });
        let error = set.fetch().await.unwrap_err();
        match rejection {
            true => assert_eq!(error.rejection(), Some(Rejection::SizeMismatch), "{error}"),
            false => assert!(
                matches!(error, FetchError::Malformed { .. }),
                "{value}: {error:?}"
            ),
        }
        assert_eq!(ranges(&set, WEIGHTS), [from(270_000)], "{value}");
        set.assert_absent(WEIGHTS);
        // Nobody is stuck with a server that does so for parts alone.
        assert_whole(&set, &set.fetch().await.unwrap());
    }
}

#[tokio::test]
async fn parts_that_nobody_wants_any_more_are_removed() {
    let set = cut_off(WEIGHTS, 270_000).await;
    let part = set.part_of(WEIGHTS).unwrap();
    let stranger = part.with_file_name(format!("{}.part", "0".repeat(64)));
    fs::rename(&part, &stranger).unwrap();
    set.hub.inject_once(cut(WEIGHTS, 1000));
    fetch_once(&set).await.unwrap_err();
    assert!(!stranger.exists());
    let path = set.part_of(WEIGHTS).unwrap();
    assert_eq!(
        (path, fs::metadata(&part).unwrap().len()),
        (part.clone(), 1000)
    );
}

/// How much comes before each of `cuts` cuts at different places of a file, in order.
fn cuts(noise: &mut Noise, cuts: usize, size: u64) -> Vec<u64> {
    let mut places = std::collections::BTreeSet::new();
    while places.len() < cuts {
        places.insert(1 + noise.below(size - 1));
    }
    let mut last = 0;
    let between = |place| place - std::mem::replace(&mut last, place);
    places.into_iter().map(between).collect()
}

#[tokio::test]
async fn wherever_it_is_cut_the_bytes_are_the_same() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let set = Set::new();
        let mut noise = Noise::new(seed);
        for path in [WEIGHTS, PLAIN] {
            for after in cuts(&mut noise, 5, size_of(path)) {
                set.hub.inject_once(cut(path, after));
            }
        }
        let fetched = set.fetch().await.unwrap();
        assert_whole(&set, &fetched);
        assert_eq!(ranges(&set, WEIGHTS).len(), 6);
        assert_eq!(ranges(&set, PLAIN).len(), 6);
        let all: u64 = fetched.files.iter().map(|file| file.size).sum();
        assert_eq!(fetched.bytes, all);
    }
}

/// 200 MB without a pattern.
fn write_weights(path: &Path) -> Sha256 {
    let mut bytes = vec![0; 200_000_000];
    Noise::new(7).fill(&mut bytes);
    fs::write(path, &bytes).unwrap();
    Sha256::of(&bytes)
}

#[tokio::test]
async fn two_hundred_megabytes_survive_fifty_cuts_in_one_fetch() {
    let seed = 20_261_126;
    println!("seed {seed}");
    let policy = tempfile::tempdir().unwrap();
    let expected = write_weights(&policy.path().join(WEIGHTS));
    fs::write(policy.path().join("config.json"), "{}").unwrap();
    let set = Set::of(
        Repository::new(ID)
            .unwrap()
            .commit_dir(policy.path())
            .unwrap(),
    );
    let cuts = cuts(&mut Noise::new(seed), 50, 200_000_000);
    for after in &cuts {
        set.hub.inject_once(cut(WEIGHTS, *after));
    }
    // One connection, or each slice of the file would be cut for itself.
    let mut config = set.config(None);
    config.limits.slices = 1;
    let (hub, target) = (Hub::new(&config).unwrap(), set.target());
    let fetched = fetch(&set.store, Some(&hub), Request::new(&target), &set.said).await;
    let fetched = fetched.unwrap();
    let weights = &fetched.files[1];
    assert_eq!((weights.path.as_str(), weights.sha256), (WEIGHTS, expected));
    let bytes = fs::read(fetched.path.join(WEIGHTS)).unwrap();
    assert_eq!(Sha256::of(&bytes), expected);
    assert_eq!(fetched.bytes, 200_000_002);
    // Each request begins where the one before was cut.
    let mut at = 0;
    let places = cuts.iter().map(|after| {
        at += after;
        from(at)
    });
    let expected: Vec<_> = std::iter::once(None).chain(places).collect();
    assert_eq!(ranges(&set, WEIGHTS), expected);
    assert_eq!(set.parts().len(), 0);
}
