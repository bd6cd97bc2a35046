//! The node's life: load, publish, keep saying so until told to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use jiff::Timestamp;
use r2r::tensorgate_msgs::msg::PolicyManifest;
use r2r::{Context, Node, Publisher, QosProfile};
use tensorgate_verify::{Directory, Policy, Verified};

use crate::announce::{Announcement, Session};
use crate::load::{LoadError, Loaded, load};
use crate::params::{Fixed, Params};
use crate::rosout::Logger;
use crate::status::{Heartbeat, State};
use crate::{answers, borrowed};

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
    /// When the announced policy stops to count.
    expires: Timestamp,
    /// Where the policy lies: open, so that `store gc` leaves it.
    directory: Option<Directory>,
}

/// What goes on beside the spinning: ROS waits for neither disk nor middleware.
enum Work {
    Loading(Receiver<Progress>),
    Publishing(JoinHandle<Result<Published, String>>),
    /// Nothing to do: the middleware's history serves those who come late.
    Settled,
}

/// What the loader says.
enum Progress {
    /// Another process has this lock.
    Waiting(PathBuf),
    /// A policy, where it lies, and how long proving it took.
    Loaded(Box<Announcement>, Directory, Duration),
    Failed(LoadError),
}

/// How publishing ended.
enum Published {
    All(Box<Announcement>),
    /// The node was told to stop meanwhile: nothing was announced.
    Stopped,
}

/// Runs the node until `stop` is set.
pub(crate) fn run(stop: Arc<AtomicBool>) -> Result<(), String> {
    let mut node = start_ros()?;
    let params = Arc::new(Mutex::new(Fixed::default()));
    let (handler, _changes) =
        node.make_derived_parameter_handler(params.clone()).map_err(|error| {
            format!("{error}; hint: text that looks like a number wants quotes, as in -p revision:=\"'123…'\"")
        })?;
    refuse_unknown(&node)?;
    let params = params
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .0
        .clone();
    let mut gate = Gate::new(node, &params, Arc::clone(&stop))?;
    let answers = answers::serve(handler, gate.node.params.clone(), gate.logger.clone());
    let mut pool = LocalPool::new();
    pool.spawner().spawn_local(answers).map_err(text)?;
    while !stop.load(Ordering::Relaxed) {
        gate.node.spin_once(SPIN);
        pool.run_until_stalled();
        gate.step();
    }
    gate.withdraw();
    Ok(())
}

/// r2r panics where rcl refuses the arguments; for a person at a terminal that is a message.
fn start_ros() -> Result<Node, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let started = std::panic::catch_unwind(|| Node::create(Context::create()?, "tensorgate", ""));
    std::panic::set_hook(hook);
    let why = match started {
        Ok(Ok(node)) => return Ok(node),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "rcl refused the arguments".to_owned(),
    };
    let hint =
        "are the arguments after --ros-args right, and is ROS_LOG_DIR (or ~/.ros/log) writable?";
    Err(format!("could not start ROS: {why}; hint: {hint}"))
}

/// A misspelt `revision` would pin nothing, silently.
fn refuse_unknown(node: &Node) -> Result<(), String> {
    let given = node.params.lock().unwrap_or_else(PoisonError::into_inner);
    let known = |name: &String| {
        Params::NAMES.contains(&name.as_str())
            || name == "use_sim_time"
            || name.starts_with("qos_overrides.")
    };
    match given.keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "there is no parameter {name:?}; hint: there are {}",
            Params::NAMES.join(", ")
        )),
    }
}

impl Gate {
    fn new(mut node: Node, params: &Params, stop: Arc<AtomicBool>) -> Result<Self, String> {
        let logger = Logger::new(&mut node).map_err(text)?;
        let session = Session {
            id: session_id()?,
            epoch: 1,
        };
        let lease = Duration::from_millis(params.lease_ms.into());
        let heartbeat = Heartbeat::new(&mut node, logger.clone(), session, lease).map_err(text)?;
        let latched = QosProfile::default()
            .reliable()
            .transient_local()
            .keep_last(1);
        let manifests = node.create_publisher("~/manifest", latched).map_err(text)?;
        let work = Work::Loading(start_loading(params.clone()));
        Ok(Self {
            node,
            logger,
            heartbeat,
            manifests,
            session,
            stop,
            work,
            expires: Timestamp::MAX,
            directory: None,
        })
    }

