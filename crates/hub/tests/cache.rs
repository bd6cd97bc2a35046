//! Caches as the clients that people have write them, unmodified: what is imported, and what the
//! store knows afterwards.

#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;
#[path = "common/made.rs"]
mod made;
#[path = "common/signing.rs"]
mod signing;

use std::fs;
use std::path::{Path, PathBuf};

use common::{ID, LEFT_OUT, Set, WEIGHTS, assert_identical, names};
use made::Made;
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, huggingface_hub};
use tensorgate_verify::{Proof, Rejection, Rules};

/// Runs Python statements with `huggingface_hub` in scope; where its cache is.
fn cached_by_python(set: &Set, home: &str, env: &[(&str, &str)], statements: &str) -> PathBuf {
    let home = set.dir.path().join(home);
    let script = format!("from huggingface_hub import *\n{statements}");
    let mut command = huggingface_hub(set.hub.endpoint(), &home);
    let run = command.args(["-c", &script]).envs(env.iter().copied());
    let output = run.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    set.hub.clear_requests();
    home.join("hub")
}

fn import_from(set: &Set, cache: &Path, target: &Target) -> Result<Fetched, FetchError> {
    let cache = Cache::open(cache).unwrap();
    import(&set.store, &cache, Request::new(target), &set.said)
}

/// What is in the store now is all there is to have, and it is all there.
async fn assert_settled(set: &Set) {
    for offline in [true, false] {
        let fetched = match offline {
            true => set.fetch_offline().await.unwrap(),
            false => set.fetch().await.unwrap(),
        };
        assert!(fetched.from_store && !fetched.perhaps_more);
        assert_identical(&fetched.path);
        assert_eq!(names(&fetched.left_out), LEFT_OUT);
    }
    assert_eq!(set.hub.requests(), []);
}

#[tokio::test]
async fn a_whole_snapshot_of_huggingface_hub_is_as_good_as_a_fetch() {
    let set = Set::new();
    let cache = cached_by_python(&set, "whole", &[], "snapshot_download('robots/walk')");
    let main = format!("{ID}@main").parse().unwrap();
    let imported = import_from(&set, &cache, &main).unwrap();
    assert_identical(&imported.path);
    assert_eq!(imported.revision.as_str(), set.commit);
    assert_eq!(names(&imported.left_out), LEFT_OUT);
    assert!(!imported.from_store && !imported.perhaps_more);
    let wanted = common::files().into_iter();
    let wanted = wanted.filter(|(path, _)| !LEFT_OUT.contains(path));
    let bytes: usize = wanted.map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(imported.bytes, bytes as u64);
    drop(imported);
    let told = format!("{main} is commit {} in the cache", set.commit);
    assert!(set.said.all().contains(&told), "{}", set.said.all());
    assert!(import_from(&set, &cache, &main).unwrap().from_store);
    assert_settled(&set).await;
}

#[tokio::test]
async fn single_files_are_imported_and_the_rest_is_fetched_when_it_can_be() {
    let set = Set::new();
    let some = "for path in ['config.json', 'model.safetensors', 'tokenizer/vocab.txt']:\n    \
                hf_hub_download('robots/walk', path)";
    let cache = cached_by_python(&set, "single", &[], some);
    let imported = import_from(&set, &cache, &set.target()).unwrap();
    assert!(imported.perhaps_more);
    let expected = ["config.json", WEIGHTS, "tokenizer/vocab.txt"];
    assert_eq!(
        names(imported.files.iter().map(|file| &file.path)),
        expected
    );
    for path in expected {
        assert_eq!(
            fs::read(imported.path.join(path)).unwrap(),
            common::file(path)
        );
    }
    drop(imported);
    let offline = set.fetch_offline().await.unwrap();
    assert!(offline.from_store && offline.perhaps_more);
    drop(offline);
    assert_eq!(set.hub.requests(), []);
    drop(set.fetch().await.unwrap());
    let asked = set.hub.requests();
    assert!(
        !asked.iter().any(|r| r.target.contains(WEIGHTS)),
        "it was there"
    );
    set.hub.clear_requests();
    assert_settled(&set).await;
}

