//! Revoking: out of force at once, then on the disk, for good.

use std::time::Duration;

use tensorgate_verify::{Rejection, Sha256};

use crate::background::Background;
use crate::gate::Gate;
use crate::gate::task::Task;
use crate::load::LoadError;
use crate::places;
use crate::requests::{Answer, Revoke, Verdict};
use crate::status::{Named, State};

/// Characters of a reason that are logged: anybody may send one of any length.
const SAID: usize = 256;
/// Epochs that can be revoked by their number.
const REMEMBERED: usize = 1024;
/// How long the end of the node waits for the disk: launch kills after 5 s.
const LAST_WORDS: Duration = Duration::from_secs(4);

/// A revocation on its way to the disk.
pub(super) struct Recording {
    request: Revoke,
    outcome: Background<()>,
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
                self.answer_revoke(request, &answer);
            }
        }
    }

    /// What a caller means; 0 = whichever it is. What is on its way to the topics counts, too, and
    /// what is held, ready to be announced. An epoch stands for its manifest: anybody may have had that
    /// announced again meanwhile.
    fn in_force(&self, epoch: u64) -> Option<Named> {
        let announced = self.announced.as_ref().map(|it| it.named);
        let published = self.task.as_ref().and_then(Task::publishing);
        let published = published.map(|(named, _)| named);
        let held = self.held.as_ref().map(|held| Named {
            manifest: held.announcement.policy().evidence().manifest,
            epoch: 0,
        });
        let meant = self.epochs.get(&epoch);
        let mut candidates = announced.into_iter().chain(published).chain(held);
        candidates.find(|named| epoch == 0 || meant == Some(&named.manifest))
    }

    /// What the newest epoch is.
    pub(super) fn remember(&mut self, manifest: Sha256) {
        self.epochs.insert(self.epoch, manifest);
        if self.epochs.len() > REMEMBERED {
            self.epochs.pop_first();
        }
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
        let (manifest, reason) = (named.manifest, reason.clone());
        match self.record(manifest, &reason) {
            Ok(outcome) => self.recordings.push(Recording { request, outcome }),
            Err(error) => {
                let answer = not_recorded(&error.message);
                self.answer_revoke(request, &answer);
            }
        }
    }

    /// Where there is no thread to be had the loop waits for the disk: a robot that stopped already
    /// can wait, and the word must outlast it.
    fn record(&self, manifest: Sha256, reason: &str) -> Result<Background<()>, LoadError> {
        let settings = self.parameters.settings();
        let settings = settings.map_err(LoadError::could_not)?;
        let (theirs, said) = (settings.clone(), reason.to_owned());
        let record = move || places::revoke(&theirs, &manifest, &said);
        Background::start("revoke", record).or_else(|_| {
            places::revoke(&settings, &manifest, reason)?;
            Ok(Background::done(()))
        })
    }

    /// Answered once it is on the disk, or known not to come there.
    fn answer_recorded(&mut self) {
        for recording in std::mem::take(&mut self.recordings) {
            match recording.outcome.poll() {
                None => self.recordings.push(recording),
                Some(outcome) => self.tell_recorded(recording.request, outcome),
            }
        }
    }

    /// Before the node ends: what is out of force must be so after the next start, too.
    pub(super) fn await_recordings(&mut self) {
        for recording in std::mem::take(&mut self.recordings) {
            let outcome = recording.outcome.wait(LAST_WORDS);
            self.tell_recorded(recording.request, outcome);
        }
    }

    fn tell_recorded(&mut self, request: Revoke, outcome: Result<(), LoadError>) {
        let answer = match outcome {
            Ok(()) => Answer::new(Verdict::Ok, "revoked, for good"),
            Err(error) => not_recorded(&error.message),
        };
        self.answer_revoke(request, &answer);
    }

    fn answer_revoke(&mut self, request: Revoke, answer: &Answer) {
        if answer.verdict == Verdict::Failed {
            self.logger.error(&answer.message);
        }
        let epoch = self.epoch_in_force();
        self.requests.answer_revoke(request, answer, epoch);
    }
}

fn not_recorded(why: &str) -> Answer {
    let message = format!("out of force, but not recorded for the next start: {why}");
    Answer::new(Verdict::Failed, message)
}
