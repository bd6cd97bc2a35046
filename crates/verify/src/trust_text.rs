//! `trust.toml` as text: what may stand there, and what is wrong with it on which line.

use std::io;

use jiff::Timestamp;
use serde::Deserialize;
use toml::Spanned;

use crate::trusted::{OmsAnchor, OmsTrust, TrustedKey};
use crate::{ContentRules, Limits, PublicKey, RepoGlob, Revocation, Severity, TrustPolicyError};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustFile {
    threshold: Spanned<usize>,
    #[serde(default)]
    keys: Vec<Spanned<KeyEntry>>,
    #[serde(default)]
    pub(crate) freshness: Freshness,
    #[serde(default)]
    pub(crate) rollback: Rollback,
    #[serde(default)]
    pub(crate) content: ContentRules,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    revoked: Vec<Spanned<Revocation>>,
    #[serde(default)]
    oms: Vec<Spanned<OmsEntry>>,
}

/// How long a signature counts: the section `[freshness]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Freshness {
    pub(crate) expires: Severity,
    pub(crate) max_age_days: Option<u32>,
}

/// Which sequence may follow which: the section `[rollback]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rollback {
    pub(crate) max_jump: Option<u64>,
    pub(crate) require_state: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    name: String,
    public_key: Option<String>,
    public_key_file: Option<String>,
    not_after: Option<Timestamp>,
    repos: Option<Vec<RepoGlob>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OmsEntry {
    repos: Vec<RepoGlob>,
    public_key_file: Option<String>,
    root_certificate_file: Option<String>,
    subject: Option<String>,
}

/// Turns entries into what they stand for, and says on which line that is not possible.
pub(crate) struct Reader<'t, F> {
    pub(crate) text: &'t str,
    pub(crate) read_file: F,
}

impl<F: FnMut(&str) -> io::Result<String>> Reader<'_, F> {
    /// The file's syntax.
    pub(crate) fn file(&self) -> Result<TrustFile, TrustPolicyError> {
        toml::from_str(self.text)
            .map_err(|error| TrustPolicyError::Malformed(error.to_string().into()))
    }

    /// The keys, none of them twice.
    pub(crate) fn keys(&mut self, file: &TrustFile) -> Result<Vec<TrustedKey>, TrustPolicyError> {
        let mut keys: Vec<TrustedKey> = Vec::new();
        for entry in &file.keys {
            let line = self.line(entry);
            let entry = entry.get_ref();
            let refuse = |reason: Box<str>| TrustPolicyError::Key {
                line,
                name: entry.name.clone(),
                reason,
            };
            let pem = match (&entry.public_key, &entry.public_key_file) {
                (Some(pem), None) => pem.clone(),
                (None, Some(file)) => self.read(line, file)?,
                _ => {
                    return Err(refuse(
                        "give one of `public_key` and `public_key_file`".into(),
                    ));
                }
            };
            let key =
                PublicKey::from_pem(&pem).map_err(|error| refuse(error.to_string().into()))?;
            let key = TrustedKey {
                name: entry.name.clone(),
                key,
                not_after: entry.not_after,
                repos: entry.repos.clone(),
            };
            key.refuse_useless(&keys).map_err(refuse)?;
            keys.push(key);
        }
        Ok(keys)
    }

    /// How many of `keys` keys must have signed.
    pub(crate) fn threshold(
        &self,
        file: &TrustFile,
        keys: usize,
    ) -> Result<usize, TrustPolicyError> {
        let threshold = *file.threshold.get_ref();
        if (1..=keys).contains(&threshold) {
            return Ok(threshold);
        }
        Err(TrustPolicyError::Threshold {
            line: self.line(&file.threshold),
            threshold,
            keys,
        })
    }

    /// What the operator revoked.
    pub(crate) fn revoked(&self, file: &TrustFile) -> Result<Vec<Revocation>, TrustPolicyError> {
        let checked = |entry: &Spanned<Revocation>| {
            let printable = entry.get_ref().refuse_disorder();
            printable.map_err(|_| {
                let reason = "the reason is missing, too long, or has control characters";
                self.entry("revoked", entry, reason)
            })?;
            Ok(entry.get_ref().clone())
        };
        file.revoked.iter().map(checked).collect()
    }

    /// Whose OpenSSF Model Signing bundles count, and for which repositories.
    pub(crate) fn oms(&mut self, file: &TrustFile) -> Result<Vec<OmsTrust>, TrustPolicyError> {
        let mut all = Vec::new();
        for entry in &file.oms {
            let line = self.line(entry);
            let OmsEntry {
                repos,
                public_key_file,
                root_certificate_file,
                subject,
            } = entry.get_ref();
            let anchor = match (public_key_file, root_certificate_file) {
                (Some(file), None) if subject.is_none() => {
                    OmsAnchor::PublicKey(self.read(line, file)?)
                }
                (None, Some(file)) => OmsAnchor::RootCertificate {
                    pem: self.read(line, file)?,
                    subject: subject.clone(),
                },
                _ => {
                    let reason = "give one of `public_key_file` and `root_certificate_file`, and `subject` with the latter only";
                    return Err(self.entry("oms", entry, reason));
                }
            };
            if repos.is_empty() {
                return Err(self.entry("oms", entry, "`repos` is empty: it would never count"));
            }
            let repos = repos.clone();
            all.push(OmsTrust { repos, anchor });
        }
        Ok(all)
    }

    fn read(&mut self, line: usize, file: &str) -> Result<String, TrustPolicyError> {
        (self.read_file)(file).map_err(|source| TrustPolicyError::KeyFile {
            line,
            file: file.to_owned(),
            source,
        })
    }

    fn entry<T>(&self, section: &'static str, at: &Spanned<T>, reason: &str) -> TrustPolicyError {
        TrustPolicyError::Entry {
            line: self.line(at),
            section,
            reason: reason.into(),
        }
    }

    /// The line of a value, counted from 1.
    fn line<T>(&self, at: &Spanned<T>) -> usize {
        let before = self.text.get(..at.span().start).unwrap_or_default();
        before.matches('\n').count().saturating_add(1)
    }
}
