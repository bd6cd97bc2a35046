//! A Hugging Face cache made by hand, so that every detail of it can be wrong.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tensorgate_hub::*;
use tensorgate_store::Store;
use tensorgate_testhub::{ObjectId, lfs_pointer};
use tensorgate_verify::{Manifest, Rejection, Sha256, Verified};

use crate::common::{ID, Notes, WEIGHTS};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A cache with one snapshot of the files of all tests, and a store to import it into.
pub(crate) struct Made {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) said: Notes,
}

impl Made {
    /// As tools write it that bring one file at a time.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let said = Notes::default();
        let made = Self { dir, store, said };
        fs::create_dir_all(made.repo("blobs")).unwrap();
        for (path, bytes) in crate::common::files() {
            fs::write(made.repo(&format!("blobs/{}", etag(path, &bytes))), &bytes).unwrap();
            made.link(path, &etag(path, &bytes));
        }
        made.write("refs/main", COMMIT);
        made
    }

    /// The same with the listing that a download of all files leaves.
    pub(crate) fn listed() -> Self {
        let made = Self::new();
        made.write(
            &format!("trees/{COMMIT}.json"),
            tree(|_, row| row).to_string(),
        );
        made
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("hub")
    }

    /// A place in the repository's part of the cache.
    pub(crate) fn repo(&self, at: &str) -> PathBuf {
        let folder = format!("models--{}", ID.replace('/', "--"));
        self.root().join(folder).join(at)
    }

    /// What the snapshot has for a file.
    pub(crate) fn entry(&self, path: &str) -> PathBuf {
        self.repo(&format!("snapshots/{COMMIT}/{path}"))
    }

    pub(crate) fn blob(&self, path: &str) -> PathBuf {
        self.repo(&format!("blobs/{}", etag(path, &crate::common::file(path))))
    }

    pub(crate) fn write(&self, at: &str, bytes: impl AsRef<[u8]>) {
        let place = self.repo(at);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }

    /// Makes `path` a link to the blob.
    pub(crate) fn link(&self, path: &str, blob: &str) {
        let up = "../".repeat(path.split('/').count() + 1);
        self.link_to(path, &format!("{up}blobs/{blob}"));
    }

    pub(crate) fn link_to(&self, path: &str, target: &str) {
        let place = self.entry(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        drop(fs::remove_file(&place));
        symlink(target, place).unwrap();
    }

    pub(crate) fn import(&self) -> Result<Fetched, FetchError> {
        self.import_at(COMMIT)
    }

    pub(crate) fn import_at(&self, revision: &str) -> Result<Fetched, FetchError> {
        let target = format!("{ID}@{revision}").parse().unwrap();
        self.take(Request::new(&target))
    }

    pub(crate) fn import_signed(
        &self,
        manifest: &Verified<Manifest>,
    ) -> Result<Fetched, FetchError> {
        let target = format!("{ID}@{COMMIT}").parse().unwrap();
        self.take(Request::signed(&target, manifest))
    }

    fn take(&self, request: Request<'_>) -> Result<Fetched, FetchError> {
        let cache = Cache::open(self.root())?;
        import(&self.store, &cache, request, &self.said)
    }
}

/// The name of a blob: what the Hub says as `ETag`.
pub(crate) fn etag(path: &str, bytes: &[u8]) -> String {
    match is_lfs(path) {
        true => Sha256::of(bytes).to_string(),
        false => ObjectId::of_blob(bytes).to_string(),
    }
}

fn is_lfs(path: &str) -> bool {
    [WEIGHTS, "optimizer.bin", "eval/video.mp4"].contains(&path)
}

/// `trees/COMMIT.json` as `huggingface_hub` writes it, its rows changed.
pub(crate) fn tree(
    change: impl Fn(&str, serde_json::Value) -> serde_json::Value,
) -> serde_json::Value {
    let row = |(path, bytes): (&str, Vec<u8>)| {
        let sha256 = Sha256::of(&bytes).to_string();
        let row = match is_lfs(path) {
            false => serde_json::json!({ "size": bytes.len(), "blob_id": etag(path, &bytes) }),
            true => serde_json::json!({
                "size": bytes.len(),
                "blob_id": ObjectId::of_blob(lfs_pointer(&sha256, bytes.len() as u64).as_bytes()).to_string(),
                "lfs_sha256": sha256,
                "lfs_size": bytes.len(),
                "xet_hash": "ab".repeat(32),
            }),
        };
        (path.to_owned(), change(path, row))
    };
    let files: serde_json::Map<_, _> = crate::common::files().into_iter().map(row).collect();
    serde_json::json!({ "format_version": 1, "files": files })
}

/// It is refused for this, and there is no trace of the file.
#[track_caller]
pub(crate) fn assert_refused(made: &Made, expected: Rejection, subject: &str) {
    let error = made.import().unwrap_err();
    assert_eq!(error.rejection(), Some(expected), "{error:?}");
    let said = format!("rejected: {expected}: {subject:?}: ");
    assert!(error.to_string().starts_with(&said), "{error}");
    assert_absent(made, subject);
}

/// The file is not in quarantine, nor half of it, nor a record that says all is well.
pub(crate) fn assert_absent(made: &Made, path: &str) {
    let below = made.store.path().join("quarantine/model").join(ID);
    assert!(!below.join(COMMIT).join(path).exists());
    let drafts = fs::read_dir(below.join(format!("{COMMIT}.part"))).unwrap();
    assert_eq!(drafts.count(), 0);
    assert!(!below.join(format!("{COMMIT}.json")).exists());
}

/// It cannot be imported from, for this reason.
#[track_caller]
pub(crate) fn assert_unusable(made: &Made, revision: &str, place: &str, what: &str) {
    let error = made.import_at(revision).unwrap_err();
    assert!(matches!(error, FetchError::Cache { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(place) && text.contains(what), "{text}");
    assert_eq!(error.rejection(), None);
}
