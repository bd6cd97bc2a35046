//! From parameters to a verified policy. No ROS in here.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use tensorgate_store::{Store, StoreError};
use tensorgate_verify::{
    Context, Directory, Error, FilePath, MANIFEST_FILE, Policy, Proof, Rejection, SignedManifest,
    TrustPolicy, Verified,
};

use crate::params::{Settings, Source};

/// Why there is no policy.
#[derive(Debug)]
pub(crate) struct LoadError {
    /// The rule that refused, or `None` where it could not be checked.
    pub(crate) rejection: Option<Rejection>,
    /// What happened, for people.
    pub(crate) message: String,
}

/// Loads, authenticates and proves the policy; records its release as accepted. `waiting` is told
/// of a lock that another process has.
pub(crate) fn load(
    settings: &Settings,
    waiting: impl Fn(&Path) + Send + Sync + 'static,
) -> Result<Verified<Policy>, LoadError> {
    let trust = open_trust(&settings.trust)?;
    let place = settings
        .store
        .clone()
        .map_or_else(Store::default_location, Ok)?;
    let store = Store::open(place)?.on_wait(waiting);
    let path = locate(settings, &store)?;
    let directory = open_directory(&path)?;
    let signed = SignedManifest::parse(&envelope(&directory, &path, &trust)?, trust.limits())?;
    let mut context = Context::new(Timestamp::now());
    context.history = Some(store.state());
    (context.repo, context.revision) = (settings.repo.as_ref(), settings.revision.as_ref());
    if let Source::Store { repo, revision } = &settings.source {
        (context.repo, context.revision) = (Some(repo), Some(revision));
    }
    let revocations = store.state().revocations(&trust, &context)?;
    context.revocations = revocations.as_ref();
    let manifest = trust.authenticate(&signed, &context)?;
    manifest.require_policy()?;
    let policy = manifest.open(&directory, Proof::Tensors, trust.rules())?;
    store.record_accepted(policy.evidence())?;
    Ok(policy)
}

fn open_trust(path: &Path) -> Result<TrustPolicy, LoadError> {
    let failed = |error: &dyn std::fmt::Display| {
        LoadError::could_not(format!("the trust policy {}: {error}", path.display()))
    };
    let here = File::open(".").map_err(|error| failed(&error))?;
    TrustPolicy::open(here, path).map_err(|error| failed(&error))
}

/// The directory that the parameters name. What lies there is untrusted, wherever it is.
fn locate(settings: &Settings, store: &Store) -> Result<PathBuf, LoadError> {
    match &settings.source {
        Source::Directory(path) => Ok(path.clone()),
        Source::Manifest(digest) => match store.policy(digest)? {
            Some(found) => Ok(found.path().to_owned()),
            None => Err(absent(store, &format!("of the manifest {digest}"))),
        },
        Source::Store { repo, revision } => {
            let mut found = store.find(Default::default(), repo)?.into_iter();
            match found.find(|stored| stored.revision == *revision) {
                Some(stored) => Ok(stored.directory.path().to_owned()),
                None => Err(absent(store, &format!("{repo}@{revision}"))),
            }
        }
    }
}

fn absent(store: &Store, what: &str) -> LoadError {
    LoadError::could_not(format!(
        "no policy {what} in the store {}; hint: `tensorgate fetch … --manifest … --trust …` puts it there",
        store.path().display()
    ))
}

fn open_directory(path: &Path) -> Result<Directory, LoadError> {
    // O_DIRECTORY: a FIFO of that name would be waited for.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map(Directory::new).map_err(|error| {
        LoadError::could_not(format!(
            "the policy {}: {}",
            path.display(),
            io::Error::from(error)
        ))
    })
}

/// The manifest of the directory, as bytes that nobody vouches for yet.
fn envelope(directory: &Directory, path: &Path, trust: &TrustPolicy) -> Result<Vec<u8>, LoadError> {
    let name: FilePath = MANIFEST_FILE.parse()?;
    let untrusted = directory
        .open(&name)
        .map_err(|error| match error.rejection() {
            Some(Rejection::FileMissing) => LoadError {
                rejection: Some(Rejection::ManifestMissing),
                message: format!(
                    "manifest-missing: {} has no {MANIFEST_FILE}",
                    path.display()
                ),
            },
            _ => error.into(),
        })?;
    let mut bytes = Vec::new();
    let cap = trust.limits().manifest_bytes.saturating_add(1);
    let read = untrusted.into_file().take(cap).read_to_end(&mut bytes);
    read.map_err(|error| LoadError::could_not(format!("{}: {error}", path.display())))?;
    Ok(bytes)
}

impl LoadError {
    /// It could not be checked.
    pub(crate) const fn could_not(message: String) -> Self {
        Self {
            rejection: None,
            message,
        }
    }
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self {
            rejection: error.rejection(),
            message: error.to_string(),
        }
    }
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        let hint = error
            .hint()
            .map(|hint| format!("; hint: {hint}"))
            .unwrap_or_default();
        let rejection =
            matches!(error, StoreError::Superseded { .. }).then_some(Rejection::ManifestRollback);
        Self {
            rejection,
            message: format!("{error}{hint}"),
        }
    }
}
