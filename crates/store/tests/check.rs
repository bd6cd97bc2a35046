//! Damage of every kind is found, named and left; admitting again repairs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use common::{REVISION, as_anybody, in_namespace, inside, policy_of, repo, revocations};
use tensorgate_store::{Checked, Record, Store, StoreError};
use tensorgate_verify::{Policy, Rejection, RepoType, Verified};

struct Set {
    dir: tempfile::TempDir,
    store: Store,
    policy: Verified<Policy>,
    /// The directory of the policy.
    kept: PathBuf,
}

fn set() -> Set {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let policy = policy_of(&dir.path().join("walk"), "acme/walk", 1, 100_000);
    let kept = store.admit(&policy).unwrap().path().to_owned();
    store.record_accepted(policy.evidence()).unwrap();
    Set {
        dir,
        store,
        policy,
        kept,
    }
}

impl Set {
    fn object(&self, file: &str) -> PathBuf {
        let manifest = self.policy.manifest();
        let blake3 = manifest.file(&file.parse().unwrap()).unwrap().blake3;
        Path::new("objects").join(blake3.to_string())
    }

    fn check(&self) -> Checked {
        self.store.check(&mut |_| {}).unwrap()
    }

    /// The codes and places of all damage, in order.
    fn damage(&self) -> Vec<(Rejection, PathBuf)> {
        let checked = self.check();
        let mut damage: Vec<_> = checked
            .damage
            .into_iter()
            .map(|damage| (damage.rejection, damage.path))
            .collect();
        damage.sort_by(|a, b| a.1.cmp(&b.1));
        damage
    }

    fn write(&self, place: &Path, bytes: impl AsRef<[u8]>) {
        let place = self.store.path().join(place);
        if place.exists() {
            fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::write(place, bytes).unwrap();
    }
}

#[test]
fn a_whole_store_is_whole_and_all_of_it_was_read() {
    let set = set();
    set.store
        .state()
        .record_revocations(&revocations(1))
        .unwrap();
    let revision = REVISION.parse().unwrap();
    let quarantine = set
        .store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision);
    quarantine.unwrap().finish(&Record::default()).unwrap();
    let mut advanced = 0;
    let checked = set.store.check(&mut |bytes| advanced += bytes).unwrap();
    assert_eq!(checked.damage, []);
    assert_eq!(checked.damaged, []);
    assert_eq!(
        (checked.objects, checked.policies, checked.downloads),
        (3, 1, 1)
    );
    assert_eq!(checked.bytes, set.store.object_bytes().unwrap());
    assert_eq!(checked.bytes, advanced);
    assert!(checked.bytes > 100_000);
}

#[test]
fn a_flipped_bit_is_found_and_names_the_policy_that_it_spoils() {
    let set = set();
    let object = set.object("model.safetensors");
    let mut bytes = fs::read(set.store.path().join(&object)).unwrap();
    bytes[70_000] ^= 1;
    set.write(&object, bytes);
    let checked = set.check();
    assert_eq!(checked.damage.len(), 1);
    assert_eq!(checked.damage[0].rejection, Rejection::DigestMismatch);
    assert_eq!(checked.damage[0].path, object);
    let evidence = set.policy.evidence();
    assert_eq!(checked.damaged.len(), 1);
    assert_eq!(checked.damaged[0].manifest, evidence.manifest);
    let of = (
        RepoType::Model,
        evidence.repo.clone(),
        evidence.revision.clone(),
    );
    assert_eq!(checked.damaged[0].of, Some(of));
}

