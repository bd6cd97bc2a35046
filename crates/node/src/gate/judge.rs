//! What was genuine when it was announced is not for ever.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tensorgate_verify::{Manifest, Rejection, Verified};

use crate::background::Background;
use crate::gate::Gate;
use crate::loading::Held;
use crate::recheck::{self, Accepted};
use crate::status::{Named, Reason, State, is_revocation};

/// Between two looks at what may revoke a policy: the files are others' to change.
const PERIOD: Duration = Duration::from_secs(1);
/// For how long a policy stays in force of which nobody can say whether it still counts: enough to
/// write a trust policy anew, or to mount a disk again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Judges what is held again, on a thread of its own: the disk may be slow.
#[derive(Default)]
pub(super) struct Judge {
    last: Option<Instant>,
    /// As it was judged the last time.
    judged: Option<Verified<Manifest>>,
    pending: Option<Pending>,
    /// Since when it could not be said, and why the last time.
    doubt: Option<(Instant, String)>,
}

/// A verdict under way. It keeps no policy that was let go of meanwhile.
struct Pending {
    judged: Weak<Held>,
    verdict: Background<Verified<Manifest>>,
}

impl Gate {
    pub(super) fn judge_again(&mut self) {
        let held = self.held.as_ref();
        let expires = held.map(|held| held.announcement.policy().evidence().until);
        if let Some(expires) = expires.filter(|expires| *expires <= Timestamp::now()) {
            let message = format!("manifest-expired: at {expires}");
            self.disown(Rejection::ManifestExpired, &message);
        }
        self.hear_verdict();
        self.ask_for_verdict(Instant::now());
    }

    fn ask_for_verdict(&mut self, now: Instant) {
        let soon = |last: Instant| now.saturating_duration_since(last) < PERIOD;
        if self.judge.last.is_some_and(soon) || self.judge.pending.is_some() {
            return;
        }
        let Some(held) = &self.held else { return };
        let settings = match self.parameters.settings() {
            Ok(settings) => settings,
            Err(message) => return self.doubt(message),
        };
        let evidence = || held.announcement.policy().evidence().clone();
        let accepted = self.judge.judged.take();
        let accepted = accepted.map_or_else(|| Accepted::Announced(evidence()), Accepted::Judged);
        let judged = Arc::downgrade(held);
        self.judge.last = Some(now);
        match Background::start("judge", move || recheck::judge(&settings, accepted)) {
            Ok(verdict) => self.judge.pending = Some(Pending { judged, verdict }),
            Err(error) => self.doubt(format!("no thread to judge with: {error}")),
        }
    }

    fn hear_verdict(&mut self) {
        let Some(pending) = self.judge.pending.take() else {
            return;
        };
        let Some(outcome) = pending.verdict.poll() else {
            // Whoever judges what was let go of is not waited for.
            if pending.judged.strong_count() > 0 {
                self.judge.pending = Some(pending);
                self.wait_no_longer();
            }
            return;
        };
        let current = pending.judged.upgrade().zip(self.held.as_ref());
        let current = current.is_some_and(|(judged, held)| Arc::ptr_eq(&judged, held));
        match outcome {
            _ if !current => {}
            Ok(manifest) => {
                self.judge.judged = Some(manifest);
                self.judge.doubt = None;
            }
            Err(error) => match error.rejection {
                Some(rejection) => self.disown(rejection, &error.message),
                None => self.doubt(error.message),
            },
        }
    }

    /// A disk that hangs says nothing, and that is no word for the policy.
    fn wait_no_longer(&mut self) {
        let asked = self.judge.last.filter(|asked| asked.elapsed() >= PATIENCE);
        if let Some(asked) = asked {
            let message = "the disk does not answer";
            self.judge.doubt = Some((asked, message.to_owned()));
            self.doubt(message.to_owned());
        }
    }

    /// For a moment that is said, and no more: a file that somebody writes is not whole at a glimpse.
    /// Then the policy is withdrawn: whoever can keep the gate from reading what was revoked could
    /// keep a revoked policy in force.
    fn doubt(&mut self, message: String) {
        let (since, said) = match self.judge.doubt.take() {
            Some((since, said)) => (since, said == message),
            None => (Instant::now(), false),
        };
        if !said {
            let line = format!("whether the policy still counts could not be checked: {message}");
            self.logger.warn(&line);
        }
        if since.elapsed() < PATIENCE {
            self.judge.doubt = Some((since, message));
            return;
        }
        let whole = PATIENCE.as_secs();
        self.logger.error(&format!(
            "withdrawn: not for {whole} s could it be checked: {message}"
        ));
        self.take_out(
            |named| State::Withdrawn(named, Reason::CouldNotCheck),
            State::Failed,
        );
    }

    fn disown(&mut self, rejection: Rejection, message: &str) {
        self.logger.error(&format!("withdrawn: {message}"));
        self.take_out(
            |named| taken_back(named, rejection),
            State::Rejected(rejection),
        );
    }
}

const fn taken_back(named: Named, rejection: Rejection) -> State {
    match is_revocation(rejection) || matches!(rejection, Rejection::KeyRevoked) {
        true => State::Revoked(named, rejection),
        false => State::Withdrawn(named, Reason::Rejected(rejection)),
    }
}