    fn step(&mut self) {
        self.work = match std::mem::replace(&mut self.work, Work::Settled) {
            Work::Loading(outcome) => self.look_at(outcome),
            Work::Publishing(thread) if thread.is_finished() => self.settle(thread),
            still => still,
        };
        self.refuse_expired();
        self.heartbeat.beat();
    }

    /// What was genuine when it was announced is not for ever.
    fn refuse_expired(&mut self) {
        if let State::Ready(manifest) = self.heartbeat.state()
            && self.expires <= Timestamp::now()
        {
            self.logger
                .error(&format!("withdrawn: manifest-expired: at {}", self.expires));
            self.heartbeat.set(State::Expired(manifest));
            self.directory = None;
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
            Ok(Progress::Failed(error)) => self.fail(error),
            Ok(Progress::Loaded(announcement, directory, took)) => {
                self.directory = Some(directory);
                self.logger.info(&describe(announcement.policy(), took));
                self.tell_notices(announcement.policy());
                match self.start_publishing(announcement) {
                    Ok(thread) => Work::Publishing(thread),
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

    /// No manifest goes out; the reason does, three times over.
    fn fail(&mut self, error: LoadError) -> Work {
        self.logger
            .error(&format!("no policy is published: {}", error.message));
        self.heartbeat
            .set(error.rejection.map_or(State::Failed, State::Rejected));
        self.directory = None;
        Work::Settled
    }

    /// Late joiners get every fragment from the middleware's history, so that is as deep as there
    /// are fragments; the depth is known only now. The manifest comes last: what is announced is
    /// there, and what fails on the way is not announced.
    fn start_publishing(
        &mut self,
        announcement: Box<Announcement>,
    ) -> r2r::Result<JoinHandle<Result<Published, String>>> {
        let depth = announcement.fragment_count().max(1);
        let latched = QosProfile::default()
            .reliable()
            .transient_local()
            .keep_last(depth);
        let fragments = self.node.create_publisher("~/fragments", latched)?;
        let manifest = announcement.manifest(self.session, self.logger.now());
        let (manifests, session, stop) =
            (self.manifests.clone(), self.session, Arc::clone(&self.stop));
        Ok(thread::spawn(move || {
            for (head, payload) in announcement.fragments(session) {
                if stop.load(Ordering::Relaxed) {
                    return Ok(Published::Stopped);
                }
                borrowed::publish(&fragments, head, payload).map_err(text)?;
            }
            manifests.publish(&manifest).map_err(text)?;
            Ok(Published::All(announcement))
        }))
    }

    fn settle(&mut self, thread: JoinHandle<Result<Published, String>>) -> Work {
        match thread.join() {
            Ok(Ok(Published::All(announcement))) => self.announced(&announcement),
            Ok(Ok(Published::Stopped)) => {}
            Ok(Err(message)) => return self.fail(LoadError::could_not(message)),
            Err(_) => {
                return self.fail(LoadError::could_not(
                    "the publishing thread panicked".into(),
                ));
            }
        }
        Work::Settled
    }

    fn announced(&mut self, announcement: &Announcement) {
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
    }

    /// Tells the controllers to stop using the policy, then lets go of it.
    fn withdraw(mut self) {
        if let State::Ready(manifest) = self.heartbeat.state() {
            self.heartbeat.set(State::Withdrawn(manifest));
        }
        // The middleware must not be torn down under a publish that is still going on.
        if let Work::Publishing(thread) = self.work {
            drop(thread.join());
        }
        self.logger.info("stopped");
    }
}

/// Loads beside the spinning. The receiver is gone only when the node stops; then nobody wants to
/// know.
fn start_loading(params: Params) -> Receiver<Progress> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let waiting = sender.clone();
        let tell = move |lock: &Path| drop(waiting.send(Progress::Waiting(lock.to_owned())));
        let loaded = params
            .settings()
            .map_err(LoadError::could_not)
            .and_then(|settings| {
                let begun = Instant::now();
                let Loaded { policy, directory } = load(&settings, tell)?;
                let took = begun.elapsed();
                let announcement = Announcement::new(policy, settings.fragment_size);
                Ok(Progress::Loaded(Box::new(announcement), directory, took))
            });
        drop(sender.send(loaded.unwrap_or_else(Progress::Failed)));
    });
    receiver
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

fn session_id() -> Result<[u8; 16], String> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| format!("no randomness for a session id: {error}"))?;
    Ok(id)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
