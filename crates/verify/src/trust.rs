//! Whose signatures count: the trust policy, and the one place where they are counted.

use std::fmt;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::verified::Signer;
use crate::{
    Evidence, KeyId, Limits, Manifest, PublicKey, Rejection, RepoId, RepoType, Revision, Rules,
    Sha256, SignedManifest, TrustPolicyError, Verified,
};

/// Trusted keys and how many of them must agree: the file `trust.toml`.
///
/// ```toml
/// threshold = 1
/// [[keys]]
/// name = "release-2026"
/// public_key_file = "release.pub.pem"
/// ```
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    digest: Sha256,
    threshold: usize,
    keys: Vec<TrustedKey>,
    rules: Rules,
}

/// One key that may sign.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustedKey {
    /// The operator's name for it.
    pub name: String,
    /// The key.
    pub key: PublicKey,
}

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
}

/// Remembers releases. It is asked about a repository only after the signatures were found good.
pub trait History: fmt::Debug {
    /// The release last accepted for a repository, or `None` where none ever was.
    ///
    /// # Errors
    /// There was one and it is lost or damaged: then nothing can be said of a rollback.
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>>;
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
const CLOCK_SKEW: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    threshold: usize,
    #[serde(default)]
    keys: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    public_key: Option<String>,
    public_key_file: Option<String>,
}

impl TrustPolicy {
    /// Reads a trust policy. `read_key` gives the text of a `public_key_file`; where such names
    /// point to is the caller's to decide.
    ///
    /// # Errors
    /// Anything that would surprise later: unknown keys, a threshold that cannot be met, a key
    /// that is unreadable, of low order, or there twice.
    pub fn parse(
        text: &str,
        mut read_key: impl FnMut(&str) -> io::Result<String>,
    ) -> Result<Self, TrustPolicyError> {
        let file: TrustFile = toml::from_str(text)
            .map_err(|error| TrustPolicyError::Malformed(error.to_string().into()))?;
        let mut keys: Vec<TrustedKey> = Vec::new();
        for entry in file.keys {
            let key = TrustedKey::read(entry, &mut read_key)?;
            key.refuse_twin(&keys)?;
            keys.push(key);
        }
        if file.threshold == 0 || file.threshold > keys.len() {
            return Err(TrustPolicyError::Threshold {
                threshold: file.threshold,
                keys: keys.len(),
            });
        }
        let digest = Sha256::of(text.as_bytes());
        Ok(Self {
            digest,
            threshold: file.threshold,
            keys,
            rules: Rules::default(),
        })
    }

    /// The bounds under which everything is read.
    pub const fn limits(&self) -> &Limits {
        &self.rules.limits
    }

    /// The rules for content: bounds, kinds, element types, findings that are let pass.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How many distinct keys must have signed.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys that may sign.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// Proves that the manifest is what enough trusted keys signed, that it counts now, and that
    /// it is the one asked for.
    ///
    /// It does *not* prove anything about files: see [`Claim`](crate::Claim).
    ///
    /// # Errors
    /// `signature-invalid`, `threshold-not-met`, then, of the parsed payload: `manifest-*`,
    /// `predicate-type-unsupported`, `json-duplicate-key`, `repo-mismatch`, `revision-mismatch`.
    pub fn authenticate(
        &self,
        signed: &SignedManifest,
        context: &Context<'_>,
    ) -> Result<Verified<Manifest>> {
        let signers = self.count(signed)?;
        let manifest = Manifest::from_payload(signed.payload(), &self.rules.limits)?;
        context.refuse_stale(&manifest)?;
        context.refuse_unexpected(&manifest)?;
        context.refuse_rollback(&manifest, signed.digest())?;
        let evidence = Evidence {
            manifest: signed.digest(),
            trust_policy: self.digest,
            ignored_signatures: signed.signature_count().saturating_sub(signers.len()),
            signers,
            now: context.now,
            repo_type: manifest.repo.repo_type,
            repo: manifest.repo.id.clone(),
            revision: manifest.repo.revision.clone(),
            sequence: manifest.sequence,
            envelope: signed.to_bytes().into(),
        };
        Ok(Verified::assertion(manifest, Arc::new(evidence)))
    }

    /// The one threshold: distinct trusted public keys with a good signature.
    fn count(&self, signed: &SignedManifest) -> Result<Vec<Signer>> {
        let signers: Vec<Signer> = signed
            .signers(&self.keys)
            .into_iter()
            .map(TrustedKey::signer)
            .collect();
        if signers.len() >= self.threshold {
            return Ok(signers);
        }
        let detail = format!(
            "{} of {} trusted keys signed it, {} must",
            signers.len(),
            self.keys.len(),
            self.threshold
        );
        let rejection = if signers.is_empty() {
            Rejection::SignatureInvalid
        } else {
            Rejection::ThresholdNotMet
        };
        Err(Error::rejected(rejection, "signatures", detail))
    }
}

