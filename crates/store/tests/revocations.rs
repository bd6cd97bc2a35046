//! The list of revocations that is kept, the floor of the clock, and the operator's reset.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{policy, repo};
use tensorgate_store::{State, StoreError};
use tensorgate_verify::*;

const LIST: &str = "revocations.dsse.json";

fn set() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    (dir, path)
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn trust() -> TrustPolicy {
    let pem = key().public_pem().unwrap();
    let text = format!("threshold = 1\n[[keys]]\nname = 'acme'\npublic_key = '''{pem}'''");
    TrustPolicy::parse(&text, |_| unreachable!()).unwrap()
}

fn context() -> Context<'static> {
    Context::new("2026-11-23T12:00:00Z".parse().unwrap())
}

/// A list that is in force from the first of November until `expires`.
fn list(sequence: u64, expires: &str, revoked: &[Revoked]) -> SignedRevocations {
    let span = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        expires.parse().unwrap(),
    );
    let revoked = revoked.iter().cloned();
    let revoked = revoked.map(|what| Revocation::new(what, "recalled"));
    let list = Revocations::new(sequence, span, revoked.collect());
    SignedRevocations::sign(&list, &key(), &Limits::default()).unwrap()
}

fn keep(state: &State, signed: &SignedRevocations) -> Result<(), StoreError> {
    let list = trust().authenticate_revocations(signed, &context());
    state.record_revocations(&list.unwrap())
}

fn kept(path: &Path) -> Option<u64> {
    let state = State::open(path).unwrap();
    let list = state.revocations(&trust(), &context()).unwrap();
    list.map(|list| list.sequence)
}

const LONG: &str = "2027-11-01T00:00:00Z";

#[test]
fn the_newest_list_counts_whatever_comes_after() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    assert_eq!(kept(&path), None);
    keep(&state, &list(2, LONG, &[])).unwrap();
    keep(&state, &list(3, LONG, &[])).unwrap();
    keep(&state, &list(3, LONG, &[])).unwrap();
    let other = Revoked::Manifest(Sha256::of(b"x"));
    for stale in [list(2, LONG, &[]), list(3, LONG, &[other])] {
        let error = keep(&state, &stale).unwrap_err();
        assert!(
            matches!(error, StoreError::Superseded { sequence: 3, .. }),
            "{error}"
        );
        // Nor does it count where nothing can be written.
        let error = state.successor(&stale, &trust(), &context()).unwrap_err();
        assert_eq!(error.rejection(), Some(Rejection::ManifestRollback));
    }
    assert_eq!(kept(&path), Some(3));
}

#[test]
fn a_lost_or_damaged_list_is_an_error_and_not_an_empty_one() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let old = list(2, LONG, &[]).to_bytes();
    keep(&state, &list(3, LONG, &[])).unwrap();
    let good = fs::read(path.join(LIST)).unwrap();
    let spoilt: [(Option<&[u8]>, &str); 3] = [
        (None, "lost"),
        (Some(b"{"), "damaged"),
        (Some(&old), "an older one than was accepted"),
    ];
    for (bytes, word) in spoilt {
        match bytes {
            Some(bytes) => fs::write(path.join(LIST), bytes).unwrap(),
            None => fs::remove_file(path.join(LIST)).unwrap(),
        }
        let error = state.revocations(&trust(), &context()).unwrap_err();
        assert_eq!(error.rejection(), None, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        // Nor is anything put in its place before somebody looked.
        assert!(keep(&state, &list(4, LONG, &[])).is_err());
        fs::write(path.join(LIST), &good).unwrap();
    }
    assert_eq!(kept(&path), Some(3));
}

#[test]
fn a_crash_between_list_and_index_loses_nothing() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    keep(&state, &list(2, LONG, &[])).unwrap();
    let index = fs::read(path.join("index.json")).unwrap();
    keep(&state, &list(3, LONG, &[])).unwrap();
    fs::write(path.join("index.json"), index).unwrap();
    assert_eq!(kept(&path), Some(3));
    assert!(keep(&state, &list(2, LONG, &[])).is_err());
}

