//! What is in force: one policy that runs, one that is on its way.
//!
//! Session and epoch are not signed: anybody can announce a genuine manifest under others. So they
//! only name an announcement; what is signed, the manifest and its sequence, decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tensorgate_handoff::Handed;
use tensorgate_verify::{
    Assembly, Blake3, Context, Evidence, FragmentSize, History, Manifest, Policy, Proof, Rejection,
    RepoId, Revision, SignedManifest, TrustPolicy, Verified,
};

use crate::error::{Error, Result};
use crate::history::{Floors, Past, Revoked};
use crate::lease::Lease;
use crate::message::announced;
use crate::state::Running;
use crate::{Announcement, Fragment, Session, Snapshot, State, Status};

/// Bytes of a policy at the most, unless another bound is given: 4 GiB.
pub const DEFAULT_MAX_BYTES: u64 = 4 << 30;

/// How long the running policy stays in force on the heartbeats of its successor, which is still
/// being received: the time in which a policy must have come over, or never will.
pub const SWAP_LIMIT: Duration = Duration::from_secs(60);

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

/// A controller's view of one gate.
#[derive(Debug)]
pub struct Receiver {
    trust: TrustPolicy,
    expectations: Expectations,
    max_bytes: u64,
    floors: Floors,
    revoked: Revoked,
    running: Option<Running>,
    incoming: Option<Incoming>,
}

/// How the tensors are cut, and the value of every fragment.
type Table = (FragmentSize, Vec<Blake3>);