impl Context<'_> {
    /// A context in which any repository, commit and sequence will do.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            now,
            history: None,
            repo: None,
            repo_type: RepoType::Model,
            revision: None,
        }
    }

    fn refuse_stale(&self, manifest: &Manifest) -> Result<()> {
        if manifest.expires <= self.now {
            let detail = format!("expired at {}, it is {}", manifest.expires, self.now);
            return Err(Error::rejected(
                Rejection::ManifestExpired,
                "expires",
                detail,
            ));
        }
        let horizon = self
            .now
            .saturating_add(CLOCK_SKEW)
            .unwrap_or(Timestamp::MAX);
        if manifest.issued > horizon {
            let detail = format!("issued at {}, it is {}", manifest.issued, self.now);
            return Err(Error::rejected(
                Rejection::ManifestNotYetValid,
                "issued",
                detail,
            ));
        }
        Ok(())
    }

    fn refuse_rollback(&self, manifest: &Manifest, digest: Sha256) -> Result<()> {
        let Some(history) = self.history else {
            return Ok(());
        };
        let last = history
            .last_accepted(manifest.repo.repo_type, &manifest.repo.id)
            .map_err(|error| Error::io("rollback state", error))?;
        match last {
            Some(last) if manifest.sequence < last.sequence => {
                let detail = format!(
                    "{}, but {} was accepted before",
                    manifest.sequence, last.sequence
                );
                Err(Error::rejected(
                    Rejection::ManifestRollback,
                    "sequence",
                    detail,
                ))
            }
            Some(last) if manifest.sequence == last.sequence && digest != last.manifest => {
                let detail = format!(
                    "{} was accepted before with other content",
                    manifest.sequence
                );
                Err(Error::rejected(
                    Rejection::ManifestRollback,
                    "sequence",
                    detail,
                ))
            }
            _ => Ok(()),
        }
    }

    fn refuse_unexpected(&self, manifest: &Manifest) -> Result<()> {
        let signed = (manifest.repo.repo_type, &manifest.repo.id);
        if let Some(repo) = self.repo.filter(|repo| (self.repo_type, *repo) != signed) {
            let detail = format!(
                "signed for the {} {:?}, expected the {} {:?}",
                signed.0,
                signed.1.as_str(),
                self.repo_type,
                repo.as_str()
            );
            return Err(Error::rejected(Rejection::RepoMismatch, "repo", detail));
        }
        if let Some(revision) = self.revision.filter(|rev| **rev != manifest.repo.revision) {
            let detail = format!("signed for {}, expected {revision}", manifest.repo.revision);
            return Err(Error::rejected(
                Rejection::RevisionMismatch,
                "revision",
                detail,
            ));
        }
        Ok(())
    }
}

impl Accepted {
    /// A release that was accepted.
    pub const fn new(sequence: u64, manifest: Sha256) -> Self {
        Self { sequence, manifest }
    }
}

impl TrustedKey {
    fn read(
        entry: KeyEntry,
        read_key: &mut impl FnMut(&str) -> io::Result<String>,
    ) -> Result<Self, TrustPolicyError> {
        let KeyEntry {
            name,
            public_key,
            public_key_file,
        } = entry;
        let pem = match (public_key, public_key_file) {
            (Some(pem), None) => pem,
            (None, Some(file)) => {
                read_key(&file).map_err(|source| TrustPolicyError::KeyFile { file, source })?
            }
            _ => {
                let reason = "give one of `public_key` and `public_key_file`".into();
                return Err(TrustPolicyError::Key { name, reason });
            }
        };
        match PublicKey::from_pem(&pem) {
            Ok(key) => Ok(Self { name, key }),
            Err(error) => Err(TrustPolicyError::Key {
                name,
                reason: error.to_string().into(),
            }),
        }
    }

    /// A key under two names would count twice; a name for two keys would hide who signed.
    fn refuse_twin(&self, others: &[Self]) -> Result<(), TrustPolicyError> {
        let same_name = others.iter().any(|other| other.name == self.name);
        let same_key = others.iter().find(|other| other.id() == self.id());
        let reason = match same_key {
            Some(other) => format!("the same key as {:?}", other.name),
            None if same_name => "another key has this name".to_owned(),
            None => return Ok(()),
        };
        Err(TrustPolicyError::Key {
            name: self.name.clone(),
            reason: reason.into(),
        })
    }

    /// The key's id.
    pub const fn id(&self) -> KeyId {
        self.key.id()
    }

    fn signer(&self) -> Signer {
        Signer {
            name: self.name.clone(),
            key: self.id(),
        }
    }
}

impl AsRef<PublicKey> for TrustedKey {
    fn as_ref(&self) -> &PublicKey {
        &self.key
    }
}
