//! Media that cannot be written: read-only, or full. Each test mounts what it needs in a mount
//! namespace of its own, as root or in a user namespace.

#![cfg(test)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{in_namespace, inside, policy, policy_of, repo};
use rustix::io::Errno;
use tensorgate_store::{Gc, State, Store, StoreError};
use tensorgate_verify::{Limits, RepoType};

const READ_ONLY: &str = "mount --bind store store; mount -o remount,bind,ro store";

#[track_caller]
fn assert_read_only(error: &StoreError) {
    match error {
        StoreError::Io { source, .. } => {
            assert_eq!(Errno::from_io_error(source), Some(Errno::ROFS), "{error}");
        }
        other => panic!("{other}"),
    }
    assert!(error.hint().unwrap().contains("`--state DIR`"), "{error}");
}

#[test]
fn a_store_on_read_only_media_is_read() {
    let Some(here) = inside() else {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let walk = policy(&dir.path().join("walk"), "acme/walk", 3);
        store.admit(&walk).unwrap();
        store.record_accepted(walk.evidence()).unwrap();
        return in_namespace("a_store_on_read_only_media_is_read", READ_ONLY, dir.path());
    };
    let store = Store::open(here.join("store")).unwrap();
    let found = store.find(RepoType::Model, &repo("acme/walk")).unwrap();
    assert_eq!(found.len(), 1);
    let held = store.policy(&found[0].manifest).unwrap().unwrap();
    held.envelope(&Limits::default()).unwrap();
    let accepted = store
        .last_accepted(RepoType::Model, &repo("acme/walk"))
        .unwrap();
    assert_eq!(accepted.unwrap().sequence, 3);
    assert_eq!(store.check(&mut |_| {}).unwrap().damage, []);
    assert_eq!(store.quota().unwrap(), None);
    store.used().unwrap();

    // Whatever would write says so, and where to.
    let four = policy(&here.join("next"), "acme/walk", 4);
    assert_read_only(&store.admit(&four).unwrap_err());
    assert_read_only(&store.record_accepted(four.evidence()).unwrap_err());
    assert_read_only(&store.state().make_ready().unwrap_err());
    assert_read_only(&store.gc(Gc::default(), &mut |_| {}).unwrap_err());
    let revision = common::REVISION.parse().unwrap();
    let error = store.quarantine(RepoType::Model, &repo("acme/walk"), &revision);
    assert_read_only(&error.unwrap_err());
    let elsewhere = State::open(here.join("elsewhere")).unwrap();
    elsewhere.record_accepted(four.evidence()).unwrap();
}

#[test]
fn no_store_is_made_on_read_only_media() {
    let Some(here) = inside() else {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("store/half/quarantine")).unwrap();
        return in_namespace("no_store_is_made_on_read_only_media", READ_ONLY, dir.path());
    };
    use std::os::unix::fs::PermissionsExt as _;
    assert_read_only(&Store::open(here.join("store/none")).unwrap_err());
    let mode = fs::metadata(here.join("store/half"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o022, 0, "the umask of this test");
    assert_read_only(&Store::open(here.join("store/half")).unwrap_err());
}

const FULL: &str = "mkdir full; mount -t tmpfs -o size=64m,mode=700 tmpfs full";

/// With room for one page more each time, then for one inode more, until all has room.
#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let Some(here) = inside() else {
        let dir = tempfile::tempdir().unwrap();
        return in_namespace("a_full_disk_is_said_and_loses_nothing", FULL, dir.path());
    };
    let disk = here.join("full");
    let store = Store::open(disk.join("store")).unwrap();
    let three = policy_of(&here.join("three"), "acme/walk", 3, 40_000);
    store.admit(&three).unwrap();
    store.record_accepted(three.evidence()).unwrap();
    let by_pages = until_there_is_room(&store, &here, &|free| {
        let stat = rustix::fs::statvfs(&disk).unwrap();
        let used = stat.f_blocks - stat.f_bfree;
        remount(&disk, &format!("size={}", (used + free) * stat.f_frsize));
    });
    remount(&disk, "size=64m");
    // 40,000 bytes are 10 pages, and there are two more files and the manifest.
    assert!(by_pages >= 12, "{by_pages}");
    let by_inodes = until_there_is_room(&store, &here, &|free| {
        let stat = rustix::fs::statvfs(&disk).unwrap();
        let used = stat.f_files - stat.f_ffree;
        remount(&disk, &format!("nr_inodes={}", used + free));
    });
    assert!(by_inodes >= 6, "{by_inodes}");
}

/// Admits and records with ever more room; returns how often there was too little.
fn until_there_is_room(store: &Store, here: &Path, leave: &dyn Fn(u64)) -> u64 {
    let four = policy_of(&here.join("four"), "acme/walk", 4, 40_000);
    let three = store.find(RepoType::Model, &repo("acme/walk")).unwrap();
    for free in 0.. {
        leave(free);
        let done = store.admit(&four).map(drop);
        let recorded = done.and_then(|()| {
            let state = State::open(place_of_state(store));
            state?.record_accepted(four.evidence())
        });
        let damage = store.check(&mut |_| {}).unwrap().damage;
        assert_eq!(damage, []);
        let Err(error) = recorded else {
            forget(store);
            return free;
        };
        assert!(error.is_disk_full(), "{error}");
        assert!(
            error
                .hint()
                .unwrap()
                .contains("try again; nothing was lost"),
            "{error}"
        );
        assert!(store.policy(&three[0].manifest).unwrap().is_some());
        let accepted = store
            .last_accepted(RepoType::Model, &repo("acme/walk"))
            .unwrap();
        assert_eq!(accepted.unwrap().sequence, 3);
        forget(store);
    }
    unreachable!("the loop has no end")
}

/// Back to the release that was there before.
fn forget(store: &Store) {
    let state = place_of_state(store);
    if state.exists() {
        fs::remove_dir_all(state).unwrap();
    }
    let mut how = Gc::default();
    how.keep = 0;
    let disk = store.path().parent().unwrap();
    remount(disk, "size=64m,nr_inodes=10000");
    store.gc(how, &mut |_| {}).unwrap();
}

/// On the same disk, so that what was recorded can be forgotten again.
fn place_of_state(store: &Store) -> PathBuf {
    store.path().with_file_name("state")
}

fn remount(disk: &Path, options: &str) {
    // With both its names, `mount` adds no option of the first mount, which not everybody may repeat.
    let mut mount = Command::new("mount");
    mount.args(["-o", &format!("remount,{options}"), "tmpfs"]);
    let status = mount.arg(disk).status();
    assert!(status.unwrap().success(), "{options}");
}
