//! How long a policy may be acted on without a word from the gate.
//!
//! Heartbeats are not signed. Whoever can publish on the gate's topics can forge every field of
//! them, so what a forged one can do is this, and no more:
//!
//! - It can stop a policy, for as long as the forger likes.
//! - It can keep a *verified* policy running when the gate is gone, silent or overtaken: a lease
//!   notices a gate that died, not one that was replaced. Where that matters, the topics need an
//!   authenticated transport, such as SROS 2.
//! - It cannot bring in other weights, undo a revocation, nor wake a policy under the announcement
//!   that was withdrawn; announcing it again, which a replay does as well, is what it takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tensorgate_verify::Sha256;

use crate::{Session, Status};

/// The longest lease that is granted, whatever a heartbeat says: a single one must not let a robot
/// drive on for long when the gate is gone.
pub const MAX_LEASE: Duration = Duration::from_secs(5);

/// What the gate says of one manifest, under its latest announcement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    manifest: Sha256,
    session: Session,
    epoch: u64,
    /// Sequence of the newest status; `READY`s that come late or again do not count.
    newest: Option<u64>,
    word: Word,
    /// When a gate last said of this manifest, by its name, that it is not to be used.
    stopped: Option<Instant>,
}

/// How long such a word outlasts every `READY`: a gate repeats it ten times a second, so whoever has
/// the manifest announced again, as a replay does, wakes nothing while the gate speaks.
const OBEYED: Duration = Duration::from_secs(1);

/// Such words about manifests that are not in hand: who announces one a moment later wakes nothing
/// either. They are not signed: the bound stops memory exhaustion, and the gate repeats the genuine
/// ones.
#[derive(Debug)]
pub(crate) struct Stops(VecDeque<([u8; 32], Instant)>);

const MAX_STOPS: usize = 64;

/// The gate's last word.
#[derive(Clone, Copy, Debug)]
enum Word {
    Unheard,
    Until(Instant),
    /// Something else than `READY`, which the next `READY` ends.
    Lapsed,
    /// Ends with the announcement.
    Withdrawn,
}

impl Lease {
    pub(crate) const fn new(manifest: Sha256, session: Session, epoch: u64) -> Self {
        Self {
            manifest,
            session,
            epoch,
            newest: None,
            word: Word::Unheard,
            stopped: None,
        }
    }

    pub(crate) const fn manifest(&self) -> Sha256 {
        self.manifest
    }

    pub(crate) const fn announcement(&self) -> (Session, u64) {
        (self.session, self.epoch)
    }

    /// The same manifest was announced again; it answers to `other` from now on.
    pub(crate) fn follow(&mut self, other: &Self) {
        if self.announcement() == other.announcement() {
            return;
        }
        let word = match self.word {
            Word::Withdrawn => Word::Lapsed,
            word => word,
        };
        let stopped = self.stopped.max(other.stopped);
        *self = Self {
            word,
            stopped,
            ..*other
        };
    }

    /// Heeds what a gate said before the manifest was in hand.
    pub(crate) fn heed(&mut self, stops: &Stops, at: Instant) {
        self.stopped = self.stopped.max(stops.heard(self.manifest));
        if self.is_unheard() && self.is_stopped(at) {
            self.word = Word::Lapsed;
        }
    }

    /// Takes over what is left of the lease of the policy in whose place this one comes, where the
    /// gate has not said anything of it yet: the robot drives on.
    pub(crate) const fn succeed(&mut self, running: &Self) {
        if let (Word::Unheard, Word::Until(_)) = (self.word, running.word) {
            self.word = running.word;
        }
    }

    /// Takes a `READY`; says whether it was news.
    pub(crate) fn renew(&mut self, status: &Status, at: Instant) -> bool {
        let news = self.is_meant_by(status)
            && self.announcement() == (status.session, status.epoch)
            && Some(status.sequence) > self.newest
            && !matches!(self.word, Word::Withdrawn)
            && !self.is_stopped(at);
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

    /// Takes anything but a `READY`, however late it comes. What names the manifest counts from
    /// whatever session: only the manifest is signed. The gate's word on something else, such as
    /// that it is still loading, stops the policy until the gate stands by it again; so does its
    /// word on an earlier announcement, which can arrive behind the next one: topics have no order.
    pub(crate) fn stop(&mut self, status: &Status, at: Instant) {
        let is_meant = self.is_meant_by(status);
        if is_meant {
            self.stopped = Some(at);
        }
        let is_ours = self.session == status.session;
        if is_ours {
            self.newest = self.newest.max(Some(status.sequence));
        }
        let is_late = is_ours && status.epoch < self.epoch;
        let withdraws = self.announcement() == (status.session, status.epoch);
        self.word = match self.word {
            Word::Withdrawn => Word::Withdrawn,
            _ if withdraws || (is_meant && !is_late) => Word::Withdrawn,
            _ if is_ours => Word::Lapsed,
            word => word,
        };
    }

    pub(crate) fn holds(&self, at: Instant) -> bool {
        matches!(self.word, Word::Until(until) if at < until)
    }

    /// Whether the gate has not said anything of it yet.
    pub(crate) const fn is_unheard(&self) -> bool {
        matches!(self.word, Word::Unheard)
    }

    fn is_stopped(&self, at: Instant) -> bool {
        self.stopped.is_some_and(|stopped| is_obeyed(stopped, at))
    }

    fn is_meant_by(&self, status: &Status) -> bool {
        *self.manifest.as_bytes() == status.manifest_digest
    }
}

impl Stops {
    pub(crate) const fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(crate) fn hear(&mut self, manifest: [u8; 32], at: Instant) {
        let counts =
            |(named, stopped): &([u8; 32], Instant)| *named != manifest && is_obeyed(*stopped, at);
        self.0.retain(counts);
        if self.0.len() >= MAX_STOPS {
            self.0.pop_front();
        }
        self.0.push_back((manifest, at));
    }

    fn heard(&self, manifest: Sha256) -> Option<Instant> {
        let mut stops = self.0.iter();
        let stop = stops.find(|(named, _)| named == manifest.as_bytes());
        stop.map(|(_, stopped)| *stopped)
    }
}

fn is_obeyed(stopped: Instant, at: Instant) -> bool {
    at.saturating_duration_since(stopped) < OBEYED
}

fn until(at: Instant, lease: Duration) -> Word {
    match at.checked_add(lease.min(MAX_LEASE)) {
        Some(until) => Word::Until(until),
        None => Word::Lapsed,
    }
}
