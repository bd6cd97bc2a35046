//! The thread that loads a policy while the gate spins.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use r2r::tensorgate_msgs::action::LoadPolicy;
use tensorgate_handoff::Server;
use tensorgate_verify::{Directory, LeaseHolder};

use crate::announce::Announcement;
use crate::background::Background;
use crate::load::{LoadError, Loaded, Wanted, load};
use crate::news::{News, hold_leases, listen};
use crate::observer::{Observer, Phase};
use crate::parameters::Settings;
use crate::rosout::Level;
use crate::stage::Stage;

/// A policy that was proven, and is held.
pub(crate) struct Held {
    pub(crate) announcement: Arc<Announcement>,
    /// Where it lies: open, so that `store gc` leaves it.
    #[expect(dead_code, reason = "it is held, not read")]
    pub(crate) directory: Directory,
    /// How long proving it took.
    pub(crate) took: Duration,
}

/// A load under way.
pub(crate) struct Loader {
    progress: Arc<Progress>,
    work: Background<Held>,
}

/// What every load of this process shares; made when the first one wants it.
#[derive(Default)]
pub(crate) struct Shared {
    holder: OnceLock<Option<Arc<LeaseHolder>>>,
    server: OnceLock<Arc<Server>>,
}

/// How far a load is: written by its threads, read by the gate.
pub(crate) struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    /// Recording the release is what cannot be taken back.
    stage: Stage,
    teller: Sender<News>,
}

impl Loader {
    /// Begins beside the spinning.
    pub(crate) fn start(
        settings: Settings,
        wanted: Wanted,
        shared: Arc<Shared>,
        teller: Sender<News>,
    ) -> Result<Self, LoadError> {
        let progress = Arc::new(Progress::new(teller.clone()));
        let observer = Arc::clone(&progress);
        let load = move || load_and_cut(&settings, &wanted, &shared, &teller, observer);
        let work = Background::start("load", load).map_err(|error| {
            LoadError::could_not(format!("no thread to load a policy with: {error}"))
        })?;
        Ok(Self { progress, work })
    }

    /// How far it is, and a way to call it off.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The outcome, once.
    pub(crate) fn poll(&self) -> Option<Result<Held, LoadError>> {
        self.work.poll()
    }
}

impl Shared {
    /// Where controllers of this machine get the policy's pages.
    pub(crate) fn server(&self) -> Option<&Arc<Server>> {
        self.server.get()
    }

    /// Listens for them.
    fn listen(&self, settings: &Settings, teller: &Sender<News>) -> Result<(), LoadError> {
        let Some(handoff) = settings
            .handoff
            .as_ref()
            .filter(|_| self.server().is_none())
        else {
            return Ok(());
        };
        let server = listen(handoff, teller.clone())
            .map_err(|error| LoadError::could_not(format!("parameter `handoff`: {error}")))?;
        drop(self.server.set(Arc::new(server)));
        Ok(())
    }

    /// Who answers for leases, where weights are guarded.
    pub(crate) fn holder(
        &self,
        settings: &Settings,
        teller: &Sender<News>,
    ) -> Option<&Arc<LeaseHolder>> {
        let start = || {
            let holder = hold_leases(settings.guard?, teller.clone());
            let tell = |error: &_| {
                let line = format!("weights are copied, nobody can answer for leases: {error}");
                drop(teller.send(News::Line(Level::Warn, line)));
            };
            holder.inspect_err(tell).ok().map(Arc::new)
        };
        self.holder.get_or_init(start).as_ref()
    }
}

impl Progress {
    const fn new(teller: Sender<News>) -> Self {
        Self {
            phase: AtomicU8::new(LoadPolicy::Feedback::PHASE_LOOKING as u8),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            stage: Stage::new(),
            teller,
        }
    }

    /// Nobody wants it any more; `false` where it has been accepted already.
    pub(crate) fn cancel(&self) -> bool {
        self.stage.cancel()
    }

    /// How far it is: phase, bytes done, bytes in all.
    pub(crate) fn now(&self) -> (u8, u64, u64) {
        (
            self.phase.load(Ordering::Relaxed),
            self.done.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        )
    }
}

impl Observer for Progress {
    fn phase(&self, phase: Phase, total: u64) {
        let number = match phase {
            Phase::Looking => LoadPolicy::Feedback::PHASE_LOOKING as u8,
            Phase::Fetching => LoadPolicy::Feedback::PHASE_FETCHING as u8,
            Phase::Verifying => LoadPolicy::Feedback::PHASE_VERIFYING as u8,
        };
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        self.phase.store(number, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        drop(self.teller.send(News::Line(Level::Info, text.to_owned())));
    }

    fn is_canceled(&self) -> bool {
        self.stage.is_canceled()
    }

    fn commit(&self) -> bool {
        self.stage.commit()
    }
}

fn load_and_cut(
    settings: &Settings,
    wanted: &Wanted,
    shared: &Shared,
    teller: &Sender<News>,
    observer: Arc<Progress>,
) -> Result<Held, LoadError> {
    shared.listen(settings, teller)?;
    let holder = shared.holder(settings, teller);
    let observer: Arc<dyn Observer> = observer;
    let begun = Instant::now();
    let holder = holder.map(|holder| &**holder);
    let Loaded { policy, directory } = load(settings, wanted, holder, &observer)?;
    let took = begun.elapsed();
    let (size, latch_limit) = (settings.fragment_size, settings.latch_limit);
    let announcement = Arc::new(Announcement::new(policy, size, latch_limit));
    Ok(Held {
        announcement,
        directory,
        took,
    })
}
