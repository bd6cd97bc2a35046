//! Who asked, and what they are answered.

use std::time::Instant;

use crate::action::Goal;
use crate::gate::Gate;
use crate::lifecycle::State as Life;
use crate::load::{LoadError, Wanted};
use crate::requests::{Answer, Load, Reload, Verdict, wanted};
use crate::transitions::Change;

/// Who wants to know how something ends.
pub(super) enum Asker {
    /// The node itself.
    Nobody,
    Change(Change),
    Load(Load),
    Reload(Reload),
    /// The goal of the action that runs.
    Goal,
}

/// A request to load that was not begun yet.
enum Request {
    Load(Load),
    Reload(Reload),
    Goal(Goal),
}

impl Gate {
    pub(super) fn hear_loads(&mut self) {
        if self.action.step() {
            self.cancel();
        }
        if let Some(request) = self.requests.load() {
            let it = &request.message;
            let wanted = wanted(&it.policy, &it.repo_id, &it.revision);
            self.consider(Request::Load(request), wanted.map(Some));
        }
        if let Some(request) = self.requests.reload() {
            self.consider(Request::Reload(request), Ok(None));
        }
        if let Some((goal, it)) = self.action.accept() {
            let wanted = wanted(&it.policy, &it.repo_id, &it.revision);
            self.consider(Request::Goal(goal), wanted.map(Some));
        }
    }

    /// One at a time, and each where it may be.
    fn consider(&mut self, request: Request, wanted: Result<Option<Wanted>, LoadError>) {
        let refusal = match (&wanted, self.life.state()) {
            _ if self.task.is_some() => Answer::new(Verdict::Busy, "another load is under way"),
            (_, Life::Finalized) => Answer::new(Verdict::Failed, "the node was shut down"),
            (Err(error), _) => Answer::from(error),
            (Ok(_), state) if state.is_transition() => {
                Answer::new(Verdict::Busy, format!("the node is {}", state.label()))
            }
            (Ok(wanted), state) => return self.pursue(request, wanted.clone(), state),
        };
        if let Err(error) = &wanted {
            self.note_rejection(error);
        }
        self.turn_down(request, &refusal);
    }

    fn pursue(&mut self, request: Request, wanted: Option<Wanted>, state: Life) {
        let asker = match request {
            Request::Load(request) => Asker::Load(request),
            Request::Reload(request) => Asker::Reload(request),
            Request::Goal(goal) => {
                self.action.begin(goal);
                Asker::Goal
            }
        };
        match state {
            Life::Unconfigured => {
                let activate = self.parameters.params().autostart;
                self.configure(asker, wanted, activate);
            }
            _ => self.load(asker, wanted, false),
        }
    }

    fn turn_down(&mut self, request: Request, answer: &Answer) {
        let epoch = self.epoch_in_force();
        match request {
            Request::Load(request) => self.requests.answer_load(request, answer, epoch),
            Request::Reload(request) => self.requests.answer_reload(request, answer),
            Request::Goal(goal) => self.action.end(goal, answer, epoch),
        }
    }

    pub(super) fn answer(&mut self, asker: Asker, answer: &Answer) {
        let epoch = self.epoch_in_force();
        match asker {
            Asker::Nobody => {}
            Asker::Change(request) => {
                let success = answer.verdict == Verdict::Ok;
                self.transitions.answer(request, success);
            }
            Asker::Load(request) => self.requests.answer_load(request, answer, epoch),
            Asker::Reload(request) => self.requests.answer_reload(request, answer),
            Asker::Goal => self.action.end_running(answer, epoch),
        }
    }

    /// For those who ask `/diagnostics` later.
    pub(super) fn note_rejection(&mut self, error: &LoadError) {
        if error.rejection.is_some() {
            self.last_rejection = Some((Instant::now(), error.message.clone()));
        }
    }

    /// 0 = none.
    pub(super) fn epoch_in_force(&self) -> u64 {
        self.announced.as_ref().map_or(0, |it| it.named.epoch)
    }
}
