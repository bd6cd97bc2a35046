//! The gate: one thread owns the ROS node and all that stands. What others find out (the loader,
//! the publisher, leases, controllers at the hand-off) reaches it as events; [`Gate::step`] draws
//! the conclusions.

mod ask;
mod change;
mod channel;
mod force;
mod judge;
mod revoke;
mod task;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use r2r::tensorgate_msgs::msg::PolicyManifest;
use r2r::{Node, Publisher, QosProfile};
use tensorgate_verify::Sha256;

use crate::action::LoadAction;
use crate::diagnostics::Diagnostics;
use crate::gate::channel::Following;
use crate::gate::force::Announced;
use crate::gate::judge::Judge;
use crate::gate::revoke::Recording;
use crate::gate::task::Task;
use crate::heartbeat::Heartbeat;
use crate::lifecycle::Lifecycle;
use crate::loading::{Held, Shared};
use crate::news::News;
use crate::pace::Pace;
use crate::parameters::Parameters;
use crate::pull::Pulls;
use crate::requests::Requests;
use crate::rosout::Logger;
use crate::start::{session_id, start_ros};
use crate::transitions::Transitions;

/// How long one spin waits where no request comes, which wakes it: the finest grain of a stop, and of
/// what other threads have to say.
const IDLE: Duration = Duration::from_millis(50);
/// The same while a load or a publish goes on, whose end nothing else tells of.
const BUSY: Duration = Duration::from_millis(10);

/// What the node is and what it stands by.
struct Gate {
    /// Before the node, which is torn down in this order: its thread must not beat without one.
    heartbeat: Heartbeat,
    node: Node,
    /// Anybody may ask for what is refused.
    refusals: Pace,
    logger: Logger,
    parameters: Parameters,
    transitions: Transitions,
    requests: Requests,
    action: LoadAction,
    pulls: Pulls,
    diagnostics: Diagnostics,
    /// The newest refusal, for people.
    last_rejection: Option<(Instant, String)>,
    manifests: Publisher<PolicyManifest>,
    session_id: [u8; 16],
    /// Of the newest announcement, tried ones included: never used twice.
    epoch: u64,
    /// What each of the last epochs was: who revokes one may have seen it a while ago.
    epochs: BTreeMap<u64, Sha256>,
    news: Receiver<News>,
    /// For threads that have something to say.
    teller: Sender<News>,
    /// What all loads share.
    shared: Arc<Shared>,
    life: Lifecycle,
    /// What goes on beside the spinning: ROS waits for neither disk nor middleware.
    task: Option<Task>,
    /// What was proven last: ready to be announced, or announced.
    held: Option<Arc<Held>>,
    /// What controllers may use.
    announced: Option<Announced>,
    judge: Judge,
    following: Following,
    /// What was revoked here, whether that is on the disk by now or not.
    revoked: BTreeSet<Sha256>,
    recordings: Vec<Recording>,
}

/// Runs the node until `stop` is set.
pub(crate) fn run(stop: &AtomicBool) -> Result<(), String> {
    let mut gate = Gate::new(start_ros()?)?;
    gate.begin();
    while !stop.load(Ordering::Relaxed) {
        gate.node
            .spin_once(gate.task.as_ref().map_or(IDLE, |_| BUSY));
        gate.step();
    }
    gate.stop();
    Ok(())
}

impl Gate {
    fn new(mut node: Node) -> Result<Self, String> {
        let logger = Logger::new(&mut node).map_err(text)?;
        let parameters = Parameters::new(&mut node, logger.clone())?;
        let session_id = session_id()?;
        let lease = parameters.params().lease();
        let heartbeat = Heartbeat::start(&mut node, logger.clone(), session_id, lease)?;
        let latched = QosProfile::default()
            .reliable()
            .transient_local()
            .keep_last(1);
        let manifests = node.create_publisher("~/manifest", latched).map_err(text)?;
        let diagnostics = Diagnostics::new(&mut node, logger.clone(), manifests.clone());
        let (teller, news) = channel();
        Ok(Self {
            parameters,
            transitions: Transitions::new(&mut node, logger.clone()).map_err(text)?,
            requests: Requests::new(&mut node, logger.clone()).map_err(text)?,
            action: LoadAction::new(&mut node, logger.clone()).map_err(text)?,
            pulls: Pulls::new(&mut node, logger.clone()).map_err(text)?,
            diagnostics: diagnostics.map_err(text)?,
            refusals: Pace::default(),
            last_rejection: None,
            heartbeat,
            manifests,
            session_id,
            epoch: 0,
            epochs: BTreeMap::new(),
            news,
            teller,
            shared: Arc::default(),
            life: Lifecycle::default(),
            task: None,
            held: None,
            announced: None,
            judge: Judge::default(),
            following: Following::default(),
            revoked: BTreeSet::new(),
            recordings: Vec::new(),
            node,
            logger,
        })
    }

    /// One turn of the loop: everything that came since the last. What takes force away comes
    /// before what gives it.
    fn step(&mut self) {
        self.heartbeat.alive();
        self.hear();
        self.hear_revokes();
        self.judge_again();
        self.hear_changes();
        self.hear_loads();
        self.load_newer();
        self.work();
        self.heartbeat.alive();
        self.parameters.step(&mut self.node);
        self.heartbeat.set_lease(self.parameters.params().lease());
        self.keep_pace();
        self.serve_pulls();
        self.diagnose();
    }

    fn hear(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Line(level, text) => self.logger.log(level, &text),
                News::Starved(why) => self.lose(&why),
                News::Channel(followed) => self.hear_channel(followed),
            }
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
