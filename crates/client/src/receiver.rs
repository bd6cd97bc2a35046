//! What is in force: one policy that runs, one that is on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tensorgate_verify::{
    Accepted, Assembly, Context, History, Manifest, Policy, Rejection, RepoId, RepoType, Revision,
    Sha256, SignedManifest, TrustPolicy, Verified,
};

use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::{Announcement, Fragment, Session, State, Status};

/// Bytes of a policy at the most, unless another bound is given: 4 GiB.
pub const DEFAULT_MAX_BYTES: u64 = 4 << 30;

/// How long the running policy stays in force on the heartbeats of its successor, which is still
/// being received: the time in which a policy must have come over, or never will.
pub const SWAP_LIMIT: Duration = Duration::from_secs(60);

/// Revoked manifests that are remembered without ever having been announced here. The bound stops
/// memory exhaustion by forged statuses; the gate repeats the genuine ones.
const MAX_UNKNOWN_REVOKED: usize = 1024;

/// What the controller was built for.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a further expectation must be decided upon by every caller"
)]
pub struct Expectations {
    /// The repository, or `None` where any will do that the trust policy's keys sign for.
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
    running: Option<Running>,
    incoming: Option<Incoming>,
    floors: Floors,
    revoked: BTreeSet<[u8; 32]>,
}

/// The newest release of each repository that was activated here: nothing older comes back.
#[derive(Debug)]
struct Floors(BTreeMap<(RepoType, RepoId), Accepted>);

/// Which announcement, of which manifest.
#[derive(Clone, Copy, Debug)]
struct Origin {
    session: Session,
    epoch: u64,
    manifest: Sha256,
}

#[derive(Debug)]
struct Running {
    origin: Origin,
    policy: Arc<Verified<Policy>>,
    lease: Lease,
}

