//! Making room: what is accepted or new stays, and nothing outside is touched.

#![cfg(test)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use common::sweep::{gc, keeping, paths, set};
use common::{REVISION, another, inside, repo, revocations};
use tensorgate_store::{Fate, Found, Gc, Store, StoreError, Swept, What};
use tensorgate_verify::{RepoType, Sha256};

#[test]
fn the_accepted_and_the_newest_releases_stay() {
    let set = set();
    let walk: Vec<_> = (1..=5)
        .map(|sequence| set.admit("acme/walk", sequence))
        .collect();
    let run = set.admit("acme/run", 9);
    set.accept("acme/walk", 2);
    let (swept, found) = gc(&set.store, Gc::default());
    let stays: Vec<_> = walk.iter().map(|manifest| set.has(manifest)).collect();
    assert_eq!(stays, [false, true, false, true, true]);
    assert!(set.has(&run));
    // Their weights and vocabulary are their own, the configuration is everybody's.
    assert_eq!((swept.policies, swept.objects), (2, 4));
    let mut gone = [walk[0], walk[2]].map(|manifest| PathBuf::from(format!("policies/{manifest}")));
    gone.sort_unstable();
    let mut removed = paths(&found, What::Policy, Fate::Removed);
    removed.sort_unstable();
    assert_eq!(removed, gone);
    assert_eq!(set.store.check(&mut |_| {}).unwrap().damage, []);
    let (again, _) = gc(&set.store, Gc::default());
    assert_eq!(again, Swept::default());
}

#[test]
fn none_but_the_accepted_release_stays_if_so_many_are_to_be_kept() {
    let set = set();
    let walk: Vec<_> = (1..=3)
        .map(|sequence| set.admit("acme/walk", sequence))
        .collect();
    set.accept("acme/walk", 1);
    let (swept, _) = gc(&set.store, keeping(0));
    assert_eq!(swept.policies, 2);
    assert!(set.has(&walk[0]));
}

/// The index is written after the record: a crash between them forgets nothing.
/// It is accepted after the look at what was, and let go of before its turn.
#[test]
fn what_is_accepted_meanwhile_stays() {
    let set = set();
    let one = set.admit("acme/walk", 1);
    let walk = set.policy("acme/walk", 1);
    fs::create_dir_all(set.store.path().join("tmp")).unwrap();
    fs::write(set.store.path().join("tmp/1-1"), "left by a crash").unwrap();
    let mut told = Vec::new();
    let swept = set.store.gc(keeping(0), &mut |found| {
        told.push(found.what);
        if found.what == What::Leftover {
            set.store.record_accepted(walk.evidence()).unwrap();
        }
    });
    let swept = swept.unwrap();
    assert_eq!((swept.policies, swept.objects), (0, 0));
    assert_eq!(told, [What::Leftover]);
    assert!(set.has(&one));
}

#[test]
fn what_was_accepted_and_is_not_listed_yet_stays() {
    let set = set();
    let one = set.admit("acme/walk", 1);
    set.admit("acme/walk", 2);
    set.accept("acme/walk", 1);
    fs::write(set.store.path().join("state/index.json"), r#"{"repos":[]}"#).unwrap();
    gc(&set.store, keeping(0));
    assert!(set.has(&one));
}

#[test]
fn nothing_is_removed_where_nobody_knows_what_was_accepted() {
    let set = set();
    let one = set.admit("acme/walk", 1);
    set.accept("acme/walk", 1);
    let tmp = set.store.path().join("tmp/litter");
    fs::write(&tmp, "").unwrap();
    let record = set
        .store
        .path()
        .join("state/rollback/model--acme--walk.json");
    fs::write(record, "{").unwrap();
    let error = set.store.gc(keeping(0), &mut |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::State { .. }), "{error}");
    assert!(set.has(&one) && tmp.exists());
}

#[test]
fn a_dry_run_says_the_same_and_removes_nothing() {
    let set = set();
    for sequence in 1..=3 {
        set.admit("acme/walk", sequence);
    }
    drop(set.download(&set.policy("acme/walk", 1)));
    drop(set.download(&set.policy("acme/run", 9)));
    fs::write(set.store.path().join("tmp/litter"), vec![1; 10_000]).unwrap();
    let before = listing(set.store.path());
    let mut how = keeping(1);
    how.dry_run = true;
    let (would, mut would_find) = gc(&set.store, how);
    assert_eq!(listing(set.store.path()), before);
    let used = set.store.used().unwrap();
    how.dry_run = false;
    let (swept, mut found) = gc(&set.store, how);
    assert_eq!(would, swept);
    let key = |found: &Found| found.path.clone();
    would_find.sort_by_key(key);
    found.sort_by_key(key);
    assert_eq!(would_find, found);
    assert_eq!(
        (
            swept.policies,
            swept.downloads,
            swept.objects,
            swept.leftovers
        ),
        (2, 2, 4, 1)
    );
    // Two of the three releases: their weights, and the download that no policy shares.
    assert!(swept.bytes > 300_000, "{swept:?}");
    assert_eq!(used - set.store.used().unwrap(), swept.bytes);
}

