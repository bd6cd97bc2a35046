//! Whether a policy that was proven still counts. No ROS in here.

use std::io;

use jiff::Timestamp;
use tensorgate_store::State;
use tensorgate_verify::{
    Accepted, Context, Evidence, History, RepoId, RepoType, Sha256, SignedManifest,
};

use crate::load::{LoadError, open_trust, with_state};
use crate::parameters::Settings;

/// Judges the manifest again, by the trust policy and the revocations as they are on the disk now.
///
/// # Errors
/// The rule by which it does not count any more, or why that could not be said.
pub(crate) fn judge(settings: &Settings, evidence: &Evidence) -> Result<(), LoadError> {
    let trust = open_trust(&settings.trust)?;
    with_state(settings, |state| {
        let standing = Standing(state);
        let mut context = Context::new(Timestamp::now());
        context.history = Some(&standing);
        let revocations = state.revocations(&trust, &context)?;
        context.revocations = revocations.as_ref();
        let signed = SignedManifest::parse(evidence.envelope(), trust.limits())?;
        trust.authenticate(&signed, &context)?;
        Ok(())
    })
}

/// What the state knows but for newer releases: that one was accepted since, by whichever process,
/// takes nothing from the one that runs.
#[derive(Debug)]
struct Standing<'a>(&'a State);

impl History for Standing<'_> {
    fn last_accepted(&self, _: RepoType, _: &RepoId) -> io::Result<Option<Accepted>> {
        Ok(None)
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        self.0.clock_floor()
    }

    fn is_revoked(&self, manifest: &Sha256) -> io::Result<bool> {
        self.0.is_revoked(manifest)
    }

    fn is_ready(&self) -> io::Result<bool> {
        self.0.is_ready()
    }
}