#[test]
fn each_kind_of_damage_has_its_code_and_is_put_right_by_admitting_again() {
    type Spoil = fn(&Set);
    let cases: [(Spoil, Rejection, &str); 11] = [
        (
            |set| fs::remove_file(set.store.path().join(set.object("config.json"))).unwrap(),
            Rejection::FileMissing,
            "config.json",
        ),
        (
            |set| fs::remove_file(set.kept.join("tokenizer/vocab.json")).unwrap(),
            Rejection::FileMissing,
            "tokenizer/vocab.json",
        ),
        (
            // The same bytes, which somebody could change without the object.
            |set| {
                let file = set.kept.join("config.json");
                let bytes = fs::read(&file).unwrap();
                fs::remove_file(&file).unwrap();
                fs::write(file, bytes).unwrap();
            },
            Rejection::DigestMismatch,
            "config.json",
        ),
        (
            |set| {
                fs::remove_file(set.kept.join("config.json")).unwrap();
                symlink("/etc/hostname", set.kept.join("config.json")).unwrap();
            },
            Rejection::FileMissing,
            "config.json",
        ),
        (
            |set| fs::write(set.kept.join("run.py"), "").unwrap(),
            Rejection::FileUnexpected,
            "run.py",
        ),
        (
            |set| fs::create_dir_all(set.kept.join("tokenizer/a/b")).unwrap(),
            Rejection::FileUnexpected,
            "tokenizer/a",
        ),
        (
            |set| fs::remove_file(set.kept.join("policy.dsse.json")).unwrap(),
            Rejection::ManifestMissing,
            "policy.dsse.json",
        ),
        (
            |set| set.write(&set.kept.join("policy.dsse.json"), "{}"),
            Rejection::ManifestMalformed,
            "policy.dsse.json",
        ),
        (
            |set| {
                fs::remove_file(set.kept.join("config.json")).unwrap();
                socket(&set.kept.join("config.json"));
            },
            Rejection::FileMissing,
            "config.json",
        ),
        (
            |set| fs::set_permissions(&set.kept, fs::Permissions::from_mode(0o777)).unwrap(),
            Rejection::FileNotRegular,
            "",
        ),
        (
            |set| {
                let within = set.kept.join("tokenizer");
                fs::set_permissions(within, fs::Permissions::from_mode(0o720)).unwrap();
            },
            Rejection::FileNotRegular,
            "tokenizer",
        ),
    ];
    for (spoil, rejection, place) in cases {
        let set = set();
        spoil(&set);
        let within = set.kept.strip_prefix(set.store.path()).unwrap();
        assert_eq!(set.damage(), [(rejection, within.join(place))]);
        assert_eq!(
            set.check().damaged[0].manifest,
            set.policy.evidence().manifest
        );
        set.store.admit(&set.policy).unwrap();
        assert_eq!(set.check().damage, []);
    }
}

/// Bound from its directory: a path of a socket has at most 107 bytes.
fn socket(place: &Path) {
    let (parent, name) = (place.parent().unwrap(), place.file_name().unwrap());
    let parent = fs::File::open(parent).unwrap();
    let path = format!("/proc/self/fd/{}", parent.as_raw_fd());
    UnixListener::bind(Path::new(&path).join(name)).unwrap();
}

/// Objects are written as 0444, so whatever may be written to was changed since.
#[test]
fn an_object_that_somebody_may_write_to_is_found_and_made_again() {
    for mode in [0o644, 0o466, 0o4444, 0o777] {
        let set = set();
        let object = set.object("model.safetensors");
        let place = set.store.path().join(&object);
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(set.damage(), [(Rejection::FileNotRegular, object)]);
        assert_eq!(set.check().damaged.len(), 1, "{mode:o}");
        set.store.admit(&set.policy).unwrap();
        assert_eq!(set.check().damage, []);
        let mode = fs::metadata(&place).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o444);
    }
}

#[test]
fn a_socket_in_the_place_of_an_object_is_found_and_replaced() {
    let set = set();
    let object = set.object("config.json");
    let place = set.store.path().join(&object);
    fs::remove_file(&place).unwrap();
    let short = set.store.path().join("objects/s");
    socket(&short);
    fs::rename(short, place).unwrap();
    let found = set.damage();
    assert_eq!(found[0], (Rejection::FileNotRegular, object));
    assert_eq!(found[1].0, Rejection::FileMissing);
    set.store.admit(&set.policy).unwrap();
    assert_eq!(set.check().damage, []);
}

/// Bad blocks, for one. A file of /proc that says EIO stands for them.
#[test]
fn an_object_that_cannot_be_read_is_found_and_the_rest_is_looked_at() {
    let test = "an_object_that_cannot_be_read_is_found_and_the_rest_is_looked_at";
    if let Some(folder) = inside() {
        let checked = Store::open(folder).unwrap().check(&mut |_| {}).unwrap();
        assert_eq!((checked.objects, checked.damage.len()), (3, 2));
        let damage = &checked.damage[0];
        assert_eq!(damage.rejection, Rejection::DigestMismatch);
        assert!(damage.detail.contains("(os error 5)"), "{}", damage.detail);
        assert_eq!(checked.damaged.len(), 1);
        return;
    }
    let set = set();
    let object = set.object("model.safetensors");
    let script = format!("mount --bind /proc/$$/mem {}", object.display());
    in_namespace(test, &script, set.store.path());
}

