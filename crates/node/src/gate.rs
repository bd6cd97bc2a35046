//! The node's life: load, publish, keep saying so until told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use r2r::tensorgate_msgs::msg::{PolicyManifest, TensorFragment};
use r2r::{Node, Publisher, QosProfile};
use tensorgate_handoff::{Offer, Refusal, Server};
use tensorgate_verify::{Directory, Holding, Policy, Unguarded, Verified};

use crate::announce::{Announcement, Session};
use crate::load::LoadError;
use crate::loading::{Progress, start_loading};
use crate::news::News;
use crate::parameters::{Parameters, Params};
use crate::rosout::{Level, Logger};
use crate::start::{session_id, start_ros};
use crate::status::{Heartbeat, State};
use crate::publish;
use crate::pull::Pulls;

/// How long one spin waits: the finest grain of the heartbeat and of a stop.
const SPIN: Duration = Duration::from_millis(20);

struct Gate {
    node: Node,
    logger: Logger,
    heartbeat: Heartbeat,
    manifests: Publisher<PolicyManifest>,
    session: Session,
    stop: Arc<AtomicBool>,
    work: Work,
    news: Receiver<News>,
    /// For threads that have something to say.
    teller: Sender<News>,
    /// Where controllers of this machine get the policy's pages.
    server: Option<Arc<Server>>,
    fragments: Option<Publisher<TensorFragment>>,
    /// What is announced: held for as long as the gate stands by it.
    published: Option<Box<Announcement>>,
    /// When the announced policy stops to count.
    expires: Timestamp,
    /// Where the policy lies: open, so that `store gc` leaves it.
    directory: Option<Directory>,
}

/// What goes on beside the spinning: ROS waits for neither disk nor middleware.
enum Work {
    Loading(Receiver<Progress>),
    Publishing(JoinHandle<Result<Published, String>>, Arc<AtomicBool>),
    /// Nothing to do: the middleware's history serves those who come late.
    Settled,
}

/// How publishing ended.
enum Published {
    All(Box<Announcement>),
    /// The node was told to stop meanwhile, or to let go of it: nothing was announced.
    Stopped,
}

/// Runs the node until `stop` is set.
pub(crate) fn run(stop: Arc<AtomicBool>) -> Result<(), String> {
    let mut node = start_ros()?;
    let logger = Logger::new(&mut node).map_err(text)?;
    let mut parameters = Parameters::new(&mut node, logger.clone())?;
    let mut pulls = Pulls::new(&mut node, logger.clone()).map_err(text)?;
    let mut gate = Gate::new(node, logger, parameters.params(), Arc::clone(&stop))?;
    while !stop.load(Ordering::Relaxed) {
        gate.node.spin_once(SPIN);
        parameters.step(&mut gate.node);
        gate.step();
        let offered = gate.published.as_deref();
        pulls.step(offered.map(|announcement| (gate.session, announcement)));
    }
    gate.withdraw();
    Ok(())
}

