//! An announcement on its way to the topics, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Where an announcement goes, besides its own fragments.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) manifests: Publisher<PolicyManifest>,
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) teller: Sender<News>,
}

/// A publish under way.
pub(crate) struct Job {
    thread: JoinHandle<Result<Published, String>>,
    canceled: Arc<AtomicBool>,
    fragments: Publisher<TensorFragment>,
}

/// How publishing ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Published {
    All,
    /// It was called off: nothing was announced.
    Canceled,
}

impl Job {
    /// Begins beside the spinning.
    pub(crate) fn start(
        node: &mut Node,
        outlets: Outlets,
        announcement: Arc<Announcement>,
        session: Session,
        stamp: Time,
    ) -> r2r::Result<Self> {
        let fragments = node.create_publisher("~/fragments", profile(&announcement))?;
        let canceled = Arc::new(AtomicBool::new(false));
        let work = Work {
            outlets,
            announcement,
            session,
            stamp,
            fragments: fragments.clone(),
            canceled: Arc::clone(&canceled),
        };
        Ok(Self {
            thread: thread::spawn(move || work.publish()),
            canceled,
            fragments,
        })
    }

    pub(crate) fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end; the fragments are there for as long as their publisher.
    pub(crate) fn end(self) -> (Publisher<TensorFragment>, Result<Published, String>) {
        let outcome = self.thread.join();
        let outcome = match outcome {
            // What was let go of while its manifest went out is not announced either.
            Ok(Ok(_)) if self.canceled.load(Ordering::Relaxed) => Ok(Published::Canceled),
            Ok(outcome) => outcome,
            Err(_) => Err("the publishing thread panicked".into()),
        };
        (self.fragments, outcome)
    }
}

struct Work {
    outlets: Outlets,
    announcement: Arc<Announcement>,
    session: Session,
    stamp: Time,
    fragments: Publisher<TensorFragment>,
    canceled: Arc<AtomicBool>,
}

impl Work {
    /// The manifest comes last: what is announced is there, and what fails on the way is not
    /// announced.
    fn publish(self) -> Result<Published, String> {
        if self.announcement.delivery() == Delivery::Latched {
            self.latch()?;
        }
        if let Some(server) = self.outlets.server.as_ref().filter(|_| !self.is_canceled()) {
            offer(
                server,
                self.announcement.policy(),
                self.session,
                &self.outlets.teller,
            );
            // It may have been let go of meanwhile.
            if self.is_canceled() {
                server.withdraw(Refusal::NothingOffered);
            }
        }
        if self.is_canceled() {
            return Ok(Published::Canceled);
        }
        let manifest = self.announcement.manifest(self.session, self.stamp.clone());
        let sent = self.outlets.manifests.publish(&manifest);
        sent.map_err(|error| error.to_string())?;
        Ok(Published::All)
    }

    fn latch(&self) -> Result<(), String> {
        for (head, payload) in self.announcement.fragments(self.session) {
            if self.is_canceled() {
                break;
            }
            borrowed::publish(&self.fragments, head, payload).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
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
