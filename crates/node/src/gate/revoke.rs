//! Revoking: out of force at once, then on the disk, for good.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use tensorgate_verify::Rejection;

use crate::gate::Gate;
use crate::gate::task::Task;
use crate::load::LoadError;
use crate::places;
use crate::requests::{Answer, Revoke, Verdict};
use crate::status::{Named, State};

/// Characters of a reason that are logged: anybody may send one of any length.
const SAID: usize = 256;

/// A revocation on its way to the disk.
pub(super) struct Recording {
    request: Revoke,
    outcome: Receiver<Result<(), LoadError>>,
}

impl Gate {
    pub(super) fn hear_revokes(&mut self) {
        self.answer_recorded();
        let Some(request) = self.requests.revoke() else {
            return;
        };
        match self.in_force(request.message.epoch) {
            Some(named) => self.revoke(request, named),
            None => {
                let answer = Answer::new(Verdict::Rejected(None), "no such policy is in force");
                let epoch = self.epoch_in_force();
                self.requests.answer_revoke(request, &answer, epoch);
            }
        }
    }

    /// What a caller means; 0 = whichever it is. What is on its way to the topics counts, too.
    fn in_force(&self, epoch: u64) -> Option<Named> {
        let announced = self.announced.as_ref().map(|it| it.named);
        let published = self.task.as_ref().and_then(Task::publishing);
        let published = published.map(|(named, _)| named);
        let mut candidates = announced.into_iter().chain(published);
        candidates.find(|named| epoch == 0 || named.epoch == epoch)
    }

    fn revoke(&mut self, request: Revoke, named: Named) {
        let rejection = Rejection::ManifestRevoked;
        self.revoked.insert(named.manifest);
        self.heartbeat.set(State::Revoked(named, rejection));
        self.call_off("revoked meanwhile");
        self.let_go();
        let reason = &request.message.reason;
        let said: String = reason.chars().take(SAID).collect();
        let line = format!("revoked: {}: {said}", named.manifest);
        self.logger.error(&line);
        let (sender, outcome) = channel();
        let settings = self.parameters.settings();
        let (manifest, reason) = (named.manifest, reason.clone());
        thread::spawn(move || {
            let settings = settings.map_err(LoadError::could_not);
            let outcome =
                settings.and_then(|settings| places::revoke(&settings, &manifest, &reason));
            // The gate is gone only when the node stops; then nobody wants to know.
            drop(sender.send(outcome));
        });
        self.recordings.push(Recording { request, outcome });
    }

    /// Answered once it is on the disk, or known not to come there.
    fn answer_recorded(&mut self) {
        for recording in std::mem::take(&mut self.recordings) {
            let answer = match recording.outcome.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.recordings.push(recording);
                    continue;
                }
                Ok(Ok(())) => Answer::new(Verdict::Ok, "revoked, for good"),
                Ok(Err(error)) => not_recorded(&error.message),
                Err(TryRecvError::Disconnected) => {
                    not_recorded("the recorder ended without a word")
                }
            };
            if answer.verdict != Verdict::Ok {
                self.logger.error(&answer.message);
            }
            let epoch = self.epoch_in_force();
            self.requests
                .answer_revoke(recording.request, &answer, epoch);
        }
    }
}

fn not_recorded(why: &str) -> Answer {
    let message = format!("out of force, but not recorded for the next start: {why}");
    Answer::new(Verdict::Failed, message)
}
