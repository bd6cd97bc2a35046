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
use tensorgate_testhub::Fault;
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
