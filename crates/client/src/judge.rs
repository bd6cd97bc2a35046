//! What is received: only what was signed, and is wanted.

use std::time::Instant;

use jiff::Timestamp;
use tensorgate_handoff::Handed;
use tensorgate_verify::{Assembly, Context, Manifest, Rejection, SignedManifest, Verified};

use crate::error::{Error, Result};
use crate::history::Past;
use crate::incoming::{Incoming, Table};
use crate::lease::Lease;
use crate::message::announced;
use crate::proof::Source;
use crate::pull::Pace;
use crate::state::Running;
use crate::{Announcement, Candidate, Receiver};

impl Receiver {
    pub(crate) fn receive(
        &mut self,
        announcement: Announcement,
        now: Timestamp,
        at: Instant,
    ) -> Result<Option<Candidate>> {
        let (session, epoch) = announcement.name()?;
        let table = announcement.fragment_table()?;
        let manifest = self.authenticate(&announcement.envelope, now)?;
        self.refuse_unwanted(&manifest)?;
        let lease = Lease::new(manifest.evidence().manifest, session, epoch);
        let is_pulled = announcement.delivery == Announcement::PULLED;
        if self.follow(&lease, &table, is_pulled) {
            return Ok(None);
        }
        let files = announcement.into_files()?;
        let (size, digests) = table.clone();
        let assembly = Assembly::begin(manifest, files, size, digests, self.trust.rules())?;
        let (lease, pace) = (self.heard_so_far(lease, at), Pace::new(is_pulled, at));
        self.incoming = Some(Incoming::new(assembly, table, lease, pace));
        Ok(self.complete(at))
    }

    pub(crate) fn complete(&mut self, at: Instant) -> Option<Candidate> {
        let incoming = self.incoming.as_mut()?;
        let assembly = incoming.take_complete(at)?;
        Some(Candidate {
            lease: incoming.lease,
            source: Source::Arrived(Box::new(assembly)),
            rules: self.trust.rules().clone(),
        })
    }

    pub(crate) fn judge_handed(
        &mut self,
        handed: Handed,
        now: Timestamp,
    ) -> Result<Option<Candidate>> {
        let (session, epoch) = announced(handed.session(), handed.epoch())?;
        let manifest = self.authenticate(handed.envelope(), now)?;
        self.refuse_unwanted(&manifest)?;
        let lease = Lease::new(manifest.evidence().manifest, session, epoch);
        if self.follow_running(&lease) {
            return Ok(None);
        }
        Ok(Some(Candidate {
            lease,
            source: Source::Handed(Box::new(manifest), Box::new(handed)),
            rules: self.trust.rules().clone(),
        }))
    }

    pub(crate) fn authenticate(
        &self,
        envelope: &[u8],
        now: Timestamp,
    ) -> Result<Verified<Manifest>> {
        let signed = SignedManifest::parse(envelope, self.trust.limits())?;
        let past = self.past();
        let mut context = Context::new(now);
        context.history = Some(&past);
        context.repo = self.expectations.repo.as_ref();
        context.revision = self.expectations.revision.as_ref();
        let manifest = self.trust.authenticate(&signed, &context)?;
        manifest.require_policy()?;
        Ok(manifest)
    }

    pub(crate) fn past(&self) -> Past<'_> {
        Past {
            floors: &self.floors,
            incoming: self.incoming.as_ref().map(|incoming| &incoming.evidence),
        }
    }

    pub(crate) fn refuse_unwanted(&self, manifest: &Verified<Manifest>) -> Result<()> {
        self.revoked.refuse(manifest.evidence())?;
        let files = manifest.files.iter();
        let total = files.fold(0_u64, |sum, file| sum.saturating_add(file.size));
        if total > self.max_bytes {
            let detail = format!("{total} bytes, at most {} are taken", self.max_bytes);
            return Err(Error::refused(Rejection::SizeMismatch, "files", detail));
        }
        Ok(())
    }

    /// Has a manifest that is in hand answer to a new announcement; says whether it is in hand.
    pub(crate) fn follow(&mut self, lease: &Lease, table: &Table, is_pulled: bool) -> bool {
        if self.follow_running(lease) {
            return true;
        }
        let same = |incoming: &&mut Incoming| {
            incoming.lease.manifest() == lease.manifest() && incoming.table == *table
        };
        let Some(incoming) = self.incoming.as_mut().filter(same) else {
            return false;
        };
        incoming.lease.follow(lease);
        if is_pulled {
            incoming.pace.pull();
        }
        true
    }

    /// What the gate said of a manifest counts, also where it is cut in another way now.
    fn heard_so_far(&self, lease: Lease, at: Instant) -> Lease {
        let same = |incoming: &&Incoming| incoming.lease.manifest() == lease.manifest();
        let heard = self.incoming.as_ref().filter(same);
        let mut heard = heard.map_or(lease, |incoming| incoming.lease);
        heard.follow(&lease);
        heard.heed(&self.stops, at);
        heard
    }

    pub(crate) fn follow_running(&mut self, lease: &Lease) -> bool {
        let is_it = |running: &&mut Running| running.lease.manifest() == lease.manifest();
        let Some(running) = self.running.as_mut().filter(is_it) else {
            return false;
        };
        running.lease.follow(lease);
        // Another repository's: of this one it would be newer, and the announcement refused.
        self.incoming = None;
        true
    }
}
