//! Who is trusted: the keys of a trust policy, and the signers of weaker evidence.

use jiff::Timestamp;

use crate::error::Rejected;
use crate::verified::Signer;
use crate::{KeyId, PublicKey, Rejection, RepoGlob, RepoId};

/// One key that may sign.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustedKey {
    /// The operator's name for it.
    pub name: String,
    /// The key.
    pub key: PublicKey,
    /// When its signatures stop to count.
    pub not_after: Option<Timestamp>,
    /// The repositories that it speaks for; `None`: all.
    pub repos: Option<Vec<RepoGlob>>,
}

/// Whose OpenSSF Model Signing bundles count as the weaker evidence that they are.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OmsTrust {
    /// The repositories for which they do.
    pub repos: Vec<RepoGlob>,
    /// Whose.
    pub anchor: OmsAnchor,
}

/// The signer of an OpenSSF Model Signing bundle, in PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OmsAnchor {
    /// A public key.
    PublicKey(String),
    /// The root of the signer's certificate chain, and whose signature counts of those that it
    /// certifies for signing code: a name in the form of RFC 4514, or anybody's.
    RootCertificate {
        /// The certificate.
        pem: String,
        /// The signer's name.
        subject: Option<String>,
    },
}

impl OmsTrust {
    /// Whether it counts for the repository.
    pub fn is_for(&self, repo: &RepoId) -> bool {
        self.repos.iter().any(|glob| glob.matches(repo))
    }
}

impl TrustedKey {
    /// The key's id.
    pub const fn id(&self) -> KeyId {
        self.key.id()
    }

    /// A key under two names would count twice; a name for two keys would hide who signed.
    pub(crate) fn refuse_useless(&self, others: &[Self]) -> Result<(), Box<str>> {
        if let Some(other) = others.iter().find(|other| other.id() == self.id()) {
            return Err(format!("the same key as {:?}", other.name).into());
        }
        if others.iter().any(|other| other.name == self.name) {
            return Err("another key has this name".into());
        }
        match &self.repos {
            Some(globs) if globs.is_empty() => Err("`repos` is empty: it would never count".into()),
            _ => Ok(()),
        }
    }

    /// When its time was over, if it is at the instant `now`.
    pub fn expired(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_after.filter(|end| *end <= now)
    }

    pub(crate) fn refuse_expired(&self, now: Timestamp) -> Result<(), Rejected> {
        match self.expired(now) {
            Some(end) => {
                let detail = format!("the key {:?} counted until {end}, it is {now}", self.name);
                Err(Rejected::new(Rejection::KeyExpired, "signatures", detail))
            }
            None => Ok(()),
        }
    }

    /// Whether its word counts for the repository; `None` stands for all.
    pub fn speaks_for(&self, repo: Option<&RepoId>) -> bool {
        let Some(globs) = &self.repos else {
            return true;
        };
        repo.is_some_and(|repo| globs.iter().any(|glob| glob.matches(repo)))
    }

    pub(crate) fn out_of_scope(&self, repo: Option<&RepoId>) -> Rejected {
        let repo = repo.map_or_else(|| "all repositories".to_owned(), ToString::to_string);
        let detail = format!("the key {:?} does not speak for {repo}", self.name);
        Rejected::new(Rejection::KeyOutOfScope, "signatures", detail)
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer {
            name: self.name.clone(),
            key: self.id(),
        }
    }
}