#[test]
fn an_expired_list_is_told_and_gives_way_only_to_a_newer_one() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let short = list(2, "2026-12-01T00:00:00Z", &[]);
    keep(&state, &short).unwrap();
    let late = Context::new("2026-12-02T00:00:00Z".parse().unwrap());
    let error = state.revocations(&trust(), &late).unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::ManifestExpired));
    assert!(error.to_string().contains("revocations.expires"), "{error}");
    let next = state.successor(&list(3, LONG, &[]), &trust(), &late);
    state.record_revocations(&next.unwrap()).unwrap();
    assert_eq!(kept(&path), Some(3));
}

#[test]
fn what_a_list_revoked_signs_no_successor_however_old_the_list_is() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let stolen = Revoked::Key(key().public().id());
    // The list revokes the very key that signed it: its last word.
    keep(&state, &list(2, "2026-12-01T00:00:00Z", &[stolen])).unwrap();
    let late = Context::new("2026-12-02T00:00:00Z".parse().unwrap());
    let error = state.successor(&list(3, LONG, &[]), &trust(), &late);
    assert_eq!(error.unwrap_err().rejection(), Some(Rejection::KeyRevoked));
}

#[test]
fn the_floor_of_the_clock_rises_and_never_sinks() {
    let (dir, path) = set();
    let state = State::open(&path).unwrap();
    assert_eq!(state.clock_floor().unwrap(), None);
    let release = policy(&dir.path().join("1"), "acme/walk", 1);
    state.record_accepted(release.evidence()).unwrap();
    let issued = Some(release.evidence().issued);
    assert_eq!(state.clock_floor().unwrap(), issued);
    let span = ("2026-11-10T00:00:00Z", LONG);
    let later = Revocations::new(
        1,
        (span.0.parse().unwrap(), span.1.parse().unwrap()),
        vec![],
    );
    let later = SignedRevocations::sign(&later, &key(), &Limits::default()).unwrap();
    keep(&state, &later).unwrap();
    let floor = Some(span.0.parse().unwrap());
    assert_eq!(state.clock_floor().unwrap(), floor);
    state.record_accepted(release.evidence()).unwrap();
    assert_eq!(State::open(&path).unwrap().clock_floor().unwrap(), floor);
}

#[test]
fn reset_forgets_what_it_was_told_to_and_no_revocation() {
    let (dir, path) = set();
    let state = State::open(&path).unwrap();
    for name in ["acme/walk", "acme/swim"] {
        let folder = dir.path().join(name);
        let release = policy(&folder, name, 4);
        state.record_accepted(release.evidence()).unwrap();
    }
    keep(&state, &list(3, LONG, &[])).unwrap();
    let last = |name: &str| {
        let last = state.last_accepted(RepoType::Model, &repo(name)).unwrap();
        last.map(|accepted| accepted.sequence)
    };
    state
        .reset(Some((RepoType::Model, &repo("acme/walk"))))
        .unwrap();
    assert_eq!((last("acme/walk"), last("acme/swim")), (None, Some(4)));
    assert_eq!(state.accepted().unwrap().len(), 1);
    fs::write(path.join("index.json"), "{").unwrap();
    assert!(state.accepted().is_err());
    state.reset(None).unwrap();
    assert_eq!((last("acme/walk"), last("acme/swim")), (None, None));
    assert_eq!(kept(&path), Some(3));
    assert!(state.is_ready().unwrap() && !state.is_new().unwrap());
}

#[test]
fn a_state_is_ready_once_somebody_made_it_so() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    assert!(!state.is_ready().unwrap());
    state.make_ready().unwrap();
    assert!(State::open(&path).unwrap().is_ready().unwrap());
    keep(&state, &list(3, LONG, &[])).unwrap();
    state.make_ready().unwrap();
    assert_eq!(kept(&path), Some(3));
}
