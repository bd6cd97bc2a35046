//! Where releases are announced: a name that moves, of which only what is signed is believed.

use tensorgate_verify::{
    FilePath, MANIFEST_FILE, Manifest, Revision, SignedManifest, SignedRevocations, Verified,
};

use crate::error::FetchError;
use crate::http::refused::Reason;
use crate::hub::Repository;
use crate::release::gate::{AdmitError, Admitted, Expected, Gate, Proven};
use crate::target::{At, Target};

/// A place on a Hub that names the newest release: `policy.dsse.json` there, and beside it perhaps
/// `revocations.dsse.json`, at whatever commit a branch stands for.
///
/// Nothing else is taken from the branch. The manifest is authenticated, held against what was
/// accepted and called back before, and then names the commit that everything else comes from.
/// Whoever can move the branch can keep news away, and no more: an older release is refused, and so is
/// an older list of revocations.
///
/// The repository of the channel may be another than that of the policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Channel {
    /// Where the manifest lies.
    pub place: Target,
    /// Of what it has to be.
    pub expected: Expected,
}

/// The list of revocations beside the manifest of a channel.
pub(crate) const REVOCATIONS_FILE: &str = "revocations.dsse.json";

impl Channel {
    /// The channel at `place`, for releases of what is `expected`.
    pub const fn new(place: Target, expected: Expected) -> Self {
        Self { place, expected }
    }

    /// Takes in what the channel says now: first what was called back, then the release. For one that
    /// the store has accepted and has whole, three requests are sent, and no more.
    ///
    /// A list of revocations that is not there is none: whoever can leave it away could as well keep
    /// the old one. One that is there must be good; it counts, and is kept, before the manifest is
    /// judged, and also if there is no manifest. Older than the one that is kept, it is passed over.
    ///
    /// # Errors
    /// As [`Gate::admit`]; what [`State::successor`](tensorgate_store::State::successor) refuses of the list;
    /// [`FetchError::Offline`] where the network is not to be used.
    pub async fn check(&self, gate: &Gate<'_>) -> Result<Admitted, AdmitError> {
        let commit = self.resolve(gate).await?;
        self.tell(gate, &commit);
        self.check_at(&commit, gate).await
    }

    /// The manifest that the channel names now, authenticated as [`check`](Self::check) would; nothing
    /// is fetched besides, and nothing kept or remembered.
    ///
    /// # Errors
    /// As [`check`](Self::check), but for the files.
    pub async fn preview(&self, gate: &Gate<'_>) -> Result<Verified<Manifest>, AdmitError> {
        let commit = self.resolve(gate).await?;
        self.tell(gate, &commit);
        let list = self.revocations(gate, &commit).await?;
        let signed = self.manifest(gate, &commit).await?;
        match list {
            Some(list) => gate.authenticate_under(Some(&list), &signed, &self.expected),
            None => gate.authenticate(&signed, &self.expected),
        }
    }

    /// Takes in what the channel calls back, and nothing else of it. `known` is the commit of which that
    /// was done before: while the channel stays there, one request is sent. Returns the commit.
    ///
    /// # Errors
    /// As [`check`](Self::check), of the list.
    pub async fn check_revocations(
        &self,
        gate: &Gate<'_>,
        known: Option<&Revision>,
    ) -> Result<Revision, AdmitError> {
        let commit = self.resolve(gate).await?;
        if known != Some(&commit)
            && let Some(list) = self.revocations(gate, &commit).await?
        {
            gate.keep(&list)?;
        }
        Ok(commit)
    }

    /// The commit that the channel is at: one request, or none where it is no name.
    pub(crate) async fn resolve(&self, gate: &Gate<'_>) -> Result<Revision, AdmitError> {
        match &self.place.at {
            At::Commit(revision) => Ok(revision.clone()),
            At::Name(name) => Ok(self.at(gate)?.resolve(name, gate.progress).await?),
        }
    }

