//! The Rust client `hf-hub`, unmodified, downloads bit-identically, and its
//! token stays on the hub's port.
#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;

use std::path::Path;

use futures::StreamExt;
use hf_hub::HFClient;
use hf_hub::repository::RepoTreeEntry;
use tensorgate_testhub::{Port, TestHub};

const TOKEN: &str = "hf_rust_client";

#[tokio::test]
async fn list_tree_goes_through_all_pages() {
    let (hub, [_, newest]) = common::hub();
    let cache = tempfile::tempdir().unwrap();
    let repo = client(&hub, cache.path()).model("robots", "walk");
    let tree = repo
        .list_tree()
        .revision(newest)
        .recursive(true)
        .send()
        .unwrap();
    let entries: Vec<_> = tree.map(Result::unwrap).collect().await;
    let mut listed: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| match entry {
            RepoTreeEntry::File { path, size, .. } => Some((path, size)),
            RepoTreeEntry::Directory { .. } => None,
        })
        .collect();
    listed.sort();
    let mut there: Vec<_> = common::files()
        .into_iter()
        .map(|(path, b)| (path.to_owned(), b.len() as u64))
        .collect();
    there.sort();
    assert_eq!(listed, there);
    assert_eq!(hub.requests().len(), 3);
}

#[tokio::test]
async fn streams_are_bit_identical_and_the_token_stays_at_home() {
    let (hub, [_, newest]) = common::hub();
    let cache = tempfile::tempdir().unwrap();
    let repo = client(&hub, cache.path()).model("robots", "walk");
    for (path, bytes) in common::files() {
        let stream = repo
            .download_file_stream()
            .filename(path)
            .revision(newest.clone());
        let (_, mut body) = stream.send().await.unwrap();
        let mut streamed = Vec::new();
        while let Some(chunk) = body.next().await {
            streamed.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(streamed, bytes, "{path}");
    }
    assert_token_stayed_at_home(&hub);
}

#[tokio::test]
async fn a_range_is_streamed_from_the_cdn() {
    let (hub, _) = common::hub();
    let cache = tempfile::tempdir().unwrap();
    let repo = client(&hub, cache.path()).model("robots", "walk");
    let stream = repo
        .download_file_stream()
        .filename("model.safetensors")
        .revision("main");
    let (_, body) = stream.range(299_000..300_001).send().await.unwrap();
    let streamed: Vec<u8> = body.map(|chunk| chunk.unwrap().to_vec()).concat().await;
    assert_eq!(
        streamed,
        common::file("model.safetensors")[299_000..300_001]
    );
    let ranges: Vec<_> = hub
        .requests_at(Port::Cdn)
        .into_iter()
        .map(|r| (r.method, r.range))
        .collect();
    assert!(
        ranges.contains(&("GET".into(), Some("bytes=299000-300000".into()))),
        "{ranges:?}"
    );
}

#[tokio::test]
async fn snapshots_of_models_and_datasets_are_bit_identical() {
    let (hub, [_, newest]) = common::hub();
    hub.serve(common::repository("datasets/robots/walk"));
    let cache = tempfile::tempdir().unwrap();
    let client = client(&hub, cache.path());
    let model = client.model("robots", "walk");
    let dataset = client.dataset("robots", "walk");
    let by_commit = model
        .snapshot_download()
        .revision(newest.clone())
        .send()
        .await
        .unwrap();
    let by_branch = dataset
        .snapshot_download()
        .revision("main")
        .send()
        .await
        .unwrap();
    assert_ne!(by_commit, by_branch);
    for folder in [by_commit, by_branch] {
        assert!(folder.ends_with(&newest), "{folder:?}");
        for (path, bytes) in common::files() {
            assert_eq!(std::fs::read(folder.join(path)).unwrap(), bytes, "{path}");
        }
    }
    assert_token_stayed_at_home(&hub);
}

/// Token and cache are given, so that nothing of whoever runs the tests is used.
fn client(hub: &TestHub, cache: &Path) -> HFClient {
    HFClient::builder()
        .endpoint(hub.endpoint())
        .token(TOKEN)
        .cache_dir(cache)
        .retry_max_attempts(0)
        .build()
        .unwrap()
}

fn assert_token_stayed_at_home(hub: &TestHub) {
    let (home, cdn) = (hub.requests_at(Port::Hub), hub.requests_at(Port::Cdn));
    assert!(!home.is_empty() && !cdn.is_empty());
    assert!(
        home.iter().all(|request| request.token() == Some(TOKEN)),
        "{home:?}"
    );
    assert!(
        cdn.iter().all(|request| request.authorization.is_none()),
        "{cdn:?}"
    );
    assert!(
        cdn.iter()
            .all(|request| request.target.contains(".safetensors")),
        "{cdn:?}"
    );
}
