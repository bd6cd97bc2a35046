//! What is in force: one policy that runs, one that is on its way.
//!
//! Session and epoch are not signed: anybody can announce a genuine manifest under others. So they
//! only name an announcement; what is signed, the manifest and its sequence, decides.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tensorgate_handoff::Handed;
use tensorgate_verify::{Memory, Policy, Rejection, RepoId, Revision, TrustPolicy, Verified};

use crate::error::{Error, Result};
use crate::history::{Floors, Revoked};
use crate::incoming::Incoming;
use crate::lease::Stops;
use crate::state::Running;
use crate::{Announcement, Candidate, Fragment, Proven, Pull, Session, Snapshot, State, Status};

/// Bytes of a policy at the most, unless another bound is given: 4 GiB.
pub const DEFAULT_MAX_BYTES: u64 = 4 << 30;

/// What the controller was built for.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a further expectation must be decided upon by every caller"
)]
pub struct Expectations {
    /// The repository, or `None` where any will do that the trust policy's keys sign for: then a
    /// replay of whatever they ever signed for another one displaces what is in hand.
    pub repo: Option<RepoId>,
    /// The commit, or `None` where any will do.
    pub revision: Option<Revision>,
}

/// What was refused so far: a number that grows says that somebody sends what he should not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refusals {
    /// Announcements, fragments and hand-offs.
    pub count: u64,
    /// Why the last of them was.
    pub last: Option<Rejection>,
}

/// The policy, where one came into force.
pub(crate) type Arrived = Option<Arc<Verified<Policy>>>;

/// A controller's view of one gate.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tensorgate_client::{Announcement, Expectations, Fragment, Receiver, State, Status};
/// use tensorgate_verify::{Cut, FragmentSize};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../verify/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// // What a gate announces of a policy that it verified.
/// let (policy, size) = (example.policy()?, FragmentSize::DEFAULT);
/// let (cut, session) = (Cut::new(policy.manifest(), size), [7; 16]);
/// let values = cut.digests(&policy);
/// let files = policy.files().iter().map(|file| {
///     let end = file.header().map_or(file.bytes().len(), |header| header.len as usize);
///     (file.path().to_string(), file.bytes()[..end].to_vec())
/// });
/// let announcement = Announcement {
///     session,
///     epoch: 1,
///     envelope: policy.evidence().envelope().to_vec(),
///     files: files.collect(),
///     fragment_size: size.bytes(),
///     fragment_count: values.len() as u32,
///     delivery: Announcement::LATCHED,
///     fragment_digests: values.iter().flat_map(|value| *value.as_bytes()).collect(),
/// };
///
/// // What a controller makes of it.
/// let mut receiver = Receiver::new(example.trust.clone(), Expectations::default());
/// let (now, at) = (example.now, Instant::now());
/// receiver.announce(announcement, now, at)?;
/// for (index, span) in (0..).zip(cut.spans()) {
///     let data = cut.bytes(&policy, span).ok_or("no such fragment")?;
///     receiver.fragment(&Fragment { session, epoch: 1, index, data }, now, at)?;
/// }
/// assert_eq!(receiver.state(at), State::Verified); // and no gate stands by it yet
/// let heartbeat = Status {
///     session,
///     epoch: 1,
///     sequence: 1,
///     state: Status::READY,
///     manifest_digest: *policy.evidence().manifest.as_bytes(),
///     lease: Duration::from_millis(500),
/// };
/// receiver.status(&heartbeat, at);
/// assert_eq!(receiver.state(at), State::Active);
/// assert_eq!(receiver.state(at + Duration::from_secs(1)), State::Stale);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    pub(crate) trust: TrustPolicy,
    pub(crate) expectations: Expectations,
    pub(crate) max_bytes: u64,
    pub(crate) floors: Floors,
    pub(crate) revoked: Revoked,
    pub(crate) stops: Stops,
    pub(crate) refusals: Refusals,
    pub(crate) running: Option<Running>,
    pub(crate) incoming: Option<Incoming>,
    /// The number of the last batch that was asked for.
    pub(crate) pulls: u64,
}

impl Receiver {
    /// Waits for a policy that `trust` and `expectations` let through.
    pub const fn new(trust: TrustPolicy, expectations: Expectations) -> Self {
        Self {
            trust,
            expectations,
            max_bytes: DEFAULT_MAX_BYTES,
            floors: Floors::new(),
            revoked: Revoked::new(),
            stops: Stops::new(),
            refusals: Refusals {
                count: 0,
                last: None,
            },
            running: None,
            incoming: None,
            pulls: 0,
        }
    }

