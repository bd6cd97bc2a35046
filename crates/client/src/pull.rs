//! What to ask `~/get_fragments` for, and when.
//!
//! Whatever the answers are, they prove themselves as the topic's fragments do. So nothing here
//! believes a result code: an answer either brought fragments that were missing, or it did not.

use std::time::{Duration, Instant};

use crate::Session;

/// How long a transfer may bring nothing before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Until the first fragment: half the late joiners wait some 3 s for their first sample (discovery).
const FIRST_FRAGMENT: Duration = Duration::from_secs(10);
/// Between two fragments; what is latched comes without a pause.
const GAP: Duration = Duration::from_secs(2);
/// Bytes a second that keep a transfer alive: one that trickles is given up as well.
const MIN_RATE: u64 = 10 << 10;
/// What the first batch has, and the largest: as much as a gate answers with.
const FIRST_BATCH: u64 = 1 << 20;
const LARGEST_BATCH: u64 = 4 << 20;
/// Batches outstanding at a time, for as long as answers bring something: while what one brought is
/// proven here, the gate copies the next.
const OUTSTANDING: usize = 2;
/// An answer can get lost (a server that has not found its client yet drops it); on a slow link it
/// takes its time.
const TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// After an answer that brought nothing: busy, failed, or hostile.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One batch to ask the gate's `~/get_fragments` for: the fields of its request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a request: whoever keeps it in a form of his own gives back every field"
)]
pub struct Pull {
    /// The gate's run.
    pub session: Session,
    /// The announcement.
    pub epoch: u64,
    /// The first fragment wanted.
    pub first: u32,
    /// And how many.
    pub count: u32,
    /// Tells an answer that comes late from the one that is awaited; it is not sent. Of one receiver,
    /// each has a larger one than those before it.
    pub number: u64,
}

/// The pace of one transfer.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When the gap that is being waited for ends.
    patient_until: Instant,
    overdue: Instant,
    /// From the first batch on, the next follows at once.
    is_pulling: bool,
    /// What was asked for and not answered, in this order.
    awaited: Vec<Awaited>,
    not_before: Instant,
    /// Whether the last batch brought anything; before the first, that is not known.
    is_flowing: bool,
    /// Batches in a row that brought nothing.
    misses: u32,
    /// Bytes of the next one.
    batch: u64,
}

#[derive(Debug)]
struct Awaited {
    pull: Pull,
    until: Instant,
    /// Whether any of it arrived.
    brought: bool,
}

impl Pull {
    fn asks_for(&self, index: u32) -> bool {
        let place = index.checked_sub(self.first);
        place.is_some_and(|place| place < self.count)
    }
}

impl Pace {
    pub(crate) fn new(is_pulled: bool, at: Instant) -> Self {
        Self {
            patient_until: after(at, FIRST_FRAGMENT),
            overdue: after(at, PATIENCE),
            is_pulling: is_pulled,
            awaited: Vec::new(),
            not_before: at,
            is_flowing: false,
            misses: 0,
            batch: FIRST_BATCH,
        }
    }

    /// The gate says that nothing comes by itself.
    pub(crate) const fn pull(&mut self) {
        self.is_pulling = true;
    }

    /// A fragment of `len` bytes that was missing arrived.
    pub(crate) fn advance(&mut self, index: u32, len: usize, at: Instant) {
        for batch in &mut self.awaited {
            batch.brought |= batch.pull.asks_for(index);
        }
        self.patient_until = after(at, GAP);
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let earned = Duration::from_millis(len.saturating_mul(1000) / MIN_RATE);
        self.overdue = after(self.overdue, earned).min(after(at, PATIENCE));
    }

    /// All arrived: what is left is to prove it.
    pub(crate) fn complete(&mut self, at: Instant) {
        self.overdue = after(at, PATIENCE);
        self.awaited.clear();
    }

    pub(crate) fn is_overdue(&self, at: Instant) -> bool {
        at >= self.overdue
    }

    /// Whether that fragment is on its way, as far as is known.
    pub(crate) fn awaits(&self, index: usize) -> bool {
        let asked = |index| self.awaited.iter().any(|batch| batch.pull.asks_for(index));
        u32::try_from(index).is_ok_and(asked)
    }

    /// How many fragments of `size` bytes to ask for now, if any.
    pub(crate) fn due(&mut self, size: u32, at: Instant) -> Option<u32> {
        self.give_up_lost(at);
        let outstanding = if self.is_flowing { OUTSTANDING } else { 1 };
        if self.awaited.len() >= outstanding
            || at < self.not_before
            || (!self.is_pulling && at < self.patient_until)
        {
            return None;
        }
        let fragments = self.batch / u64::from(size.max(1));
        Some(u32::try_from(fragments.max(1)).unwrap_or(u32::MAX))
    }

    /// What is lost together is one loss.
    fn give_up_lost(&mut self, at: Instant) {
        let is_lost = |batch: &mut Awaited| at >= batch.until;
        let lost: Vec<_> = self.awaited.extract_if(.., is_lost).collect();
        if !lost.is_empty() {
            self.batch /= 2;
            self.learn(lost.iter().any(|batch| batch.brought));
        }
    }

    /// Asks for `count` fragments from `first` on, under the number after `last`.
    pub(crate) fn ask(
        &mut self,
        (session, epoch): (Session, u64),
        (first, count): (u32, u32),
        last: &mut u64,
        at: Instant,
    ) -> Pull {
        self.is_pulling = true;
        *last = last.wrapping_add(1);
        let pull = Pull {
            session,
            epoch,
            first,
            count,
            number: *last,
        };
        self.awaited.push(Awaited {
            pull,
            until: self.timeout(at),
            brought: false,
        });
        pull
    }

    /// The answer to `pull` was taken in, whatever it was.
    pub(crate) fn answered(&mut self, pull: &Pull, at: Instant) {
        let Some(place) = self.awaited.iter().position(|batch| batch.pull == *pull) else {
            return;
        };
        let batch = self.awaited.remove(place);
        if self.learn(batch.brought) {
            self.batch = self.batch.max(1 << 10).saturating_mul(2).min(LARGEST_BATCH);
        } else {
            let pause = doubled(PAUSE, self.misses.saturating_sub(1));
            self.not_before = after(at, pause.min(LONGEST_PAUSE));
        }
        // What was asked for behind it had to wait for it.
        let until = self.timeout(at);
        for later in self.awaited.iter_mut().skip(place) {
            later.until = later.until.max(until);
        }
    }

    /// When a batch counts as lost that is asked for, or has its turn, now.
    fn timeout(&self, at: Instant) -> Instant {
        after(at, doubled(TIMEOUT, self.misses).min(LONGEST_TIMEOUT))
    }

    /// Whether a batch brought anything.
    const fn learn(&mut self, brought: bool) -> bool {
        self.is_flowing = brought;
        self.misses = if brought {
            0
        } else {
            self.misses.saturating_add(1)
        };
        brought
    }
}

fn doubled(time: Duration, times: u32) -> Duration {
    time.saturating_mul(1 << times.min(10))
}

/// An instant that the clock cannot tell is as good as now: it waits for nothing.
fn after(at: Instant, time: Duration) -> Instant {
    at.checked_add(time).unwrap_or(at)
}
