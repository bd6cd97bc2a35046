//! Which release it is to be, and until when it counts.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tensorgate_hub::Target;
use tensorgate_verify::{Manifest, Rejection};

use super::Admission;
use crate::failure::Failure;
use crate::sign::refuse_expired;
use crate::text::now_in_seconds;

/// What a manifest says beside the files.
pub(super) struct Release {
    pub(super) sequence: u64,
    pub(super) issued: Timestamp,
    pub(super) expires: Timestamp,
}

impl Admission {
    /// As the options say; else as another signer proposes, or what comes next.
    pub(super) fn release(
        &self,
        target: &Target,
        proposed: Option<&Manifest>,
    ) -> Result<Release, Failure> {
        let now = now_in_seconds();
        let sequence = self.sequence(target, proposed)?;
        let expires = self.expires(now, proposed.map(|manifest| manifest.expires))?;
        refuse_expired(expires, now)?;
        Ok(Release {
            sequence,
            issued: proposed.map_or(now, |manifest| manifest.issued),
            expires,
        })
    }

    fn sequence(&self, target: &Target, proposed: Option<&Manifest>) -> Result<u64, Failure> {
        let last = self.session.accepted(target)?.map(|last| last.sequence);
        let next = last.map_or(1, |last| last.saturating_add(1));
        let proposed = proposed.map(|manifest| manifest.sequence);
        let sequence = self.args.sequence.or(proposed).unwrap_or(next);
        match last {
            Some(last) if sequence <= last => Err(rollback(sequence, last)),
            // Who proposes a release far ahead leaves no number for those after it.
            _ if !self.asks && self.args.sequence.is_none() && sequence != next => {
                Err(ahead(sequence, next))
            }
            _ => Ok(sequence),
        }
    }

    fn expires(&self, now: Timestamp, proposed: Option<Timestamp>) -> Result<Timestamp, Failure> {
        match (self.args.expires, proposed, self.latest(now)) {
            (Some(expires), ..) => Ok(expires),
            (None, None, Some(latest)) => Ok(latest),
            (None, Some(theirs), Some(latest)) if theirs > latest => Err(too_late(theirs, latest)),
            (None, Some(theirs), Some(_)) => Ok(theirs),
            (None, Some(theirs), None) if self.asks => Ok(theirs),
            (None, _, None) => Err(no_end()),
        }
    }

    /// The latest end that `valid_days` allows.
    fn latest(&self, now: Timestamp) -> Option<Timestamp> {
        let hours = 24 * i64::from(self.decisions.accept.valid_days?);
        now.checked_add(SignedDuration::from_hours(hours)).ok()
    }
}

fn rollback(sequence: u64, last: u64) -> Failure {
    let detail = format!("{sequence}, but {last} was accepted here before");
    Failure::rejected(Rejection::ManifestRollback, "sequence", detail)
}

fn ahead(sequence: u64, next: u64) -> Failure {
    let detail = format!("the manifest is of release {sequence}, and {next} is the next here");
    Failure::about(Path::new("sequence"), detail).hint("give --sequence if that is meant")
}

fn too_late(theirs: Timestamp, latest: Timestamp) -> Failure {
    let detail = format!("the manifest counts until {theirs}, `valid_days` allows {latest}");
    Failure::about(Path::new("expires"), detail).hint("give --expires if that is meant")
}

fn no_end() -> Failure {
    let detail = "nothing says when the signature stops to count";
    Failure::about(Path::new("expires"), detail)
        .hint("give --expires INSTANT, or `valid_days` under [accept] in --decisions")
}