/// The Hub's xet service is not there, so nothing is shared by a download; the client's own
/// function that shares what came from there is called instead.
#[tokio::test]
async fn blobs_that_repositories_share_are_found_behind_their_second_link() {
    let set = Set::new();
    let share = "
import os
from huggingface_hub.utils._shared_blobs import publish_blob_to_shared_store
snapshot = snapshot_download('robots/walk')
cache = os.path.dirname(os.path.dirname(os.path.dirname(snapshot)))
pointer = os.path.join(snapshot, 'model.safetensors')
blob = os.path.normpath(os.path.join(snapshot, os.readlink(pointer)))
size = os.path.getsize(blob)
assert publish_blob_to_shared_store(blob_path=blob, xet_hash='ab' * 32, cache_dir=cache, expected_size=size)
assert os.readlink(blob).endswith('/blobs/ab/' + 'ab' * 32)
";
    let cache = cached_by_python(&set, "shared", &[], share);
    assert!(cache.join("blobs/ab").join("ab".repeat(32)).is_file());
    assert_identical(&import_from(&set, &cache, &set.target()).unwrap().path);
    assert_settled(&set).await;
}

#[tokio::test]
async fn a_cache_without_links_is_judged_by_its_listing() {
    let set = Set::new();
    let without = [("HF_HUB_DISABLE_SYMLINKS", "1")];
    let cache = cached_by_python(&set, "copies", &without, "snapshot_download('robots/walk')");
    let folder = cache.join("models--robots--walk");
    let weights = folder.join("snapshots").join(&set.commit).join(WEIGHTS);
    assert!(weights.symlink_metadata().unwrap().is_file());
    // And without that, by nothing.
    let tree = folder.join(format!("trees/{}.json", set.commit));
    let listing = fs::read(&tree).unwrap();
    fs::remove_file(&tree).unwrap();
    let error = import_from(&set, &cache, &set.target()).unwrap_err();
    assert!(matches!(error, FetchError::NoDigest { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--manifest FILE"));
    fs::write(&tree, listing).unwrap();
    assert_identical(&import_from(&set, &cache, &set.target()).unwrap().path);
    assert_settled(&set).await;
}

#[tokio::test]
async fn what_hf_hub_cached_is_imported() {
    let set = Set::new();
    let cache = set.dir.path().join("rust");
    let client = hf_hub::HFClient::builder()
        .endpoint(set.hub.endpoint())
        .token("hf_rust")
        .cache_dir(&cache)
        .build()
        .unwrap();
    let repository = client.model("robots", "walk");
    let whole = repository.snapshot_download().revision("main").send();
    whole.await.unwrap();
    set.hub.clear_requests();
    let main = format!("{ID}@main").parse().unwrap();
    let imported = import_from(&set, &cache, &main).unwrap();
    assert_identical(&imported.path);
    assert_eq!(imported.revision.as_str(), set.commit);
    assert!(imported.perhaps_more, "hf-hub keeps no listing");
    drop(imported);
    assert!(set.fetch_offline().await.unwrap().from_store);
    assert_eq!(set.hub.requests(), []);
}

#[tokio::test]
async fn a_data_set_is_imported_from_a_place_of_its_own() {
    let set = Set::new();
    let data = tensorgate_testhub::Repository::new(&format!("datasets/{ID}")).unwrap();
    let data = data.commit_files([("README.md", "# data")]).unwrap();
    let target = format!("datasets/{ID}@{}", data.commits()[0])
        .parse()
        .unwrap();
    set.hub.serve(data);
    let load = "snapshot_download('robots/walk', repo_type='dataset')";
    let cache = cached_by_python(&set, "data", &[], load);
    let imported = import_from(&set, &cache, &target).unwrap();
    let place = set.store.path().join("quarantine/dataset");
    assert!(imported.path.starts_with(place));
    assert_eq!(
        fs::read(imported.path.join("README.md")).unwrap(),
        b"# data"
    );
    drop(imported);
    let error = import_from(&set, &cache, &set.target()).unwrap_err();
    assert!(matches!(error, FetchError::Cache { .. }), "{error}");
}

#[test]
fn exactly_what_was_signed_is_taken_and_verifies() {
    let made = Made::new();
    let manifest = signed(&made);
    // Neither links nor a listing are needed where digests were signed.
    let weights = made.entry(WEIGHTS);
    fs::remove_file(&weights).unwrap();
    fs::write(&weights, common::file(WEIGHTS)).unwrap();
    made.write(&format!("trees/{}.json", made::COMMIT), "no listing");
    let imported = made.import_signed(&manifest).unwrap();
    let taken = names(imported.files.iter().map(|file| &file.path));
    assert_eq!(taken, ["config.json", WEIGHTS]);
    let (directory, rules) = (imported.directory().unwrap(), Rules::default());
    let policy = manifest.open(&directory, Proof::Whole, &rules).unwrap();
    assert!(policy.tensor("gain").is_some());
    assert_eq!(fs::read_dir(&imported.path).unwrap().count(), 2);
}

#[test]
fn what_was_signed_is_in_the_cache_or_it_is_not() {
    let made = Made::listed();
    let manifest = signed(&made);
    let refusal = |expected, path: &str| {
        let error = made.import_signed(&manifest).unwrap_err();
        assert_eq!(error.rejection(), Some(expected), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    };
    let mut weights = common::file(WEIGHTS);
    *weights.last_mut().unwrap() ^= 1;
    fs::write(made.blob(WEIGHTS), &weights).unwrap();
    refusal(Rejection::DigestMismatch, WEIGHTS);
    weights.push(0);
    fs::write(made.blob(WEIGHTS), &weights).unwrap();
    refusal(Rejection::SizeMismatch, WEIGHTS);
    fs::remove_file(made.entry(WEIGHTS)).unwrap();
    refusal(Rejection::FileMissing, WEIGHTS);
}

#[tokio::test]
async fn what_came_of_a_download_before_it_broke_off_does_not_stay() {
    let set = Set::new();
    let (path, after) = (WEIGHTS.into(), 300_000);
    set.hub.inject(Fault::ConnectionCut { path, after });
    let mut config = set.config(None);
    config.limits.retries = 0;
    let (hub, target) = (Hub::new(&config).unwrap(), set.target());
    let request = Request::new(&target);
    let error = fetch(&set.store, Some(&hub), request, &set.said).await;
    assert!(matches!(error.unwrap_err(), FetchError::Unreachable { .. }));
    assert!(set.part_of(WEIGHTS).is_some());
    set.hub.clear_faults();
    let cache = cached_by_python(&set, "after", &[], "snapshot_download('robots/walk')");
    drop(import_from(&set, &cache, &target).unwrap());
    assert_eq!(set.parts(), Vec::<PathBuf>::new());
    assert_settled(&set).await;
}

/// A manifest of the weights and the configuration in this cache.
fn signed(made: &Made) -> tensorgate_verify::Verified<tensorgate_verify::Manifest> {
    let folder = made.dir.path().join("published");
    fs::create_dir(&folder).unwrap();
    for path in ["config.json", WEIGHTS] {
        fs::write(folder.join(path), common::file(path)).unwrap();
    }
    signing::manifest(&folder, ID, made::COMMIT)
}

#[tokio::test]
async fn what_is_in_the_store_is_not_taken_from_a_cache() {
    let set = Set::new();
    drop(set.fetch().await.unwrap());
    let cache = cached_by_python(&set, "bad", &[], "snapshot_download('robots/walk')");
    let blobs = fs::read_dir(cache.join("models--robots--walk/blobs")).unwrap();
    for blob in blobs {
        fs::write(blob.unwrap().path(), "bad").unwrap();
    }
    assert!(import_from(&set, &cache, &set.target()).unwrap().from_store);
    assert_settled(&set).await;
}
