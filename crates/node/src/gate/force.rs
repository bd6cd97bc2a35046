//! What is in force: from its announcement until it is taken back.

use std::time::Instant;

use jiff::Timestamp;
use r2r::Publisher;
use r2r::tensorgate_msgs::msg::TensorFragment;
use tensorgate_handoff::Refusal;
use tensorgate_verify::Rejection;

use crate::gate::Gate;
use crate::gate::work::Work;
use crate::loading::Held;
use crate::status::{Named, Reason, State};

/// A policy that controllers may use.
pub(super) struct Announced {
    pub(super) named: Named,
    /// The history that serves those who come late.
    fragments: Publisher<TensorFragment>,
    /// When it stops to count.
    expires: Timestamp,
    pub(super) since: Instant,
}

impl Gate {
    /// Its predecessor goes once it is there.
    pub(super) fn announce(
        &mut self,
        held: Held,
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
            self.node.destroy_publisher(before.fragments);
        }
    }

    /// Answers controllers who pull.
    pub(super) fn serve_pulls(&mut self) {
        let announced = self.announced.as_ref().zip(self.held.as_ref());
        let announced = announced.map(|(it, held)| (it.named.epoch, &*held.announcement));
        let published = self.work.as_ref().and_then(Work::published);
        self.pulls.step(self.session_id, &[announced, published]);
    }

    /// The bytes would change soon, and nobody may read them then. What is still being loaded fails
    /// by itself.
    pub(super) fn lose(&mut self, why: &str) {
        self.logger.error(&format!("withdrawn: {why}"));
        match &self.announced {
            Some(announced) => {
                let lost = State::Withdrawn(announced.named, Reason::CouldNotCheck);
                self.heartbeat.set(lost);
            }
            None if matches!(self.work, Some(Work::Publishing(_))) => {
                self.heartbeat.set(State::Failed);
            }
            None => return,
        }
        self.let_go();
    }

    /// What was genuine when it was announced is not for ever.
    pub(super) fn judge_again(&mut self) {
        let now = Timestamp::now();
        if let Some(announced) = self.announced.as_ref().filter(|it| it.expires <= now) {
            let line = format!("withdrawn: manifest-expired: at {}", announced.expires);
            let reason = Reason::Rejected(Rejection::ManifestExpired);
            let state = State::Withdrawn(announced.named, reason);
            self.logger.error(&line);
            self.heartbeat.set(state);
            self.let_go();
        }
    }

    /// Nothing is published any more, and no memory kept for it.
    pub(super) fn let_go(&mut self) {
        if let Some(server) = self.shared.server() {
            server.withdraw(Refusal::NothingOffered);
        }
        self.held = None;
        if let Some(announced) = self.announced.take() {
            self.node.destroy_publisher(announced.fragments);
        }
        if let Some(work) = &self.work {
            work.cancel();
        }
    }

    /// Tells the controllers to stop using the policy, then lets go of it.
    pub(super) fn stop(mut self) {
        if let Some(announced) = &self.announced {
            let state = State::Withdrawn(announced.named, Reason::Asked);
            self.heartbeat.set(state);
        }
        self.let_go();
        // The middleware must not be torn down under a publish that is still going on.
        if let Some(Work::Publishing(publishing)) = self.work.take() {
            publishing.end();
        }
        self.logger.info("stopped");
    }
}
