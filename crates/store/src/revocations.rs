//! The list of revocations that was accepted last: it counts until a newer one takes its place.

use tensorgate_verify::{
    Context, Error, Limits, Rejection, RevocationEvidence, Revocations, Revoked, SignedRevocations,
    TrustPolicy, Verified,
};

use crate::error::{Result, StoreError};
use crate::state::State;

/// The file of the list.
pub(crate) const REVOCATIONS: &str = "revocations.dsse.json";

impl State {
    /// The list of revocations that is kept here, authenticated again; `None` where none ever was.
    ///
    /// # Errors
    /// [`Error::Io`] if there was one and it is damaged or lost; what
    /// [`TrustPolicy::authenticate_revocations`] refuses, expiry among it: a robot that is kept
    /// from newer lists finds out.
    pub fn revocations(
        &self,
        trust: &TrustPolicy,
        context: &Context<'_>,
    ) -> Result<Option<Verified<Revocations, RevocationEvidence>>, Error> {
        let kept = self.kept(trust.limits()).map_err(could_not)?;
        kept.map(|(signed, _)| trust.authenticate_revocations(&signed, context))
            .transpose()
    }

    /// Proves a list that is to take the place of the one that is kept.
    ///
    /// What that one revoked signs no successor, however old it is by now, and even if the keys
    /// that signed it are trusted no more: it is judged as of the day when it was issued, and it
    /// was authenticated when it came. The same list again is no successor, and counts as it did.
    ///
    /// # Errors
    /// What [`TrustPolicy::authenticate_revocations`] refuses; `key-revoked`; `manifest-rollback`
    /// of a list that is older than what is kept, or another of the same number; [`Error::Io`] if
    /// there was one and it is damaged or lost.
    pub fn successor(
        &self,
        signed: &SignedRevocations,
        trust: &TrustPolicy,
        context: &Context<'_>,
    ) -> Result<Verified<Revocations, RevocationEvidence>, Error> {
        let kept = self.kept(trust.limits()).map_err(could_not)?;
        let Some((envelope, before)) =
            kept.filter(|(envelope, _)| envelope.digest() != signed.digest())
        else {
            return trust.authenticate_revocations(signed, context);
        };
        let issued = Context::new(before.issued);
        let proven = match trust.authenticate_revocations(&envelope, &issued) {
            // Keys are exchanged, and thresholds raised: the next list is how a robot goes on.
            Err(Error::Rejected(_)) => None,
            other => Some(other?),
        };
        let mut context = *context;
        context.revocations = proven.as_ref();
        let list = trust.authenticate_revocations(signed, &context)?;
        refuse_revoked_signers(&list, &before)?;
        refuse_older(&list, &before)?;
        Ok(list)
    }

    /// Keeps a list in the place of the one before; it is on the disk then.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if a newer one, or another of the same number, is kept already;
    /// [`StoreError::State`], and whatever keeps it from being written.
    pub fn record_revocations(
        &self,
        list: &Verified<Revocations, RevocationEvidence>,
    ) -> Result<()> {
        let (_lock, drafts) = self.begin()?;
        let mut index = self.begun_index(&drafts)?;
        let kept = self.kept(&any_size())?;
        if let Some((envelope, kept)) = kept.as_ref().filter(|(_, kept)| !follows(list, kept)) {
            return Err(StoreError::Superseded {
                sequence: kept.sequence,
                manifest: envelope.digest(),
            });
        }
        let evidence = list.evidence();
        // The same list with other signatures is written, too: more may be needed than before.
        let known = kept.is_some_and(|(kept, _)| kept.to_bytes() == evidence.envelope());
        if !known {
            self.folder
                .write(REVOCATIONS, evidence.envelope(), &drafts)?;
        }
        index.revocations = Some(list.sequence);
        index.raise_floor(list.issued, evidence.now);
        self.write_index(&index, &drafts)
    }

    /// Removes a list that cannot be read: it would be in the way of every other.
    /// Whether there was one.
    pub(crate) fn forget_unreadable_list(&self) -> Result<bool> {
        match self.kept(&any_size()) {
            Err(StoreError::State { .. } | StoreError::Foreign { .. }) => {
                self.folder.remove(REVOCATIONS)?;
                self.folder.flush().map(|()| true)
            }
            other => other.map(|_| false),
        }
    }

    /// The envelope and what it says; both were authenticated when they came.
    pub(crate) fn kept(&self, limits: &Limits) -> Result<Option<(SignedRevocations, Revocations)>> {
        let path = self.folder.path_of(REVOCATIONS);
        let damaged = |error: Error| StoreError::state(&path, format!("damaged: {error}"));
        // The index is read first and written last: it may know of an older list than lies there,
        // of no newer one.
        let least = self.index()?.and_then(|index| index.revocations);
        let Some(bytes) = self.folder.read(REVOCATIONS, limits.manifest_bytes)? else {
            return match least {
                Some(_) => Err(StoreError::state(&path, "lost: the index lists it")),
                None => Ok(None),
            };
        };
        let signed = SignedRevocations::parse(&bytes, limits).map_err(damaged)?;
        let list = signed.untrusted(limits).map_err(damaged)?;
        if Some(list.sequence) < least {
            return Err(StoreError::state(&path, "an older one than was accepted"));
        }
        Ok(Some((signed, list)))
    }
}

/// `key-revoked`.
fn refuse_revoked_signers(
    list: &Verified<Revocations, RevocationEvidence>,
    before: &Revocations,
) -> Result<(), Error> {
    for signer in &list.evidence().signers {
        let mut entries = before.revoked.iter();
        if let Some(entry) = entries.find(|entry| entry.what == Revoked::Key(signer.key)) {
            let detail = format!("{}: {}", entry.what, entry.reason);
            return Err(Error::rejected(Rejection::KeyRevoked, "signatures", detail));
        }
    }
    Ok(())
}

/// `manifest-rollback`.
fn refuse_older(list: &Revocations, before: &Revocations) -> Result<(), Error> {
    if follows(list, before) {
        return Ok(());
    }
    let detail = format!(
        "{} is no newer list than {}, which was accepted before",
        list.sequence, before.sequence
    );
    Err(Error::rejected(
        Rejection::ManifestRollback,
        "revocations.sequence",
        detail,
    ))
}

/// What was accepted was within the limits of its trust policy, whichever that was.
pub(crate) fn any_size() -> Limits {
    let mut limits = Limits::default();
    limits.manifest_bytes = u64::MAX;
    (limits.signatures, limits.revocations) = (usize::MAX, usize::MAX);
    limits
}

/// Whether a list is the one before, or a newer one.
fn follows(list: &Revocations, before: &Revocations) -> bool {
    list.sequence > before.sequence || list == before
}

fn could_not(error: StoreError) -> Error {
    Error::Io {
        subject: REVOCATIONS.into(),
        source: std::io::Error::other(error),
    }
}
