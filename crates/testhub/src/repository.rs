use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use axum::body::Bytes;
use serde::Deserialize;

use crate::commit::{Commit, Content, collect};
use crate::error::Error;
use crate::git::ObjectId;

/// A repository to be served: its commits, branches and who may read it.
///
/// Every commit moves the branch `main`; another branch stays at the commit
/// that was the newest when it was made.
#[derive(Clone, Debug)]
pub struct Repository {
    id: RepoId,
    granted: Option<String>,
    commits: Vec<Commit>,
    branches: BTreeMap<String, ObjectId>,
}

impl Repository {
    /// An empty repository `OWNER/NAME` (a model) or `datasets/OWNER/NAME`.
    ///
    /// # Errors
    /// [`Error::RepoId`] for any other form.
    pub fn new(id: &str) -> Result<Self, Error> {
        let (id, granted) = (id.parse()?, None);
        Ok(Self {
            id,
            granted,
            commits: Vec::new(),
            branches: BTreeMap::new(),
        })
    }

    /// Gates the files: without a token they are 401, with another than `token` 403.
    /// Information and listings stay open, as on the Hub.
    #[must_use]
    pub fn gated(mut self, token: &str) -> Self {
        self.granted = Some(token.to_owned());
        self
    }

    /// Adds a commit that has exactly these files, kept in memory.
    ///
    /// # Errors
    /// [`Error::Path`] if git could not store such a tree.
    pub fn commit_files<P, B>(self, files: impl IntoIterator<Item = (P, B)>) -> Result<Self, Error>
    where
        P: Into<String>,
        B: Into<Bytes>,
    {
        let mut contents = BTreeMap::new();
        for (path, bytes) in files {
            contents.insert(path.into(), Content::Memory(bytes.into()));
        }
        self.commit(contents)
    }

    /// Adds a commit that has exactly the files below `dir`; `.git` is left out.
    ///
    /// The files are read from disk again whenever they are served: leave them as they are. One
    /// that was written to since is no longer what the commit has, and is answered with 500.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Special`] at a link, socket or device.
    pub fn commit_dir(self, dir: impl AsRef<Path>) -> Result<Self, Error> {
        let mut contents = BTreeMap::new();
        collect(dir.as_ref(), "", &mut contents)?;
        self.commit(contents)
    }

    /// Makes the branch `name` at the newest commit.
    ///
    /// # Errors
    /// [`Error::NoCommit`] while there is none.
    pub fn branch(mut self, name: &str) -> Result<Self, Error> {
        let newest = self
            .commits
            .last()
            .ok_or_else(|| Error::NoCommit(name.to_owned()))?;
        self.branches.insert(name.to_owned(), newest.id);
        Ok(self)
    }

    /// The commit ids, oldest first.
    pub fn commits(&self) -> Vec<String> {
        self.commits
            .iter()
            .map(|commit| commit.id.to_string())
            .collect()
    }

    /// `OWNER/NAME` or `datasets/OWNER/NAME`.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    pub(crate) fn repo_id(&self) -> &RepoId {
        &self.id
    }

    pub(crate) fn granted(&self) -> Option<&str> {
        self.granted.as_deref()
    }

    pub(crate) fn branches(&self) -> &BTreeMap<String, ObjectId> {
        &self.branches
    }

    /// The commit that a branch, a `refs/heads/` name or a full id means.
    pub(crate) fn revision(&self, revision: &str) -> Option<&Commit> {
        let name = revision.strip_prefix("refs/heads/").unwrap_or(revision);
        let branch = self.branches.get(name);
        self.commits.iter().find(|commit| match branch {
            Some(id) => commit.id == *id,
            None => commit.id.to_string() == revision,
        })
    }

    /// Whether some commit has this file with this byte; an empty file has a byte 0 here.
    pub(crate) fn has(&self, path: &str, at: u64) -> bool {
        let mut blobs = self
            .commits
            .iter()
            .filter_map(|commit| commit.files.get(path));
        blobs.any(|blob| at < blob.size.max(1))
    }

    fn commit(mut self, contents: BTreeMap<String, Content>) -> Result<Self, Error> {
        let parent = self.commits.last().map(|commit| commit.id);
        let message = format!("commit {}", self.commits.len() + 1);
        let commit = Commit::new(contents, parent, message)?;
        self.branches.insert("main".to_owned(), commit.id);
        self.commits.push(commit);
        Ok(self)
    }
}

/// Model or dataset, in the plural of the API's paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    #[default]
    Models,
    Datasets,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Datasets => "datasets",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RepoId {
    pub(crate) kind: Kind,
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl FromStr for RepoId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, id) = match text.strip_prefix("datasets/") {
            Some(rest) if rest.contains('/') => (Kind::Datasets, rest),
            _ => (Kind::Models, text),
        };
        let word = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !part.is_empty() && part.chars().all(allowed)
        };
        match id.split_once('/') {
            Some((owner, name)) if word(owner) && word(name) => Ok(Self {
                kind,
                owner: owner.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(Error::RepoId(text.to_owned())),
        }
    }
}

impl fmt::Display for RepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.kind == Kind::Datasets {
            "datasets/"
        } else {
            ""
        };
        write!(f, "{prefix}{}/{}", self.owner, self.name)
    }
}
