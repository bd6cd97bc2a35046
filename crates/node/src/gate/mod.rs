//! The gate: one thread owns the ROS node and all that stands. What others find out (the loader,
//! the publisher, leases, controllers at the hand-off) reaches it as events; [`Gate::step`] draws
//! the conclusions.

mod force;
mod tell;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use r2r::tensorgate_msgs::msg::PolicyManifest;
use r2r::{Node, Publisher, QosProfile};

use crate::diagnostics::Diagnostics;
use crate::gate::force::Announced;
use crate::gate::work::Work;
use crate::heartbeat::Heartbeat;
use crate::loading::{Held, Shared};
use crate::news::News;
use crate::parameters::Parameters;
use crate::pull::Pulls;
use crate::rosout::Logger;
use crate::start::{session_id, start_ros};

/// How long one spin waits: the finest grain of an answer and of a stop.
const SPIN: Duration = Duration::from_millis(20);

/// What the node is and what it stands by.
struct Gate {
    node: Node,
    logger: Logger,
    parameters: Parameters,
    pulls: Pulls,
    diagnostics: Diagnostics,
    /// The newest refusal, for people.
    last_rejection: Option<(Instant, String)>,
    heartbeat: Heartbeat,
    manifests: Publisher<PolicyManifest>,
    session_id: [u8; 16],
    /// Of the newest announcement, tried ones included: never used twice.
    epoch: u64,
    news: Receiver<News>,
    /// For threads that have something to say.
    teller: Sender<News>,
    /// What all loads share.
    shared: Arc<Shared>,
    /// What goes on beside the spinning: ROS waits for neither disk nor middleware.
    work: Option<Work>,
    /// What was proven last: ready to be announced, or announced.
    held: Option<Held>,
    /// What controllers may use.
    announced: Option<Announced>,
}

/// Runs the node until `stop` is set.
pub(crate) fn run(stop: &AtomicBool) -> Result<(), String> {
    let mut gate = Gate::new(start_ros()?)?;
    gate.begin();
    while !stop.load(Ordering::Relaxed) {
        gate.node.spin_once(SPIN);
        gate.step();
    }
    gate.stop();
    Ok(())
}

impl Gate {
    fn new(mut node: Node) -> Result<Self, String> {
        let logger = Logger::new(&mut node).map_err(text)?;
        let parameters = Parameters::new(&mut node, logger.clone())?;
        let pulls = Pulls::new(&mut node, logger.clone()).map_err(text)?;
        let session_id = session_id()?;
        let lease = parameters.params().lease();
        let heartbeat =
            Heartbeat::start(&mut node, logger.clone(), session_id, lease).map_err(text)?;
        let latched = QosProfile::default()
            .reliable()
            .transient_local()
            .keep_last(1);
        let manifests = node.create_publisher("~/manifest", latched).map_err(text)?;
        let diagnostics = Diagnostics::new(&mut node, logger.clone(), manifests.clone());
        let diagnostics = diagnostics.map_err(text)?;
        let (teller, news) = channel();
        Ok(Self {
            node,
            logger,
            parameters,
            pulls,
            diagnostics,
            last_rejection: None,
            heartbeat,
            manifests,
            session_id,
            epoch: 0,
            news,
            teller,
            shared: Arc::default(),
            work: None,
            held: None,
            announced: None,
        })
    }

    /// One turn of the loop: everything that came since the last.
    fn step(&mut self) {
        self.heartbeat.alive();
        self.hear();
        self.work();
        self.judge_again();
        self.parameters.step(&mut self.node);
        self.heartbeat.set_lease(self.parameters.params().lease());
        self.serve_pulls();
        self.diagnose();
    }

    fn hear(&mut self) {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Line(level, text) => self.logger.log(level, &text),
                News::Starved(why) => self.lose(&why),
            }
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
