//! A store, a hub that serves one policy, and what was said while it was fetched.
#![allow(dead_code, reason = "each test file uses its part of this")]

pub(crate) mod faults;
pub(crate) mod forward;
pub(crate) mod raw;
pub(crate) mod rows;
pub(crate) mod tls;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tensorgate_hub::*;
use tensorgate_store::Store;
use tensorgate_testhub::{Builder, Repository, TestHub};

pub(crate) const ID: &str = "robots/walk";
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// A policy; sizes on both sides of a chunk, and two files that no policy needs.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (".gitattributes", b"*.safetensors filter=lfs\n".to_vec()),
        ("README.md", b"# walk\n".to_vec()),
        ("config.json", b"{\"type\": \"mlp\"}".to_vec()),
        ("eval/video.mp4", vec![7; 100]),
        (WEIGHTS, weights()),
        ("optimizer.bin", vec![1; 100]),
        ("tokenizer/vocab.txt", vec![b'a'; 300_001]),
    ]
}

pub(crate) const LEFT_OUT: [&str; 2] = ["eval/video.mp4", "optimizer.bin"];

pub(crate) fn file(path: &str) -> Vec<u8> {
    let mut files = files().into_iter();
    files.find(|(name, _)| *name == path).unwrap().1
}

/// One tensor of 1 MB and a bit.
fn weights() -> Vec<u8> {
    let data: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect();
    let shape = vec![data.len()];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, shape, &data).unwrap();
    safetensors::serialize([("gain", view)], None).unwrap()
}

pub(crate) struct Set {
    pub(crate) hub: TestHub,
    pub(crate) commit: String,
    pub(crate) store: Store,
    pub(crate) said: Notes,
    pub(crate) dir: tempfile::TempDir,
}

/// Everything that a person would have read.
#[derive(Default)]
pub(crate) struct Notes(pub(crate) Mutex<Vec<String>>);

impl Progress for Notes {
    fn notice(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

impl Notes {
    pub(crate) fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

impl Set {
    pub(crate) fn new() -> Self {
        Self::serving(|repository| repository)
    }

    pub(crate) fn serving(shape: fn(Repository) -> Repository) -> Self {
        Self::built(TestHub::builder(), shape)
    }

    /// A hub of that build; a page has three rows.
    pub(crate) fn built(builder: Builder, shape: fn(Repository) -> Repository) -> Self {
        let repository = Repository::new(ID).unwrap();
        Self::at(builder, shape(repository.commit_files(files()).unwrap()))
    }

    /// With a policy of its own.
    pub(crate) fn of(repository: Repository) -> Self {
        Self::at(TestHub::builder(), repository)
    }

    pub(crate) fn at(builder: Builder, repository: Repository) -> Self {
        let hub = builder.page_size(3).start().unwrap();
        let commit = repository.commits().last().unwrap().clone();
        hub.serve(repository);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let said = Notes::default();
        Self {
            hub,
            commit,
            store,
            said,
            dir,
        }
    }

    pub(crate) fn config(&self, token: Option<&str>) -> Config {
        config(self.hub.endpoint(), token)
    }

    pub(crate) fn target(&self) -> Target {
        format!("{ID}@{}", self.commit).parse().unwrap()
    }

    pub(crate) async fn fetch(&self) -> Result<Fetched, FetchError> {
        self.fetch_as(None).await
    }

    pub(crate) async fn fetch_as(&self, token: Option<&str>) -> Result<Fetched, FetchError> {
        self.fetch_with(&self.config(token)).await
    }

    pub(crate) async fn fetch_with(&self, config: &Config) -> Result<Fetched, FetchError> {
        let hub = Hub::new(config).unwrap();
        let target = self.target();
        fetch(&self.store, Some(&hub), Request::new(&target), &self.said).await
    }

    pub(crate) async fn fetch_offline(&self) -> Result<Fetched, FetchError> {
        let target = self.target();
        fetch(&self.store, None, Request::new(&target), &self.said).await
    }

    /// Nothing is where a file belongs, and nothing of it anywhere.
    pub(crate) fn assert_absent(&self, path: &str) {
        assert!(!self.place_of(path).exists(), "{path}");
        assert_eq!(self.part_of(path), None, "{path}");
    }

    /// Where a file belongs.
    pub(crate) fn place_of(&self, path: &str) -> PathBuf {
        let below = self.store.path().join("quarantine/model").join(ID);
        below.join(&self.commit).join(path)
    }

    /// What came of a file before it was cut off: no two files begin with the same bytes.
    pub(crate) fn part_of(&self, path: &str) -> Option<PathBuf> {
        // Whoever writes there holds this: files of a download that was given up end on threads.
        let (kind, repo) = (tensorgate_verify::RepoType::Model, ID.parse().unwrap());
        let commit = self.commit.parse().unwrap();
        drop(self.store.quarantine(kind, &repo, &commit).unwrap());
        let (_, whole) = files().into_iter().find(|(name, _)| *name == path).unwrap();
        self.parts().into_iter().find(|part| {
            let bytes = fs::read(part).unwrap();
            let len = bytes.len().min(8);
            bytes[..len] == whole[..len]
        })
    }

    /// Everything that came of some file and has no place.
    pub(crate) fn parts(&self) -> Vec<PathBuf> {
        let below = self.store.path().join("quarantine/model").join(ID);
        let parts = fs::read_dir(below.join(format!("{}.part", self.commit)));
        let parts = parts.into_iter().flatten();
        parts.map(|entry| entry.unwrap().path()).collect()
    }
}

/// What these variables say, with limits as [`config`] has them.
pub(crate) fn config_of(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut config = Config::from_vars(&|name| {
        let found = vars.iter().find(|(key, _)| *key == name)?;
        Some(found.1.into())
    })?;
    config.limits.retry_delay = Duration::from_millis(1);
    config.limits.stall = Duration::from_millis(1500);
    Ok(config)
}

/// Limits as in use, but for the time between attempts and without bytes.
pub(crate) fn config(endpoint: &str, token: Option<&str>) -> Config {
    let mut config = Config::new(endpoint.parse().unwrap());
    config.token = token.map(|token| Token::new(token, "the test").unwrap());
    config.limits.retry_delay = Duration::from_millis(1);
    config.limits.stall = Duration::from_millis(1500);
    config
}

pub(crate) fn assert_identical(directory: &Path) {
    for (name, bytes) in files() {
        let path = directory.join(name);
        match LEFT_OUT.contains(&name) {
            true => assert!(!path.exists(), "{name}"),
            false => assert_eq!(fs::read(path).unwrap(), bytes, "{name}"),
        }
    }
}

pub(crate) fn names<'a, T: ToString + 'a>(paths: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    paths.into_iter().map(ToString::to_string).collect()
}
