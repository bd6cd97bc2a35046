//! The same scenarios as on the Hub of the tests, on olah 0.5.4: a mirror that people run, which
//! redirects listings, has no header of the Hub's own, and knows no ranges.

#![cfg(test)] // so that clippy takes the helpers for tests, too

mod common;
#[path = "common/signing.rs"]
mod signing;

use std::fs;

use common::{LEFT_OUT, Notes, WEIGHTS, assert_identical, config, names};
use tensorgate_hub::*;
use tensorgate_store::Store;
use tensorgate_testhub::{Flaw, Mirrored, Wire, huggingface_hub};
use tensorgate_verify::{Proof, Rejection, Rules};

/// A repository on olah, and a store.
struct Site {
    id: &'static str,
    repository: Mirrored,
    store: Store,
    said: Notes,
    dir: tempfile::TempDir,
}

impl Site {
    fn with(id: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            id,
            repository: Mirrored::model(id, &common::files()),
            store: Store::open(dir.path().join("store")).unwrap(),
            said: Notes::default(),
            dir,
        }
    }

    fn target(&self) -> Target {
        let (id, commit) = (self.id, self.repository.commit());
        format!("{id}@{commit}").parse().unwrap()
    }

    async fn fetch(&self, endpoint: &str, target: &Target) -> Result<Fetched, FetchError> {
        let hub = Hub::new(&config(endpoint, None)).unwrap();
        fetch(&self.store, Some(&hub), Request::new(target), &self.said).await
    }
}

#[tokio::test]
async fn a_commit_arrives_bit_for_bit_by_its_id_and_by_a_branch() {
    let site = Site::with("robots/whole");
    let endpoint = site.repository.endpoint();
    let fetched = site.fetch(endpoint, &site.target()).await.unwrap();
    assert_identical(&fetched.path);
    assert_eq!(names(&fetched.left_out), LEFT_OUT);
    drop(fetched);
    let other = Store::open(site.dir.path().join("other")).unwrap();
    let hub = Hub::new(&config(endpoint, None)).unwrap();
    let main = "robots/whole@main".parse().unwrap();
    let fetched = fetch(&other, Some(&hub), Request::new(&main), &site.said).await;
    let fetched = fetched.unwrap();
    assert_identical(&fetched.path);
    assert_eq!(fetched.revision.as_str(), site.repository.commit());
    let told = format!("resolved main to {}, pinned", site.repository.commit());
    assert!(site.said.all().contains(&told), "{}", site.said.all());
    // The branch, the listing and its slash, five files.
    assert_eq!(hub.requests(), 8);
}

#[tokio::test]
async fn what_is_stored_is_read_again_and_nobody_is_asked() {
    let site = Site::with("robots/stored");
    drop(
        site.fetch(site.repository.endpoint(), &site.target())
            .await
            .unwrap(),
    );
    let hub = Hub::new(&config(site.repository.endpoint(), None)).unwrap();
    for hub in [Some(&hub), None] {
        let target = site.target();
        let fetched = fetch(&site.store, hub, Request::new(&target), &Silent).await;
        let fetched = fetched.unwrap();
        assert!(fetched.from_store);
        assert_identical(&fetched.path);
    }
    assert_eq!(hub.requests(), 0);
}

#[tokio::test]
async fn what_is_signed_is_fetched_and_verifies() {
    let site = Site::with("robots/signed");
    let folder = site.dir.path().join("published");
    fs::create_dir(&folder).unwrap();
    for path in ["config.json", WEIGHTS] {
        fs::write(folder.join(path), common::file(path)).unwrap();
    }
    let manifest = signing::manifest(&folder, site.id, site.repository.commit());
    let hub = Hub::new(&config(site.repository.endpoint(), None)).unwrap();
    let target = site.target();
    let request = Request::signed(&target, &manifest);
    let fetched = fetch(&site.store, Some(&hub), request, &Silent)
        .await
        .unwrap();
    let (directory, rules) = (fetched.directory().unwrap(), Rules::default());
    let policy = manifest.open(&directory, Proof::Whole, &rules).unwrap();
    assert!(policy.tensor("gain").is_some());
    assert_eq!(fetched.left_out.len(), common::files().len() - 2);
}

#[tokio::test]
async fn a_data_set_arrives_bit_for_bit() {
    let files = [
        ("README.md", b"# data\n".to_vec()),
        ("data/chunk-000/file-000.parquet", vec![5; 70_000]),
        ("meta/info.json", b"{\"fps\": 30}".to_vec()),
    ];
    let repository = Mirrored::dataset("robots/data", &files);
    let site = Site {
        id: "robots/data",
        repository,
        ..Site::with("robots/beside")
    };
    let target = format!("datasets/robots/data@{}", site.repository.commit());
    let target = target.parse().unwrap();
    let endpoint = site.repository.endpoint();
    let fetched = site.fetch(endpoint, &target).await.unwrap();
    let place = site.store.path().join("quarantine/dataset");
    assert!(fetched.path.starts_with(place));
    for (path, bytes) in files {
        assert_eq!(fs::read(fetched.path.join(path)).unwrap(), bytes, "{path}");
    }
    assert!(fetched.left_out.is_empty(), "{:?}", fetched.left_out);
}

