//! What was genuine when it was announced is not for ever.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tensorgate_verify::Rejection;

use crate::gate::Gate;
use crate::load::LoadError;
use crate::loading::Held;
use crate::recheck;
use crate::status::{Named, Reason, State};

/// Between two looks at what may revoke a policy: the files are others' to change.
const PERIOD: Duration = Duration::from_secs(1);

/// Judges what is held again, on a thread of its own: the disk may be slow.
#[derive(Default)]
pub(super) struct Judge {
    last: Option<Instant>,
    verdict: Option<(Arc<Held>, Receiver<Result<(), LoadError>>)>,
    /// Why it could not be said last time.
    doubt: Option<String>,
}

impl Gate {
    pub(super) fn judge_again(&mut self) {
        let expires = self.announced.as_ref().map(|it| it.expires);
        if let Some(expires) = expires.filter(|expires| *expires <= Timestamp::now()) {
            let message = format!("manifest-expired: at {expires}");
            self.disown(Rejection::ManifestExpired, &message);
        }
        self.hear_verdict();
        self.ask_for_verdict(Instant::now());
    }

    fn ask_for_verdict(&mut self, now: Instant) {
        let soon = |last: Instant| now.saturating_duration_since(last) < PERIOD;
        if self.judge.last.is_some_and(soon) || self.judge.verdict.is_some() {
            return;
        }
        let (Some(held), Ok(settings)) = (&self.held, self.parameters.params().settings()) else {
            return;
        };
        let (sender, verdict) = channel();
        let (held, judged) = (Arc::clone(held), Arc::clone(held));
        thread::spawn(move || {
            let evidence = held.announcement.policy().evidence();
            // The gate is gone only when the node stops; then nobody wants to know.
            drop(sender.send(recheck::judge(&settings, evidence)));
        });
        self.judge.last = Some(now);
        self.judge.verdict = Some((judged, verdict));
    }

    fn hear_verdict(&mut self) {
        let Some((judged, verdict)) = self.judge.verdict.take() else {
            return;
        };
        let Ok(outcome) = verdict.try_recv() else {
            self.judge.verdict = Some((judged, verdict));
            return;
        };
        let current = self
            .held
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, &judged));
        match outcome {
            _ if !current => {}
            Ok(()) => self.judge.doubt = None,
            Err(error) => match error.rejection {
                Some(rejection) => self.disown(rejection, &error.message),
                None => self.doubt(error.message),
            },
        }
    }

    /// A policy that was proven does not stop to count because a disk is gone; that nobody could say
    /// is said.
    fn doubt(&mut self, message: String) {
        if self.judge.doubt.as_ref() != Some(&message) {
            let line = format!("whether the policy still counts could not be checked: {message}");
            self.logger.warn(&line);
            self.judge.doubt = Some(message);
        }
    }

    fn disown(&mut self, rejection: Rejection, message: &str) {
        self.logger.error(&format!("withdrawn: {message}"));
        if let Some(announced) = &self.announced {
            self.heartbeat.set(taken_back(announced.named, rejection));
        }
        self.let_go();
    }
}

const fn taken_back(named: Named, rejection: Rejection) -> State {
    match rejection {
        Rejection::ManifestRevoked
        | Rejection::RevisionRevoked
        | Rejection::DigestRevoked
        | Rejection::KeyRevoked => State::Revoked(named, rejection),
        _ => State::Withdrawn(named, Reason::Rejected(rejection)),
    }
}
