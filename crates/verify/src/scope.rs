//! Which repositories a key speaks for.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::RepoId;

/// A pattern over repository ids, `acme/*`: `*` stands for any characters but the slash.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct RepoGlob(String);

/// The text is no pattern over repository ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NotARepoGlob;

impl RepoGlob {
    /// Whether `repo` is one of those that the pattern stands for.
    ///
    /// ```
    /// use tensorgate_verify::RepoGlob;
    ///
    /// let glob: RepoGlob = "acme/walk-*".parse()?;
    /// assert!(glob.matches(&"acme/walk-2".parse()?));
    /// assert!(!glob.matches(&"acme/swim".parse()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn matches(&self, repo: &RepoId) -> bool {
        // An id has one slash, and so has the pattern.
        self.0.split_once('/').is_some_and(|(owner, name)| {
            part_matches(owner, repo.owner()) && part_matches(name, repo.name())
        })
    }
}

/// Every `*` takes as little as it can; that finds a match if there is one, in quadratic time of
/// texts of at most 96 bytes.
fn part_matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

impl FromStr for RepoGlob {
    type Err = NotARepoGlob;

    fn from_str(text: &str) -> Result<Self, NotARepoGlob> {
        // What would be an id if each star were a letter.
        match text.replace('*', "x").parse::<RepoId>() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(NotARepoGlob),
        }
    }
}

impl TryFrom<String> for RepoGlob {
    type Error = NotARepoGlob;

    fn try_from(text: String) -> Result<Self, NotARepoGlob> {
        text.parse()
    }
}

impl fmt::Display for RepoGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotARepoGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a pattern over repositories is `owner/name`, in which `*` stands for any characters",
        )
    }
}

impl std::error::Error for NotARepoGlob {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_in_their_part() {
        for (glob, yes, no) in [
            ("acme/*", "acme/walk", "acme2/walk"),
            ("*/walk", "acme/walk", "acme/walk2"),
            ("a*e/w*k", "acme/walk", "acme/walks"),
            ("acme/*-v*-x", "acme/walk-v2-x", "acme/walk-v2-xy"),
            ("acme/a*b*b", "acme/a-b-b", "acme/a-b"),
            ("acme/walk", "acme/walk", "acme/wal"),
        ] {
            let parsed: RepoGlob = glob.parse().unwrap();
            assert!(parsed.matches(&yes.parse().unwrap()), "{glob} {yes}");
            assert!(!parsed.matches(&no.parse().unwrap()), "{glob} {no}");
        }
    }

    #[test]
    fn a_pattern_is_an_id_with_stars() {
        for text in [
            "*",
            "acme",
            "a/b/*",
            "acme/",
            "/x",
            "acme/?",
            "acme/[ab]",
            "",
            "../*",
        ] {
            assert!(text.parse::<RepoGlob>().is_err(), "{text}");
        }
        assert!(
            "*/*"
                .parse::<RepoGlob>()
                .unwrap()
                .matches(&"a/b".parse().unwrap())
        );
    }
}