/// Everything beneath, with its size and links.
fn listing(path: &Path) -> Vec<(PathBuf, u64, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let stat = fs::symlink_metadata(&path).unwrap();
        if stat.is_dir() {
            all.extend(listing(&path));
        }
        all.push((path, stat.len(), stat.nlink()));
    }
    all.sort_unstable();
    all
}

#[test]
fn what_the_store_did_not_make_stays_and_no_link_is_followed() {
    let set = set();
    let outside = set.dir.path().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/mine"), "mine").unwrap();
    let store = set.store.path();
    set.download(&set.policy("acme/walk", 1));
    let digest = "0".repeat(64);
    symlink(&outside, store.join("policies").join(&digest)).unwrap();
    fs::write(store.join("policies/notes"), "mine").unwrap();
    symlink(
        outside.join("deep/mine"),
        store.join("objects").join(&digest),
    )
    .unwrap();
    fs::write(store.join("objects/notes"), "mine").unwrap();
    symlink(&outside, store.join("quarantine/model/elsewhere")).unwrap();
    symlink(&outside, store.join("quarantine/model/acme/elsewhere")).unwrap();
    let repo = store.join("quarantine/model/acme/walk");
    fs::write(repo.join("notes"), "mine").unwrap();
    symlink(&outside, repo.join(REVISION).join("link")).unwrap();
    fs::create_dir_all(store.join("tmp")).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(store.join("tmp"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&outside, store.join("tmp/link")).unwrap();
    let (swept, _) = gc(&set.store, keeping(0));
    assert_eq!((swept.downloads, swept.leftovers), (1, 1));
    assert_eq!(fs::read(outside.join("deep/mine")).unwrap(), b"mine");
    for stays in [
        &*format!("policies/{digest}"),
        "policies/notes",
        &*format!("objects/{digest}"),
        "objects/notes",
        "quarantine/model/elsewhere",
        "quarantine/model/acme/elsewhere",
        "quarantine/model/acme/walk/notes",
    ] {
        assert!(store.join(stays).symlink_metadata().is_ok(), "{stays}");
    }
}

/// Nobody can load it: by its name it is another, and by its content it is not found.
#[test]
fn a_policy_without_the_manifest_of_its_name_is_nobodys_release() {
    let set = set();
    let (one, two) = (set.admit("acme/walk", 1), set.admit("acme/walk", 2));
    let policies = set.store.path().join("policies");
    let name = |manifest: &Sha256| policies.join(manifest.to_string());
    let manifest = name(&two).join("policy.dsse.json");
    fs::remove_file(name(&one).join("policy.dsse.json")).unwrap();
    fs::copy(&manifest, name(&one).join("policy.dsse.json")).unwrap();
    let found = set.store.find(RepoType::Model, &repo("acme/walk")).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].manifest, two);
    gc(&set.store, keeping(2));
    assert!(!set.has(&one) && set.has(&two));

    // Unless it is the accepted one, which is to be fetched again.
    set.accept("acme/walk", 2);
    fs::remove_file(manifest).unwrap();
    gc(&set.store, keeping(0));
    assert!(set.has(&two));
}

/// Neither the stack nor the handles of the process are as deep.
#[test]
fn a_tree_of_any_depth_is_removed() {
    let set = set();
    drop(set.download(&set.policy("acme/walk", 1)));
    let files = set
        .store
        .path()
        .join("quarantine/model/acme/walk")
        .join(REVISION);
    let mut at = rustix::fs::open(
        &files,
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for _ in 0..3_000 {
        rustix::fs::mkdirat(&at, "0", rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(
            &at,
            "0",
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    drop(at);
    let (swept, _) = gc(&set.store, keeping(0));
    assert_eq!(swept.downloads, 1);
    assert!(!files.exists());
}

#[test]
fn a_store_of_many_policies_is_looked_through_with_few_handles() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let Some(path) = inside() else {
        let set = set();
        for sequence in 1..=30 {
            set.admit("acme/walk", sequence);
        }
        let test = "a_store_of_many_policies_is_looked_through_with_few_handles";
        let status = another(test, set.store.path()).status();
        return assert!(status.unwrap().success());
    };
    let store = Store::open(path).unwrap();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(open_handles() + 20);
    setrlimit(Resource::Nofile, limit).unwrap();
    assert_eq!(
        store
            .find(RepoType::Model, &repo("acme/walk"))
            .unwrap()
            .len(),
        30
    );
    assert_eq!(store.check(&mut |_| {}).unwrap().policies, 30);
    assert_eq!(gc(&store, keeping(2)).0.policies, 28);
}

fn open_handles() -> u64 {
    fs::read_dir("/proc/self/fd").unwrap().count() as u64
}

#[test]
fn the_memory_is_not_touched() {
    let set = set();
    set.accept("acme/walk", 3);
    set.store
        .state()
        .record_revocations(&revocations(1))
        .unwrap();
    set.store.set_quota(Some(1 << 30)).unwrap();
    let before = listing(&set.store.path().join("state"));
    gc(&set.store, keeping(0));
    assert_eq!(listing(&set.store.path().join("state")), before);
    assert_eq!(set.store.quota().unwrap(), Some(1 << 30));
}
