//! Downloads: in place only when complete, re-hashed before they count, and never elsewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use common::{REVISION, repo};
use tensorgate_store::{Quarantine, Record, Recorded, Store, StoreError};
use tensorgate_verify::{Blake3, FilePath, RepoType, Sha256};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    (dir, store)
}

fn quarantine(store: &Store) -> Quarantine {
    let revision = REVISION.parse().unwrap();
    store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision)
        .unwrap()
}

fn path(text: &str) -> FilePath {
    text.parse().unwrap()
}

fn put(quarantine: &Quarantine, name: &str, bytes: &[u8]) -> Recorded {
    let mut incoming = quarantine.incoming().unwrap();
    incoming.write(bytes).unwrap();
    quarantine.place(incoming, &path(name)).unwrap();
    let size = bytes.len() as u64;
    Recorded::new(path(name), size, Sha256::of(bytes), Blake3::of(bytes))
}

#[test]
fn files_lie_under_repository_and_commit() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    put(&quarantine, "a/b/c.json", b"{}");
    let expected = store
        .path()
        .join("quarantine/model/acme/walk")
        .join(REVISION);
    assert_eq!(quarantine.path(), expected);
    assert_eq!(fs::read(expected.join("a/b/c.json")).unwrap(), b"{}");
}

#[test]
fn an_unfinished_file_is_nowhere() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    let mut incoming = quarantine.incoming().unwrap();
    incoming.write(b"half").unwrap();
    assert_eq!(fs::read_dir(quarantine.path()).unwrap().count(), 0);
    drop(incoming);
    let part = quarantine.path().with_file_name(format!("{REVISION}.part"));
    assert_eq!(fs::read_dir(part).unwrap().count(), 0);
}

#[test]
fn what_a_crash_left_is_cleared() {
    let (_dir, store) = store();
    let part = quarantine(&store)
        .path()
        .with_file_name(format!("{REVISION}.part"));
    fs::write(part.join("1-0"), "half").unwrap();
    drop(quarantine(&store));
    assert_eq!(fs::read_dir(part).unwrap().count(), 0);
}

#[test]
fn a_record_is_there_only_when_all_was_done() {
    let (_dir, store) = store();
    let download = quarantine(&store);
    assert_eq!(download.record().unwrap(), None);
    let recorded = put(&download, "config.json", b"{}");
    let record = Record::new(vec![recorded], vec![path("model.bin")]);
    download.finish(&record).unwrap();
    drop(download);
    let download = quarantine(&store);
    assert_eq!(download.record().unwrap(), Some(record));
    download.reopen().unwrap();
    assert_eq!(download.record().unwrap(), None);
}

#[test]
fn a_recorded_file_is_read_again() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    let recorded = put(&quarantine, "config.json", b"{\"a\": 1}");
    let place = quarantine.path().join("config.json");
    assert!(quarantine.is_intact(&recorded).unwrap());
    fs::write(&place, b"{\"a\": 2}").unwrap();
    assert!(!quarantine.is_intact(&recorded).unwrap());
    fs::remove_file(&place).unwrap();
    assert!(!quarantine.is_intact(&recorded).unwrap());
    symlink("/etc/hostname", &place).unwrap();
    assert!(!quarantine.is_intact(&recorded).unwrap());
}

#[test]
fn strangers_and_links_are_removed_and_not_followed() {
    let (dir, store) = store();
    let quarantine = quarantine(&store);
    put(&quarantine, "config.json", b"{}");
    put(&quarantine, "a/keep.json", b"{}");
    put(&quarantine, "a/drop.json", b"{}");
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("mine"), "mine").unwrap();
    symlink(&outside, quarantine.path().join("link")).unwrap();
    fs::create_dir(quarantine.path().join("empty")).unwrap();
    quarantine
        .remove_others(&[&path("config.json"), &path("a/keep.json")])
        .unwrap();
    let mut left: Vec<_> = fs::read_dir(quarantine.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["a", "config.json"]);
    assert!(!quarantine.path().join("a/drop.json").exists());
    assert!(outside.join("mine").exists());
}

#[test]
fn a_link_in_a_directorys_place_is_not_followed() {
    let (dir, store) = store();
    let quarantine = quarantine(&store);
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, quarantine.path().join("a")).unwrap();
    let mut incoming = quarantine.incoming().unwrap();
    incoming.write(b"{}").unwrap();
    let error = quarantine.place(incoming, &path("a/b.json")).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn a_second_download_waits_and_says_so() {
    let (_dir, store) = store();
    let first = quarantine(&store);
    let revision = REVISION.parse().unwrap();
    let other = Store::open(store.path()).unwrap();
    let busy = other.try_quarantine(RepoType::Model, &repo("acme/walk"), &revision);
    assert!(busy.unwrap().is_none());

    let (tell, told) = std::sync::mpsc::channel();
    let other = other.on_wait(move |path| tell.send(path.to_owned()).unwrap());
    std::thread::scope(|scope| {
        let second = scope.spawn(|| quarantine(&other).path().to_owned());
        let lock = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(
            lock.ends_with(format!("acme/walk/{REVISION}.lock")),
            "{lock:?}"
        );
        let place = first.path().to_owned();
        drop(first);
        assert_eq!(second.join().unwrap(), place);
    });
}
