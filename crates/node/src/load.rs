//! From what is wanted to a verified policy. No ROS in here.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use tensorgate_store::{Store, hold};
use tensorgate_verify::{
    Context, Directory, FilePath, LeaseHolder, MANIFEST_FILE, Policy, Proof, Rejection, RepoId,
    Revision, Sha256, SignedManifest, TrustPolicy, Verified,
};

use crate::hub::Online;
use crate::observer::{Observer, Phase};
use crate::parameters::{Settings, Source};
use crate::places::{self, Places};

/// Why there is no policy.
#[derive(Debug)]
pub(crate) struct LoadError {
    /// The rule that refused, or `None` where it could not be checked.
    pub(crate) rejection: Option<Rejection>,
    /// What happened, for people.
    pub(crate) message: String,
    /// The manifest that was refused, where it is known which.
    pub(crate) manifest: Option<Sha256>,
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

/// What the manifest has to say, by everybody who has a say in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pins {
    pub(crate) repo: Option<RepoId>,
    pub(crate) revision: Option<Revision>,
}

/// What every load needs.
struct Load<'a> {
    settings: &'a Settings,
    pins: Pins,
    trust: TrustPolicy,
    places: Places,
    holder: Option<&'a LeaseHolder>,
    observer: &'a Arc<dyn Observer>,
}

/// Loads, authenticates and proves the policy; records its release as accepted. Weights are guarded
/// where there is a `holder`, and a lease to be had. Where there is a channel, what was called back
/// there is taken in before anything is believed, and what the store does not have is fetched.
pub(crate) fn load(
    settings: &Settings,
    wanted: &Wanted,
    holder: Option<&LeaseHolder>,
    observer: &Arc<dyn Observer>,
) -> Result<Loaded, LoadError> {
    observer.phase(Phase::Looking, 0);
    let load = Load {
        settings,
        pins: Pins::of(settings, wanted)?,
        trust: places::trust(settings)?,
        places: Places::open(settings, observer)?,
        holder,
        observer,
    };
    match &wanted.source {
        Source::Directory(path) => {
            load.take_in_revocations()?;
            load.prove(open_directory(path)?, path)
        }
        Source::Manifest(digest) => load.stored_as(digest),
        Source::Store { repo, revision } => load.at_commit(repo, revision),
        Source::Channel => load.newest(),
    }
}

impl Pins {
    /// Nobody's word loosens another's.
    fn of(settings: &Settings, wanted: &Wanted) -> Result<Self, LoadError> {
        let named = match &wanted.source {
            Source::Store { repo, revision } => (Some(repo), Some(revision)),
            _ => (None, None),
        };
        let repos = [settings.repo.as_ref(), wanted.repo.as_ref(), named.0];
        let revisions = [
            settings.revision.as_ref(),
            wanted.revision.as_ref(),
            named.1,
        ];
        Ok(Self {
            repo: agreed(repos, Rejection::RepoMismatch)?,
            revision: agreed(revisions, Rejection::RevisionMismatch)?,
        })
    }
}

fn agreed<T: Clone + Eq + std::fmt::Display>(
    said: [Option<&T>; 3],
    mismatch: Rejection,
) -> Result<Option<T>, LoadError> {
    let mut said = said.into_iter().flatten();
    let Some(first) = said.next() else {
        return Ok(None);
    };
    match said.find(|other| *other != first) {
        None => Ok(Some(first.clone())),
        Some(other) => Err(LoadError {
            rejection: Some(mismatch),
            ..LoadError::could_not(format!(
                "{mismatch}: {other} is asked for, and only {first} may be"
            ))
        }),
    }
}

impl From<&Settings> for Pins {
    fn from(settings: &Settings) -> Self {
        Self {
            repo: settings.repo.clone(),
            revision: settings.revision.clone(),
        }
    }
}

