//! What comes from a Hub: releases and revocations of a channel. No ROS in here.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use tensorgate_hub::{
    AdmitError, Admitted, At, Channel, Config, Expected, FetchError, Gate, Hub, Progress, Target,
};
use tensorgate_store::StoreError;
use tensorgate_verify::{Error, FilePath, LeaseHolder, Rejection, RepoId, TrustPolicy};
use tokio::runtime::Builder;

use crate::load::{LoadError, Loaded, Pins};
use crate::observer::{Observer, Phase};
use crate::parameters::Settings;
use crate::places::Places;

/// A channel, and the way to it.
#[derive(Debug)]
pub(crate) struct Online {
    /// `None` where the environment says that the network is not to be used.
    hub: Option<Hub>,
    channel: Channel,
}

/// The channel did not answer, or not as one does: what is known without it is all there is.
#[derive(Debug)]
pub(crate) struct Unavailable(LoadError);

/// For what a thread of the runtime still writes when a load is called off. Every step on the disk
/// may end anywhere.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The fetcher's last step: what was proven is kept, and then remembered.
const KEEPING: &str = "keeping";
/// How soon a load that is called off notices.
const ATTENTION: Duration = Duration::from_millis(50);

impl Online {
    /// The channel of the parameters, if there is one; nothing is sent yet.
    pub(crate) fn open(settings: &Settings, pins: &Pins) -> Result<Option<Self>, LoadError> {
        match &settings.channel {
            Some(place) => Self::with(&Config::from_env()?, place, pins).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn with(config: &Config, place: &str, pins: &Pins) -> Result<Self, LoadError> {
        let place: Target = place.parse().map_err(|error: FetchError| {
            let hint = error.hint();
            LoadError::could_not(LoadError::hinted(
                format!("parameter `channel`: {error}"),
                hint,
            ))
        })?;
        if let At::Commit(_) = place.at {
            let what = format!("parameter `channel` is {:?}", place.to_string());
            let hint = "a commit never changes: name a branch, as in OWNER/NAME@main";
            return Err(LoadError::could_not(LoadError::hinted(what, Some(hint))));
        }
        let repo = pins.repo.clone().unwrap_or_else(|| place.repo.clone());
        // Robots are driven by models.
        let mut expected = Expected::of(Default::default(), repo);
        expected.revision = pins.revision.clone();
        Ok(Self {
            hub: Hub::unless_offline(config)?,
            channel: Channel::new(place, expected),
        })
    }

    pub(crate) const fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn name(&self) -> String {
        format!("the channel {}", self.channel.place)
    }

    /// Of what releases have to be.
    pub(crate) const fn repo(&self) -> &RepoId {
        &self.channel.expected.repo
    }

    pub(crate) fn gate<'a>(
        &'a self,
        trust: &'a TrustPolicy,
        places: &'a Places,
        holder: Option<&'a LeaseHolder>,
        progress: &'a dyn Progress,
    ) -> Gate<'a> {
        let (store, hub) = (&places.store, self.hub.as_ref());
        let gate = Gate::new(store, hub, trust, Timestamp::now(), progress);
        let gate = gate.remembering(places.state());
        match holder {
            Some(holder) => gate.guarded_by(holder),
            None => gate,
        }
    }

    /// Takes in what the channel says now: revocations first, then the release, every byte of it.
    pub(crate) fn admit(
        &self,
        trust: &TrustPolicy,
        places: &Places,
        holder: Option<&LeaseHolder>,
        observer: &Arc<dyn Observer>,
    ) -> Result<Result<Loaded, LoadError>, Unavailable> {
        let telling = Telling::new(observer);
        let gate = self.gate(trust, places, holder, &telling);
        let admitted = unless_canceled(self.channel.check(&gate), observer);
        sorted(admitted).map(|outcome| outcome.and_then(loaded))
    }

    /// Takes in what the channel calls back, and nothing else of it.
    pub(crate) fn take_in_revocations(
        &self,
        trust: &TrustPolicy,
        places: &Places,
        observer: &Arc<dyn Observer>,
    ) -> Result<Result<(), LoadError>, Unavailable> {
        let telling = Telling::new(observer);
        let gate = self.gate(trust, places, None, &telling);
        let taken = unless_canceled(self.channel.check_revocations(&gate, None), observer);
        sorted(taken).map(|outcome| outcome.map(drop))
    }
}

fn loaded(admitted: Admitted) -> Result<Loaded, LoadError> {
    admitted.policy.manifest().require_policy()?;
    let directory = admitted.directory.directory()?;
    let policy = admitted.policy;
    Ok(Loaded { policy, directory })
}

