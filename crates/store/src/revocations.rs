//! The list of revocations that was accepted last: it counts until a newer one takes its place.

use tensorgate_verify::{
    Context, Error, Limits, Rejection, RevocationEvidence, Revocations, SignedRevocations,
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
    /// What that one revoked signs no successor, however old it is by now: it is judged as of the
    /// day when it was issued.
    ///
    /// # Errors
    /// As [`revocations`](Self::revocations), of either list; `manifest-rollback` of one that is
    /// older than what is kept, or another of the same number.
    pub fn successor(
        &self,
        signed: &SignedRevocations,
        trust: &TrustPolicy,
        context: &Context<'_>,
    ) -> Result<Verified<Revocations, RevocationEvidence>, Error> {
        let kept = self.kept(trust.limits()).map_err(could_not)?;
        let before = kept
            .map(|(signed, list)| {
                trust.authenticate_revocations(&signed, &Context::new(list.issued))
            })
            .transpose()?;
        let mut context = *context;
        context.revocations = before.as_ref();
        let list = trust.authenticate_revocations(signed, &context)?;
        match before {
            Some(before) if !follows(&list, &before) => {
                let detail = format!(
                    "{} is no newer list than {}, which was accepted before",
                    list.sequence, before.sequence
                );
                let subject = "revocations.sequence";
                Err(Error::rejected(
                    Rejection::ManifestRollback,
                    subject,
                    detail,
                ))
            }
            _ => Ok(list),
        }
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
        let mut index = self.index()?.unwrap_or_default();
        let kept = self.kept(&Limits::default())?.map(|(_, list)| list);
        let known = kept.as_ref() == Some(&**list);
        if let Some(kept) = kept.filter(|kept| !follows(list, kept)) {
            return Err(StoreError::Superseded {
                sequence: kept.sequence,
                manifest: list.evidence().list,
            });
        }
        if !known {
            self.folder
                .write(REVOCATIONS, list.evidence().envelope(), &drafts)?;
        }
        index.revocations = Some(list.sequence);
        index.clock_floor = index.clock_floor.max(Some(list.issued));
        self.write_index(&index, &drafts)
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