impl Load<'_> {
    /// What the channel names; of a channel that does not answer, what was accepted from it last.
    fn newest(&self) -> Result<Loaded, LoadError> {
        let online = self.online()?.ok_or_else(no_channel)?;
        let error = match online.admit(&self.trust, &self.places, self.holder, self.observer) {
            Ok(admitted) => return admitted,
            Err(error) => error,
        };
        let state = self.places.state();
        let last = state.last_accepted(Default::default(), online.repo())?;
        let kept =
            last.filter(|last| matches!(self.places.store.policy(&last.manifest), Ok(Some(_))));
        let Some(last) = kept else {
            return Err(error.into());
        };
        self.observer.note(&format!(
            "{}: {}; what was accepted last is loaded from the store: release {}",
            online.name(),
            LoadError::from(error).message,
            last.sequence
        ));
        self.open_stored(&last.manifest)
    }

    fn at_commit(&self, repo: &RepoId, revision: &Revision) -> Result<Loaded, LoadError> {
        let mut stored = self
            .places
            .store
            .find(Default::default(), repo)?
            .into_iter();
        if let Some(found) = stored.find(|stored| stored.revision == *revision) {
            return self.stored_as(&found.manifest);
        }
        match self.online()? {
            Some(online) => online.admit(&self.trust, &self.places, self.holder, self.observer)?,
            None => Err(absent(&self.places.store, &format!("{repo}@{revision}"))),
        }
    }

    fn stored_as(&self, manifest: &Sha256) -> Result<Loaded, LoadError> {
        self.take_in_revocations()?;
        self.open_stored(manifest)
    }

    fn open_stored(&self, manifest: &Sha256) -> Result<Loaded, LoadError> {
        let store = &self.places.store;
        let found = store.policy(manifest)?;
        let found = found.ok_or_else(|| absent(store, &format!("of the manifest {manifest}")))?;
        self.prove(found.directory()?, found.path())
    }

    /// What was called back on the channel counts for what is here, too. A channel that does not
    /// answer keeps no robot from what it has.
    fn take_in_revocations(&self) -> Result<(), LoadError> {
        let Some(online) = self.online()? else {
            return Ok(());
        };
        match online.take_in_revocations(&self.trust, &self.places, self.observer) {
            Ok(taken) => taken,
            Err(error) => {
                let why = LoadError::from(error).message;
                let line = format!("{}: newer revocations are not known: {why}", online.name());
                self.observer.note(&line);
                Ok(())
            }
        }
    }

    fn online(&self) -> Result<Option<Online>, LoadError> {
        Online::open(self.settings, &self.pins)
    }

    /// What lies there is untrusted, wherever it is.
    fn prove(&self, directory: Directory, path: &Path) -> Result<Loaded, LoadError> {
        let directory = match self.holder {
            Some(holder) => directory.guarded_by(holder),
            None => directory,
        };
        let (trust, state) = (&self.trust, self.places.state());
        let signed = SignedManifest::parse(&envelope(&directory, path, trust)?, trust.limits())?;
        let mut context = Context::new(Timestamp::now());
        context.history = Some(state);
        (context.repo, context.revision) = (self.pins.repo.as_ref(), self.pins.revision.as_ref());
        let revocations = state.revocations(trust, &context)?;
        context.revocations = revocations.as_ref();
        let manifest = trust.authenticate(&signed, &context);
        let manifest = manifest.map_err(|error| LoadError {
            manifest: Some(signed.digest()),
            ..error.into()
        })?;
        manifest.require_policy()?;
        self.observer.phase(Phase::Verifying, 0);
        let policy = manifest.open(&directory, Proof::Tensors, trust.rules())?;
        match state.record_if(policy.evidence(), || self.observer.commit())? {
            true => Ok(Loaded { policy, directory }),
            false => Err(LoadError::canceled("by its caller")),
        }
    }
}

fn absent(store: &Store, what: &str) -> LoadError {
    LoadError::could_not(format!(
        "no policy {what} in the store {}; hint: `tensorgate fetch … --manifest … --trust …` puts it there, or the parameter `channel` says where on a Hub it is signed",
        store.path().display()
    ))
}

fn no_channel() -> LoadError {
    LoadError::could_not("no policy is named, and no channel that names one".to_owned())
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
                ..LoadError::could_not(format!(
                    "manifest-missing: {} has no {MANIFEST_FILE}",
                    path.display()
                ))
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
            manifest: None,
            is_canceled: false,
        }
    }

    pub(crate) fn canceled(why: &str) -> Self {
        Self {
            is_canceled: true,
            ..Self::could_not(format!("called off: {why}"))
        }
    }

    /// With what a person can do about it.
    pub(crate) fn hinted(error: impl std::fmt::Display, hint: Option<&str>) -> String {
        let hint = hint.map(|hint| format!("; hint: {hint}"));
        format!("{error}{}", hint.unwrap_or_default())
    }
}
