//! Git itself gives the same content the same ids.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;

use tensorgate_testhub::{Error, ObjectId, Repository, git, lfs_pointer};

#[test]
fn git_agrees_on_blob_tree_and_commit_ids() {
    let dir = tempfile::tempdir().unwrap();
    git(
        dir.path(),
        &["init", "--quiet", "--object-format=sha1"],
        b"",
    );
    for (path, bytes) in common::files() {
        let text = if path.ends_with(".safetensors") {
            pointer(&bytes)
        } else {
            bytes
        };
        let id = git(dir.path(), &["hash-object", "-w", "--stdin"], &text);
        assert_eq!(ObjectId::of_blob(&text).to_string(), id, "{path}");
        let entry = format!("100644,{id},{path}");
        git(
            dir.path(),
            &["update-index", "--add", "--cacheinfo", &entry],
            b"",
        );
    }
    let tree = git(dir.path(), &["write-tree"], b"");
    let first = git(dir.path(), &["commit-tree", &tree, "-m", "commit 1"], b"");
    let second = git(
        dir.path(),
        &["commit-tree", &tree, "-p", &first, "-m", "commit 2"],
        b"",
    );

    let repository = Repository::new(common::ID).unwrap();
    let repository = repository.commit_files(common::files()).unwrap();
    let repository = repository.commit_files(common::files()).unwrap();
    assert_eq!(repository.commits(), [first, second]);
}

#[test]
fn a_directory_has_the_ids_of_the_same_files_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet"], b"");
    for (path, bytes) in common::files() {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::create_dir(dir.path().join("empty directory")).unwrap();
    let new = || Repository::new(common::ID).unwrap();
    let on_disk = new().commit_dir(dir.path()).unwrap();
    assert_eq!(
        on_disk.commits(),
        new().commit_files(common::files()).unwrap().commits()
    );
}

#[test]
fn trees_that_git_could_not_hold_are_errors() {
    for path in ["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a\0b"] {
        let error = Repository::new(common::ID)
            .unwrap()
            .commit_files([(path, "")])
            .unwrap_err();
        assert!(
            matches!(&error, Error::Path(named) if named == path),
            "{path:?}: {error}"
        );
    }
    let files = [("a", ""), ("a/b", "")];
    let error = Repository::new(common::ID)
        .unwrap()
        .commit_files(files)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Path(named) if named == "a"),
        "{error}"
    );
}

#[test]
fn a_link_in_a_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
    let error = Repository::new(common::ID)
        .unwrap()
        .commit_dir(dir.path())
        .unwrap_err();
    assert!(
        matches!(&error, Error::Special(path) if *path == link),
        "{error}"
    );
}

#[test]
fn names_that_are_not_repository_ids_are_errors() {
    for id in [
        "",
        "walk",
        "a/b/c",
        "a/",
        "/b",
        "a/b c",
        "datasets/a",
        "datasets/a/b/c",
    ] {
        match Repository::new(id) {
            Err(Error::RepoId(named)) => assert_eq!(named, id),
            // A user may be called "datasets".
            Ok(repository) => assert_eq!((id, repository.id().as_str()), ("datasets/a", id)),
            Err(error) => panic!("{id:?}: {error}"),
        }
    }
    assert!(matches!(
        Repository::new("a/b").unwrap().branch("x"),
        Err(Error::NoCommit(_))
    ));
}

fn pointer(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    let sha256: String = sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    lfs_pointer(&sha256, bytes.len() as u64).into_bytes()
}
