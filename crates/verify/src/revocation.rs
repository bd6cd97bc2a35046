//! What was called back: keys, releases, bytes and commits that count no more.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Findings, Rejected, Result};
use crate::manifest_rules::{malformed, printable};
use crate::statement::sealed::Sealed;
use crate::statement::{Predicate, Subject};
use crate::{Blake3, FileEntry, KeyId, Limits, Manifest, Rejection, Revision, Sha256};

/// A signed list of what counts no more: the file `revocations.dsse.json`.
///
/// It names every revocation that is in force; a later list takes the place of an earlier one.
/// Like a manifest it has a sequence, so that an older list cannot come back, and an expiry, so
/// that a robot can tell that it is kept from newer ones.
///
/// ```
/// use tensorgate_verify::*;
/// # let key = SigningKey::from_seed(&[7; 32]);
/// # let pem = key.public_pem()?;
/// # let text = format!("threshold = 1\n[[keys]]\nname = 'ops'\npublic_key = '''{pem}'''");
/// # let trust = TrustPolicy::parse(&text, |_| unreachable!("the key is inline"))?;
/// let stolen = Revocation::new(Revoked::Key(KeyId::from_bytes([9; 32])), "laptop lost");
/// let validity = ("2026-11-01T00:00:00Z".parse()?, "2027-02-01T00:00:00Z".parse()?);
/// let list = Revocations::new(1, validity, vec![stolen]);
/// let signed = SignedRevocations::sign(&list, &key, &Limits::default())?;
///
/// // A robot proves the list like a manifest, and holds every manifest against it.
/// let mut context = Context::new("2026-11-23T12:00:00Z".parse()?);
/// let list = trust.authenticate_revocations(&signed, &context)?;
/// context.revocations = Some(&list);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Revocations {
    /// Grows with each list.
    pub sequence: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// When a newer one should have come.
    pub expires: Timestamp,
    /// What counts no more.
    pub revoked: Vec<Revocation>,
}

/// One thing that counts no more, and why: `{"key": "…", "reason": "…"}`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Entry", into = "Entry")]
#[non_exhaustive]
pub struct Revocation {
    /// What it is.
    pub what: Revoked,
    /// Why, for people.
    pub reason: String,
}

/// What can be revoked.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Revoked {
    /// A signing key: its signatures count no more, whenever they were made.
    Key(KeyId),
    /// One release: SHA-256 of its manifest's payload.
    Manifest(Sha256),
    /// Bytes, in whatever release they come: BLAKE3 of a file, a header or a tensor.
    Blake3(Blake3),
    /// A commit, of whatever repository.
    Revision(Revision),
}

/// A revocation as it is written, in a signed list and in `trust.toml` alike.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<KeyId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blake3: Option<Blake3>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    reason: String,
}

/// Everything that is revoked, by whichever list says so, with the reasons.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevokedSet<'a>(BTreeMap<&'a Revoked, &'a str>);

impl Revocations {
    /// A list to be signed.
    pub const fn new(
        sequence: u64,
        validity: (Timestamp, Timestamp),
        revoked: Vec<Revocation>,
    ) -> Self {
        let (issued, expires) = validity;
        Self {
            sequence,
            issued,
            expires,
            revoked,
        }
    }
}

impl Revocation {
    /// `what` counts no more, because of `reason`.
    pub fn new(what: Revoked, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { what, reason }
    }

    pub(crate) fn refuse_disorder(&self) -> Result<()> {
        printable("revoked", &self.reason)
    }
}

impl Predicate for Revocations {
    const TYPE: &'static str = "urn:tensorgate:revocations:v1";
}

impl Sealed for Revocations {
    fn subjects(&self) -> Vec<Subject> {
        let subject = |revocation: &Revocation| revocation.what.subject();
        self.revoked.iter().map(subject).collect()
    }

    fn refuse_disorder(&self, limits: &Limits) -> Result<()> {
        if self.expires <= self.issued {
            return Err(malformed("expires", "not after `issued`"));
        }
        if self.revoked.len() > limits.revocations {
            let detail = format!("more than {} revocations", limits.revocations);
            return Err(malformed("revoked", detail));
        }
        self.revoked
            .iter()
            .try_for_each(Revocation::refuse_disorder)
    }
}

