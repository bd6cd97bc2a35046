//! What is in force: proven, and stood by.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tensorgate_verify::{Evidence, Policy, Rejection, Verified};

use crate::error::{Error, Result};
use crate::incoming::Incoming;
use crate::lease::Lease;
use crate::receiver::Arrived;
use crate::state::Running;
use crate::{Proven, Receiver, State, Status};

impl Receiver {
    pub(crate) fn put_into_force(
        &mut self,
        proven: Proven,
        now: Timestamp,
        at: Instant,
    ) -> Result<Arrived> {
        let mut lease = self.heard_of(&proven);
        lease.heed(&self.stops, at);
        let policy = proven.policy?;
        let evidence = policy.evidence();
        if self.follow_running(&lease) {
            return Ok(None);
        }
        self.revoked.refuse(evidence)?;
        self.past().refuse_older(evidence)?;
        let left = time_left(evidence, now.max(evidence.now))?;
        self.floors.raise(evidence)?;
        Ok(Some(self.activate(policy, lease, left, at)))
    }

    /// What the gate said of it meanwhile. What was received is used up, whatever comes of it.
    pub(crate) fn heard_of(&mut self, proven: &Proven) -> Lease {
        let is_it = |incoming: &&Incoming| incoming.lease.manifest() == proven.lease.manifest();
        let Some(incoming) = self.incoming.as_ref().filter(is_it) else {
            return proven.lease;
        };
        let mut heard = incoming.lease;
        match proven.arrived {
            true if incoming.is_being_proven() => self.incoming = None,
            // It was announced anew, in another cut.
            true => {}
            false => heard.follow(&proven.lease),
        }
        heard
    }

    /// One assignment puts the policy in the place of the one that runs; nothing older than it is
    /// still awaited.
    pub(crate) fn activate(
        &mut self,
        policy: Verified<Policy>,
        mut lease: Lease,
        left: Duration,
        at: Instant,
    ) -> Arc<Verified<Policy>> {
        let policy = Arc::new(policy);
        if let (State::Active, Some(running)) = (self.state(at), &self.running) {
            lease.succeed(&running.lease);
        }
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
    pub(crate) fn renew(&mut self, status: &Status, at: Instant) {
        if let Some(running) = &mut self.running {
            running.lease.renew(status, at);
        }
        if let Some(incoming) = &mut self.incoming
            && incoming.lease.renew(status, at)
            && !incoming.pace.is_overdue(at)
            && let Some(running) = &mut self.running
        {
            running.lease.prolong(status.lease, at);
        }
    }

    pub(crate) fn stop(&mut self, status: &Status, at: Instant) {
        self.stops.hear(status.manifest_digest, at);
        let running = self.running.iter_mut().map(|running| &mut running.lease);
        let incoming = self.incoming.iter_mut().map(|incoming| &mut incoming.lease);
        running
            .chain(incoming)
            .for_each(|lease| lease.stop(status, at));
    }

    pub(crate) fn revoke(&mut self, manifest: [u8; 32]) {
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

/// It was in force when it was announced; a transfer takes its time. `now` is no earlier than the
/// instant at which that was judged, which a clock that was put back cannot be below.
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
