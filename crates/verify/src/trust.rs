//! Whose signatures count: the trust policy, and the one place where they are counted.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use crate::context::Context;
use crate::error::{Error, Findings, Rejected, Result};
use crate::revocation::RevokedSet;
use crate::statement::Predicate;
use crate::statement::sealed::Sealed;
use crate::trust_text::{Freshness, Reader, Rollback};
use crate::verified::RevocationEvidence;
use crate::{
    Evidence, FileEntry, KeyId, Limits, Manifest, OmsTrust, Rejection, RepoId, Revocation,
    Revocations, Rules, Severity, Sha256, Signed, SignedManifest, SignedRevocations,
    TrustPolicyError, TrustedKey, Verified,
};

/// Trusted keys and how many of them must agree, and the rules for what they signed: the file
/// `trust.toml`.
///
/// ```toml
/// threshold = 1
/// [[keys]]
/// name = "release-2026"
/// public_key_file = "release.pub.pem"
/// not_after = "2027-06-30T00:00:00Z"   # optional: signatures by it count until then
/// repos = ["acme/*"]                   # optional: and for these repositories
/// [freshness]
/// expires = "deny"                     # or "warn"
/// max_age_days = 400                   # optional
/// [rollback]
/// max_jump = 1000                      # optional
/// require_state = true                 # a store that `tensorgate store init` made ready
/// [content]
/// dtypes = ["F32", "BF16", "I64"]      # optional; so is `kinds`
/// non_finite = "deny"
/// constant_statistics = "warn"
/// reviewed_code = "deny"               # or "allow"
/// [limits]
/// files = 100                          # each of `Limits`
/// [[revoked]]
/// key = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
/// reason = "laptop lost"
/// [[oms]]
/// repos = ["nvidia/*"]
/// public_key_file = "nvidia.pub.pem"   # or root_certificate_file, and whose signature counts of
/// #                                      all whom it certifies for signing code: subject = "CN=…"
/// ```
///
/// ```
/// use tensorgate_verify::{Context, Rejection, SigningKey, TrustPolicy};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// // Two of these three must have signed.
/// let mut text = "threshold = 2\n".to_owned();
/// for (name, seed) in [("ann", 7), ("ben", 8), ("cleo", 9)] {
///     let pem = SigningKey::from_seed(&[seed; 32]).public_pem()?;
///     text += &format!("[[keys]]\nname = '{name}'\npublic_key = '''{pem}'''\n");
/// }
/// let trust = TrustPolicy::parse(&text, |_| unreachable!("the keys are inline"))?;
/// let context = Context::new("2026-11-23T12:00:00Z".parse()?);
///
/// let mut signed = example.signed; // by ann
/// let error = trust.authenticate(&signed, &context).unwrap_err();
/// assert_eq!(error.rejection(), Some(Rejection::ThresholdNotMet));
/// signed.add_signature(&SigningKey::from_seed(&[9; 32]), trust.limits())?;
/// let manifest = trust.authenticate(&signed, &context)?;
/// let names: Vec<&str> = manifest.evidence().signers.iter().map(|s| &*s.name).collect();
/// assert_eq!(names, ["ann", "cleo"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    digest: Sha256,
    threshold: usize,
    keys: Vec<TrustedKey>,
    freshness: Freshness,
    rollback: Rollback,
    rules: Rules,
    revoked: Vec<Revocation>,
    oms: Vec<OmsTrust>,
}