#[derive(Debug)]
struct Incoming {
    origin: Origin,
    assembly: Assembly,
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
            running: None,
            incoming: None,
            floors: Floors(BTreeMap::new()),
            revoked: BTreeSet::new(),
        }
    }

    /// Refuses policies of more than `max_bytes`; while one replaces another, both are in memory.
    pub fn with_max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }

    /// Takes an announcement: checks signatures, expectations and bounds, and begins to receive
    /// the policy beside the one that runs. An announcement that is known already changes nothing.
    ///
    /// Returns the policy if nothing is left to be received. Where it announces the very manifest
    /// that runs (the gate was restarted), the running policy stays, and answers to it from now on.
    ///
    /// # Errors
    /// `manifest-*`, `signature-invalid`, `threshold-not-met`, `repo-mismatch`,
    /// `revision-mismatch`, `size-mismatch` (too large, or a table of the wrong length), and what
    /// [`Assembly::begin`] refuses. Nothing has changed then.
    pub fn announce(
        &mut self,
        announcement: Announcement,
        now: Timestamp,
        at: Instant,
    ) -> Result<Option<Arc<Verified<Policy>>>> {
        if self.knows(&announcement)? {
            return Ok(None);
        }
        let (size, digests) = announcement.fragment_table()?;
        let manifest = self.authenticate(&announcement.envelope, now)?;
        self.refuse_unwanted(&manifest)?;
        let origin = Origin {
            session: announcement.session,
            epoch: announcement.epoch,
            manifest: manifest.evidence().manifest,
        };
        let files = announcement.into_files()?;
        let assembly = Assembly::begin(manifest, files, size, digests, self.trust.limits())?;
        if let Some(running) = self.running_as(origin.manifest) {
            running.origin = origin;
            running.lease.follow_new_session();
            self.incoming = None;
            return Ok(None);
        }
        self.incoming = Some(Incoming {
            origin,
            assembly,
            lease: Lease::default(),
            since: at,
        });
        self.activate_if_complete(at)
    }

    /// Takes a fragment; those of other announcements than the one being received are ignored, and
    /// those that came before change nothing. Returns the policy when its last fragment arrived.
    ///
    /// # Errors
    /// `file-unexpected` (no such fragment), `size-mismatch`, `digest-mismatch`. Nothing has
    /// changed then, and the genuine fragment is still awaited.
    pub fn fragment(
        &mut self,
        fragment: &Fragment<'_>,
        at: Instant,
    ) -> Result<Option<Arc<Verified<Policy>>>> {
        let incoming = self
            .incoming
            .as_mut()
            .filter(|incoming| incoming.origin.is(fragment.session, fragment.epoch));
        let Some(incoming) = incoming else {
            return Ok(None);
        };
        let index = usize::try_from(fragment.index).unwrap_or(usize::MAX);
        incoming.assembly.accept(index, fragment.data)?;
        self.activate_if_complete(at)
    }

    /// Takes a heartbeat. Whatever is not `READY` stops the policy of its session; `REVOKED` stops
    /// the manifest that it names, for good, whoever says so.
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
        match (&self.running, &self.incoming) {
            (None, None) => State::NoPolicy,
            (None, Some(_)) => State::Receiving,
            (Some(running), _) if self.is_revoked(running.origin.manifest) => State::Revoked,
            (Some(running), _) if running.lease.holds(at) => State::Active,
            (Some(_), _) => State::Stale,
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
        let origin = self.incoming.as_ref().map(|incoming| incoming.origin)?;
        Some((origin.session, origin.epoch))
    }

    /// Fragments of it that have not arrived, in order: what to ask `~/get_fragments` for.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        let incoming = self.incoming.iter();
        incoming.flat_map(|incoming| incoming.assembly.missing())
    }

    /// Whether the announcement is one of those in hand; an older one of their sessions is refused.
    fn knows(&self, announcement: &Announcement) -> Result<bool> {
        let Announcement { session, epoch, .. } = announcement;
        if *epoch == 0 {
            let detail = "0 is no announcement";
            return Err(Error::refused(
                Rejection::ManifestMalformed,
                "epoch",
                detail,
            ));
        }
        let running = self.running.iter().map(|running| running.origin);
        let incoming = self.incoming.iter().map(|incoming| incoming.origin);
        let latest = running
            .chain(incoming)
            .filter(|origin| origin.session == *session)
            .map(|origin| origin.epoch)
            .max();
        match latest {
            Some(latest) if *epoch < latest => {
                let detail = format!("{epoch}, but {latest} was announced before");
                Err(Error::refused(Rejection::ManifestRollback, "epoch", detail))
            }
            latest => Ok(latest == Some(*epoch)),
        }
    }

    fn authenticate(&self, envelope: &[u8], now: Timestamp) -> Result<Verified<Manifest>> {
        let signed = SignedManifest::parse(envelope, self.trust.limits())?;
        let mut context = Context::new(now);
        context.history = Some(&self.floors);
        context.repo = self.expectations.repo.as_ref();
        context.revision = self.expectations.revision.as_ref();
        Ok(self.trust.authenticate(&signed, &context)?)
    }

    fn refuse_unwanted(&self, manifest: &Verified<Manifest>) -> Result<()> {
        let digest = manifest.evidence().manifest;
        if self.is_revoked(digest) {
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

    fn activate_if_complete(&mut self, at: Instant) -> Result<Option<Arc<Verified<Policy>>>> {
        let complete = |incoming: &mut Incoming| incoming.assembly.is_complete();
        let Some(incoming) = self.incoming.take_if(complete) else {
            return Ok(None);
        };
        let policy = Arc::new(incoming.assembly.finish()?);
        self.floors.raise(&policy);
        let mut lease = incoming.lease;
        lease.begin(at);
        self.running = Some(Running {
            origin: incoming.origin,
            policy: Arc::clone(&policy),
            lease,
        });
        Ok(Some(policy))
    }

    /// A heartbeat of the running policy renews its lease; one of its successor keeps it, too,
    /// while the successor is being received, but does not wake it.
    fn renew(&mut self, status: &Status, at: Instant) {
        if let Some(running) = &mut self.running
            && running.origin.is_meant_by(status)
        {
            running.lease.renew(status, at);
        }
        if let Some(incoming) = &mut self.incoming
            && incoming.origin.is_meant_by(status)
            && incoming.lease.renew(status, at)
            && at.saturating_duration_since(incoming.since) < SWAP_LIMIT
            && let Some(running) = &mut self.running
        {
            running.lease.prolong(status.lease, at);
        }
    }

    fn stop(&mut self, status: &Status) {
        if let Some(running) = &mut self.running
            && running.origin.session == status.session
        {
            running.lease.stop(status);
        }
        if let Some(incoming) = &mut self.incoming
            && incoming.origin.session == status.session
        {
            incoming.lease.stop(status);
        }
    }

    /// Latches a revocation. What is in hand is always remembered.
    fn revoke(&mut self, manifest: [u8; 32]) {
        let is_it = |origin: &Origin| origin.manifest.as_bytes() == &manifest;
        let runs = self.running.as_ref().is_some_and(|r| is_it(&r.origin));
        let comes = self.incoming.take_if(|i| is_it(&i.origin)).is_some();
        if runs || comes || self.revoked.len() < MAX_UNKNOWN_REVOKED {
            self.revoked.insert(manifest);
        }
    }

    fn is_revoked(&self, manifest: Sha256) -> bool {
        self.revoked.contains(manifest.as_bytes())
    }

    fn running_as(&mut self, manifest: Sha256) -> Option<&mut Running> {
        self.running
            .as_mut()
            .filter(|running| running.origin.manifest == manifest)
    }
}

impl Origin {
    fn is(&self, session: Session, epoch: u64) -> bool {
        self.session == session && self.epoch == epoch
    }

    fn is_meant_by(&self, status: &Status) -> bool {
        self.is(status.session, status.epoch) && *self.manifest.as_bytes() == status.manifest_digest
    }
}

impl Floors {
    fn raise(&mut self, policy: &Verified<Policy>) {
        let evidence = policy.evidence();
        let floor = Accepted::new(evidence.sequence, evidence.manifest);
        self.0
            .insert((evidence.repo_type, evidence.repo.clone()), floor);
    }
}

impl History for Floors {
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(self.0.get(&(repo_type, repo.clone())).copied())
    }
}
