//! Downloads: in place only when complete, re-hashed before they count, and never elsewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use common::{REVISION, path, quarantine, repo, store};
use tensorgate_store::{Quarantine, Record, Recorded, Store, StoreError};
use tensorgate_verify::{Blake3, RepoType, Sha256};

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
fn a_link_in_a_directorys_place_is_replaced_and_not_followed() {
    let (dir, store) = store();
    let quarantine = quarantine(&store);
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("b.json"), "mine").unwrap();
    symlink(&outside, quarantine.path().join("a")).unwrap();
    quarantine.remove(&path("a/b.json")).unwrap();
    assert_eq!(quarantine.size_of(&path("a/b.json")).unwrap(), None);
    put(&quarantine, "a/b.json", b"{}");
    assert_eq!(fs::read(quarantine.path().join("a/b.json")).unwrap(), b"{}");
    assert_eq!(fs::read(outside.join("b.json")).unwrap(), b"mine");
}

/// Puts something odd at a path; its directory is there.
type Plant = fn(&Path);

const ODD: [(&str, Plant); 4] = [
    ("a link", |at| symlink("/etc/hostname", at).unwrap()),
    ("a broken link", |at| symlink("nowhere", at).unwrap()),
    ("a pipe", |at| {
        let status = std::process::Command::new("mkfifo").arg(at).status();
        assert!(status.unwrap().success());
    }),
    ("a directory", |at| {
        fs::create_dir(at).unwrap();
        fs::write(at.join("x"), "x").unwrap();
    }),
];

#[test]
fn whatever_is_planted_a_file_takes_its_place() {
    for (what, plant) in ODD {
        let (_dir, store) = store();
        let quarantine = quarantine(&store);
        let place = quarantine.path().join("config.json");
        plant(&place);
        let config = path("config.json");
        assert!(quarantine.open_file(&config).unwrap().is_none(), "{what}");
        quarantine.remove_others(&[&config]).unwrap();
        put(&quarantine, "config.json", b"{}");
        assert!(fs::symlink_metadata(&place).unwrap().is_file(), "{what}");
        assert_eq!(fs::read(&place).unwrap(), b"{}", "{what}");
    }
}

#[test]
fn whatever_is_planted_beside_the_files_does_not_last() {
    for (what, plant) in ODD {
        for part in ["json", "part", "lock"] {
            if (what, part) == ("a directory", "lock") {
                continue; // It is refused, as below.
            }
            let (_dir, store) = store();
            let first = quarantine(&store).path().to_owned();
            let place = first.with_file_name(format!("{REVISION}.{part}"));
            match fs::metadata(&place) {
                Ok(found) if found.is_dir() => fs::remove_dir(&place).unwrap(),
                Ok(_) => fs::remove_file(&place).unwrap(),
                Err(_) => {}
            }
            plant(&place);
            if fs::metadata(&place).is_ok_and(|found| found.is_dir()) {
                fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
            }
            let again = quarantine(&store);
            assert_eq!(again.record().unwrap(), None, "{what} at {part}");
            let recorded = put(&again, "config.json", b"{}");
            let record = Record::new(vec![recorded], Vec::new());
            again.finish(&record).unwrap();
            assert_eq!(again.record().unwrap(), Some(record), "{what} at {part}");
        }
    }
    assert_eq!(fs::read_link("/etc/hostname").ok(), None);
}

#[test]
fn a_directory_in_place_of_the_lock_is_refused_and_left() {
    let (_dir, store) = store();
    let place = quarantine(&store).path().with_extension("lock");
    fs::remove_file(&place).unwrap();
    fs::create_dir_all(place.join("mine")).unwrap();
    let revision = REVISION.parse().unwrap();
    let error = store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision)
        .unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(place.join("mine").exists());
}

#[test]
fn drafts_that_others_may_change_are_refused_and_left() {
    let (_dir, store) = store();
    let part = quarantine(&store).path().with_extension("part");
    fs::write(part.join("mine"), "mine").unwrap();
    fs::set_permissions(&part, fs::Permissions::from_mode(0o777)).unwrap();
    let revision = REVISION.parse().unwrap();
    let error = store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision)
        .unwrap_err();
    assert!(matches!(error, StoreError::NotPrivate { .. }), "{error}");
    assert!(part.join("mine").exists());
}

/// Hashing its 8 TiB of nothing would take hours.
#[test]
fn a_file_that_pretends_to_terabytes_is_not_read() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    let recorded = put(&quarantine, "config.json", b"{}");
    let place = quarantine.path().join("config.json");
    let file = fs::File::options().write(true).open(place).unwrap();
    file.set_len(8 << 40).unwrap();
    assert!(!quarantine.is_intact(&recorded).unwrap());
}

#[test]
fn a_name_that_is_no_text_is_removed_like_any_other() {
    use std::os::unix::ffi::OsStrExt as _;
    let (_dir, store) = store();
    let download = quarantine(&store);
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let part = download.path().with_file_name(format!("{REVISION}.part"));
    fs::write(part.join(odd), "").unwrap();
    fs::create_dir(download.path().join(odd)).unwrap();
    fs::write(download.path().join(odd).join(odd), "").unwrap();
    download.remove_others(&[]).unwrap();
    assert_eq!(fs::read_dir(download.path()).unwrap().count(), 0);
    drop(download);
    drop(quarantine(&store));
    assert_eq!(fs::read_dir(part).unwrap().count(), 0);
}

#[test]
fn what_has_no_room_is_not_begun() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    quarantine.require_space(1).unwrap();
    let error = quarantine.require_space(u64::MAX).unwrap_err();
    let StoreError::NoSpace { needed, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(needed, u64::MAX);
    // Not all that is free may be taken.
    let stat = rustix::fs::statvfs(quarantine.path()).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    let reserve = (stat.f_blocks / 100 * stat.f_frsize).min(64 << 20);
    let almost_all = quarantine.require_space(free - reserve / 2);
    assert!(matches!(almost_all, Err(StoreError::NoSpace { .. })));
    assert!(error.is_disk_full());
    assert!(error.hint().unwrap().contains("free some space"));
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
