//! What is known beside an envelope: the time, the past, what is expected and what was called back.

use std::fmt;
use std::io;

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Findings, Result};
use crate::trust_text::{Freshness, Rollback};
use crate::verified::RevocationEvidence;
use crate::{
    Evidence, Manifest, Rejection, RepoId, RepoType, Revision, Revocations, Severity, Sha256,
    Verified,
};

/// What is known beside the envelope: the time, the past, and what is expected of it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Context<'a> {
    /// The instant for which expiry is judged.
    pub now: Timestamp,
    /// The releases accepted before, against which a rollback is noticed.
    pub history: Option<&'a dyn History>,
    /// The repository that is asked for, if one is.
    pub repo: Option<&'a RepoId>,
    /// What kind of repository `repo` is: the id alone does not say.
    pub repo_type: RepoType,
    /// The commit that is asked for, if one is.
    pub revision: Option<&'a Revision>,
    /// The signed list of what was called back, if there is one.
    pub revocations: Option<&'a Verified<Revocations, RevocationEvidence>>,
}

/// Remembers releases. It is asked about a release only after its signatures were found good.
pub trait History: fmt::Debug {
    /// The release last accepted for a repository, or `None` where none ever was.
    ///
    /// # Errors
    /// There was one and it is lost or damaged: then nothing can be said of a rollback.
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>>;

    /// An instant that has certainly passed: the latest `issued` among all that was accepted. A
    /// robot's clock may have been set back; what was signed then cannot have been.
    ///
    /// # Errors
    /// It was known, and is lost or damaged.
    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        Ok(None)
    }

    /// Whether this manifest was called back at this place, by an operator's word that nobody signed.
    /// It can only take away: what it does not name still has to be signed. There is no default: one
    /// memory that wraps another and forgot to ask it would let through what was called back.
    ///
    /// # Errors
    /// Something was called back, and it cannot be known what.
    fn is_revoked(&self, manifest: &Sha256) -> io::Result<bool>;

    /// Whether somebody made it ready and it outlives the process, so that knowing nothing of a
    /// repository means that nothing was accepted.
    ///
    /// # Errors
    /// It cannot be read.
    fn is_ready(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A history that goes on: what outlives a controller, the releases that came into force.
pub trait Memory: History + Send {
    /// Remembers a release before it comes into force.
    ///
    /// # Errors
    /// It could not be remembered, or a newer one is: then it does not come into force.
    fn record(&mut self, release: &Evidence) -> io::Result<()>;
}

/// A release that was accepted before: what an older one is measured against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Accepted {
    /// Its sequence.
    pub sequence: u64,
    /// SHA-256 of its payload.
    pub manifest: Sha256,
}

/// How far a signer's clock may be ahead of ours: the five minutes customary for tokens
/// (RFC 7519, section 4.1.4, leaves "no more than a few minutes" to implementers).
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

