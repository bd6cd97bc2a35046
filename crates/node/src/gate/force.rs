//! What is in force: from its announcement until it is taken back.

use std::ptr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use r2r::Publisher;
use r2r::tensorgate_msgs::msg::TensorFragment;
use tensorgate_handoff::Refusal;
use tensorgate_verify::trim_heap;

use crate::gate::Gate;
use crate::gate::judge::Judge;
use crate::gate::task::Task;
use crate::loading::Held;
use crate::status::{Named, Reason, State};

/// How long the last word is repeated before the publisher goes, and what it had not sent yet with
/// it: r2r has no `rcl_publisher_wait_for_all_acked`.
const FAREWELL: Duration = Duration::from_millis(300);

/// A policy that controllers may use.
pub(super) struct Announced {
    pub(super) named: Named,
    /// The history that serves those who come late.
    fragments: Publisher<TensorFragment>,
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
        self.heartbeat.set(State::Ready(named));
        self.hold(held);
        let before = self.announced.replace(Announced {
            named,
            fragments,
            since: Instant::now(),
        });
        if let Some(before) = before {
            self.forget(before.fragments);
        }
    }

    /// What is held is judged anew: a doubt was about its predecessor.
    pub(super) fn hold(&mut self, held: Arc<Held>) {
        self.held = Some(held);
        self.judge = Judge::default();
    }

    /// With the publisher goes its history, which was as large as the weights.
    pub(super) fn forget(&mut self, fragments: Publisher<TensorFragment>) {
        self.node.destroy_publisher(fragments);
        // Without a thread to be had, memory comes back later.
        drop(thread::Builder::new().spawn(trim_heap));
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
            self.take_out(
                |named| State::Withdrawn(named, Reason::CouldNotCheck),
                State::Failed,
            );
        }
    }

    /// What is held does not count any more: it is out of force, or does not come into force where it
    /// is on its way to the topics.
    pub(super) fn take_out(&mut self, withdrawn: impl FnOnce(Named) -> State, unannounced: State) {
        let published = self.task.as_ref().and_then(Task::publishing);
        let is_held = |held: &Held| self.held.as_deref().is_some_and(|it| ptr::eq(it, held));
        if published.is_some_and(|(_, held)| is_held(held)) {
            self.call_off("it counts no more");
        }
        let state = match (&self.announced, self.heartbeat.state()) {
            (Some(announced), _) => Some(withdrawn(announced.named)),
            (None, State::Loading) => Some(unannounced),
            // It was taken back in an orderly way, and is worse than that.
            (None, State::Withdrawn(named, Reason::Asked)) => Some(withdrawn(named)),
            (None, _) => None,
        };
        if let Some(state) = state {
            self.heartbeat.set(state);
        }
        self.let_go();
    }

    /// Nothing is published any more, and no memory kept for it.
    pub(super) fn let_go(&mut self) {
        self.stop_publishing();
        self.held = None;
        self.judge = Judge::default();
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
        let was_in_force = self.announced.is_some();
        self.withdraw();
        self.let_go();
        // The middleware must not be torn down under a publish that is still going on.
        if let Some(task) = self.task.take() {
            task.end();
        }
        self.await_recordings();
        if was_in_force {
            thread::sleep(FAREWELL);
        }
        self.logger.info("stopped");
    }
}
