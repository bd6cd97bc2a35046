//! The life cycle: configure = fetch and verify, activate = announce, deactivate = withdraw,
//! cleanup = let go.

use crate::gate::Gate;
use crate::gate::ask::Asker;
use crate::gate::channel::Following;
use crate::lifecycle::{ACTIVATE, CONFIGURE, Outcome, State as Life, Transition};
use crate::load::Wanted;
use crate::requests::{Answer, Verdict};
use crate::status::State;

impl Gate {
    /// Where `autostart` says so, the node asks itself what another would be asked by its launch
    /// file.
    pub(super) fn begin(&mut self) {
        if self.parameters.params().autostart {
            self.configure(Asker::Nobody, None, true);
        }
    }

    pub(super) fn hear_changes(&mut self) {
        self.transitions.step(&self.life);
        let Some(request) = self.transitions.asked() else {
            return;
        };
        let asked = &request.message.transition;
        match self.life.find(asked.id, &asked.label) {
            Some(transition) => self.change(transition, Asker::Change(request)),
            None => self.transitions.answer(request, false),
        }
    }

    fn change(&mut self, transition: Transition, asker: Asker) {
        match transition.goal {
            Life::Configuring | Life::Activating if self.task.is_some() => {
                let answer = Answer::new(Verdict::Busy, "another load is under way");
                self.answer(asker, &answer);
            }
            Life::Configuring => self.configure(asker, None, false),
            Life::Activating => self.activate(asker),
            _ => {
                self.start(transition);
                self.call_off(transition.label);
                self.retire(transition.goal);
                self.end(Outcome::Success);
                self.answer(asker, &Answer::new(Verdict::Ok, transition.label));
            }
        }
    }

    /// What is done while deactivating, cleaning up and shutting down; none of it can fail.
    fn retire(&mut self, during: Life) {
        self.withdraw();
        if during != Life::Deactivating {
            self.following = Following::default();
            self.let_go();
        }
        if during == Life::CleaningUp && !matches!(self.heartbeat.state(), State::Revoked(..)) {
            self.heartbeat.set(State::NoPolicy);
        }
    }

    pub(super) fn configure(&mut self, asker: Asker, wanted: Option<Wanted>, activate: bool) {
        self.start_by(CONFIGURE);
        self.heartbeat.set(State::Loading);
        self.load(asker, wanted, activate);
    }

    pub(super) fn activate(&mut self, asker: Asker) {
        self.start_by(ACTIVATE);
        match self.held.clone() {
            Some(held) => self.publish(held, asker),
            None => {
                self.end(Outcome::Failure);
                let message = "no policy is held any more; hint: load one";
                self.logger.error(message);
                self.answer(asker, &Answer::new(Verdict::Failed, message));
            }
        }
    }

    fn start_by(&mut self, label: &str) {
        if let Some(transition) = self.life.find(0, label) {
            self.start(transition);
        }
    }

    fn start(&mut self, transition: Transition) {
        self.life.begin(transition);
        self.transitions.tell(transition);
    }

    /// Ends the transition that the node is in, if it is in one.
    pub(super) fn end(&mut self, outcome: Outcome) {
        let Some(transition) = self.life.end(outcome) else {
            return;
        };
        self.transitions.tell(transition);
        self.logger.info(&format!(
            "{} → {}",
            transition.start.label(),
            transition.goal.label()
        ));
        if transition.goal == Life::ErrorProcessing {
            self.retire(transition.goal);
            self.heartbeat.set(State::Failed);
            self.end(Outcome::Success);
        }
    }
}
