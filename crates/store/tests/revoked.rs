//! What was revoked on this machine: it is refused from then on, and never forgotten silently.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::policy;
use tensorgate_store::{State, StoreError};
use tensorgate_verify::{History as _, Sha256};

const FILE: &str = "revoked.json";

fn set() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    (dir, path)
}

fn manifest(n: usize) -> Sha256 {
    Sha256::of(&n.to_le_bytes())
}

fn is_revoked(path: &Path, n: usize) -> bool {
    State::open(path).unwrap().is_revoked(&manifest(n)).unwrap()
}

#[test]
fn a_revocation_outlives_the_process_and_is_taken_back_by_name_alone() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    assert!(!is_revoked(&path, 1));
    state.revoke(&manifest(1), "falls on stairs").unwrap();
    state.revoke(&manifest(2), "another").unwrap();
    assert!(is_revoked(&path, 1) && is_revoked(&path, 2) && !is_revoked(&path, 3));
    // The first reason stays.
    let before = fs::read(path.join(FILE)).unwrap();
    state.revoke(&manifest(1), "again").unwrap();
    assert_eq!(fs::read(path.join(FILE)).unwrap(), before);
    let revoked = state.revoked().unwrap();
    assert_eq!(revoked[&manifest(1)], "falls on stairs");
    assert!(!state.unrevoke(&manifest(3)).unwrap());
    assert!(state.unrevoke(&manifest(1)).unwrap());
    assert!(!is_revoked(&path, 1) && is_revoked(&path, 2));
    assert!(state.unrevoke(&manifest(2)).unwrap());
    assert!(!is_revoked(&path, 2));
}

#[test]
fn what_was_accepted_changes_nothing_about_it() {
    let (dir, path) = set();
    let state = State::open(&path).unwrap();
    state.revoke(&manifest(1), "falls on stairs").unwrap();
    let walk = policy(&dir.path().join("walk"), "acme/walk", 3);
    state.record_accepted(walk.evidence()).unwrap();
    state.make_ready().unwrap();
    let repo = &walk.evidence().repo;
    state.reset(Some((Default::default(), repo))).unwrap();
    assert!(is_revoked(&path, 1));
    state.reset(None).unwrap();
    assert!(is_revoked(&path, 1));
}

#[test]
fn lost_or_damaged_revocations_are_an_error_and_not_none() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    state.revoke(&manifest(1), "one").unwrap();
    let old = fs::read(path.join(FILE)).unwrap();
    state.revoke(&manifest(2), "two").unwrap();
    let good = fs::read(path.join(FILE)).unwrap();
    let unknown = String::from_utf8(good.clone()).unwrap();
    let unknown = unknown.replacen('{', "{\"until\": 1, ", 1);
    let spoilt: [(Option<&[u8]>, &str); 5] = [
        (None, "lost"),
        (Some(b""), "damaged"),
        (Some(&good[..good.len() - 1]), "damaged"),
        (Some(unknown.as_bytes()), "damaged"),
        (Some(&old), "an older one than was written"),
    ];
    for (bytes, word) in spoilt {
        match bytes {
            Some(bytes) => fs::write(path.join(FILE), bytes).unwrap(),
            None => fs::remove_file(path.join(FILE)).unwrap(),
        }
        let state = State::open(&path).unwrap();
        for error in [
            state.revoked().unwrap_err(),
            state.revoke(&manifest(3), "three").unwrap_err(),
            state.unrevoke(&manifest(1)).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::State { .. }), "{error:?}");
            assert!(error.to_string().contains(word), "{error}");
        }
        let error = state.is_revoked(&manifest(3)).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        fs::write(path.join(FILE), &good).unwrap();
    }
    assert!(is_revoked(&path, 1) && is_revoked(&path, 2));
}

#[test]
fn an_index_that_is_lost_beside_revocations_is_no_fresh_start() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    state.revoke(&manifest(1), "one").unwrap();
    fs::remove_file(path.join("index.json")).unwrap();
    let error = state.is_revoked(&manifest(1)).unwrap_err();
    assert!(error.to_string().contains("lost"), "{error}");
    assert!(
        state
            .last_accepted(Default::default(), &"acme/walk".parse().unwrap())
            .is_err()
    );
}

#[test]
fn a_crash_between_revocations_and_index_loses_nothing() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    state.make_ready().unwrap();
    let index = fs::read(path.join("index.json")).unwrap();
    state.revoke(&manifest(1), "one").unwrap();
    fs::write(path.join("index.json"), index).unwrap();
    assert!(is_revoked(&path, 1));
    // To do it again lists it, so that its loss is noticed.
    state.revoke(&manifest(1), "one").unwrap();
    fs::remove_file(path.join(FILE)).unwrap();
    assert!(state.is_revoked(&manifest(1)).is_err());
}

#[test]
fn what_nobody_can_read_goes_with_the_reset_of_all_and_is_said() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    state.revoke(&manifest(1), "one").unwrap();
    fs::write(path.join(FILE), "{").unwrap();
    let removed = state.reset(None).unwrap();
    assert!(removed.revoked && !removed.list);
    assert!(!is_revoked(&path, 1));
    assert!(!state.reset(None).unwrap().revoked);
}

#[test]
fn no_reason_keeps_a_revocation_from_being_recorded() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let long = "\u{e9}".repeat(State::MOST_REASON);
    let reasons = ["", " \n ", "two\nlines\u{1b}[2J\0", &long];
    for (n, reason) in reasons.iter().enumerate() {
        state.revoke(&manifest(n), reason).unwrap();
    }
    let revoked = state.revoked().unwrap();
    assert_eq!(revoked[&manifest(0)], "no reason was given");
    assert_eq!(revoked[&manifest(1)], "no reason was given");
    assert_eq!(revoked[&manifest(2)], "two\u{fffd}lines\u{fffd}[2J\u{fffd}");
    assert_eq!(revoked[&manifest(3)].len(), State::MOST_REASON);
}

#[test]
fn there_are_at_most_so_many_and_one_too_many_is_refused() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    state.revoke(&manifest(0), "first").unwrap();
    // As many as there can be, each with the longest reason that JSON makes still longer.
    let mut file: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join(FILE)).unwrap()).unwrap();
    let reason = "\"".repeat(State::MOST_REASON);
    for n in 1..State::MOST_REVOKED {
        file["manifests"][manifest(n).to_string()] = reason.clone().into();
    }
    fs::write(path.join(FILE), file.to_string()).unwrap();
    let more = manifest(State::MOST_REVOKED);
    let error = state.revoke(&more, "one more").unwrap_err();
    assert!(
        matches!(error, StoreError::TooManyRevoked { .. }),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("store unrevoke"));
    // What is there already needs no room.
    state.revoke(&manifest(1), "again").unwrap();
    assert!(state.unrevoke(&manifest(1)).unwrap());
    state.revoke(&more, "one more").unwrap();
    assert!(is_revoked(&path, State::MOST_REVOKED));
}

#[test]
fn writers_beside_each_other_lose_none() {
    let (_dir, path) = set();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let state = State::open(&path).unwrap();
            scope.spawn(move || state.revoke(&manifest(n), "one of many").unwrap());
        }
    });
    assert!((0..16).all(|n| is_revoked(&path, n)));
}
