//! Names that cannot mean more than they say: they are parsed once, then typed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::error::Error;

/// A file's path inside a policy: relative, normal, printable ASCII.
///
/// It never leaves the directory that it is resolved against, has no `.git`
/// component, no control characters and nothing that a shell, a log line or
/// another file system would read differently.
///
/// ```
/// use tensorgate_verify::FilePath;
///
/// assert!("tokenizer/vocab.json".parse::<FilePath>().is_ok());
/// assert!("../../etc/cron.d/x".parse::<FilePath>().is_err());
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

/// A commit: 40 lower-case hexadecimal digits. Branches, tags and short ids are not revisions.
///
/// ```
/// use tensorgate_verify::Revision;
///
/// assert!("0123456789abcdef0123456789abcdef01234567".parse::<Revision>().is_ok());
/// assert!("main".parse::<Revision>().is_err());
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

/// A repository's id on the Hub: `owner/name`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoId(String);

/// What kind of repository an id names.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RepoType {
    /// A model repository, the home of policies.
    #[default]
    Model,
    /// A dataset repository.
    Dataset,
}

/// Components of a path at the most; the deepest seen in published policies is 2.
pub(crate) const DEPTH: usize = 16;
/// Bytes of a component at the most: what Linux file systems take (`NAME_MAX`).
const COMPONENT_BYTES: usize = 255;

impl FilePath {
    /// The path's text, components separated by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path that a case-insensitive file system would see.
    pub(crate) fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl Revision {
    /// The 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RepoId {
    /// `owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    pub fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The part after the slash.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for FilePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Error::rejected(Rejection::FileNameUnsafe, text, why);
        if text.split('/').count() > DEPTH {
            return Err(refuse("more than 16 components"));
        }
        for component in text.split('/') {
            component_is_plain(component).map_err(refuse)?;
        }
        Ok(Self(text.to_owned()))
    }
}

/// The allowlist of one component; the error says what is wrong with it.
fn component_is_plain(component: &str) -> Result<(), &'static str> {
    match component {
        "" => return Err("an empty component (absolute path, `//` or trailing `/`)"),
        "." | ".." => return Err("`.` and `..` are not names"),
        _ => {}
    }
    if component.len() > COMPONENT_BYTES {
        return Err("a component of more than 255 bytes");
    }
    // `git~1` is the short name of `.git` on file systems that make them (CVE-2014-9390).
    if component.eq_ignore_ascii_case(".git") || component.eq_ignore_ascii_case("git~1") {
        return Err("a `.git` component");
    }
    if is_device(component) {
        return Err("the name of a device on Windows");
    }
    if !component.bytes().all(is_plain) {
        return Err(
            "a character other than ASCII letters, digits, space and `!$%&'()+,-.;=@[]^_{}~`",
        );
    }
    if component.starts_with([' ', '-', '~']) || component.ends_with([' ', '.']) {
        return Err("a component that begins with space, `-` or `~`, or ends with space or `.`");
    }
    Ok(())
}

/// Names that Windows takes for devices, with any extension, in any case: a policy is read on
/// the engineer's machine too.
/// <https://learn.microsoft.com/windows/win32/fileio/naming-a-file>
fn is_device(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or(component);
    let stem = stem.trim_end_matches(' ').to_ascii_lowercase();
    let is_numbered = |device: &str| {
        stem.strip_prefix(device)
            .is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']))
    };
    matches!(&*stem, "aux" | "con" | "conin$" | "conout$" | "nul" | "prn")
        || is_numbered("com")
        || is_numbered("lpt")
}

/// Printable ASCII without what file systems of other systems, shells and globs treat as syntax; and
/// without `#`, which ends a path where a place inside a file is named: with it, the field `b` of
/// `a.json#/c.json` could be one inside `a.json`, and what is decided of one were decided of the other.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" !$%&'()+,-.;=@[]^_{}~".contains(&byte)
}

impl FromStr for Revision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 40 || !text.bytes().all(digit) {
            return Err(Error::rejected(
                Rejection::RevisionNotPinned,
                text,
                "a revision is a full commit id, 40 lower-case hexadecimal digits",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for RepoId {
    type Err = NotARepoId;

    /// Accepts what the Hub does: `owner/name` of letters, digits, `-`, `_` and `.`, each part
    /// up to 96 bytes, neither beginning nor ending with `-` or `.`, without `--` and `..`.
    fn from_str(text: &str) -> Result<Self, NotARepoId> {
        let plain = |part: &str| {
            (1..=96).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !part.starts_with(['-', '.'])
                && !part.ends_with(['-', '.'])
                && !part.contains("--")
                && !part.contains("..")
        };
        match text.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => Ok(Self(text.to_owned())),
            _ => Err(NotARepoId(text.into())),
        }
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = <Self as FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text_type!(FilePath);
text_type!(Revision);
text_type!(RepoId);

impl fmt::Display for RepoType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        })
    }
}

/// The text does not name a repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NotARepoId(Box<str>);

impl fmt::Display for NotARepoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a repository id, which is `owner/name`",
            self.0
        )
    }
}

impl std::error::Error for NotARepoId {}