/// The client that people have caches what olah serves; that is imported, and nobody is asked.
#[tokio::test]
async fn what_the_python_client_cached_from_it_is_imported_offline() {
    let site = Site::with("robots/cached");
    let home = site.dir.path().join("home");
    let statement = format!(
        "from huggingface_hub import snapshot_download\nsnapshot_download('{}', revision='{}')",
        site.id,
        site.repository.commit()
    );
    let mut python = huggingface_hub(site.repository.endpoint(), &home);
    let output = python.args(["-c", &statement]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let cache = Cache::open(home.join("hub")).unwrap();
    let target = site.target();
    let imported = import(&site.store, &cache, Request::new(&target), &site.said).unwrap();
    assert_identical(&imported.path);
    drop(imported);
    let fetched = fetch(&site.store, None, Request::new(&target), &Silent).await;
    assert!(fetched.unwrap().from_store);
}

#[tokio::test]
async fn a_changed_lfs_object_is_digest_mismatch() {
    let site = Site::with("robots/tampered");
    let mut weights = common::file(WEIGHTS);
    let object = site.repository.object(&weights);
    *weights.last_mut().unwrap() ^= 1;
    fs::write(&object, &weights).unwrap();
    let endpoint = site.repository.endpoint();
    let error = site.fetch(endpoint, &site.target()).await.unwrap_err();
    assert_eq!(
        error.rejection(),
        Some(Rejection::DigestMismatch),
        "{error}"
    );
    assert!(error.to_string().contains(WEIGHTS), "{error}");
    weights.push(0);
    fs::write(&object, &weights).unwrap();
    let error = site.fetch(endpoint, &site.target()).await.unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::SizeMismatch), "{error}");
    fs::write(&object, common::file(WEIGHTS)).unwrap();
    let fetched = site.fetch(endpoint, &site.target()).await.unwrap();
    assert_identical(&fetched.path);
}

/// It answers a range with the whole file, which is taken from its beginning.
#[tokio::test]
async fn a_cut_is_made_good_though_ranges_are_not_known() {
    let site = Site::with("robots/cut");
    let wire = Wire::new().unwrap();
    let address = site.repository.endpoint().strip_prefix("http://").unwrap();
    wire.lead_to(address.parse().unwrap());
    for after in [0, 100, 500_000, 900_000] {
        wire.spoil_once(Flaw::Reset { after });
    }
    let fetched = site.fetch(wire.url(), &site.target()).await.unwrap();
    assert_identical(&fetched.path);
    drop(fetched);
    assert!(
        site.said.all().contains("trying again"),
        "{}",
        site.said.all()
    );
    let part = format!(
        "quarantine/model/{}/{}.part",
        site.id,
        site.repository.commit()
    );
    let part = fs::read_dir(site.store.path().join(part)).unwrap();
    assert_eq!(part.count(), 0);
}

#[tokio::test]
async fn what_it_does_not_have_is_an_error_and_no_verdict() {
    let mut site = Site::with("robots/gone");
    let endpoint = site.repository.endpoint().to_owned();
    let mut config = config(&endpoint, None);
    config.limits.retries = 0;
    let hub = Hub::new(&config).unwrap();
    for text in [
        "robots/none@main".to_owned(),
        "robots/gone@nobranch".to_owned(),
        format!("robots/gone@{}", "a".repeat(40)),
    ] {
        let target: Target = text.parse().unwrap();
        let error = fetch(&site.store, Some(&hub), Request::new(&target), &Silent).await;
        let error = error.unwrap_err();
        assert_eq!(error.rejection(), None, "{text}: {error}");
    }
    let object = site.repository.object(&common::file(WEIGHTS));
    fs::remove_file(object).unwrap();
    let target = site.target();
    let error = fetch(&site.store, Some(&hub), Request::new(&target), &Silent).await;
    let error = error.unwrap_err();
    assert_eq!(error.rejection(), None, "{error}");
    // A later commit has it again, and the earlier one stays what it was.
    site.repository.commit_files(&[
        ("config.json", b"{\"type\": \"act\"}".to_vec()),
        (WEIGHTS, b"other".to_vec()),
    ]);
    assert_ne!(site.target(), target);
    let fetched = site.fetch(&endpoint, &site.target()).await.unwrap();
    assert_eq!(fs::read(fetched.path.join(WEIGHTS)).unwrap(), b"other");
}