impl Revoked {
    fn subject(&self) -> Subject {
        match self {
            Self::Key(id) => Subject::new("key", "sha256", id),
            Self::Manifest(digest) => Subject::new("manifest", "sha256", digest),
            Self::Blake3(digest) => Subject::new("blake3", "blake3", digest),
            Self::Revision(commit) => Subject::new("revision", "gitCommit", commit),
        }
    }
}

impl<'a> RevokedSet<'a> {
    pub(crate) fn new(lists: impl Iterator<Item = &'a Revocation>) -> Self {
        Self(lists.map(|entry| (&entry.what, &*entry.reason)).collect())
    }

    /// `key-revoked`.
    pub(crate) fn refuse_key(&self, key: KeyId) -> Result<(), Rejected> {
        self.refuse(&Revoked::Key(key), Rejection::KeyRevoked, "signatures")
    }

    /// `manifest-revoked`, `revision-revoked`, `digest-revoked`.
    pub(crate) fn judge_manifest(
        &self,
        manifest: &Manifest,
        digest: Sha256,
        findings: &mut Findings,
    ) {
        let commit = Revoked::Revision(manifest.repo.revision.clone());
        self.judge_signed(digest, findings);
        findings.add(self.refuse(&commit, Rejection::RevisionRevoked, "revision"));
        self.judge_bytes(&manifest.files, findings);
    }

    /// `manifest-revoked`.
    pub(crate) fn judge_signed(&self, digest: Sha256, findings: &mut Findings) {
        let what = Revoked::Manifest(digest);
        findings.add(self.refuse(&what, Rejection::ManifestRevoked, "manifest"));
    }

    /// `digest-revoked`.
    pub(crate) fn judge_bytes(&self, files: &[FileEntry], findings: &mut Findings) {
        if !self.0.keys().any(|what| matches!(what, Revoked::Blake3(_))) {
            return;
        }
        let mut judge = |digest: &Blake3, subject: &dyn fmt::Display| {
            let what = Revoked::Blake3(*digest);
            findings.add(self.refuse(&what, Rejection::DigestRevoked, subject));
        };
        for file in files {
            judge(&file.blake3, &file.path);
            if let Some(digest) = &file.header_blake3 {
                judge(digest, &file.path);
            }
            for tensor in file.tensors.iter().flatten() {
                judge(&tensor.blake3, &format!("{}#{}", file.path, tensor.name));
            }
        }
    }

    fn refuse(
        &self,
        what: &Revoked,
        rejection: Rejection,
        subject: impl fmt::Display,
    ) -> Result<(), Rejected> {
        match self.0.get(what) {
            None => Ok(()),
            Some(reason) => Err(Rejected::new(
                rejection,
                subject,
                format!("{what}: {reason}"),
            )),
        }
    }
}

impl TryFrom<Entry> for Revocation {
    type Error = &'static str;

    fn try_from(entry: Entry) -> Result<Self, Self::Error> {
        let Entry {
            key,
            manifest,
            blake3,
            revision,
            reason,
        } = entry;
        let what = match (key, manifest, blake3, revision) {
            (Some(id), None, None, None) => Revoked::Key(id),
            (None, Some(digest), None, None) => Revoked::Manifest(digest),
            (None, None, Some(digest), None) => Revoked::Blake3(digest),
            (None, None, None, Some(commit)) => Revoked::Revision(commit),
            _ => return Err("a revocation names one of `key`, `manifest`, `blake3`, `revision`"),
        };
        Ok(Self { what, reason })
    }
}

impl From<Revocation> for Entry {
    fn from(Revocation { what, reason }: Revocation) -> Self {
        let mut entry = Self {
            reason,
            ..Self::default()
        };
        match what {
            Revoked::Key(id) => entry.key = Some(id),
            Revoked::Manifest(digest) => entry.manifest = Some(digest),
            Revoked::Blake3(digest) => entry.blake3 = Some(digest),
            Revoked::Revision(commit) => entry.revision = Some(commit),
        }
        entry
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "the key {id} was revoked"),
            Self::Manifest(digest) => write!(f, "the manifest {digest} was revoked"),
            Self::Blake3(digest) => write!(f, "the bytes of blake3 {digest} were revoked"),
            Self::Revision(commit) => write!(f, "the commit {commit} was revoked"),
        }
    }
}
