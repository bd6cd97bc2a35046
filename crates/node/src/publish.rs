//! An announcement on its way to the topics, on a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use r2r::builtin_interfaces::msg::Time;
use r2r::tensorgate_msgs::msg::{PolicyManifest, TensorFragment};
use r2r::{Node, Publisher, QosProfile};
use tensorgate_handoff::{Offer, Refusal, Server};
use tensorgate_verify::{Policy, Verified};

use crate::announce::{Announcement, Delivery, Session};
use crate::borrowed;
use crate::news::News;
use crate::rosout::Level;
use crate::stage::Stage;

/// Where an announcement goes, besides its own fragments.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) manifests: Publisher<PolicyManifest>,
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) teller: Sender<News>,
}

/// A publish under way. It can be called off until the hand-off: from there on, what went before is no
/// longer there to go back to.
pub(crate) struct Job {
    thread: JoinHandle<Result<Published, String>>,
    stage: Arc<Stage>,
    fragments: Publisher<TensorFragment>,
}

/// How publishing ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Published {
    All,
    /// It was called off: nothing was announced.
    Canceled,
}

/// A publish that ended.
pub(crate) struct Ended {
    /// They are there for as long as their publisher.
    pub(crate) fragments: Publisher<TensorFragment>,
    pub(crate) outcome: Result<Published, String>,
    /// Whether anything of it went where its predecessor was: the hand-off, `~/manifest`.
    pub(crate) is_out: bool,
}

impl Job {
    /// Begins beside the spinning.
    pub(crate) fn start(
        node: &mut Node,
        outlets: Outlets,
        announcement: Arc<Announcement>,
        session: Session,
        stamp: Time,
    ) -> Result<Self, String> {
        let fragments = node
            .create_publisher("~/fragments", profile(&announcement))
            .map_err(|error| format!("~/fragments: {error}"))?;
        let stage = Arc::new(Stage::default());
        let work = Work {
            outlets,
            announcement,
            session,
            stamp,
            fragments: fragments.clone(),
            stage: Arc::clone(&stage),
        };
        let thread = thread::Builder::new().name("publish".to_owned());
        match thread.spawn(move || work.publish()) {
            Ok(thread) => Ok(Self {
                thread,
                stage,
                fragments,
            }),
            Err(error) => {
                node.destroy_publisher(fragments);
                Err(format!("no thread to publish with: {error}"))
            }
        }
    }

    /// Whether it can be called off; then it ends soon, and nothing has changed.
    pub(crate) fn cancel(&self) -> bool {
        self.stage.cancel()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Ended {
        let outcome = self.thread.join();
        Ended {
            fragments: self.fragments,
            outcome: outcome.unwrap_or_else(|_| Err("the publishing thread panicked".into())),
            is_out: self.stage.is_committed(),
        }
    }
}

struct Work {
    outlets: Outlets,
    announcement: Arc<Announcement>,
    session: Session,
    stamp: Time,
    fragments: Publisher<TensorFragment>,
    stage: Arc<Stage>,
}

impl Work {
    /// The manifest comes last: what is announced is there, and what fails on the way is not
    /// announced.
    fn publish(self) -> Result<Published, String> {
        if self.announcement.delivery() == Delivery::Latched {
            self.latch()?;
        }
        if !self.stage.commit() {
            return Ok(Published::Canceled);
        }
        if let Some(server) = &self.outlets.server {
            let policy = self.announcement.policy();
            offer(server, policy, self.session, &self.outlets.teller);
        }
        let manifest = self.announcement.manifest(self.session, self.stamp.clone());
        let sent = self.outlets.manifests.publish(&manifest);
        sent.map_err(|error| error.to_string())?;
        Ok(Published::All)
    }

    fn latch(&self) -> Result<(), String> {
        for (head, payload) in self.announcement.fragments(self.session) {
            if self.stage.is_canceled() {
                break;
            }
            borrowed::publish(&self.fragments, head, payload).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Late joiners get every fragment from the middleware's history, so that is as deep as there are
/// fragments; the depth is known only now. Of a policy that is pulled nothing is latched: the topic
/// is there for the graph.
fn profile(announcement: &Announcement) -> QosProfile {
    let reliable = QosProfile::default().reliable();
    match announcement.delivery() {
        Delivery::Latched => reliable
            .transient_local()
            .keep_last(announcement.fragment_count().max(1)),
        Delivery::Pulled => reliable.volatile().keep_last(1),
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