impl Gate {
    fn new(
        mut node: Node,
        logger: Logger,
        params: &Params,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, String> {
        let session = Session {
            id: session_id()?,
            epoch: 1,
        };
        let lease = params.lease();
        let heartbeat = Heartbeat::new(&mut node, logger.clone(), session, lease).map_err(text)?;
        let latched = QosProfile::default()
            .reliable()
            .transient_local()
            .keep_last(1);
        let manifests = node.create_publisher("~/manifest", latched).map_err(text)?;
        let (teller, news) = channel();
        let work = Work::Loading(start_loading(params.clone(), teller.clone()));
        Ok(Self {
            node,
            logger,
            heartbeat,
            manifests,
            session,
            stop,
            work,
            news,
            teller,
            server: None,
            fragments: None,
            published: None,
            expires: Timestamp::MAX,
            directory: None,
        })
    }

    fn step(&mut self) {
        self.work = match std::mem::replace(&mut self.work, Work::Settled) {
            Work::Loading(outcome) => self.look_at(outcome),
            Work::Publishing(thread, _) if thread.is_finished() => self.settle(thread),
            still => still,
        };
        self.hear();
        self.refuse_expired();
        self.heartbeat.beat();
    }

    fn hear(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Line(level, text) => self.logger.log(level, &text),
                News::Starved(why) => self.lose(&why),
            }
        }
    }

    /// The bytes would change soon, and nobody may read them then. What is still being loaded fails
    /// by itself.
    fn lose(&mut self, why: &str) {
        self.logger.error(&format!("withdrawn: {why}"));
        let lost = match self.heartbeat.state() {
            State::Ready(manifest) => State::Lost(manifest),
            _ if matches!(self.work, Work::Publishing(..)) => State::Failed,
            _ => return,
        };
        self.let_go();
        self.heartbeat.set(lost);
    }

    /// Nothing is published any more, and no memory kept for it.
    fn let_go(&mut self) {
        if let Some(server) = &self.server {
            server.withdraw(Refusal::NothingOffered);
        }
        self.published = None;
        self.directory = None;
        match &self.work {
            // When it has ended, `settle` lets go of the rest.
            Work::Publishing(_, cancelled) => cancelled.store(true, Ordering::Relaxed),
            _ => {
                if let Some(fragments) = self.fragments.take() {
                    self.node.destroy_publisher(fragments);
                }
            }
        }
    }

    /// What was genuine when it was announced is not for ever.
    fn refuse_expired(&mut self) {
        if let State::Ready(manifest) = self.heartbeat.state()
            && self.expires <= Timestamp::now()
        {
            self.logger
                .error(&format!("withdrawn: manifest-expired: at {}", self.expires));
            self.heartbeat.set(State::Expired(manifest));
            self.let_go();
        }
    }

    fn look_at(&mut self, progress: Receiver<Progress>) -> Work {
        match progress.try_recv() {
            Err(TryRecvError::Empty) => Work::Loading(progress),
            Err(TryRecvError::Disconnected) => self.fail(LoadError::could_not(
                "the loader ended without a word".into(),
            )),
            Ok(Progress::Waiting(lock)) => {
                self.logger.info(&format!(
                    "waiting for another process that has {}",
                    lock.display()
                ));
                Work::Loading(progress)
            }
            Ok(Progress::Listening(server)) => {
                self.server = Some(Arc::new(server));
                Work::Loading(progress)
            }
            Ok(Progress::Failed(error)) => self.fail(error),
            Ok(Progress::Loaded(announcement, ..)) if announcement.is_lost() => {
                let why = "somebody waits to write to its weights, and there is no memory for them";
                self.fail(LoadError::could_not(why.to_owned()))
            }
            Ok(Progress::Loaded(announcement, directory, took)) => {
                self.directory = Some(directory);
                self.logger.info(&describe(announcement.policy(), took));
                self.tell_notices(announcement.policy());
                self.tell_holds(announcement.policy());
                match self.start_publishing(announcement) {
                    Ok(work) => work,
                    Err(error) => self.fail(LoadError::could_not(format!("~/fragments: {error}"))),
                }
            }
        }
    }

    /// What the trust policy lets pass is still said.
    fn tell_notices(&self, policy: &Verified<Policy>) {
        for notice in policy.notices() {
            self.logger.warn(&format!("let pass: {notice}"));
        }
    }

    /// A guarded file costs no memory; one that is not says why.
    fn tell_holds(&self, policy: &Verified<Policy>) {
        for file in policy.tensor_files() {
            let holding = file.hold().holding();
            let line = format!("{} is held {holding}", file.path());
            match holding {
                Holding::Sealed(why) if why != Unguarded::NotAsked => self.logger.warn(&line),
                _ => self.logger.info(&line),
            }
        }
    }

    /// No manifest goes out; the reason does, three times over.
    fn fail(&mut self, error: LoadError) -> Work {
        self.logger
            .error(&format!("no policy is published: {}", error.message));
        self.heartbeat
            .set(error.rejection.map_or(State::Failed, State::Rejected));
        self.let_go();
        Work::Settled
    }

    /// Late joiners get every fragment from the middleware's history, so that is as deep as there
    /// are fragments; the depth is known only now. The manifest comes last: what is announced is
    /// there, and what fails on the way is not announced.
    fn start_publishing(&mut self, announcement: Box<Announcement>) -> r2r::Result<Work> {
        let fragments = publish::create(&mut self.node, &announcement)?;
        self.fragments = Some(fragments.clone());
        let manifest = announcement.manifest(self.session, self.logger.now());
        let (manifests, session, stop) =
            (self.manifests.clone(), self.session, Arc::clone(&self.stop));
        let (server, teller) = (self.server.clone(), self.teller.clone());
        let cancelled = Arc::new(AtomicBool::new(false));
        let cancel = Arc::clone(&cancelled);
        let thread = thread::spawn(move || {
            let ended = || stop.load(Ordering::Relaxed) || cancelled.load(Ordering::Relaxed);
            if !publish::fill(&fragments, &announcement, session, ended)? {
                return Ok(Published::Stopped);
            }
            if let Some(server) = server.as_ref().filter(|_| !ended()) {
                offer(server, announcement.policy(), session, &teller);
                // It may have been let go of meanwhile.
                if ended() {
                    server.withdraw(Refusal::NothingOffered);
                }
            }
            if ended() {
                return Ok(Published::Stopped);
            }
            manifests.publish(&manifest).map_err(text)?;
            Ok(Published::All(announcement))
        });
        Ok(Work::Publishing(thread, cancel))
    }

    fn settle(&mut self, thread: JoinHandle<Result<Published, String>>) -> Work {
        match thread.join() {
            Ok(Ok(Published::All(announcement))) if self.directory.is_some() => {
                self.announced(announcement);
            }
            // It was let go of meanwhile.
            Ok(Ok(_)) => self.let_go(),
            Ok(Err(message)) => return self.fail(LoadError::could_not(message)),
            Err(_) => {
                return self.fail(LoadError::could_not(
                    "the publishing thread panicked".into(),
                ));
            }
        }
        Work::Settled
    }

    fn announced(&mut self, announcement: Box<Announcement>) {
        let evidence = announcement.policy().evidence();
        self.logger.info(&format!(
            "publishing {}@{}: {} fragments, {} bytes of weights, epoch {}",
            evidence.repo,
            evidence.revision,
            announcement.fragment_count(),
            announcement.weights_size(),
            self.session.epoch
        ));
        self.expires = evidence.until;
        self.heartbeat.set(State::Ready(evidence.manifest));
        self.published = Some(announcement);
    }

    /// Tells the controllers to stop using the policy, then lets go of it.
    fn withdraw(mut self) {
        if let State::Ready(manifest) = self.heartbeat.state() {
            self.heartbeat.set(State::Withdrawn(manifest));
        }
        self.server = None;
        // The middleware must not be torn down under a publish that is still going on.
        if let Work::Publishing(thread, _) = self.work {
            drop(thread.join());
        }
        self.logger.info("stopped");
    }
}

/// Seals the policy for controllers of this machine. Where that cannot be, they are told so, and
/// there are still the topics.
fn offer(server: &Server, policy: &Verified<Policy>, session: Session, teller: &Sender<News>) {
    match Offer::seal(policy, session.id, session.epoch) {
        Ok(offer) => server.offer(offer),
        Err(error) => {
            server.withdraw(Refusal::NotSealed);
            let line = format!("hand-off: the policy could not be sealed: {error}");
            drop(teller.send(News::Line(Level::Error, line)));
        }
    }
}

fn describe(policy: &Verified<Policy>, took: Duration) -> String {
    let evidence = policy.evidence();
    let signers: Vec<&str> = evidence
        .signers
        .iter()
        .map(|signer| signer.name.as_str())
        .collect();
    format!(
        "verified {}@{} (sequence {}, manifest {}), signed by {}, {} files, in {:.3} s",
        evidence.repo,
        evidence.revision,
        evidence.sequence,
        evidence.manifest,
        signers.join(", "),
        policy.files().len(),
        took.as_secs_f64()
    )
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
