//! The proof that a check was made: a type that only the check can make.

use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use crate::{KeyId, Rejected, RepoId, RepoType, Revision, Sha256};

/// A value together with the proof that somebody you trust signed it.
///
/// There is no way to make one but the checks of this crate, no way to change what is inside, and
/// no copy: whoever holds it holds what was checked.
///
/// ```compile_fail,E0451
/// use tensorgate_verify::Verified;
///
/// // The fields are private: a value that nobody checked cannot be dressed up as verified.
/// let forged = Verified { value: vec![1_u8], evidence: unreachable!() };
/// ```
///
/// ```compile_fail,E0624
/// use tensorgate_verify::Verified;
///
/// // The one constructor belongs to this crate.
/// let forged = Verified::assertion(vec![1_u8], unreachable!());
/// ```
///
/// ```compile_fail,E0277
/// use tensorgate_verify::{Manifest, Verified};
///
/// // Proof does not come out of a parser.
/// fn parse<T: serde::de::DeserializeOwned>() {}
/// parse::<Verified<Manifest>>();
/// ```
///
/// ```compile_fail,E0277
/// use tensorgate_verify::{Manifest, Verified};
///
/// // Nor out of a copy or a default.
/// fn copies<T: Clone + Default>() {}
/// copies::<Verified<Manifest>>();
/// ```
///
/// ```compile_fail,E0594
/// use tensorgate_verify::{Manifest, Verified};
///
/// // What was verified stays what it was.
/// fn raise(manifest: &mut Verified<Manifest>) {
///     manifest.sequence = 7;
/// }
/// ```
#[derive(Debug)]
pub struct Verified<T, E = Evidence> {
    value: T,
    evidence: Arc<E>,
}

/// What a proof rests on: who signed which manifest, and when that was judged.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// SHA-256 of the signed payload: the manifest's name.
    pub manifest: Sha256,
    /// SHA-256 of the trust policy's text.
    pub trust_policy: Sha256,
    /// The trusted keys that signed, each once.
    pub signers: Vec<Signer>,
    /// Signatures in the envelope beside those, which were ignored.
    pub ignored_signatures: usize,
    /// The instant for which expiry was judged.
    pub now: Timestamp,
    /// Model or dataset.
    pub repo_type: RepoType,
    /// The repository that the manifest speaks of.
    pub repo: RepoId,
    /// The commit that the manifest speaks of.
    pub revision: Revision,
    /// The release's number.
    pub sequence: u64,
    /// When the manifest was signed: an instant that has passed.
    pub issued: Timestamp,
    /// When this proof ends: the manifest expires or is too old, or too few of the keys count.
    pub until: Timestamp,
    /// What was found about the manifest and the list of revocations, and let pass by the trust
    /// policy.
    pub notices: Vec<Rejected>,
    pub(crate) envelope: Box<[u8]>,
}

impl Evidence {
    /// The envelope itself, for others who verify it again.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }
}

/// What the proof of a list of revocations rests on.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RevocationEvidence {
    /// SHA-256 of the signed payload: the list's name.
    pub list: Sha256,
    /// SHA-256 of the trust policy's text.
    pub trust_policy: Sha256,
    /// The trusted keys that signed, each once.
    pub signers: Vec<Signer>,
    /// The instant for which expiry was judged.
    pub now: Timestamp,
    /// What was found and let pass by the trust policy.
    pub notices: Vec<Rejected>,
    pub(crate) envelope: Box<[u8]>,
}

impl RevocationEvidence {
    /// The envelope itself, to be kept and verified again.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }
}

/// A trusted key that signed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Signer {
    /// The name that the trust policy gives it.
    pub name: String,
    /// Its id.
    pub key: KeyId,
}

impl<T, E> Verified<T, E> {
    /// Says that `value` was verified. To audit this crate, look at each caller.
    pub(crate) const fn assertion(value: T, evidence: Arc<E>) -> Self {
        Self { value, evidence }
    }

    /// What the proof rests on.
    pub fn evidence(&self) -> &E {
        &self.evidence
    }

    pub(crate) const fn shared_evidence(&self) -> &Arc<E> {
        &self.evidence
    }

    /// Takes the value apart, inside this crate, to build a larger verified value from it.
    pub(crate) fn into_inner(self) -> T {
        self.value
    }
}

impl<T, E> Deref for Verified<T, E> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