    /// Refuses, too, what is older than the release that `memory` knows of, and tells it of each
    /// that comes into force. Without one, a receiver remembers only while it lives.
    pub fn with_memory(mut self, memory: Box<dyn Memory>) -> Self {
        self.floors.memory = Some(memory);
        self
    }

    /// Refuses policies of more than `max_bytes`; while one replaces another, both are in memory.
    pub fn with_max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }

    /// Takes an announcement: checks signatures, expectations and bounds, and begins to receive
    /// the policy beside the one that runs.
    ///
    /// Returns the policy if nothing is left to be received. Where it announces a manifest that is
    /// in hand (the gate was restarted), what runs, or arrived of it, stays, and answers to this
    /// announcement from now on.
    ///
    /// # Errors
    /// `manifest-*`, `signature-invalid`, `threshold-not-met`, `repo-mismatch`,
    /// `revision-mismatch`, `size-mismatch` (too large, or a table of the wrong length), and what
    /// [`Assembly::begin`](tensorgate_verify::Assembly::begin) refuses. `manifest-rollback` is, too, what is older than the release
    /// being received. Nothing has changed then.
    ///
    /// Where nothing is left to be received, also what [`settle`](Self::settle) fails with.
    pub fn announce(
        &mut self,
        announcement: Announcement,
        now: Timestamp,
        at: Instant,
    ) -> Result<Arrived> {
        let candidate = self.begin(announcement, now, at)?;
        self.prove(candidate, now, at)
    }

    /// Takes a fragment. Whoever sent it, it proves itself: one that belongs to the policy being
    /// received is taken, and changes nothing where it came before; one that does not is refused,
    /// or ignored where it names another announcement. Returns the policy when its last fragment
    /// arrived.
    ///
    /// # Errors
    /// `file-unexpected` (no such fragment), `size-mismatch`, `digest-mismatch`. Nothing has
    /// changed then, and the genuine fragment is still awaited.
    ///
    /// With the last fragment: what [`settle`](Self::settle) fails with.
    pub fn fragment(
        &mut self,
        fragment: &Fragment<'_>,
        now: Timestamp,
        at: Instant,
    ) -> Result<Arrived> {
        let candidate = self.accept(fragment, at)?;
        self.prove(candidate, now, at)
    }

    /// Takes what a gate on this machine handed over: an announcement, and all that it announces.
    /// The policy that comes back reads the gate's own pages, and every byte of it was proven.
    ///
    /// `None` where that manifest is running, which answers to this announcement from now on.
    ///
    /// # Errors
    /// Those of [`announce`](Self::announce), which go by the same rules; what
    /// [`Handed::into_holds`] and [`open_holds`](Verified::open_holds) refuse. Nothing has changed
    /// then: neither what runs, nor what is being received.
    pub fn take_handed(&mut self, handed: Handed, now: Timestamp, at: Instant) -> Result<Arrived> {
        let candidate = self.take_over(handed, now)?;
        self.prove(candidate, now, at)
    }

    /// As [`announce`](Self::announce), but leaves the proof to the caller.
    ///
    /// # Errors
    /// As there.
    pub fn begin(
        &mut self,
        announcement: Announcement,
        now: Timestamp,
        at: Instant,
    ) -> Result<Option<Candidate>> {
        let begun = self.receive(announcement, now, at);
        self.count(begun)
    }

    /// As [`fragment`](Self::fragment), but leaves the proof to the caller.
    ///
    /// # Errors
    /// As there.
    pub fn accept(&mut self, fragment: &Fragment<'_>, at: Instant) -> Result<Option<Candidate>> {
        let Some(incoming) = &mut self.incoming else {
            return Ok(None);
        };
        let accepted = incoming.accept(fragment, at);
        self.count(accepted)?;
        Ok(self.complete(at))
    }

    /// As [`take_handed`](Self::take_handed), but leaves the proof to the caller.
    ///
    /// # Errors
    /// As there.
    pub fn take_over(&mut self, handed: Handed, now: Timestamp) -> Result<Option<Candidate>> {
        let taken = self.judge_handed(handed, now);
        self.count(taken)
    }

    /// Puts a proven policy into force, in one assignment, if it still may: while it was proven, it
    /// can have expired, been revoked, or been overtaken. `None` where that manifest is running.
    ///
    /// # Errors
    /// What the proof failed with; `manifest-expired`, `manifest-revoked`, `manifest-rollback`; no
    /// verdict where the memory does not take it. What was received is given up then, and the next
    /// announcement of it begins anew; the one that runs stays.
    pub fn settle(&mut self, proven: Proven, now: Timestamp, at: Instant) -> Result<Arrived> {
        let settled = self.put_into_force(proven, now, at);
        self.count(settled)
    }

    /// Takes a heartbeat. Whatever is not `READY` stops the policy of its session, and the one
    /// that it names; `REVOKED` stops the manifest that it names, for good, whoever says so.
    pub fn status(&mut self, status: &Status, at: Instant) {
        match status.state {
            Status::READY => self.renew(status, at),
            Status::REVOKED => {
                self.revoke(status.manifest_digest);
                self.stop(status, at);
            }
            _ => self.stop(status, at),
        }
    }

    /// The batch to ask `~/get_fragments` for now, if any: at once where the announcement says that
    /// fragments are pulled, else when none came for 10 s, or no further one for 2 s. One batch is
    /// outstanding at a time, and two for as long as answers bring something, so that the gate copies
    /// one while the other is proven; they never ask for the same. A batch counts as lost after 2 s,
    /// or longer where others were. Call it some ten times a second, and after each answer, until it
    /// returns `None`.
    ///
    /// # Errors
    /// [`Overdue`](Error::Overdue): for [`PATIENCE`](crate::PATIENCE) nothing came, or too little.
    /// What was being received is given up, and its next announcement begins anew.
    pub fn pull(&mut self, at: Instant) -> Result<Option<Pull>> {
        let overdue = |incoming: &mut Incoming| incoming.pace.is_overdue(at);
        match self.incoming.take_if(overdue) {
            Some(incoming) => Err(incoming.overdue()),
            None => {
                let incoming = self.incoming.as_mut();
                Ok(incoming.and_then(|incoming| incoming.pull(&mut self.pulls, at)))
            }
        }
    }

    /// Says that the answer to `pull` was taken in, each of its fragments by
    /// [`fragment`](Self::fragment): whatever it was, the next batch is due at once if any of what was
    /// asked for came, and after a pause that grows if it did not.
    pub fn pulled(&mut self, pull: &Pull, at: Instant) {
        if let Some(incoming) = &mut self.incoming {
            incoming.pace.answered(pull, at);
        }
    }

    /// Whether there is a policy, and whether it may be acted on.
    pub fn state(&self, at: Instant) -> State {
        self.snapshot().state(at)
    }

    /// What is in force, as far as it is known now.
    pub fn snapshot(&self) -> Snapshot {
        let is_revoked = |running: &Running| self.revoked.contains(running.lease.manifest());
        Snapshot {
            running: self.running.clone(),
            revoked: self.running.as_ref().is_some_and(is_revoked),
            receiving: self.incoming.is_some(),
        }
    }

    /// The policy to act on: `None` unless [`Active`](State::Active).
    pub fn active(&self, at: Instant) -> Option<&Arc<Verified<Policy>>> {
        self.policy().filter(|_| self.state(at) == State::Active)
    }

    /// The policy last put into force, in whatever state.
    pub fn policy(&self) -> Option<&Arc<Verified<Policy>>> {
        self.running.as_ref().map(|running| &running.policy)
    }

    /// Session and epoch of the announcement being received.
    pub fn receiving(&self) -> Option<(Session, u64)> {
        self.incoming.as_ref().map(Incoming::announcement)
    }

    /// Whether what this announcement names is running, or on its way. A gate that says `READY` of
    /// another announced something that did not arrive here, or was given up: subscribe to
    /// `~/manifest` anew, and it comes again.
    pub fn knows(&self, session: Session, epoch: u64) -> bool {
        let running = self.running.as_ref().map(|r| r.lease.announcement());
        [running, self.receiving()].contains(&Some((session, epoch)))
    }

    /// Fragments that have not arrived, in order.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        self.incoming.iter().flat_map(Incoming::missing)
    }

    /// What was refused so far.
    pub const fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// Whose signatures count.
    pub const fn trust(&self) -> &TrustPolicy {
        &self.trust
    }

    fn prove(
        &mut self,
        candidate: Option<Candidate>,
        now: Timestamp,
        at: Instant,
    ) -> Result<Arrived> {
        match candidate {
            Some(candidate) => self.settle(candidate.prove(), now, at),
            None => Ok(None),
        }
    }

    fn count<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Some(rejection) = result.as_ref().err().and_then(Error::rejection) {
            self.refusals.count = self.refusals.count.saturating_add(1);
            self.refusals.last = Some(rejection);
        }
        result
    }
}
