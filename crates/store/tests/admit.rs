//! From verified to kept: complete, exact, and nothing lost on the way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, getrlimit, setrlimit};

use common::{REVISION, policy, repo};
use tensorgate_store::{Store, StoreError};
use tensorgate_verify::{Limits, Policy, RepoType, Verified};

const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer/vocab.json"];

struct Set {
    dir: tempfile::TempDir,
    store: Store,
    policy: Verified<Policy>,
}

fn set() -> Set {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let policy = policy(&dir.path().join("download"), "acme/walk", 3);
    Set { dir, store, policy }
}

fn assert_kept(directory: &Path, policy: &Verified<Policy>) {
    for file in policy.files() {
        let path = directory.join(file.path().as_str());
        assert_eq!(fs::read(&path).unwrap(), file.bytes(), "{path:?}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o444);
    }
    let envelope = fs::read(directory.join("policy.dsse.json")).unwrap();
    assert_eq!(envelope, policy.evidence().envelope());
}

fn object(store: &Path, policy: &Verified<Policy>, path: &str) -> PathBuf {
    let blake3 = policy
        .manifest()
        .file(&path.parse().unwrap())
        .unwrap()
        .blake3;
    store.join("objects").join(blake3.to_string())
}

#[test]
fn what_was_verified_is_kept_and_not_what_lies_in_quarantine_now() {
    let Set { dir, store, policy } = set();
    fs::write(
        dir.path().join("download/config.json"),
        "{\"type\": \"evil\"}",
    )
    .unwrap();
    let kept = store.admit(&policy).unwrap();
    assert_kept(kept.path(), &policy);
    let name = policy.evidence().manifest.to_string();
    assert_eq!(kept.path(), store.path().join("policies").join(name));
    assert_eq!(fs::read_dir(store.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn twice_is_once() {
    let Set {
        dir: _dir,
        policy,
        store,
    } = set();
    let first = fs::metadata(store.admit(&policy).unwrap().path())
        .unwrap()
        .ino();
    let second = fs::metadata(store.admit(&policy).unwrap().path())
        .unwrap()
        .ino();
    assert_eq!(first, second);
    assert_eq!(
        fs::read_dir(store.path().join("objects")).unwrap().count(),
        3
    );
}

#[test]
fn two_releases_share_what_they_have_in_common() {
    let Set {
        dir,
        store,
        policy: three,
    } = set();
    let four = policy(&dir.path().join("next"), "acme/walk", 4);
    let three = store.admit(&three).unwrap();
    let four = store.admit(&four).unwrap();
    let inode = |dir: &Path, file| fs::metadata(dir.join(file)).unwrap().ino();
    assert_eq!(
        inode(three.path(), "config.json"),
        inode(four.path(), "config.json")
    );
    assert_ne!(inode(three.path(), FILES[1]), inode(four.path(), FILES[1]));

    let found = store.find(RepoType::Model, &repo("acme/walk")).unwrap();
    let sequences: Vec<u64> = found.iter().map(|stored| stored.sequence).collect();
    assert_eq!(sequences, [4, 3]);
    assert_eq!(found[0].revision.as_str(), REVISION);
    assert_eq!(
        found[0].manifest.to_string(),
        four.path().file_name().unwrap().to_str().unwrap()
    );
    assert!(
        store
            .find(RepoType::Dataset, &repo("acme/walk"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_policy_is_found_by_its_manifest() {
    let Set {
        dir: _dir,
        store,
        policy,
    } = set();
    assert!(store.policy(&policy.evidence().manifest).unwrap().is_none());
    store.admit(&policy).unwrap();
    let kept = store.policy(&policy.evidence().manifest).unwrap().unwrap();
    let envelope = kept.envelope(&Limits::default()).unwrap();
    assert_eq!(envelope, policy.evidence().envelope());
}

#[test]
fn a_damaged_object_is_found_and_replaced() {
    let Set {
        dir: _dir,
        store,
        policy,
    } = set();
    let kept = store.admit(&policy).unwrap();
    let object = object(store.path(), &policy, "model.safetensors");
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(&object).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&object, bytes).unwrap();

    store.admit(&policy).unwrap();
    assert_kept(kept.path(), &policy);
}

/// Hashing its 8 TiB of nothing would take hours.
#[test]
fn an_object_that_pretends_to_terabytes_is_replaced_unread() {
    let Set {
        dir: _dir,
        store,
        policy,
    } = set();
    let kept = store.admit(&policy).unwrap();
    let object = object(store.path(), &policy, "config.json");
    fs::remove_file(&object).unwrap();
    fs::File::create(&object).unwrap().set_len(8 << 40).unwrap();
    store.admit(&policy).unwrap();
    assert_kept(kept.path(), &policy);
}

/// Its 8 TiB would not fit into memory.
#[test]
fn a_manifest_that_pretends_to_terabytes_is_replaced_unread() {
    let Set {
        dir: _dir,
        store,
        policy,
    } = set();
    let kept = store.admit(&policy).unwrap();
    let manifest = fs::File::options()
        .write(true)
        .open(kept.path().join("policy.dsse.json"))
        .unwrap();
    manifest.set_len(8 << 40).unwrap();
    store.admit(&policy).unwrap();
    assert_kept(kept.path(), &policy);
}

#[test]
fn somebody_elses_directory_is_refused_and_left_as_it_is() {
    for stranger in ["tmp/mine", "lock/mine", "notes.txt/mine"] {
        let dir = tempfile::tempdir().unwrap();
        let mine = dir.path().join(stranger);
        fs::create_dir(mine.parent().unwrap()).unwrap();
        fs::write(&mine, "mine").unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        assert!(error.hint().unwrap().contains("empty or new directory"));
        assert_eq!(fs::read(&mine).unwrap(), b"mine");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_half_made_store_opens() {
    for left in [&[][..], &["quarantine"], &["quarantine", "objects"]] {
        let dir = tempfile::tempdir().unwrap();
        for part in left.iter().chain(&["lost+found"]) {
            fs::create_dir(dir.path().join(part)).unwrap();
            let private = fs::Permissions::from_mode(0o700);
            fs::set_permissions(dir.path().join(part), private).unwrap();
        }
        let policy = policy(tempfile::tempdir().unwrap().path(), "acme/walk", 3);
        Store::open(dir.path()).unwrap().admit(&policy).unwrap();
        Store::open(dir.path()).unwrap();
    }
}

#[test]
fn a_directory_in_place_of_the_lock_is_refused_and_left() {
    let Set { dir, store, policy } = set();
    let mine = dir.path().join("store/lock/mine");
    fs::create_dir_all(&mine).unwrap();
    let error = store.admit(&policy).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(mine.exists());
}

#[test]
fn a_link_in_an_objects_place_is_replaced_and_its_target_is_left_alone() {
    let Set { dir, store, policy } = set();
    let target = dir.path().join("target");
    fs::write(&target, "mine").unwrap();
    symlink(&target, object(store.path(), &policy, "config.json")).unwrap();
    let kept = store.admit(&policy).unwrap();
    assert_kept(kept.path(), &policy);
    assert_eq!(fs::read(target).unwrap(), b"mine");
}

#[test]
fn a_missing_file_a_stranger_and_another_manifest_are_put_right() {
    let Set {
        dir: _dir,
        store,
        policy,
    } = set();
    let kept = store.admit(&policy).unwrap().path().to_owned();
    let spoil: [fn(&Path); 3] = [
        |dir| fs::remove_file(dir.join("tokenizer/vocab.json")).unwrap(),
        |dir| fs::write(dir.join("run.py"), "").unwrap(),
        |dir| fs::write(dir.join("policy.dsse.json"), "{}").unwrap(),
    ];
    for spoil in spoil {
        spoil(&kept);
        store.admit(&policy).unwrap();
        assert_kept(&kept, &policy);
        assert!(!kept.join("run.py").exists());
    }
}

#[test]
fn what_a_crash_left_is_cleared() {
    let Set {
        dir: _dir,
        store,
        policy,
    } = set();
    let left = store.path().join("tmp");
    fs::create_dir_all(left.join("half/tokenizer")).unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(left.join("half/tokenizer/vocab.json"), "[").unwrap();
    fs::write(left.join("1-0"), "half an object").unwrap();
    store.admit(&policy).unwrap();
    assert_eq!(fs::read_dir(left).unwrap().count(), 0);
}

#[test]
fn odd_entries_hide_no_policy() {
    use std::os::unix::ffi::OsStrExt as _;
    let Set { dir, store, policy } = set();
    let kept = store.admit(&policy).unwrap();
    let policies = store.path().join("policies");
    symlink(dir.path(), policies.join("0".repeat(64))).unwrap();
    fs::write(policies.join("1".repeat(64)), "").unwrap();
    fs::create_dir(policies.join("2".repeat(64))).unwrap();
    symlink("x", policies.join("2".repeat(64)).join("policy.dsse.json")).unwrap();
    fs::write(policies.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let found = store.find(RepoType::Model, &repo("acme/walk")).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].manifest, policy.evidence().manifest);
    assert!(kept.path().ends_with(found[0].manifest.to_string()));
    let linked = "0".repeat(64).parse().unwrap();
    let error = store.policy(&linked).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(error.hint().unwrap().contains("move it away"));
}

#[test]
fn a_link_where_a_policy_belongs_is_replaced() {
    let Set { dir, store, policy } = set();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let place = store
        .path()
        .join("policies")
        .join(policy.evidence().manifest.to_string());
    symlink(&outside, &place).unwrap();
    symlink(&outside, store.path().join("tmp")).unwrap();
    assert_kept(store.admit(&policy).unwrap().path(), &policy);
    assert!(fs::symlink_metadata(&place).unwrap().is_dir());
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn writers_beside_each_other_keep_one_policy() {
    let Set { dir, policy, .. } = set();
    let path = dir.path().join("store");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Store::open(&path).unwrap().admit(&policy).unwrap());
        }
    });
    let store = Store::open(&path).unwrap();
    let kept = store.policy(&policy.evidence().manifest).unwrap().unwrap();
    assert_kept(kept.path(), &policy);
}

#[test]
fn a_store_that_others_may_change_is_refused() {
    for part in [
        "",
        "objects",
        "policies",
        "quarantine",
        "state",
        "state/rollback",
    ] {
        let Set { dir, store, .. } = set();
        let _dir = dir;
        let part = store.path().join(part);
        fs::set_permissions(&part, fs::Permissions::from_mode(0o777)).unwrap();
        match Store::open(store.path()) {
            Err(StoreError::NotPrivate { path, .. }) => {
                assert_eq!(path.components().as_path(), part.components().as_path())
            }
            other => panic!("{part:?}: {other:?}"),
        }
    }
}

#[test]
fn a_link_in_place_of_a_part_is_refused() {
    let Set { dir, store, .. } = set();
    let objects = store.path().join("objects");
    fs::remove_dir(&objects).unwrap();
    symlink(dir.path(), &objects).unwrap();
    let error = Store::open(store.path()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

/// A write that fails in the middle of an object leaves the store as it was. The limit is one on
/// the size of a file; `media.rs` has full disks.
#[test]
fn a_write_that_fails_loses_nothing() {
    const INSIDE: &str = "TENSORGATE_TEST_STORE_WITH_A_LIMIT";
    if let Some(path) = std::env::var_os(INSIDE) {
        let path = PathBuf::from(path);
        let store = Store::open(path.join("store")).unwrap();
        let policy = policy(&path.join("next"), "acme/walk", 4);
        // Rust itself does not ignore SIGXFSZ, so the shell does; then a write is EFBIG.
        let mut limit = getrlimit(Resource::Fsize);
        limit.current = Some(100 << 10);
        setrlimit(Resource::Fsize, limit).unwrap();
        let error = store.admit(&policy).unwrap_err();
        assert!(
            matches!(error, StoreError::Io { step: "write", .. }),
            "{error}"
        );
        assert!(store.policy(&policy.evidence().manifest).unwrap().is_none());
        assert_eq!(fs::read_dir(path.join("store/tmp")).unwrap().count(), 0);
        return;
    }
    let Set {
        dir,
        store,
        policy: kept,
    } = set();
    store.admit(&kept).unwrap();
    // Its output goes through a pipe: were it a long file, the limit would hold for that, too.
    let inside = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; exec \"$0\" --exact a_write_that_fails_loses_nothing",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, dir.path())
        .output()
        .unwrap();
    assert!(inside.status.success(), "{inside:?}");
    let directory = store.policy(&kept.evidence().manifest).unwrap().unwrap();
    assert_kept(directory.path(), &kept);
}
