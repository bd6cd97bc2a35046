//! Whether a policy in force still counts. No ROS in here.

use std::io;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tensorgate_store::State;
use tensorgate_verify::{
    Accepted, Context, Evidence, History, RepoId, RepoType, Sha256, SignedManifest,
};

use crate::load::LoadError;
use crate::parameters::Settings;
use crate::places;

/// After so long a trust policy that somebody writes is whole.
const SETTLE: Duration = Duration::from_millis(500);

/// Judges what was accepted before once more: by the trust policy, the list of revocations and the
/// revocations of this machine as they are on the disk now, and by the clock. Nothing is kept from
/// one time to the next, and nothing written.
///
/// A trust policy that refuses what another one let pass may be half written: it is read again after
/// a moment, and then its word counts. That it cannot be read at all is no refusal.
pub(crate) fn judge(settings: &Settings, evidence: &Evidence) -> Result<(), LoadError> {
    let mut judged_by = None;
    let refused = match once(settings, evidence, &mut judged_by) {
        Err(error) if error.rejection.is_some() => error,
        other => return other,
    };
    if judged_by == Some(evidence.trust_policy) {
        return Err(refused);
    }
    thread::sleep(SETTLE);
    once(settings, evidence, &mut judged_by)
}

fn once(
    settings: &Settings,
    evidence: &Evidence,
    judged_by: &mut Option<Sha256>,
) -> Result<(), LoadError> {
    let trust = places::trust(settings)?;
    *judged_by = Some(trust.digest());
    let state = Running(places::state(settings)?);
    let signed = SignedManifest::parse(evidence.envelope(), trust.limits())?;
    let mut context = Context::new(Timestamp::now());
    context.history = Some(&state);
    let list = state.0.revocations(&trust, &context)?;
    context.revocations = list.as_ref();
    trust.authenticate(&signed, &context)?;
    Ok(())
}

/// The memory, for what is in force: a newer release that was accepted meanwhile does not end it
/// before that one is in its place.
#[derive(Debug)]
struct Running(State);

impl History for Running {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(None)
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        self.0.clock_floor()
    }

    fn is_ready(&self) -> io::Result<bool> {
        self.0.is_ready()
    }

    fn is_revoked(&self, manifest: &Sha256) -> io::Result<bool> {
        self.0.is_revoked(manifest)
    }
}