/// Does the work on this thread, until it is done or nobody wants it. What came of a download stays
/// for the next one.
fn unless_canceled<T>(
    work: impl Future<Output = Result<T, AdmitError>>,
    observer: &Arc<dyn Observer>,
) -> Result<T, Stopped> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Stopped::Locally(LoadError::could_not(format!(
            "no runtime to fetch with: {error}"
        )))
    })?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            () = canceled(observer) => Err(Stopped::Locally(LoadError::canceled("by its caller"))),
            outcome = work => outcome.map_err(Stopped::By),
        }
    });
    runtime.shutdown_timeout(LAST_WORDS);
    outcome
}

/// Ready once nobody wants it any more. Asked whenever the work pauses, and by the clock.
async fn canceled(observer: &Arc<dyn Observer>) {
    let mut ticks = tokio::time::interval(ATTENTION);
    loop {
        let mut tick = pin!(ticks.tick());
        poll_fn(|context| match observer.is_canceled() {
            true => Poll::Ready(()),
            false => tick.as_mut().poll(context).map(drop),
        })
        .await;
        if observer.is_canceled() {
            return;
        }
    }
}

enum Stopped {
    Locally(LoadError),
    By(AdmitError),
}

/// Tells a channel that does not answer from everything else.
fn sorted<T>(outcome: Result<T, Stopped>) -> Result<Result<T, LoadError>, Unavailable> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(Stopped::Locally(error)) => Ok(Err(error)),
        Err(Stopped::By(error)) if is_unavailable(&error) => Err(Unavailable(error.into())),
        Err(Stopped::By(error)) => Ok(Err(error.into())),
    }
}

pub(crate) const fn is_unavailable(error: &AdmitError) -> bool {
    matches!(
        error,
        AdmitError::Fetch(
            FetchError::Refused(_)
                | FetchError::Unreachable { .. }
                | FetchError::NotTrusted { .. }
                | FetchError::TimedOut { .. }
                | FetchError::Malformed { .. }
                | FetchError::Offline { .. }
        )
    )
}

/// What the fetcher tells, as a load tells it.
pub(crate) struct Telling<'a> {
    observer: &'a Arc<dyn Observer>,
    /// Of each file: how far it is, and how far it was told to be. A file that begins anew is told
    /// once more only beyond that.
    files: Mutex<BTreeMap<FilePath, (u64, u64)>>,
}

impl<'a> Telling<'a> {
    pub(crate) fn new(observer: &'a Arc<dyn Observer>) -> Self {
        let files = Mutex::default();
        Self { observer, files }
    }

    fn advance(&self, path: &FilePath, bytes: u64) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, told) = files.entry(path.clone()).or_default();
        *now = now.saturating_add(bytes);
        let more = now.saturating_sub(*told);
        *told = told.saturating_add(more);
        self.observer.advance(more);
    }
}

impl Progress for Telling<'_> {
    fn start(&self, _files: usize, bytes: u64) {
        self.observer.phase(Phase::Fetching, bytes);
    }

    fn file_started(&self, path: &FilePath, _size: u64) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.entry(path.clone()).or_default().0 = 0;
    }

    fn file_resumed(&self, path: &FilePath, bytes: u64) {
        self.advance(path, bytes);
    }

    fn file_advanced(&self, path: &FilePath, bytes: u64) {
        self.advance(path, bytes);
    }

    fn step(&self, what: &'static str, _bytes: u64) {
        self.observer.phase(Phase::Verifying, 0);
        // Where it was called off before, the fetcher ends at its next pause, with nothing remembered.
        if what == KEEPING {
            self.observer.commit();
        }
    }

    fn notice(&self, text: &str) {
        self.observer.note(text);
    }
}

impl From<Unavailable> for LoadError {
    fn from(Unavailable(error): Unavailable) -> Self {
        error
    }
}

impl From<AdmitError> for LoadError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Check(error) => error.into(),
            AdmitError::Fetch(error) => error.into(),
            AdmitError::Store(error) => error.into(),
            // Whatever else may come.
            other => Self {
                rejection: other.rejection(),
                ..Self::could_not(other.to_string())
            },
        }
    }
}

impl From<FetchError> for LoadError {
    fn from(error: FetchError) -> Self {
        Self {
            rejection: error.rejection(),
            ..Self::could_not(Self::hinted(&error, error.hint()))
        }
    }
}

impl From<tensorgate_hub::ConfigError> for LoadError {
    fn from(error: tensorgate_hub::ConfigError) -> Self {
        Self::could_not(Self::hinted(&error, error.hint()))
    }
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        Self {
            rejection: error.rejection(),
            ..Self::could_not(error.to_string())
        }
    }
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        let rejection =
            matches!(error, StoreError::Superseded { .. }).then_some(Rejection::ManifestRollback);
        Self {
            rejection,
            ..Self::could_not(Self::hinted(&error, error.hint()))
        }
    }
}

#[cfg(test)]
mod tests;
