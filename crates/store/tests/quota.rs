//! The operator's limit: said before anything is written, with what there is to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use common::{REVISION, policy_of, repo};
use tensorgate_store::{Gc, Record, Recorded, Store, StoreError};
use tensorgate_verify::{Blake3, Policy, RepoType, Sha256, Verified};

fn set() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

fn walk(dir: &Path, sequence: u64) -> Verified<Policy> {
    let folder = dir.join(format!("walk-{sequence}"));
    policy_of(&folder, "acme/walk", sequence, 100_000)
}

#[test]
fn a_policy_beyond_the_quota_is_refused_and_leaves_everything_as_it_was() {
    let (dir, store) = set();
    let (one, two) = (walk(dir.path(), 1), walk(dir.path(), 2));
    store.admit(&one).unwrap();
    let used = store.used().unwrap();
    store.set_quota(Some(used + 50_000)).unwrap();
    let before = store.used().unwrap();
    let error = store.admit(&two).unwrap_err();
    match &error {
        StoreError::Quota {
            path,
            needed,
            used,
            quota,
        } => {
            assert_eq!(path, store.path());
            assert_eq!((*used, *quota), (before, store.quota().unwrap().unwrap()));
            // The configuration is there already.
            assert!((100_000..110_000).contains(needed), "{needed}");
        }
        other => panic!("{other}"),
    }
    assert!(error.is_disk_full());
    assert!(error.hint().unwrap().contains("tensorgate store gc"));
    assert_eq!(store.used().unwrap(), before);
    assert!(store.policy(&two.evidence().manifest).unwrap().is_none());
    assert_eq!(store.check(&mut |_| {}).unwrap().damage, []);

    // What is there already needs no room.
    store.set_quota(Some(1)).unwrap();
    store.admit(&one).unwrap();
    // Nor does the memory ask.
    store.record_accepted(two.evidence()).unwrap();

    store.set_quota(Some(used + 50_000)).unwrap();
    let mut how = Gc::default();
    how.keep = 0;
    store.gc(how, &mut |_| {}).unwrap();
    store.admit(&two).unwrap();
}

#[test]
fn a_download_beyond_the_quota_is_not_begun() {
    let (_dir, store) = set();
    let revision = REVISION.parse().unwrap();
    let quarantine = store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision)
        .unwrap();
    quarantine.require_space(1 << 20).unwrap();
    store.set_quota(Some(1 << 20)).unwrap();
    let room = (1 << 20) - store.used().unwrap();
    quarantine.require_space(room).unwrap();
    let error = quarantine.require_space(room + 1).unwrap_err();
    assert!(matches!(error, StoreError::Quota { .. }), "{error}");
    store.set_quota(None).unwrap();
    assert_eq!(store.quota().unwrap(), None);
    quarantine.require_space(room + 1).unwrap();
}

#[test]
fn every_inode_is_counted_once() {
    let (dir, store) = set();
    let one = walk(dir.path(), 1);
    store.admit(&one).unwrap();
    store.admit(&walk(dir.path(), 2)).unwrap();
    let revision = REVISION.parse().unwrap();
    let quarantine = store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision)
        .unwrap();
    let mut files = Vec::new();
    for file in one.files() {
        let bytes = file.bytes();
        let mut incoming = quarantine.incoming().unwrap();
        incoming.write(bytes).unwrap();
        quarantine.place(incoming, file.path()).unwrap();
        let size = bytes.len() as u64;
        files.push(Recorded::new(
            file.path().clone(),
            size,
            Sha256::of(bytes),
            Blake3::of(bytes),
        ));
    }
    quarantine
        .finish(&Record::new(files.clone(), Vec::new()))
        .unwrap();
    let twice = store.used().unwrap();
    assert_eq!(twice, blocks(store.path()));
    quarantine.share(&store, &files).unwrap();
    assert_eq!(store.used().unwrap(), blocks(store.path()));
    assert!(twice - store.used().unwrap() > 100_000);
}

/// Blocks of distinct inodes beneath, as `du` counts them.
fn blocks(path: &Path) -> u64 {
    fn walk(path: &Path, seen: &mut BTreeMap<u64, u64>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            seen.insert(stat.ino(), stat.blocks() * 512);
            if stat.is_dir() {
                walk(&path, seen);
            }
        }
    }
    let mut seen = BTreeMap::new();
    walk(path, &mut seen);
    seen.values().sum()
}

#[test]
fn a_quota_that_cannot_be_read_allows_nothing_until_it_is_set_again() {
    let (dir, store) = set();
    let one = walk(dir.path(), 1);
    store.set_quota(Some(5)).unwrap();
    for damaged in ["", "{", r#"{"bytes":-1}"#, r#"{"bytes":1,"more":2}"#] {
        fs::write(store.path().join("quota.json"), damaged).unwrap();
        let errors = [
            store.quota().unwrap_err(),
            store.admit(&one).unwrap_err(),
            store.check(&mut |_| {}).unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(error, StoreError::QuotaUnreadable { .. }),
                "{error}"
            );
            assert!(
                error.hint().unwrap().contains("store init --quota"),
                "{error}"
            );
        }
    }
    store.set_quota(Some(1 << 30)).unwrap();
    store.admit(&one).unwrap();
    // The store is still known as one.
    assert_eq!(
        Store::open(store.path()).unwrap().quota().unwrap(),
        Some(1 << 30)
    );
}
