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
    trust_in(1, &[key()], "")
}

fn trust_in(threshold: usize, keys: &[SigningKey], more: &str) -> TrustPolicy {
    let mut text = format!("threshold = {threshold}\n");
    for key in keys {
        let (id, pem) = (key.public().id(), key.public_pem().unwrap());
        text.push_str(&format!(
            "[[keys]]\nname = '{id}'\npublic_key = '''{pem}'''\n"
        ));
    }
    TrustPolicy::parse(&(text + more), |_| unreachable!()).unwrap()
}

fn context() -> Context<'static> {
    Context::new("2026-11-23T12:00:00Z".parse().unwrap())
}

/// A list that is in force from the first of November until `expires`.
fn list(sequence: u64, expires: &str, revoked: &[Revoked]) -> SignedRevocations {
    list_by(&key(), sequence, expires, revoked)
}

fn list_by(
    key: &SigningKey,
    sequence: u64,
    expires: &str,
    revoked: &[Revoked],
) -> SignedRevocations {
    let span = (
        "2026-11-01T00:00:00Z".parse().unwrap(),
        expires.parse().unwrap(),
    );
    let revoked = revoked.iter().cloned();
    let revoked = revoked.map(|what| Revocation::new(what, "recalled"));
    let list = Revocations::new(sequence, span, revoked.collect());
    SignedRevocations::sign(&list, key, &Limits::default()).unwrap()
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
fn the_same_list_again_is_no_successor_that_it_could_revoke() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let last_word = list(2, LONG, &[Revoked::Key(key().public().id())]);
    keep(&state, &last_word).unwrap();
    let again = state.successor(&last_word, &trust(), &context()).unwrap();
    state.record_revocations(&again).unwrap();
    assert_eq!(kept(&path), Some(2));
}

#[test]
fn keys_are_exchanged_and_the_next_list_is_by_the_new_ones() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let [stolen, new] = [8, 9].map(|seed| SigningKey::from_seed(&[seed; 32]));
    keep(
        &state,
        &list(2, LONG, &[Revoked::Key(stolen.public().id())]),
    )
    .unwrap();
    // The key that signed the list is trusted no more: nobody vouches for it.
    let trust = trust_in(
        1,
        &[8, 9].map(|seed| SigningKey::from_seed(&[seed; 32])),
        "",
    );
    let error = state.revocations(&trust, &context()).unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::SignatureInvalid));
    assert!(
        error.to_string().contains("revocations.signatures"),
        "{error}"
    );
    let next = |key, sequence| {
        let next = list_by(key, sequence, LONG, &[]);
        state.successor(&next, &trust, &context())
    };
    let code = |result: Result<_, Error>| result.map(drop).unwrap_err().rejection();
    assert_eq!(code(next(&stolen, 3)), Some(Rejection::KeyRevoked));
    assert_eq!(code(next(&new, 1)), Some(Rejection::ManifestRollback));
    state.record_revocations(&next(&new, 3).unwrap()).unwrap();
    let list = state.revocations(&trust, &context()).unwrap().unwrap();
    assert_eq!(list.sequence, 3);
}

#[test]
fn a_signature_that_is_needed_now_is_added_to_the_list_that_is_kept() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let second = SigningKey::from_seed(&[8; 32]);
    let mut signed = list(2, LONG, &[]);
    keep(&state, &signed).unwrap();
    signed.add_signature(&second, &Limits::default()).unwrap();
    let two = trust_in(2, &[key(), second], "");
    let error = state.revocations(&two, &context()).unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::ThresholdNotMet));
    let list = state.successor(&signed, &two, &context()).unwrap();
    state.record_revocations(&list).unwrap();
    assert!(state.revocations(&two, &context()).unwrap().is_some());
}

#[test]
fn a_list_that_larger_limits_let_in_gives_way_to_the_next_one() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let wide = trust_in(1, &[key()], "[limits]\nsignatures = 17\n");
    for sequence in [2, 3] {
        let mut signed = list(sequence, LONG, &[]);
        for seed in 101..117 {
            let key = SigningKey::from_seed(&[seed; 32]);
            signed.add_signature(&key, wide.limits()).unwrap();
        }
        let list = state.successor(&signed, &wide, &context()).unwrap();
        state.record_revocations(&list).unwrap();
    }
    let list = state.revocations(&wide, &context()).unwrap().unwrap();
    assert_eq!(list.sequence, 3);
}

#[test]
fn a_signers_clock_ahead_of_ours_lifts_no_floor_above_now() {
    let (_dir, path) = set();
    let state = State::open(&path).unwrap();
    let now = context().now;
    let ahead = now + jiff::SignedDuration::from_mins(5);
    let list = Revocations::new(1, (ahead, LONG.parse().unwrap()), vec![]);
    let signed = SignedRevocations::sign(&list, &key(), &Limits::default()).unwrap();
    keep(&state, &signed).unwrap();
    assert_eq!(state.clock_floor().unwrap(), Some(now));
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
    // A list that nobody can read revokes nothing, and would be in the way of the next one.
    fs::write(path.join(LIST), "{").unwrap();
    state.reset(None).unwrap();
    keep(&state, &list(1, LONG, &[])).unwrap();
    assert_eq!(kept(&path), Some(1));
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