impl TrustPolicy {
    /// Reads a trust policy. `read_file` gives the text of a file that it names; where such names
    /// point to is the caller's to decide.
    ///
    /// # Errors
    /// Anything that would surprise later, with its line: unknown keys, a threshold that cannot be
    /// met, a key that is unreadable, of low order, or there twice.
    pub fn parse(
        text: &str,
        read_file: impl FnMut(&str) -> io::Result<String>,
    ) -> Result<Self, TrustPolicyError> {
        let mut reader = Reader { text, read_file };
        let file = reader.file()?;
        let keys = reader.keys(&file)?;
        Ok(Self {
            digest: Sha256::of(text.as_bytes()),
            threshold: reader.threshold(&file, keys.len())?,
            keys,
            revoked: reader.revoked(&file)?,
            oms: reader.oms(&file)?,
            freshness: file.freshness,
            rollback: file.rollback,
            rules: Rules {
                limits: file.limits,
                content: file.content,
            },
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

    /// What the operator revoked, without any list that was signed.
    pub fn revoked(&self) -> &[Revocation] {
        &self.revoked
    }

    /// Whose OpenSSF Model Signing bundles count.
    pub fn oms(&self) -> &[OmsTrust] {
        &self.oms
    }

    /// What is said of an expired manifest.
    pub const fn expired_is(&self) -> Severity {
        self.freshness.expires
    }

    /// After how many days a signature is too old.
    pub const fn max_age_days(&self) -> Option<u32> {
        self.freshness.max_age_days
    }

    /// How far a sequence may be above the last one accepted.
    pub const fn max_jump(&self) -> Option<u64> {
        self.rollback.max_jump
    }

    /// Whether the memory against rollback must have been made ready.
    pub const fn requires_state(&self) -> bool {
        self.rollback.require_state
    }

    /// SHA-256 of the text.
    pub const fn digest(&self) -> Sha256 {
        self.digest
    }

    /// Proves that the manifest is what enough trusted keys signed, that it counts now, and that
    /// it is the one asked for.
    ///
    /// It does *not* prove anything about files: see [`Claim`](crate::Claim).
    ///
    /// # Errors
    /// `signature-invalid`, `threshold-not-met`, `key-expired`, `key-revoked`, then
    /// `manifest-revoked` where that was done on this machine, then, of the parsed payload: `manifest-*`, `predicate-type-unsupported`, `json-duplicate-key`,
    /// `key-out-of-scope`, `digest-revoked`, `revision-revoked`, `repo-mismatch`,
    /// `revision-mismatch`, and of its tables `file-name-*`, `file-kind-mismatch`, `json-too-large`,
    /// `header-*`, `tensor-*`. [`Error::Io`](crate::Error::Io) if the memory cannot be read, or is
    /// required and was not made ready.
    pub fn authenticate(
        &self,
        signed: &SignedManifest,
        context: &Context<'_>,
    ) -> Result<Verified<Manifest>> {
        self.prove(signed, context, || signed.untrusted(self.limits()))
    }

    /// Proves once more, at another instant or by a changed trust policy, what was proven before:
    /// signatures, times, revocations and the memory are judged as [`authenticate`](Self::authenticate)
    /// does. Only the payload is not parsed again: it is, byte for byte, the one that was.
    ///
    /// # Errors
    /// As there.
    pub fn renew(
        &self,
        manifest: Verified<Manifest>,
        context: &Context<'_>,
    ) -> Result<Verified<Manifest>> {
        let signed = SignedManifest::parse(manifest.evidence().envelope(), self.limits())?;
        self.prove(&signed, context, || {
            let manifest = manifest.into_inner();
            // By the limits of today.
            manifest.refuse_disorder(self.limits())?;
            Ok(manifest)
        })
    }

    /// `parsed` gives what the payload says, once enough good signatures were found.
    fn prove(
        &self,
        signed: &SignedManifest,
        context: &Context<'_>,
        parsed: impl FnOnce() -> Result<Manifest>,
    ) -> Result<Verified<Manifest>> {
        let now = context.judged_at()?;
        let revoked = self.revoked_set(context);
        let signers = self.count(signed, now, &revoked)?;
        // Enough good signatures: from here on the payload may be parsed.
        let digest = signed.digest();
        context.refuse_revoked_here(digest)?;
        let manifest = parsed()?;
        let signers = self.count_in_scope(signers, Some(&manifest.repo.id))?;
        let mut until = self.until(&signers, (manifest.issued, manifest.expires));
        if let Some(list) = context.revocations {
            // From then on a newer list should have come.
            until = until.min(self.freshness.until((list.issued, list.expires)));
        }
        let signers = signers
            .into_iter()
            .map(TrustedKey::signer)
            .collect::<Vec<_>>();
        let mut findings = Findings::default();
        revoked.judge_manifest(&manifest, digest, &mut findings);
        let span = (manifest.issued, manifest.expires);
        self.freshness.judge("", span, now, &mut findings);
        context.judge_expectations(&manifest, &mut findings);
        let past = context.refuse_rollback(&manifest, digest, &self.rollback);
        let mut notices = findings.conclude_with(past)?;
        // What was let pass about the list that this rests on is said with it.
        let list = context.revocations.map(|list| &list.evidence().notices);
        notices.extend(list.into_iter().flatten().cloned());
        let evidence = Evidence {
            manifest: digest,
            trust_policy: self.digest,
            ignored_signatures: signed.signature_count().saturating_sub(signers.len()),
            signers,
            now,
            repo_type: manifest.repo.repo_type,
            repo: manifest.repo.id.clone(),
            revision: manifest.repo.revision.clone(),
            sequence: manifest.sequence,
            issued: manifest.issued,
            until,
            notices,
            envelope: signed.to_bytes().into(),
        };
        Ok(Verified::assertion(manifest, Arc::new(evidence)))
    }

    /// Proves that the list of revocations is what enough trusted keys signed, and that it counts
    /// now. Keys that speak for some repositories only do not count: a list speaks of all.
    ///
    /// That it is not older than the list before it is for its keeper to see: the list says its
    /// sequence.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate); of an expired list, `manifest-expired`.
    pub fn authenticate_revocations(
        &self,
        signed: &SignedRevocations,
        context: &Context<'_>,
    ) -> Result<Verified<Revocations, RevocationEvidence>> {
        let now = context.judged_at()?;
        // Said of the list, which is often not what was asked about.
        let of_list = |error: Error| error.within("revocations.");
        let signers = self.count(signed, now, &self.revoked_set(context));
        let signers = signers.map_err(of_list)?;
        let list = signed.untrusted(self.limits())?;
        let signers = self.count_in_scope(signers, None).map_err(of_list)?;
        let signers = signers.into_iter().map(TrustedKey::signer).collect();
        let mut findings = Findings::default();
        let span = (list.issued, list.expires);
        self.freshness
            .judge("revocations.", span, now, &mut findings);
        let evidence = RevocationEvidence {
            list: signed.digest(),
            trust_policy: self.digest,
            signers,
            now,
            notices: findings.into_result()?,
            envelope: signed.to_bytes().into(),
        };
        Ok(Verified::assertion(list, Arc::new(evidence)))
    }

    /// Refuses what was called back, for evidence other than a manifest: the keys that it rests on,
    /// the digest of what they signed, and the files.
    ///
    /// # Errors
    /// `key-revoked`, `manifest-revoked`, `digest-revoked`; [`Error::Io`] if the
    /// memory, and with it the list of revocations, is required and was not made ready.
    pub fn refuse_revoked(
        &self,
        keys: &[KeyId],
        signed: Sha256,
        files: &[FileEntry],
        context: &Context<'_>,
    ) -> Result<()> {
        context.require_state(&self.rollback)?;
        context.refuse_revoked_here(signed)?;
        let revoked = self.revoked_set(context);
        let mut findings = Findings::default();
        for key in keys {
            findings.add(revoked.refuse_key(*key));
        }
        revoked.judge_signed(signed, &mut findings);
        revoked.judge_bytes(files, &mut findings);
        findings.into_result().map(drop)
    }

    fn revoked_set<'a>(&'a self, context: &Context<'a>) -> RevokedSet<'a> {
        let signed = context.revocations.map(|list| &*list.revoked);
        RevokedSet::new(self.revoked.iter().chain(signed.unwrap_or_default()))
    }

    /// The one loop over signatures: distinct trusted public keys with a good one, none of them
    /// revoked or expired. The payload is not looked at.
    fn count<P: Predicate>(
        &self,
        signed: &Signed<P>,
        now: Timestamp,
        revoked: &RevokedSet<'_>,
    ) -> Result<Vec<&TrustedKey>> {
        let message = signed.message();
        let (mut signers, mut refused) = (Vec::new(), Vec::new());
        for key in &self.keys {
            if !signed.has_signature_of(&key.key, &message) {
                continue;
            }
            match revoked
                .refuse_key(key.id())
                .and_then(|()| key.refuse_expired(now))
            {
                Ok(()) => signers.push(key),
                Err(why) => refused.push(why),
            }
        }
        self.require_threshold(signers, refused)
    }

    /// Whose word counts for the repository that the payload names; `None` stands for all.
    fn count_in_scope<'k>(
        &self,
        signers: Vec<&'k TrustedKey>,
        repo: Option<&RepoId>,
    ) -> Result<Vec<&'k TrustedKey>> {
        let (in_scope, others): (Vec<_>, Vec<_>) =
            signers.into_iter().partition(|key| key.speaks_for(repo));
        let refused = others.iter().map(|key| key.out_of_scope(repo)).collect();
        self.require_threshold(in_scope, refused)
    }

    /// The first instant at which [`authenticate`](Self::authenticate) would refuse.
    fn until(&self, signers: &[&TrustedKey], span: (Timestamp, Timestamp)) -> Timestamp {
        let mut ends: Vec<Timestamp> = signers
            .iter()
            .map(|key| key.not_after.unwrap_or(Timestamp::MAX))
            .collect();
        ends.sort_unstable();
        // As many as the threshold must be left: the last of these is the first to go.
        let enough = ends.len().saturating_sub(self.threshold);
        let keys = ends.get(enough).copied().unwrap_or(Timestamp::MAX);
        keys.min(self.freshness.until(span))
    }

    /// The one threshold. Why good signatures did not count is said before that they are too few.
    fn require_threshold<'k>(
        &self,
        signers: Vec<&'k TrustedKey>,
        refused: Vec<Rejected>,
    ) -> Result<Vec<&'k TrustedKey>> {
        if signers.len() >= self.threshold {
            return Ok(signers);
        }
        let mut findings = Findings::default();
        for Rejected {
            rejection,
            subject,
            detail,
        } in &refused
        {
            findings.reject(*rejection, subject, detail);
        }
        let rejection = if signers.is_empty() && refused.is_empty() {
            Rejection::SignatureInvalid
        } else {
            Rejection::ThresholdNotMet
        };
        let detail = format!(
            "{} of {} trusted keys signed it and count, {} must",
            signers.len(),
            self.keys.len(),
            self.threshold
        );
        findings.reject(rejection, "signatures", detail);
        findings.into_result().map(|_| signers)
    }
}
