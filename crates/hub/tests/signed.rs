//! With a manifest: exactly its files, and only if the listing agrees.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;
#[path = "common/signing.rs"]
mod signing;

use std::fs;
use std::path::Path;

use common::{ID, Set, WEIGHTS, names};
use signing::manifest;
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Repository, TestHub};
use tensorgate_verify::*;

/// The weights, the configuration and one more file, as the publisher has them.
fn published(set: &Set, change: impl FnOnce(&Path)) -> Verified<Manifest> {
    let folder = set.dir.path().join("published");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in common::files() {
        if ["config.json", WEIGHTS].contains(&name) {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    change(&folder);
    manifest(&folder, ID, &set.commit)
}

async fn fetch_signed(set: &Set, manifest: &Verified<Manifest>) -> Result<Fetched, FetchError> {
    let hub = Hub::new(&set.config(None)).unwrap();
    let target = set.target();
    let request = Request::signed(&target, manifest);
    fetch(&set.store, Some(&hub), request, &set.said).await
}

#[tokio::test]
async fn exactly_the_files_of_the_manifest_are_fetched_and_verify() {
    let set = Set::new();
    let manifest = published(&set, |_| {});
    let fetched = fetch_signed(&set, &manifest).await.unwrap();
    assert_eq!(
        names(fetched.files.iter().map(|f| &f.path)),
        ["config.json", WEIGHTS]
    );
    assert_eq!(fetched.left_out.len(), common::files().len() - 2);
    let directory = fetched.directory().unwrap();
    let policy = manifest
        .open(&directory, Proof::Whole, &Rules::default())
        .unwrap();
    assert!(policy.tensor("gain").is_some());
}

#[tokio::test]
async fn what_was_admitted_lies_on_the_disk_once_and_is_a_hit() {
    use std::os::unix::fs::MetadataExt as _;
    let set = Set::new();
    let manifest = published(&set, |_| {});
    let fetched = fetch_signed(&set, &manifest).await.unwrap();
    let policy = manifest
        .open(
            &fetched.directory().unwrap(),
            Proof::Whole,
            &Rules::default(),
        )
        .unwrap();
    let kept = set.store.admit(&policy).unwrap();
    let inode = |folder: &Path, name: &str| fs::metadata(folder.join(name)).unwrap().ino();
    for _twice in 0..2 {
        fetched.share(&set.store).unwrap();
        for name in ["config.json", WEIGHTS] {
            assert_eq!(inode(&fetched.path, name), inode(kept.path(), name));
        }
    }
    let part = fetched.path.with_file_name(format!("{}.part", set.commit));
    assert_eq!(fs::read_dir(part).unwrap().count(), 0);
    drop(fetched);
    set.hub.clear_requests();
    let manifest = published(&set, |_| {});
    let fetched = fetch_signed(&set, &manifest).await.unwrap();
    assert!(fetched.from_store && set.hub.requests().is_empty());
}

#[tokio::test]
async fn a_smaller_request_is_a_hit_and_a_larger_one_is_not() {
    let set = Set::new();
    let manifest = published(&set, |_| {});
    drop(set.fetch().await.unwrap());
    set.hub.clear_requests();
    let fetched = fetch_signed(&set, &manifest).await.unwrap();
    assert!(fetched.from_store && set.hub.requests().is_empty());
    assert!(!fetched.path.join("README.md").exists());
    assert_eq!(fetched.left_out.len(), common::files().len() - 2);
    drop(fetched);
    let fetched = set.fetch().await.unwrap();
    assert!(!fetched.from_store);
    common::assert_identical(&fetched.path);
    let asked = set.hub.requests();
    assert!(
        !asked.iter().any(|r| r.target.contains(WEIGHTS)),
        "it was there"
    );
}

#[tokio::test]
async fn what_was_signed_must_be_what_is_listed() {
    let flip = |folder: &Path, name: &str| {
        let mut bytes = fs::read(folder.join(name)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(folder.join(name), bytes).unwrap();
    };
    let set = Set::new();
    for (change, expected, path) in [
        (
            Box::new(|folder: &Path| fs::write(folder.join("LICENSE"), "mine").unwrap())
                as Box<dyn FnOnce(&Path)>,
            Rejection::FileMissing,
            "LICENSE",
        ),
        (
            Box::new(|folder: &Path| {
                fs::remove_file(folder.join("LICENSE")).unwrap();
                fs::write(folder.join("config.json"), "{}").unwrap();
            }),
            Rejection::SizeMismatch,
            "config.json",
        ),
        (
            Box::new(move |folder: &Path| flip(folder, WEIGHTS)),
            Rejection::DigestMismatch,
            WEIGHTS,
        ),
    ] {
        let manifest = published(&set, change);
        let error = fetch_signed(&set, &manifest).await.unwrap_err();
        assert_eq!(error.rejection(), Some(expected), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
    let asked = set.hub.requests();
    assert!(!asked.iter().any(|r| r.target.contains("/resolve/")));
}

#[tokio::test]
async fn a_plain_file_that_was_not_signed_is_refused_when_it_comes() {
    let set = Set::new();
    let manifest = published(&set, |folder| {
        fs::write(folder.join("config.json"), b"{\"type\": \"MLP\"}").unwrap();
    });
    let error = fetch_signed(&set, &manifest).await.unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::DigestMismatch),
        "{error}"
    );
    set.assert_absent("config.json");
}

#[tokio::test]
async fn a_manifest_of_something_else_decides_nothing() {
    let set = Set::new();
    published(&set, |_| {});
    let folder = set.dir.path().join("published");
    for (id, commit, expected) in [
        ("robots/run", set.commit.clone(), Rejection::RepoMismatch),
        (ID, "0".repeat(40), Rejection::RevisionMismatch),
    ] {
        let manifest = manifest(&folder, id, &commit);
        let error = fetch_signed(&set, &manifest).await.unwrap_err();
        assert_eq!(error.rejection(), Some(expected), "{error}");
    }
    assert!(set.hub.requests().is_empty());
}

#[tokio::test]
async fn an_unsafe_name_refuses_even_what_was_signed() {
    let set = Set::new();
    let manifest = published(&set, |_| {});
    set.hub.inject(Fault::ListedPath {
        path: "../x".into(),
    });
    let error = fetch_signed(&set, &manifest).await.unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::FileNameUnsafe),
        "{error}"
    );
}

/// Two releases of the same weights: the second has another configuration.
struct Releases {
    set: Set,
    commits: Vec<String>,
}

impl Releases {
    fn new() -> Self {
        let files = |config: &[u8]| {
            vec![
                ("config.json", config.to_vec()),
                (WEIGHTS, common::file(WEIGHTS)),
            ]
        };
        let repository = Repository::new(ID).unwrap();
        let repository = repository
            .commit_files(files(b"{\"type\": \"mlp\"}"))
            .unwrap();
        let repository = repository
            .commit_files(files(b"{\"type\":  \"mlp\"}"))
            .unwrap();
        let commits = repository.commits().to_vec();
        let set = Set::at(TestHub::builder(), repository);
        Self { set, commits }
    }

    fn manifest(&self, release: usize) -> Verified<Manifest> {
        let folder = self.set.dir.path().join("published");
        fs::create_dir_all(&folder).unwrap();
        let config: &[u8] = [b"{\"type\": \"mlp\"}".as_slice(), b"{\"type\":  \"mlp\"}"][release];
        fs::write(folder.join("config.json"), config).unwrap();
        fs::write(folder.join(WEIGHTS), common::file(WEIGHTS)).unwrap();
        manifest(&folder, ID, &self.commits[release])
    }

    async fn fetch(&self, release: usize) -> Fetched {
        let hub = Hub::new(&self.set.config(None)).unwrap();
        let target = format!("{ID}@{}", self.commits[release]).parse().unwrap();
        let manifest = self.manifest(release);
        let request = Request::signed(&target, &manifest);
        self.set.hub.clear_requests();
        fetch(&self.set.store, Some(&hub), request, &self.set.said)
            .await
            .unwrap()
    }

    /// Takes in the first release, and lets go of what was downloaded for it.
    async fn admit_first(&self) {
        let fetched = self.fetch(0).await;
        let directory = fetched.directory().unwrap();
        let policy = self
            .manifest(0)
            .open(&directory, Proof::Whole, &Rules::default());
        self.set.store.admit(&policy.unwrap()).unwrap();
        fs::remove_dir_all(&fetched.path).unwrap();
    }

    /// What was asked for of the repository's files.
    fn asked_for(&self) -> Vec<String> {
        let asked = self
            .set
            .hub
            .requests()
            .into_iter()
            .map(|request| request.target);
        let files = asked.filter_map(|target| Some(target.split_once("/resolve/")?.1.to_owned()));
        let mut files: Vec<_> = files
            .map(|rest| rest.split_once('/').unwrap().1.to_owned())
            .collect();
        files.sort_unstable();
        files
    }

    fn object(&self) -> std::path::PathBuf {
        let blake3 = self
            .manifest(0)
            .file(&WEIGHTS.parse().unwrap())
            .unwrap()
            .blake3;
        self.set.store.path().join(format!("objects/{blake3}"))
    }
}

#[tokio::test]
async fn what_another_release_has_brought_is_taken_from_the_store() {
    use std::os::unix::fs::MetadataExt as _;
    let releases = Releases::new();
    releases.admit_first().await;
    let fetched = releases.fetch(1).await;
    assert_eq!(releases.asked_for(), ["config.json"]);
    assert_eq!(fetched.bytes, 16);
    let there = fs::metadata(fetched.path.join(WEIGHTS)).unwrap();
    assert_eq!(there.ino(), fs::metadata(releases.object()).unwrap().ino());
    let policy = releases.manifest(1);
    let directory = fetched.directory().unwrap();
    let policy = policy.open(&directory, Proof::Whole, &Rules::default());
    assert!(policy.unwrap().tensor("gain").is_some());
}

#[tokio::test]
async fn an_object_that_is_not_what_it_is_called_is_not_taken() {
    use std::os::unix::fs::PermissionsExt as _;
    let releases = Releases::new();
    releases.admit_first().await;
    let object = releases.object();
    let mut bytes = fs::read(&object).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    for damaged in [&bytes[..], &bytes[..1000]] {
        fs::set_permissions(&object, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&object, damaged).unwrap();
        let fetched = releases.fetch(1).await;
        assert_eq!(releases.asked_for(), ["config.json", WEIGHTS]);
        assert_eq!(
            fs::read(fetched.path.join(WEIGHTS)).unwrap(),
            common::file(WEIGHTS)
        );
        // What lies in quarantine is read, and what is in the store stays as it was.
        assert_eq!(fs::read(&object).unwrap(), damaged);
        fs::remove_dir_all(&fetched.path).unwrap();
    }
}

#[tokio::test]
async fn without_a_manifest_nothing_says_what_the_store_has() {
    let releases = Releases::new();
    releases.admit_first().await;
    let hub = Hub::new(&releases.set.config(None)).unwrap();
    let target = format!("{ID}@{}", releases.commits[1]).parse().unwrap();
    releases.set.hub.clear_requests();
    let request = Request::new(&target);
    let fetched = fetch(&releases.set.store, Some(&hub), request, &releases.set.said).await;
    assert_eq!(fetched.unwrap().files.len(), 2);
    assert_eq!(releases.asked_for(), ["config.json", WEIGHTS]);
}

#[tokio::test]
async fn a_plan_counts_what_another_release_has_brought() {
    let releases = Releases::new();
    releases.admit_first().await;
    let target = format!("{ID}@{}", releases.commits[1]).parse().unwrap();
    let manifest = releases.manifest(1);
    let request = Request::signed(&target, &manifest);
    let plan = plan(&releases.set.store, None, request, &Silent)
        .await
        .unwrap();
    assert_eq!(plan.missing(), 16);
    let have: Vec<_> = plan.files.iter().map(|file| file.have).collect();
    assert_eq!(have, [Have::Nothing, Have::Whole]);
}

/// A listing that is another one for a while does not cost what came before.
#[tokio::test]
async fn a_listing_does_not_decide_where_the_bytes_of_what_was_signed_wait() {
    let set = Set::new();
    let manifest = published(&set, |_| {});
    set.hub.inject(Fault::ConnectionCut {
        path: "config.json".into(),
        after: 5,
    });
    let mut config = set.config(None);
    config.limits.retries = 0;
    let fetch = || async {
        let (hub, target) = (Hub::new(&config).unwrap(), set.target());
        let request = Request::signed(&target, &manifest);
        fetch(&set.store, Some(&hub), request, &set.said).await
    };
    fetch().await.unwrap_err();
    let part = set.part_of("config.json").unwrap();
    set.hub.inject(Fault::ListedOid {
        path: "config.json".into(),
        oid: "0".repeat(40),
    });
    fetch().await.unwrap_err();
    assert_eq!(set.part_of("config.json").unwrap(), part);
    set.hub.clear_faults();
    set.hub.clear_requests();
    fetch().await.unwrap();
    // Another file may have been cut off with it, and go on as well.
    let asked = set.hub.requests();
    let config = asked.iter().filter(|r| r.target.ends_with("config.json"));
    let ranges = config.filter_map(|request| request.range.as_deref());
    assert_eq!(ranges.collect::<Vec<_>>(), ["bytes=10-"]);
}
