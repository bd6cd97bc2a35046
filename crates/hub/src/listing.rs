//! What a commit holds, as the Hub lists it: parsed, bounded, and tied to the commit where git
//! allows it.

use std::collections::HashSet;

use reqwest::Url;
use serde::Deserialize;
use tensorgate_verify::{FilePath, Rejection, Revision, Sha256};

use crate::deadline::Deadline;
use crate::error::{FetchError, without_query};
use crate::hash::GitId;
use crate::hub::{Repository, too_large};
use crate::progress::Progress;
use crate::transport::Answer;

/// The files of one commit. The Hub's word, but for the shape.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listing {
    /// Every file, in path order.
    pub files: Vec<ListedFile>,
}

/// One listed file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListedFile {
    /// Its path.
    pub path: FilePath,
    /// Its size in bytes.
    pub size: u64,
    /// The digest that its bytes must have.
    pub content: Content,
}

/// What binds a file's bytes to the commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// The id of the file in the commit's tree.
    Git(GitId),
    /// The SHA-256 in the LFS pointer, of which the id in the commit's tree was checked; in a cache
    /// without a listing, what the blob is called.
    Lfs(Sha256),
}

/// A row of `GET /api/models/OWNER/NAME/tree/REVISION`. Fields that are not used are passed over.
#[derive(Deserialize)]
struct Row {
    #[serde(rename = "type")]
    kind: String,
    oid: String,
    #[serde(default)]
    size: u64,
    path: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lfs {
    pub(crate) oid: String,
    pub(crate) size: u64,
    pub(crate) pointer_size: Option<usize>,
}

impl Repository<'_> {
    /// Lists a commit, all of it or none.
    ///
    /// # Errors
    /// `file-name-unsafe` and `file-name-collision` for any name anywhere in it,
    /// `digest-mismatch` for an LFS file whose pointer is not the one in the commit's tree,
    /// `revision-mismatch`, and everything that keeps it from being had.
    pub async fn listing(
        &self,
        revision: &Revision,
        progress: &dyn Progress,
    ) -> Result<Listing, FetchError> {
        let url = self.api_url(&["tree", revision.as_str()]);
        let time = self.hub.limits().listing;
        let deadline = Deadline::within(time, "the listing is not complete");
        let shown = without_query(url.as_str());
        let listed = deadline.bound(&shown, self.pages(url, revision, progress));
        let listed = listed.await.flatten();
        listed.map_err(|error| self.hub.hide(error))
    }

    async fn pages(
        &self,
        mut url: Url,
        revision: &Revision,
        progress: &dyn Progress,
    ) -> Result<Listing, FetchError> {
        let limits = self.hub.limits();
        url.set_query(Some("recursive=true"));
        let (mut files, mut rows, mut left) = (Vec::new(), 0, limits.listing_bytes);
        for _page in 0..limits.pages {
            let answer = self.hub.get(&url, Some(revision), left, progress).await?;
            left = left.saturating_sub(u64::try_from(answer.body.len()).unwrap_or(u64::MAX));
            let page = read_page(&answer)?;
            rows += page.len();
            let most = u64::try_from(limits.entries).unwrap_or(u64::MAX);
            too_large("entries of the listing", rows, most)?;
            for row in page {
                files.extend(row.into_file(&answer)?);
            }
            match next_page(&answer, self)? {
                Some(next) => url = next,
                None => return Listing::new(files),
            }
        }
        let what = format!("it has more than {} pages", limits.pages);
        Err(FetchError::malformed(&without_query(url.as_str()), what))
    }
}

impl Listing {
    pub(crate) fn new(mut files: Vec<ListedFile>) -> Result<Self, FetchError> {
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        refuse_collisions(&files)?;
        Ok(Self { files })
    }

    /// The entry of `path`.
    pub fn file(&self, path: &FilePath) -> Option<&ListedFile> {
        let at = self.files.binary_search_by(|file| file.path.cmp(path));
        self.files.get(at.ok()?)
    }
}

