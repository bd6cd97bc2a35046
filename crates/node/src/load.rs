//! From parameters to a verified policy. No ROS in here.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use tensorgate_store::{State, Store, StoreError, hold};
use tensorgate_verify::{
    Context, Directory, Error, FilePath, LeaseHolder, MANIFEST_FILE, Policy, Proof, Rejection,
    RepoId, Revision, Sha256, SignedManifest, TrustPolicy, Verified,
};

use crate::observer::{Observer, Phase};
use crate::parameters::{Settings, Source};

/// Why there is no policy.
#[derive(Debug)]
pub(crate) struct LoadError {
    /// The rule that refused, or `None` where it could not be checked.
    pub(crate) rejection: Option<Rejection>,
    /// What happened, for people.
    pub(crate) message: String,
    /// Nobody wanted it any more.
    pub(crate) is_canceled: bool,
}

/// A policy, and the directory that it came from: while that is open, `store gc` leaves it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) policy: Verified<Policy>,
    pub(crate) directory: Directory,
}

/// What is to be loaded: what it is called, and what its manifest has to say.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) source: Source,
    pub(crate) repo: Option<RepoId>,
    pub(crate) revision: Option<Revision>,
}

/// Loads, authenticates and proves the policy; records its release as accepted. Weights are guarded
/// where there is a `holder`, and a lease to be had.
pub(crate) fn load(
    settings: &Settings,
    wanted: &Wanted,
    holder: Option<&LeaseHolder>,
    observer: &Arc<dyn Observer>,
) -> Result<Loaded, LoadError> {
    observer.phase(Phase::Looking, 0);
    let watching = Arc::clone(observer);
    let waiting = move |lock: &Path| watching.waiting(lock);
    let trust = open_trust(&settings.trust)?;
    let store = open_store(settings)?.on_wait(waiting.clone());
    let elsewhere = match &settings.state {
        Some(place) => Some(State::open(place)?.on_wait(waiting)),
        None => None,
    };
    let state = elsewhere.as_ref().unwrap_or_else(|| store.state());
    let (directory, path) = locate(&wanted.source, &store)?;
    let directory = match holder {
        Some(holder) => directory.guarded_by(holder),
        None => directory,
    };
    let signed = SignedManifest::parse(&envelope(&directory, &path, &trust)?, trust.limits())?;
    let mut context = Context::new(Timestamp::now());
    context.history = Some(state);
    (context.repo, context.revision) = (settings.repo.as_ref(), settings.revision.as_ref());
    if let Source::Store { repo, revision } = &wanted.source {
        (context.repo, context.revision) = (Some(repo), Some(revision));
    }
    if wanted.repo.is_some() {
        context.repo = wanted.repo.as_ref();
    }
    if wanted.revision.is_some() {
        context.revision = wanted.revision.as_ref();
    }
    let revocations = state.revocations(&trust, &context)?;
    context.revocations = revocations.as_ref();
    let manifest = trust.authenticate(&signed, &context)?;
    manifest.require_policy()?;
    observer.phase(Phase::Verifying, 0);
    let policy = manifest.open(&directory, Proof::Tensors, trust.rules())?;
    if observer.is_canceled() {
        return Err(LoadError::canceled("by its caller"));
    }
    state.record_accepted(policy.evidence())?;
    Ok(Loaded { policy, directory })
}

/// Records that a manifest is revoked at this place, for good.
pub(crate) fn revoke(
    settings: &Settings,
    manifest: &Sha256,
    reason: &str,
) -> Result<(), LoadError> {
    with_state(settings, |state| Ok(state.revoke(manifest, reason)?))
}

/// Asks or tells the state that the parameters name.
pub(crate) fn with_state<T>(
    settings: &Settings,
    then: impl FnOnce(&State) -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    match &settings.state {
        Some(place) => then(&State::open(place)?),
        None => then(open_store(settings)?.state()),
    }
}

fn open_store(settings: &Settings) -> Result<Store, LoadError> {
    let place = settings
        .store
        .clone()
        .map_or_else(Store::default_location, Ok)?;
    Ok(Store::open(place)?)
}

pub(crate) fn open_trust(path: &Path) -> Result<TrustPolicy, LoadError> {
    let failed = |error: &dyn std::fmt::Display| {
        LoadError::could_not(format!("the trust policy {}: {error}", path.display()))
    };
    let here = File::open(".").map_err(|error| failed(&error))?;
    TrustPolicy::open(here, path).map_err(|error| failed(&error))
}

/// The directory that the parameters name, held. What lies there is untrusted, wherever it is.
fn locate(source: &Source, store: &Store) -> Result<(Directory, PathBuf), LoadError> {
    let (manifest, what) = match source {
        Source::Directory(path) => return Ok((open_directory(path)?, path.clone())),
        Source::Channel => {
            return Err(LoadError::could_not(
                "parameter `policy` is empty: nothing follows the channel yet".into(),
            ));
        }
        Source::Manifest(digest) => (Some(*digest), format!("of the manifest {digest}")),
        Source::Store { repo, revision } => {
            let mut found = store.find(Default::default(), repo)?.into_iter();
            let found = found.find(|stored| stored.revision == *revision);
            let manifest = found.map(|stored| stored.manifest);
            (manifest, format!("{repo}@{revision}"))
        }
    };
    let found = match manifest {
        Some(manifest) => store.policy(&manifest)?,
        None => None,
    };
    let found = found.ok_or_else(|| absent(store, &what))?;
    Ok((found.directory()?, found.path().to_owned()))
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
    let directory = opened.map(Directory::new).map_err(|error| {
        LoadError::could_not(format!(
            "the policy {}: {}",
            path.display(),
            io::Error::from(error)
        ))
    })?;
    // It may be one of a store. Where there are no locks, nobody removes it either.
    let _held = hold(&directory);
    Ok(directory)
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
                is_canceled: false,
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
            is_canceled: false,
        }
    }

    /// Nobody wants it any more: why.
    pub(crate) fn canceled(why: &str) -> Self {
        Self {
            is_canceled: true,
            ..Self::could_not(format!("called off: {why}"))
        }
    }
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self {
            rejection: error.rejection(),
            message: error.to_string(),
            is_canceled: false,
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
            is_canceled: false,
        }
    }
}