#[test]
fn what_may_not_be_read_is_found_and_made_again() {
    let test = "what_may_not_be_read_is_found_and_made_again";
    if let Some(folder) = inside() {
        let store = Store::open(folder.join("store")).unwrap();
        let damage = store.check(&mut |_| {}).unwrap().damage;
        let codes: Vec<_> = damage.iter().map(|damage| damage.rejection).collect();
        assert_eq!(codes, [Rejection::DigestMismatch, Rejection::FileMissing]);
        let walk = policy_of(&folder.join("walk"), "acme/walk", 1, 100_000);
        store.admit(&walk).unwrap();
        assert_eq!(store.check(&mut |_| {}).unwrap().damage, []);
        return;
    }
    let set = set();
    let place = set.store.path().join(set.object("model.safetensors"));
    fs::set_permissions(place, fs::Permissions::from_mode(0o000)).unwrap();
    let status = as_anybody(test, set.dir.path()).status().unwrap();
    assert!(status.success());
}

/// What is older than the accepted release is refused wherever it comes from: nobody is to fetch it.
#[test]
fn a_damaged_policy_says_whether_a_newer_release_was_accepted() {
    let set = set();
    set.write(&set.object("model.safetensors"), "damaged");
    assert!(!set.check().damaged[0].is_superseded);
    let dir = tempfile::tempdir().unwrap();
    let newer = policy_of(dir.path(), "acme/walk", 2, 100);
    set.store.record_accepted(newer.evidence()).unwrap();
    assert!(set.check().damaged[0].is_superseded);
}

#[test]
fn another_manifest_under_this_name_is_found() {
    let set = set();
    let dir = tempfile::tempdir().unwrap();
    let other = policy_of(dir.path(), "acme/walk", 2, 100);
    let manifest = set.kept.join("policy.dsse.json");
    set.write(&manifest, other.evidence().envelope());
    let within = manifest.strip_prefix(set.store.path()).unwrap().to_owned();
    assert_eq!(set.damage(), [(Rejection::DigestMismatch, within)]);
    assert_eq!(set.check().damaged[0].of, None);
}

#[test]
fn what_has_no_place_in_a_store_is_found_and_left() {
    let set = set();
    set.write(Path::new("objects/notes"), "mine");
    let upper = "A".repeat(64);
    set.write(&Path::new("objects").join(&upper), "mine");
    let digest = "0".repeat(64);
    symlink(
        "/etc/hostname",
        set.store.path().join("objects").join(&digest),
    )
    .unwrap();
    set.write(Path::new("policies/notes"), "mine");
    set.write(&Path::new("policies").join(&digest), "no directory");
    assert_eq!(
        set.damage(),
        [
            (
                Rejection::FileNotRegular,
                Path::new("objects").join(&digest)
            ),
            (Rejection::FileUnexpected, Path::new("objects").join(&upper)),
            (Rejection::FileUnexpected, "objects/notes".into()),
            (
                Rejection::FileUnexpected,
                Path::new("policies").join(&digest)
            ),
            (Rejection::FileUnexpected, "policies/notes".into()),
        ]
    );
    assert_eq!(
        fs::read(set.store.path().join("policies/notes")).unwrap(),
        b"mine"
    );
}

#[test]
fn a_record_that_cannot_be_read_is_found() {
    let set = set();
    let revision = REVISION.parse().unwrap();
    let quarantine = set
        .store
        .quarantine(RepoType::Model, &repo("acme/walk"), &revision);
    quarantine.unwrap().finish(&Record::default()).unwrap();
    let record = format!("quarantine/model/acme/walk/{REVISION}.json");
    set.write(Path::new(&record), "{");
    assert_eq!(set.damage(), [(Rejection::JsonMalformed, record.into())]);
}

#[test]
fn a_damaged_memory_is_an_error_before_anything_else() {
    let places = [
        "state/rollback/model--acme--walk.json",
        "state/index.json",
        "state/revocations.dsse.json",
    ];
    for place in places {
        let set = set();
        set.store
            .state()
            .record_revocations(&revocations(1))
            .unwrap();
        set.write(Path::new(place), "{");
        let error = set
            .store
            .check(&mut |_| panic!("nothing is read"))
            .unwrap_err();
        assert!(
            matches!(error, StoreError::State { .. }),
            "{place}: {error}"
        );
    }
}

#[test]
fn a_disk_that_lost_everything_fills_no_log() {
    let set = set();
    for stray in 0..1_005 {
        set.write(&Path::new("objects").join(format!("stray-{stray}")), "");
    }
    let checked = set.check();
    assert_eq!(
        (checked.damage.len(), checked.more_damage),
        (Checked::MOST, 5)
    );
}
