//! Whether a policy in force still counts. No ROS in here.

use std::io;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tensorgate_store::State;
use tensorgate_verify::{
    Context, Evidence, History, Manifest, RepoId, RepoType, Sha256, SignedManifest, Verified,
};

use crate::load::LoadError;
use crate::parameters::Settings;
use crate::places;

/// After so long a trust policy that somebody writes is whole.
const SETTLE: Duration = Duration::from_millis(500);

/// What was accepted before: as it was announced, or as it was judged the last time, and needs not be
/// parsed any more.
#[derive(Debug)]
pub(crate) enum Accepted {
    Announced(Evidence),
    Judged(Verified<Manifest>),
}

/// Judges what was accepted before once more: by the trust policy, the list of revocations and the
/// revocations of this machine as they are on the disk now, and by the clock. Nothing of these is kept
/// from one time to the next, and nothing written; what is kept is the manifest, whose bytes are the
/// same and whose signatures are counted each time.
///
/// A trust policy that refuses what another one let pass may be half written: it is read again after
/// a moment, and then its word counts. That it cannot be read at all is no refusal.
pub(crate) fn judge(
    settings: &Settings,
    accepted: Accepted,
) -> Result<Verified<Manifest>, LoadError> {
    let evidence = accepted.evidence().clone();
    let mut judged_by = None;
    let refused = match once(settings, accepted, &mut judged_by) {
        Err(error) if error.rejection.is_some() => error,
        other => return other,
    };
    if judged_by == Some(evidence.trust_policy) {
        return Err(refused);
    }
    thread::sleep(SETTLE);
    once(settings, Accepted::Announced(evidence), &mut judged_by)
}

fn once(
    settings: &Settings,
    accepted: Accepted,
    judged_by: &mut Option<Sha256>,
) -> Result<Verified<Manifest>, LoadError> {
    let trust = places::trust(settings)?;
    *judged_by = Some(trust.digest());
    let state = Running(places::state(settings)?);
    let mut context = Context::new(Timestamp::now());
    context.history = Some(&state);
    let list = state.0.revocations(&trust, &context)?;
    context.revocations = list.as_ref();
    Ok(match accepted {
        Accepted::Judged(manifest) => trust.renew(manifest, &context)?,
        Accepted::Announced(evidence) => {
            let signed = SignedManifest::parse(evidence.envelope(), trust.limits())?;
            trust.authenticate(&signed, &context)?
        }
    })
}

impl Accepted {
    fn evidence(&self) -> &Evidence {
        match self {
            Self::Announced(evidence) => evidence,
            Self::Judged(manifest) => manifest.evidence(),
        }
    }
}

/// The memory, for what is in force: a newer release that was accepted meanwhile does not end it
/// before that one is in its place.
#[derive(Debug)]
struct Running(State);

impl History for Running {
    fn last_accepted(
        &self,
        _: RepoType,
        _: &RepoId,
    ) -> io::Result<Option<tensorgate_verify::Accepted>> {
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
