//! How long a policy may be acted on without a word from the gate.

use std::time::{Duration, Instant};

use crate::Status;

/// The lease until the first heartbeat: five periods of the gate's 10 Hz.
pub const DEFAULT_LEASE: Duration = Duration::from_millis(500);

/// The longest lease that is granted, whatever a heartbeat says: a forged one must not let a robot
/// drive on when the gate is gone.
pub const MAX_LEASE: Duration = Duration::from_secs(5);

/// The heartbeat of one announcement.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lease {
    /// Sequence of the newest `READY`; older ones that come late or again do not count.
    newest: Option<u64>,
    word: Word,
}

/// The gate's last word.
#[derive(Clone, Copy, Debug, Default)]
enum Word {
    #[default]
    Unheard,
    Until(Instant),
    Stopped,
}

impl Lease {
    /// Lets a policy run that was just activated, until the first heartbeat is due.
    pub(crate) fn begin(&mut self, at: Instant) {
        if matches!(self.word, Word::Unheard) {
            self.word = until(at, DEFAULT_LEASE);
        }
    }

    /// Takes a `READY`; says whether it was news.
    pub(crate) fn renew(&mut self, status: &Status, at: Instant) -> bool {
        let news = Some(status.sequence) > self.newest;
        if news {
            self.newest = Some(status.sequence);
            self.word = until(at, status.lease);
        }
        news
    }

    /// Lengthens a lease that holds; one that ran out stays so.
    pub(crate) fn prolong(&mut self, lease: Duration, at: Instant) {
        if self.holds(at) {
            self.word = until(at, lease);
        }
    }

    /// The same policy answers to another session, which numbers its statuses anew.
    pub(crate) const fn follow_new_session(&mut self) {
        self.newest = None;
    }

    /// The gate took its word back: that counts whenever it comes.
    pub(crate) fn stop(&mut self, status: &Status) {
        self.newest = self.newest.max(Some(status.sequence));
        self.word = Word::Stopped;
    }

    pub(crate) fn holds(&self, at: Instant) -> bool {
        matches!(self.word, Word::Until(until) if at < until)
    }
}

fn until(at: Instant, lease: Duration) -> Word {
    match at.checked_add(lease.min(MAX_LEASE)) {
        Some(until) => Word::Until(until),
        None => Word::Stopped,
    }
}
