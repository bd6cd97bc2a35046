//! The memory against rollback: it never sinks and never forgets silently.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{policy, repo};
use tensorgate_store::{Accepted, State, StoreError};
use tensorgate_verify::{Policy, RepoType, Verified};

type Spoil = fn(&Path);

const RECORD: &str = "rollback/model--acme--walk.json";

fn set() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    (dir, path)
}

fn release(dir: &Path, sequence: u64) -> Verified<Policy> {
    policy(&dir.join(sequence.to_string()), "acme/walk", sequence)
}

fn last(path: &Path) -> Result<Option<Accepted>, StoreError> {
    State::open(path)?.last_accepted(RepoType::Model, &repo("acme/walk"))
}

#[test]
fn the_newest_release_counts_whatever_comes_after() {
    let (dir, path) = set();
    assert!(State::open(&path).unwrap().is_new().unwrap());
    let [two, three] = [2, 3].map(|sequence| release(dir.path(), sequence));
    let accept = |policy: &Verified<Policy>| {
        let state = State::open(&path).unwrap();
        state.record_accepted(policy.evidence()).unwrap()
    };
    assert_eq!(accept(&two).sequence, 2);
    assert_eq!(accept(&three).sequence, 3);
    assert_eq!(accept(&two).sequence, 3);
    let expected = Accepted::new(3, three.evidence().manifest);
    assert_eq!(last(&path).unwrap(), Some(expected));
    let state = State::open(&path).unwrap();
    assert!(!state.is_new().unwrap());
    let other = state.last_accepted(RepoType::Dataset, &repo("acme/walk"));
    assert_eq!(other.unwrap(), None);
}

#[test]
fn a_lost_or_damaged_record_is_an_error_and_not_a_fresh_start() {
    let (dir, path) = set();
    let three = release(dir.path(), 3);
    let spoil: [(&str, Spoil); 6] = [
        ("lost", |path| fs::remove_file(path.join(RECORD)).unwrap()),
        ("damaged", |path| fs::write(path.join(RECORD), "").unwrap()),
        ("damaged", |path| {
            let text = fs::read_to_string(path.join(RECORD)).unwrap();
            fs::write(path.join(RECORD), &text[..text.len() - 1]).unwrap();
        }),
        ("damaged", |path| {
            let text = fs::read_to_string(path.join(RECORD)).unwrap();
            let more = text.replacen('{', "{\"epoch\": 1, ", 1);
            fs::write(path.join(RECORD), more).unwrap();
        }),
        ("of another repository", |path| {
            let text = fs::read_to_string(path.join(RECORD)).unwrap();
            fs::write(path.join(RECORD), text.replace("acme/walk", "acme/run")).unwrap();
        }),
        ("damaged", |path| {
            fs::write(path.join("index.json"), "[").unwrap()
        }),
    ];
    for (expected, spoil) in spoil {
        let state = State::open(&path).unwrap();
        state.record_accepted(three.evidence()).unwrap();
        spoil(&path);
        for error in [
            last(&path).unwrap_err(),
            state.record_accepted(three.evidence()).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::State { .. }), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.hint().unwrap().contains("backup"));
        }
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_crash_between_record_and_index_loses_nothing() {
    let (dir, path) = set();
    let three = release(dir.path(), 3);
    let state = State::open(&path).unwrap();
    state.record_accepted(three.evidence()).unwrap();
    fs::remove_file(path.join("index.json")).unwrap();
    fs::write(path.join("tmp/1-0"), "half").unwrap();
    assert_eq!(last(&path).unwrap().unwrap().sequence, 3);
    assert!(!state.is_new().unwrap());
    state.record_accepted(three.evidence()).unwrap();
    let index = fs::read_to_string(path.join("index.json")).unwrap();
    assert_eq!(index, r#"{"repos":["model--acme--walk"]}"#);
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
}

#[test]
fn writers_beside_each_other_end_with_the_newest() {
    let (dir, path) = set();
    let releases: Vec<_> = (1..=8).map(|n| release(dir.path(), n)).collect();
    std::thread::scope(|scope| {
        for policy in &releases {
            let state = State::open(&path).unwrap();
            scope.spawn(move || state.record_accepted(policy.evidence()).unwrap());
        }
    });
    assert_eq!(last(&path).unwrap().unwrap().sequence, 8);
}