    /// Says which commit a name stands for.
    pub(crate) fn tell(&self, gate: &Gate<'_>, commit: &Revision) {
        if let At::Name(name) = &self.place.at {
            let text = format!("resolved {name} to {commit}, which has the manifest");
            gate.progress.notice(&text);
        }
    }

    pub(crate) async fn check_at(
        &self,
        commit: &Revision,
        gate: &Gate<'_>,
    ) -> Result<Admitted, AdmitError> {
        if let Some(list) = self.revocations(gate, commit).await? {
            gate.keep(&list)?;
        }
        let signed = self.manifest(gate, commit).await?;
        gate.admit(&signed, &self.expected).await
    }

    async fn manifest(
        &self,
        gate: &Gate<'_>,
        commit: &Revision,
    ) -> Result<SignedManifest, AdmitError> {
        let limits = gate.trust.limits();
        let bytes = self.file(MANIFEST_FILE, gate, commit).await?;
        Ok(SignedManifest::parse(&bytes, limits)?)
    }

    /// The list that lies there, if it is to count: it was proven, and is no older than the one kept.
    /// A commit that was named by its id is a past, with a list of its day.
    async fn revocations(
        &self,
        gate: &Gate<'_>,
        commit: &Revision,
    ) -> Result<Option<Proven>, AdmitError> {
        if let At::Commit(_) = self.place.at {
            return Ok(None);
        }
        let bytes = match self.file(REVOCATIONS_FILE, gate, commit).await {
            Err(error) if is_absent(&error) => return Ok(None),
            bytes => bytes?,
        };
        let signed = SignedRevocations::parse(&bytes, gate.trust.limits())?;
        let list = gate.successor(&signed)?;
        if list.is_none() {
            let text =
                "the channel's list of revocations is older than the one kept here, which counts";
            gate.progress.notice(text);
        }
        Ok(list)
    }

    async fn file(
        &self,
        name: &str,
        gate: &Gate<'_>,
        commit: &Revision,
    ) -> Result<Vec<u8>, FetchError> {
        let path: FilePath = name.parse()?;
        let from = self.at(gate)?;
        let limits = (gate.trust.limits(), from.hub.limits());
        let limit = limits.0.manifest_bytes.min(limits.1.manifest_bytes);
        from.small_file(commit, &path, limit, gate.progress).await
    }

    fn at<'g>(&'g self, gate: &Gate<'g>) -> Result<Repository<'g>, FetchError> {
        let hub = gate.hub.ok_or_else(|| FetchError::offline(&self.place))?;
        Ok(hub.repository_of(&self.place))
    }
}

/// Whether the Hub says that there is no such file. Some mirrors have one word for all that is not
/// there; where that is wrong, the manifest is not found either.
fn is_absent(error: &FetchError) -> bool {
    let FetchError::Refused(refused) = error else {
        return false;
    };
    match refused.reason {
        Reason::NotFromThere => false,
        reason => refused.status == 404 || reason == Reason::RepoNotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::refused::Refused;

    #[test]
    fn a_file_is_absent_where_the_hub_says_so_in_any_of_its_words() {
        let answered = |status, reason| {
            is_absent(&FetchError::from(Refused {
                reason,
                status,
                url: "https://hub.example/".into(),
                message: None,
                request_id: None,
                retry_after: None,
                retry_at: None,
            }))
        };
        assert!(answered(404, Reason::FileNotFound));
        assert!(answered(404, Reason::Other));
        assert!(answered(401, Reason::RepoNotFound));
        for (status, reason) in [
            (404, Reason::NotFromThere),
            (401, Reason::Unauthorized),
            (401, Reason::Gated),
            (403, Reason::Forbidden),
            (429, Reason::RateLimited),
            (500, Reason::Other),
        ] {
            assert!(!answered(status, reason), "{status} {reason:?}");
        }
        let (url, cause) = ("https://hub.example/".into(), "gone".into());
        assert!(!is_absent(&FetchError::Unreachable { url, cause }));
    }
}