impl Context<'_> {
    /// A context in which any repository, commit and sequence will do.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            now,
            history: None,
            repo: None,
            repo_type: RepoType::Model,
            revision: None,
            revocations: None,
        }
    }

    /// The instant for which everything is judged: never before one that has certainly passed.
    ///
    /// # Errors
    /// It cannot be known what has passed.
    pub fn judged_at(&self) -> Result<Timestamp> {
        let floor = self.history.map(History::clock_floor).transpose();
        let floor = floor.map_err(|error| Error::io("clock floor", error))?;
        Ok(self.now.max(floor.flatten().unwrap_or(Timestamp::MIN)))
    }

    /// `manifest-revoked`, or that it cannot be said.
    pub(crate) fn refuse_revoked_here(&self, manifest: Sha256) -> Result<()> {
        let revoked = self.history.map(|history| history.is_revoked(&manifest));
        let revoked = revoked.transpose();
        match revoked.map_err(|error| Error::io("local revocations", error))? {
            Some(true) => {
                let detail = format!("the manifest {manifest} was revoked on this machine");
                Err(Error::rejected(
                    Rejection::ManifestRevoked,
                    "manifest",
                    detail,
                ))
            }
            _ => Ok(()),
        }
    }

    /// `manifest-rollback`, `manifest-fast-forward`, or that it cannot be said.
    pub(crate) fn refuse_rollback(
        &self,
        manifest: &Manifest,
        digest: Sha256,
        rules: &Rollback,
    ) -> Result<()> {
        self.require_state(rules)?;
        let Some(history) = self.history else {
            return Ok(());
        };
        let last = history
            .last_accepted(manifest.repo.repo_type, &manifest.repo.id)
            .map_err(|error| Error::io("rollback state", error))?;
        let Some(last) = last else { return Ok(()) };
        let (sequence, before) = (manifest.sequence, last.sequence);
        let refuse = |rejection, detail| Err(Error::rejected(rejection, "sequence", detail));
        if sequence < before {
            let detail = format!("{sequence}, but {before} was accepted before");
            return refuse(Rejection::ManifestRollback, detail);
        }
        if sequence == before && digest != last.manifest {
            let detail = format!("{sequence} was accepted before with other content");
            return refuse(Rejection::ManifestRollback, detail);
        }
        let jump = sequence.saturating_sub(before);
        match rules.max_jump {
            Some(most) if jump > most => {
                let detail = format!("{sequence} after {before}: a jump of more than {most}");
                refuse(Rejection::ManifestFastForward, detail)
            }
            _ => Ok(()),
        }
    }

    /// That it cannot be said what was accepted or called back, where the trust policy wants to know.
    pub(crate) fn require_state(&self, rules: &Rollback) -> Result<()> {
        if !rules.require_state {
            return Ok(());
        }
        let ready = self.history.map_or(Ok(false), History::is_ready);
        match ready.map_err(|error| Error::io("rollback state", error))? {
            true => Ok(()),
            false => Err(Error::io(
                "rollback state",
                io::Error::new(
                    io::ErrorKind::NotFound,
                    "the trust policy requires one, and none was made ready here",
                ),
            )),
        }
    }

    /// `repo-mismatch`, `revision-mismatch`.
    pub(crate) fn judge_expectations(&self, manifest: &Manifest, findings: &mut Findings) {
        let signed = (manifest.repo.repo_type, &manifest.repo.id);
        if let Some(repo) = self.repo.filter(|repo| (self.repo_type, *repo) != signed) {
            let detail = format!(
                "signed for the {} {:?}, expected the {} {:?}",
                signed.0,
                signed.1.as_str(),
                self.repo_type,
                repo.as_str()
            );
            findings.reject(Rejection::RepoMismatch, "repo", detail);
        }
        if let Some(revision) = self.revision.filter(|rev| **rev != manifest.repo.revision) {
            let detail = format!("signed for {}, expected {revision}", manifest.repo.revision);
            findings.reject(Rejection::RevisionMismatch, "revision", detail);
        }
    }
}

impl Freshness {
    /// `manifest-expired`, `manifest-not-yet-valid`, for whatever has such a span.
    pub(crate) fn judge(
        &self,
        what: &str,
        (issued, expires): (Timestamp, Timestamp),
        now: Timestamp,
        findings: &mut Findings,
    ) {
        let field = |name| format!("{what}{name}");
        if expires <= now {
            let detail = format!("expired at {expires}, it is {now}");
            findings.judge(
                self.expires,
                Rejection::ManifestExpired,
                field("expires"),
                detail,
            );
        }
        if self.too_old_at(issued) <= now {
            let detail = format!("issued at {issued}, longer ago than `max_age_days` allows");
            findings.reject(Rejection::ManifestExpired, field("issued"), detail);
        }
        if issued > now.saturating_add(CLOCK_SKEW).unwrap_or(Timestamp::MAX) {
            let detail = format!("issued at {issued}, it is {now}");
            findings.reject(Rejection::ManifestNotYetValid, field("issued"), detail);
        }
    }

    /// The first instant at which [`judge`](Self::judge) would refuse.
    pub(crate) fn until(&self, (issued, expires): (Timestamp, Timestamp)) -> Timestamp {
        let expiry = match self.expires {
            Severity::Deny => expires,
            Severity::Warn => Timestamp::MAX,
        };
        expiry.min(self.too_old_at(issued))
    }

    /// What cannot be computed lies beyond all time.
    fn too_old_at(&self, issued: Timestamp) -> Timestamp {
        let hours = self
            .max_age_days
            .map(|days| i64::from(days).saturating_mul(24));
        let age = hours.map(SignedDuration::from_hours);
        let end = age.and_then(|age| issued.checked_add(age).ok());
        end.unwrap_or(Timestamp::MAX)
    }
}

impl Accepted {
    /// A release that was accepted.
    pub const fn new(sequence: u64, manifest: Sha256) -> Self {
        Self { sequence, manifest }
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            expires: Severity::Deny,
            max_age_days: None,
        }
    }
}
