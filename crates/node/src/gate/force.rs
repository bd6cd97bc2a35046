//! What is in force: from its announcement until it is taken back.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use jiff::Timestamp;
use r2r::Publisher;
use r2r::tensorgate_msgs::msg::TensorFragment;
use tensorgate_handoff::Refusal;
use tensorgate_verify::trim_heap;

use crate::gate::Gate;
use crate::gate::task::Task;
use crate::loading::Held;
use crate::status::{Named, Reason, State};

/// A policy that controllers may use.
pub(super) struct Announced {
    pub(super) named: Named,
    /// The history that serves those who come late.
    fragments: Publisher<TensorFragment>,
    /// When it stops to count.
    pub(super) expires: Timestamp,
    pub(super) since: Instant,
}

impl Gate {
    /// Its predecessor goes once it is there.
    pub(super) fn announce(
        &mut self,
        held: Arc<Held>,
        named: Named,
        fragments: Publisher<TensorFragment>,
    ) {
        self.tell_announced(&held, named.epoch);
        let expires = held.announcement.policy().evidence().until;
        self.heartbeat.set(State::Ready(named));
        self.held = Some(held);
        let before = self.announced.replace(Announced {
            named,
            fragments,
            expires,
            since: Instant::now(),
        });
        if let Some(before) = before {
            self.forget(before.fragments);
        }
    }

    /// With the publisher goes its history, which was as large as the weights.
    pub(super) fn forget(&mut self, fragments: Publisher<TensorFragment>) {
        self.node.destroy_publisher(fragments);
        thread::spawn(trim_heap);
    }

    /// Answers controllers who pull.
    pub(super) fn serve_pulls(&mut self) {
        let announced = self.announced.as_ref().zip(self.held.as_ref());
        let announced = announced.map(|(it, held)| (it.named.epoch, &*held.announcement));
        let published = self.task.as_ref().and_then(Task::published);
        self.pulls.step(self.session_id, &[announced, published]);
    }

    /// Takes back what is announced, in an orderly way; it stays held.
    pub(super) fn withdraw(&mut self) {
        if let Some(announced) = &self.announced {
            let state = State::Withdrawn(announced.named, Reason::Asked);
            self.heartbeat.set(state);
            self.stop_publishing();
        }
    }

    /// The bytes would change soon, and nobody may read them then. What is still being loaded fails
    /// by itself.
    pub(super) fn lose(&mut self, why: &str) {
        self.logger.error(&format!("lost: {why}"));
        let lost = |held: &Held| held.announcement.is_lost();
        let published = self.task.as_ref().and_then(Task::publishing);
        if published.is_some_and(|(_, held)| lost(held)) {
            self.call_off("its weights are lost");
            if self.announced.is_none() {
                self.heartbeat.set(State::Failed);
            }
        }
        if self.held.as_deref().is_some_and(lost) {
            if let Some(announced) = &self.announced {
                let state = State::Withdrawn(announced.named, Reason::CouldNotCheck);
                self.heartbeat.set(state);
            }
            self.let_go();
        }
    }

    /// Nothing is published any more, and no memory kept for it.
    pub(super) fn let_go(&mut self) {
        self.stop_publishing();
        self.held = None;
    }

    fn stop_publishing(&mut self) {
        if let Some(server) = self.shared.server() {
            server.withdraw(Refusal::NothingOffered);
        }
        if let Some(announced) = self.announced.take() {
            self.forget(announced.fragments);
        }
    }

    /// Tells the controllers to stop using the policy, then lets go of it.
    pub(super) fn stop(mut self) {
        self.call_off("the node stops");
        self.withdraw();
        self.let_go();
        // The middleware must not be torn down under a publish that is still going on.
        if let Some(task) = self.task.take() {
            task.end();
        }
        self.logger.info("stopped");
    }
}