impl Row {
    /// The file, or `None` for a directory. Both have names that are checked.
    fn into_file(self, answer: &Answer) -> Result<Option<ListedFile>, FetchError> {
        let path: FilePath = self.path.parse()?;
        let malformed = |what: &dyn std::fmt::Display| {
            let url = without_query(answer.url().as_str());
            FetchError::malformed(&url, format!("{:?}: {what}", path.as_str()))
        };
        match &*self.kind {
            "file" => {}
            "directory" => return Ok(None),
            other => {
                let detail = format!("listed as {other:?}");
                let rejection = Rejection::FileNotRegular;
                return Err(FetchError::rejected(rejection, path, detail));
            }
        }
        let oid: GitId = self.oid.parse().map_err(|error| malformed(&error))?;
        let content = match self.lfs {
            None => Content::Git(oid),
            Some(lfs) => {
                let sha256 = lfs.oid.parse().map_err(|error| malformed(&error))?;
                lfs.refuse_other_pointer(&path, self.size, oid)?;
                Content::Lfs(sha256)
            }
        };
        let size = self.size;
        Ok(Some(ListedFile {
            path,
            size,
            content,
        }))
    }
}

impl Lfs {
    /// The pointer's text follows from digest and size, so its id in the tree must, too
    /// (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
    pub(crate) fn refuse_other_pointer(
        &self,
        path: &FilePath,
        size: u64,
        id: GitId,
    ) -> Result<(), FetchError> {
        let pointer = format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {size}\n",
            self.oid
        );
        let right_size = self.pointer_size.is_none_or(|len| len == pointer.len());
        if self.size == size && right_size && GitId::of_blob(pointer.as_bytes()) == id {
            return Ok(());
        }
        Err(FetchError::rejected(
            Rejection::DigestMismatch,
            path,
            "size and sha256 in the listing are not those of the LFS pointer in the commit",
        ))
    }
}

fn read_page(answer: &Answer) -> Result<Vec<Row>, FetchError> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| FetchError::malformed(&without_query(answer.url().as_str()), error))
}

/// The page after this one. It must be of the same listing: same origin, same path.
fn next_page(answer: &Answer, of: &Repository<'_>) -> Result<Option<Url>, FetchError> {
    let url = answer.url();
    let shown = without_query(url.as_str());
    let unclear = || FetchError::malformed(&shown, "its link to the next page is unclear");
    let Some(link) = next_link(&answer.links().ok_or_else(unclear)?) else {
        return Ok(None);
    };
    let link = link.ok_or_else(unclear)?;
    let next = url
        .join(&link)
        .map_err(|error| FetchError::malformed(&shown, format!("its next page: {error}")))?;
    let same_place = next.path() == url.path() && next.username().is_empty();
    if !of.hub.endpoint().is_origin_of(&next) || !same_place {
        let what = format!(
            "its next page is elsewhere, at {}",
            without_query(next.as_str())
        );
        return Err(FetchError::malformed(&shown, what));
    }
    Ok(Some(next))
}

/// The target with `rel="next"` (RFC 8288); the inner `None` is one that cannot be read, which
/// is not the end of a listing.
fn next_link(header: &str) -> Option<Option<String>> {
    let target = header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |p: &str| matches!(p.trim(), "rel=\"next\"" | "rel=next");
        parameters
            .split(';')
            .any(is_next)
            .then(|| target.to_owned())
    });
    match target {
        None if !header.contains("next") => None,
        target => Some(target),
    }
}

/// No two names may be one file on a case-insensitive file system, none a directory of another.
fn refuse_collisions(files: &[ListedFile]) -> Result<(), FetchError> {
    let mut seen = HashSet::new();
    let folded = |file: &ListedFile| file.path.as_str().to_ascii_lowercase();
    let refuse = |path, why| {
        Err(FetchError::rejected(
            Rejection::FileNameCollision,
            path,
            why,
        ))
    };
    for file in files {
        if !seen.insert(folded(file)) {
            return refuse(
                &file.path,
                "listed twice, or beside a name that differs only in case",
            );
        }
    }
    for file in files {
        let path = folded(file);
        let mut parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if parents.any(|parent| seen.contains(parent)) {
            return refuse(&file.path, "a file is also its directory");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        let next = "https://hub/api/models/a/b/tree/0?cursor=x";
        let both = format!("<https://hub/x>; rel=\"xet-auth\", <{next}>; rel=\"next\"");
        let found = Some(Some(next.to_owned()));
        assert_eq!(next_link(&both), found);
        assert_eq!(next_link(&format!("<{next}>; rel=next")), found);
        assert_eq!(next_link(&format!("<{next}>; rel=\"prev\"")), None);
        assert_eq!(next_link(""), None);
        assert_eq!(next_link(&format!("{next}; rel=\"next\"")), Some(None));
        assert_eq!(next_link("<https://hub/a,b>; rel=\"next\""), Some(None));
    }
}
