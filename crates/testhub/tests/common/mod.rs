//! One repository for all tests of the hub.
#![allow(dead_code, reason = "each test file uses its part of this")]

use tensorgate_testhub::{Noise, Repository, TestHub};

/// A model with two commits; the branch `v1` is at the first.
pub(crate) const ID: &str = "robots/walk";

/// The files of the newest commit; sizes beside a chunk's 256 KiB on both sides.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            ".gitattributes",
            b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n".to_vec(),
        ),
        ("README.md", b"# walk\n".to_vec()),
        ("a b/\u{fc}ber #1?.json", b"[1]".to_vec()),
        ("config.json", b"{\"type\": \"act\"}".to_vec()),
        ("empty.txt", Vec::new()),
        ("model.safetensors", noise(600_001)),
        ("nested/deep/norm.safetensors", noise(77)),
        // Git sorts `nested.txt` before the directory `nested`.
        ("nested.txt", b"before the directory".to_vec()),
        ("vocab.txt", noise(300_000)),
    ]
}

pub(crate) fn repository(id: &str) -> Repository {
    let first = [("config.json", "{}"), ("model.safetensors", "first")];
    let repository = Repository::new(id).unwrap().commit_files(first).unwrap();
    repository
        .branch("v1")
        .unwrap()
        .commit_files(files())
        .unwrap()
}

/// A hub that serves [`repository`] as [`ID`], and its commits.
pub(crate) fn hub() -> (TestHub, [String; 2]) {
    let hub = TestHub::builder().page_size(4).start().unwrap();
    let repository = repository(ID);
    let commits = repository.commits().try_into().unwrap();
    hub.serve(repository);
    (hub, commits)
}

pub(crate) fn file(path: &str) -> Vec<u8> {
    files()
        .into_iter()
        .find(|(name, _)| *name == path)
        .unwrap()
        .1
}

/// Bytes without a pattern.
pub(crate) fn noise(n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    Noise::new(1).fill(&mut bytes);
    bytes
}