#[derive(Debug)]
struct Incoming {
    assembly: Assembly,
    table: Table,
    lease: Lease,
    since: Instant,
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
            running: None,
            incoming: None,
        }
    }

    /// Refuses, too, what is older than the release that `recorded` knows of. A receiver remembers
    /// the releases that it activated itself, but only while it lives: what shall outlast it the
    /// controller records, with [`evidence`](Verified::evidence) of each policy that arrives.
    pub fn with_history(mut self, recorded: Box<dyn History + Send>) -> Self {
        self.floors.recorded = Some(recorded);
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
    /// [`Assembly::begin`] refuses. `manifest-rollback` is, too, what is older than the release
    /// being received. Nothing has changed then.
    ///
    /// Where nothing is left to be received, also what [`fragment`](Self::fragment) fails with.
    pub fn announce(
        &mut self,
        announcement: Announcement,
        now: Timestamp,
        at: Instant,
    ) -> Result<Option<Arc<Verified<Policy>>>> {
        let (session, epoch) = announcement.name()?;
        let table = announcement.fragment_table()?;
        let manifest = self.authenticate(&announcement.envelope, now)?;
        self.refuse_unwanted(&manifest)?;
        let lease = Lease::new(manifest.evidence().manifest, session, epoch);
        if self.follow(&lease, &table) {
            return Ok(None);
        }
        let files = announcement.into_files()?;
        let (size, digests) = table.clone();
        let assembly = Assembly::begin(manifest, files, size, digests, self.trust.rules())?;
        self.incoming = Some(Incoming {
            assembly,
            table,
            lease,
            since: at,
        });
        self.activate_if_complete(now, at)
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
    /// With the last fragment: `manifest-expired`, and what [`Assembly::finish`] fails with. The
    /// policy being received is given up then, and the next announcement of it begins anew; the
    /// one that runs stays.
    pub fn fragment(
        &mut self,
        fragment: &Fragment<'_>,
        now: Timestamp,
        at: Instant,
    ) -> Result<Option<Arc<Verified<Policy>>>> {
        let Some(incoming) = &mut self.incoming else {
            return Ok(None);
        };
        let index = usize::try_from(fragment.index).unwrap_or(usize::MAX);
        let named = incoming.lease.announcement() == (fragment.session, fragment.epoch);
        match incoming.assembly.accept(index, fragment.data) {
            Ok(()) => self.activate_if_complete(now, at),
            Err(error) if error.rejection().is_some() && !named => Ok(None),
            Err(error) => Err(error.into()),
        }
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
    pub fn take_handed(
        &mut self,
        handed: Handed,
        now: Timestamp,
        at: Instant,
    ) -> Result<Option<Arc<Verified<Policy>>>> {
        let (session, epoch) = announced(handed.session(), handed.epoch())?;
        let manifest = self.authenticate(handed.envelope(), now)?;
        self.refuse_unwanted(&manifest)?;
        let lease = Lease::new(manifest.evidence().manifest, session, epoch);
        if self.follow_running(&lease) {
            return Ok(None);
        }
        let left = time_left(manifest.evidence(), now)?;
        let holds = handed.into_holds(&manifest)?;
        let policy = manifest.open_holds(holds, Proof::Tensors, self.trust.rules())?;
        let lease = self.heard_of(lease);
        Ok(Some(self.activate(policy, lease, left, at)))
    }

    /// Takes a heartbeat. Whatever is not `READY` stops the policy of its session, and the one
    /// that it names; `REVOKED` stops the manifest that it names, for good, whoever says so.
    pub fn status(&mut self, status: &Status, at: Instant) {
        match status.state {
            Status::READY => self.renew(status, at),
            Status::REVOKED => {
                self.revoke(status.manifest_digest);
                self.stop(status);
            }
            _ => self.stop(status),
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

    /// The policy last activated, in whatever state.
    pub fn policy(&self) -> Option<&Arc<Verified<Policy>>> {
        self.running.as_ref().map(|running| &running.policy)
    }

    /// Session and epoch of the announcement being received.
    pub fn receiving(&self) -> Option<(Session, u64)> {
        let incoming = self.incoming.as_ref();
        incoming.map(|incoming| incoming.lease.announcement())
    }

    /// Fragments of it that have not arrived, in order: what to ask `~/get_fragments` for.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        let incoming = self.incoming.iter();
        incoming.flat_map(|incoming| incoming.assembly.missing())
    }

    fn authenticate(&self, envelope: &[u8], now: Timestamp) -> Result<Verified<Manifest>> {
        let signed = SignedManifest::parse(envelope, self.trust.limits())?;
        let incoming = self.incoming.as_ref();
        let past = Past {
            floors: &self.floors,
            incoming: incoming.map(|incoming| incoming.assembly.manifest().evidence()),
        };
        let mut context = Context::new(now);
        context.history = Some(&past);
        context.repo = self.expectations.repo.as_ref();
        context.revision = self.expectations.revision.as_ref();
        let manifest = self.trust.authenticate(&signed, &context)?;
        manifest.require_policy()?;
        Ok(manifest)
    }

    fn refuse_unwanted(&self, manifest: &Verified<Manifest>) -> Result<()> {
        let digest = manifest.evidence().manifest;
        if self.revoked.contains(digest) {
            let detail = format!("the gate revoked {digest}");
            return Err(Error::refused(
                Rejection::ManifestRevoked,
                "manifest",
                detail,
            ));
        }
        let total = manifest
            .files
            .iter()
            .fold(0_u64, |sum, file| sum.saturating_add(file.size));
        if total > self.max_bytes {
            let detail = format!("{total} bytes, at most {} are taken", self.max_bytes);
            return Err(Error::refused(Rejection::SizeMismatch, "files", detail));
        }
        Ok(())
    }

    /// Has a manifest that is in hand answer to a new announcement; says whether it is in hand.
    fn follow(&mut self, lease: &Lease, table: &Table) -> bool {
        if self.follow_running(lease) {
            return true;
        }
        let same = |incoming: &&mut Incoming| {
            incoming.lease.manifest() == lease.manifest() && incoming.table == *table
        };
        let incoming = self.incoming.as_mut().filter(same);
        incoming.map(|i| i.lease.follow(lease)).is_some()
    }

    fn follow_running(&mut self, lease: &Lease) -> bool {
        let is_it = |running: &&mut Running| running.lease.manifest() == lease.manifest();
        let Some(running) = self.running.as_mut().filter(is_it) else {
            return false;
        };
        running.lease.follow(lease);
        // Another repository's: of this one it would be newer, and the announcement refused.
        self.incoming = None;
        true
    }

    /// What the gate said of a manifest that was being received when it came otherwise.
    fn heard_of(&self, lease: Lease) -> Lease {
        let incoming = self.incoming.as_ref().map(|incoming| incoming.lease);
        match incoming.filter(|heard| heard.manifest() == lease.manifest()) {
            Some(mut heard) => {
                heard.follow(&lease);
                heard
            }
            None => lease,
        }
    }

    fn activate_if_complete(
        &mut self,
        now: Timestamp,
        at: Instant,
    ) -> Result<Option<Arc<Verified<Policy>>>> {
        let complete = |incoming: &mut Incoming| incoming.assembly.is_complete();
        let Some(incoming) = self.incoming.take_if(complete) else {
            return Ok(None);
        };
        let Incoming {
            assembly, lease, ..
        } = incoming;
        let left = time_left(assembly.manifest().evidence(), now)?;
        let policy = assembly.finish()?;
        Ok(Some(self.activate(policy, lease, left, at)))
    }

    /// One assignment puts the policy in the place of the one that runs; nothing older than it is
    /// still awaited.
    fn activate(
        &mut self,
        policy: Verified<Policy>,
        mut lease: Lease,
        left: Duration,
        at: Instant,
    ) -> Arc<Verified<Policy>> {
        let policy = Arc::new(policy);
        self.floors.raise(policy.evidence());
        lease.begin(at);
        self.incoming = None;
        self.running = Some(Running {
            policy: Arc::clone(&policy),
            lease,
            expires: at.checked_add(left),
        });
        policy
    }

    /// A heartbeat of the running policy renews its lease; one of its successor keeps it, too,
    /// while the successor is being received, but does not wake it.
    fn renew(&mut self, status: &Status, at: Instant) {
        if let Some(running) = &mut self.running {
            running.lease.renew(status, at);
        }
        if let Some(incoming) = &mut self.incoming
            && incoming.lease.renew(status, at)
            && at.saturating_duration_since(incoming.since) < SWAP_LIMIT
            && let Some(running) = &mut self.running
        {
            running.lease.prolong(status.lease, at);
        }
    }

    fn stop(&mut self, status: &Status) {
        let running = self.running.iter_mut().map(|running| &mut running.lease);
        let incoming = self.incoming.iter_mut().map(|incoming| &mut incoming.lease);
        running.chain(incoming).for_each(|lease| lease.stop(status));
    }

    fn revoke(&mut self, manifest: [u8; 32]) {
        let is_it = |lease: &Lease| *lease.manifest().as_bytes() == manifest;
        let running = self.running.as_ref().map(|running| running.lease);
        let incoming = self.incoming.take_if(|incoming| is_it(&incoming.lease));
        let incoming = incoming.map(|incoming| incoming.lease);
        match running.filter(is_it).or(incoming) {
            Some(lease) => self.revoked.insert(lease.manifest()),
            None => self.revoked.hear(manifest),
        }
    }
}

/// It was in force when it was announced; a transfer takes its time.
fn time_left(evidence: &Evidence, now: Timestamp) -> Result<Duration> {
    match Duration::try_from(evidence.until.duration_since(now)) {
        Ok(left) if !left.is_zero() => Ok(left),
        _ => {
            let detail = format!("counted until {}, it is {now}", evidence.until);
            Err(Error::refused(
                Rejection::ManifestExpired,
                "expires",
                detail,
            ))
        }
    }
}
