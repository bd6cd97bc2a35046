//! What is asked for: a repository at a commit, or at a name that stands for one.

use std::fmt;
use std::str::FromStr;

use tensorgate_verify::{Rejection, RepoId, RepoType, Revision};

use crate::error::FetchError;

/// A repository at a commit or name, `OWNER/NAME@COMMIT` as people write it.
///
/// ```
/// use tensorgate_hub::{At, Target};
///
/// let target: Target = "acme/walk@main".parse()?;
/// assert_eq!(target.at, At::Name("main".into())); // to be looked up once, shown, and pinned
/// assert!("acme/walk".parse::<Target>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Target {
    /// Model, or dataset for an id that begins with `datasets/`.
    pub repo_type: RepoType,
    /// The repository.
    pub repo: RepoId,
    /// Where in its history.
    pub at: At,
}

/// A place in a history.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum At {
    /// Exactly this commit.
    Commit(Revision),
    /// Whatever commit this branch or tag stands for when it is asked.
    Name(Box<str>),
}

impl Target {
    /// A repository at a place in its history.
    pub const fn new(repo_type: RepoType, repo: RepoId, at: At) -> Self {
        Self {
            repo_type,
            repo,
            at,
        }
    }

    /// A model at a commit.
    pub const fn model(repo: RepoId, revision: Revision) -> Self {
        Self {
            repo_type: RepoType::Model,
            repo,
            at: At::Commit(revision),
        }
    }

    /// A repository, `OWNER/NAME` or `datasets/OWNER/NAME`, without a place in its history.
    ///
    /// # Errors
    /// [`FetchError::NotATarget`].
    pub fn repository(text: &str) -> Result<(RepoType, RepoId), FetchError> {
        let (repo_type, id) = match text.strip_prefix("datasets/") {
            Some(id) => (RepoType::Dataset, id),
            None => (RepoType::Model, text),
        };
        let usage = |_| FetchError::NotATarget { text: text.into() };
        Ok((repo_type, id.parse().map_err(usage)?))
    }

    /// The same repository at a commit.
    #[must_use]
    pub fn pinned(self, revision: Revision) -> Self {
        Self {
            at: At::Commit(revision),
            ..self
        }
    }
}

impl FromStr for Target {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        let usage = || FetchError::NotATarget { text: text.into() };
        let (id, at) = text.split_once('@').ok_or_else(usage)?;
        if at.is_empty() {
            return Err(usage());
        }
        let (repo_type, repo) = Self::repository(id).map_err(|_| usage())?;
        let at = at.parse()?;
        Ok(Self {
            repo_type,
            repo,
            at,
        })
    }
}

impl FromStr for At {
    type Err = FetchError;

    /// A commit in full, or a branch or tag. What looks like part of a commit id is refused: it
    /// would name whatever comes to match it.
    fn from_str(text: &str) -> Result<Self, FetchError> {
        let looks_like_a_commit = text.len() >= 7 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match text.parse() {
            Ok(revision) => Ok(Self::Commit(revision)),
            Err(error) if looks_like_a_commit => Err(error.into()),
            Err(_) if is_ref_name(text) => Ok(Self::Name(text.into())),
            Err(_) => Err(FetchError::rejected(
                Rejection::RevisionNotPinned,
                text,
                "neither a full commit id nor the name of a branch or tag",
            )),
        }
    }
}

/// The harmless part of what git allows (`git check-ref-format`).
fn is_ref_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./+=".contains(&b);
    (1..=255).contains(&text.len())
        && text.bytes().all(plain)
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with(['.', '-']))
        && !text.contains("..")
}

/// What stands before the id of a repository that is no model.
pub(crate) const fn prefix(repo_type: RepoType) -> &'static str {
    match repo_type {
        RepoType::Dataset => "datasets/",
        _ => "",
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = prefix(self.repo_type);
        write!(f, "{prefix}{}@{}", self.repo, self.at)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit(revision) => write!(f, "{revision}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn commits_branches_and_datasets_are_read_as_written() {
        for text in [
            format!("acme/walk@{COMMIT}"),
            "acme/walk@main".into(),
            "acme/walk@refs/pr/1".into(),
            format!("datasets/acme/walk@{COMMIT}"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn part_of_a_commit_id_is_no_revision() {
        for at in [
            "0123456",
            &COMMIT[..39],
            &COMMIT.to_uppercase(),
            "../main",
            "a b",
        ] {
            let error = format!("acme/walk@{at}").parse::<Target>().unwrap_err();
            assert_eq!(
                error.rejection(),
                Some(Rejection::RevisionNotPinned),
                "{at}"
            );
        }
        for text in ["acme/walk", "acme/walk@", "walk@main", "a/b/c@main"] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(matches!(error, FetchError::NotATarget { .. }), "{error:?}");
        }
    }
}
