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
        state.record_accepted(policy.evidence())
    };
    accept(&two).unwrap();
    accept(&three).unwrap();
    accept(&three).unwrap();
    assert_superseded(accept(&two), 3);
    let expected = Accepted::new(3, three.evidence().manifest);
    assert_eq!(last(&path).unwrap(), Some(expected));
    let state = State::open(&path).unwrap();
    assert!(!state.is_new().unwrap());
    let other = state.last_accepted(RepoType::Dataset, &repo("acme/walk"));
    assert_eq!(other.unwrap(), None);
}

#[test]
fn another_release_of_the_same_number_is_superseded() {
    let (dir, path) = set();
    let state = State::open(&path).unwrap();
    let first = release(dir.path(), 3);
    let folder = dir.path().join("other");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("README.md"), "another").unwrap();
    let other = policy(&folder, "acme/walk", 3);
    assert_ne!(first.evidence().manifest, other.evidence().manifest);
    state.record_accepted(first.evidence()).unwrap();
    assert_superseded(state.record_accepted(other.evidence()), 3);
    let kept = last(&path).unwrap().unwrap();
    assert_eq!(kept.manifest, first.evidence().manifest);
}

#[test]
fn who_waits_for_the_state_is_told() {
    let (dir, path) = set();
    let three = release(dir.path(), 3);
    let (tell, told) = std::sync::mpsc::channel();
    let state = State::open(&path).unwrap();
    let state = state.on_wait(move |lock| tell.send(lock.to_owned()).unwrap());
    let held = fs::File::create(path.join("lock")).unwrap();
    held.lock().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| state.record_accepted(three.evidence()));
        let lock = told.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(lock.unwrap(), path.join("lock"));
        held.unlock().unwrap();
        waiting.join().unwrap().unwrap();
    });
}

fn assert_superseded(result: Result<(), StoreError>, by: u64) {
    let error = result.unwrap_err();
    assert!(
        matches!(&error, StoreError::Superseded { sequence, .. } if *sequence == by),
        "{error:?}"
    );
    assert!(error.to_string().contains("accepted meanwhile"), "{error}");
}

#[test]
fn a_lost_or_damaged_record_is_an_error_and_not_a_fresh_start() {
    let (dir, path) = set();
    let three = release(dir.path(), 3);
    let spoil: [(&str, Spoil); 7] = [
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
        ("lost", |path| {
            fs::remove_file(path.join("index.json")).unwrap()
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
    fs::write(path.join("index.json"), r#"{"repos":[]}"#).unwrap();
    fs::write(path.join("tmp/1-0"), "half").unwrap();
    assert_eq!(last(&path).unwrap().unwrap().sequence, 3);
    assert!(!state.is_new().unwrap());
    state.record_accepted(three.evidence()).unwrap();
    let index = fs::read_to_string(path.join("index.json")).unwrap();
    let listed = r#"{"repos":["model--acme--walk"],"clock_floor":"2026-11-01T00:00:00Z"}"#;
    assert_eq!(index, listed);
    assert_eq!(fs::read_dir(path.join("tmp")).unwrap().count(), 0);
}

#[test]
fn somebody_elses_directory_is_refused_and_left_as_it_is() {
    for stranger in ["tmp/mine", "lock/mine", "src/mine"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::create_dir_all(path.join(stranger)).unwrap();
        let error = State::open(path).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        assert!(error.hint().unwrap().contains("empty or new directory"));
        assert!(path.join(stranger).exists());
        assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    }
}

#[test]
fn drafts_that_others_may_change_are_refused_and_left() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, path) = set();
    let three = release(dir.path(), 3);
    let state = State::open(&path).unwrap();
    let drafts = path.join("tmp");
    fs::create_dir_all(drafts.join("mine")).unwrap();
    fs::set_permissions(&drafts, fs::Permissions::from_mode(0o777)).unwrap();
    let error = state.record_accepted(three.evidence()).unwrap_err();
    assert!(matches!(error, StoreError::NotPrivate { .. }), "{error}");
    assert!(drafts.join("mine").exists());
}

#[test]
fn a_state_whose_records_are_all_lost_is_an_error_and_not_a_fresh_start() {
    let (dir, path) = set();
    let three = release(dir.path(), 3);
    let state = State::open(&path).unwrap();
    state.record_accepted(three.evidence()).unwrap();
    fs::remove_dir_all(path.join("rollback")).unwrap();
    let error = last(&path).unwrap_err();
    assert!(matches!(error, StoreError::State { .. }), "{error:?}");
}

#[test]
fn writers_beside_each_other_end_with_the_newest() {
    let (dir, path) = set();
    let releases: Vec<_> = (1..=8).map(|n| release(dir.path(), n)).collect();
    std::thread::scope(|scope| {
        for policy in &releases {
            let state = State::open(&path).unwrap();
            scope.spawn(move || match state.record_accepted(policy.evidence()) {
                Ok(()) | Err(StoreError::Superseded { .. }) => {}
                Err(error) => panic!("{error}"),
            });
        }
    });
    assert_eq!(last(&path).unwrap().unwrap().sequence, 8);
}
