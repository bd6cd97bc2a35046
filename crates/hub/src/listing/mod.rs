//! What a commit holds, as the Hub lists it: parsed, bounded, and tied to the commit where git
//! allows it.

pub(crate) mod pages;
pub(crate) mod tree;

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use reqwest::Url;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use tensorgate_verify::{FilePath, Rejection, Revision, Sha256};

use crate::error::{FetchError, without_query};
use crate::fetch::hash::GitId;
use crate::http::deadline::Deadline;
use crate::http::refused::short;
use crate::http::transport::Answer;
use crate::hub::{Repository, too_large};
use crate::listing::tree::Trees;
use crate::progress::Progress;

/// Bytes of a file outside LFS: the Hub takes none of more than 10 MiB.
const PLAIN_BYTES: u64 = 16 << 20;

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
    size: Option<u64>,
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

/// What a row is of, with its id in the commit's tree.
enum Listed {
    File(ListedFile, GitId),
    Directory(FilePath, GitId),
}

impl Repository<'_> {
    /// Lists a commit, all of it or none.
    ///
    /// # Errors
    /// `file-name-unsafe` and `file-name-collision` for any name anywhere in it,
    /// `digest-mismatch` for an LFS file whose pointer is not the one in the commit's tree, and
    /// for a directory whose id is not that of what is listed in it, `revision-mismatch`, and
    /// everything that keeps it from being had.
    ///
    /// A listing does not say which files are programs (mode 100755). Any may be in a directory
    /// of 12 files or fewer; in a larger one all, or all but two, must be alike.
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

    /// The SHA-256 that a listed file has: of one in LFS what its pointer says, and of any other, which
    /// is small, that of its bytes, once they are those of the commit.
    ///
    /// # Errors
    /// `digest-mismatch`, [`FetchError::TooLarge`], and everything that keeps it from being had.
    pub async fn sha256_of(
        &self,
        revision: &Revision,
        file: &ListedFile,
        progress: &dyn Progress,
    ) -> Result<Sha256, FetchError> {
        let id = match file.content {
            Content::Lfs(sha256) => return Ok(sha256),
            Content::Git(id) => id,
        };
        let limit = file.size.min(PLAIN_BYTES);
        let bytes = self
            .small_file(revision, &file.path, limit, progress)
            .await?;
        match GitId::of_blob(&bytes) == id {
            true => Ok(Sha256::of(&bytes)),
            false => Err(FetchError::rejected(
                Rejection::DigestMismatch,
                &file.path,
                "the bytes are not those of the commit",
            )),
        }
    }

    async fn pages(
        &self,
        mut url: Url,
        revision: &Revision,
        progress: &dyn Progress,
    ) -> Result<Listing, FetchError> {
        let limits = self.hub.limits();
        url.set_query(Some("recursive=true"));
        let malformed =
            |url: &Url, what: &str| FetchError::malformed(&without_query(url.as_str()), what);
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        let mut left = limits.listing_bytes;
        for _page in 0..limits.pages {
            let answer = self.hub.get(&url, Some(revision), left, progress).await?;
            left = left.saturating_sub(u64::try_from(answer.body.len()).unwrap_or(u64::MAX));
            let page = read_page(&answer, rows.len(), limits.entries)?;
            let is_empty = page.is_empty();
            rows.extend(page);
            seen.insert(url);
            let next = self.hub.next_page(&answer)?;
            // A page is as large as all that is made of it.
            drop(answer);
            match next {
                None => return Listing::new(rows),
                Some(next) if is_empty => {
                    return Err(malformed(&next, "it follows an empty page"));
                }
                Some(next) if seen.contains(&next) => {
                    return Err(malformed(
                        &next,
                        "it is its own next page, or that of one after it",
                    ));
                }
                Some(next) => url = next,
            }
        }
        let what = format!("it has more than {} pages", limits.pages);
        Err(malformed(&url, &what))
    }
}

impl Listing {
    fn new(rows: Vec<Listed>) -> Result<Self, FetchError> {
        let names = rows.iter().map(Listed::name).collect::<Vec<_>>();
        refuse_collisions(&names)?;
        refuse_other_trees(&rows)?;
        let file = |row| match row {
            Listed::File(file, _) => Some(file),
            Listed::Directory(..) => None,
        };
        let mut files: Vec<_> = rows.into_iter().filter_map(file).collect();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// Files of which no tree is known.
    pub(crate) fn of_files(mut files: Vec<ListedFile>) -> Result<Self, FetchError> {
        let names: Vec<_> = files.iter().map(|file| (&file.path, true)).collect();
        refuse_collisions(&names)?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// The entry of `path`.
    pub fn file(&self, path: &FilePath) -> Option<&ListedFile> {
        let at = self.files.binary_search_by(|file| file.path.cmp(path));
        self.files.get(at.ok()?)
    }
}

impl Row {
    /// What is listed. Files and directories alike have names that are checked.
    fn read(self, answer: &Answer) -> Result<Listed, FetchError> {
        let path: FilePath = self.path.parse()?;
        let malformed = |what: &dyn fmt::Display| {
            let url = without_query(answer.url().as_str());
            FetchError::malformed(&url, format!("{:?}: {what}", path.as_str()))
        };
        if !matches!(&*self.kind, "file" | "directory") {
            let detail = format!("listed as {:?}", short(&self.kind));
            let rejection = Rejection::FileNotRegular;
            return Err(FetchError::rejected(rejection, path, detail));
        }
        let oid: GitId = self.oid.parse().map_err(|error| malformed(&error))?;
        if self.kind == "directory" {
            return Ok(Listed::Directory(path, oid));
        }
        let size = self.size.ok_or_else(|| malformed(&"it has no size"))?;
        let content = match self.lfs {
            None => Content::Git(oid),
            Some(lfs) => {
                let sha256 = lfs.oid.parse().map_err(|error| malformed(&error))?;
                lfs.refuse_other_pointer(&path, size, oid)?;
                Content::Lfs(sha256)
            }
        };
        let file = ListedFile {
            path,
            size,
            content,
        };
        Ok(Listed::File(file, oid))
    }
}

impl Listed {
    /// Its path, and whether that is a file's.
    const fn name(&self) -> (&FilePath, bool) {
        match self {
            Self::File(file, _) => (&file.path, true),
            Self::Directory(path, _) => (path, false),
        }
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

/// The rows of a page, after so many of the pages before, of so many at most.
fn read_page(answer: &Answer, before: usize, limit: usize) -> Result<Vec<Listed>, FetchError> {
    let most = limit.saturating_sub(before);
    let mut json = serde_json::Deserializer::from_slice(&answer.body);
    let page = Rows { most }.deserialize(&mut json);
    let page = page.and_then(|page| json.end().map(|()| page));
    let (rows, count) =
        page.map_err(|error| FetchError::malformed(&without_query(answer.url().as_str()), error))?;
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    too_large(
        "entries of the listing",
        before.saturating_add(count),
        limit,
    )?;
    rows.into_iter().map(|row| row.read(answer)).collect()
}

/// Reads no more rows than that into memory, and counts the rest.
struct Rows {
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Rows {
    type Value = (Vec<Row>, usize);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows {
    type Value = (Vec<Row>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files and directories")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut rows = Vec::new();
        while rows.len() < self.most {
            match from.next_element()? {
                Some(row) => rows.push(row),
                None => {
                    let count = rows.len();
                    return Ok((rows, count));
                }
            }
        }
        let mut count = rows.len();
        while from.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((rows, count))
    }
}

/// No two names may be one file on a case-insensitive file system, none a file and a directory.
///
/// The names are paths, each with whether it is a file's.
fn refuse_collisions(names: &[(&FilePath, bool)]) -> Result<(), FetchError> {
    let (mut files, mut directories) = (HashSet::new(), HashSet::new());
    let folded = |path: &FilePath| path.as_str().to_ascii_lowercase();
    let refuse = |path, why| {
        let rejection = Rejection::FileNameCollision;
        Err(FetchError::rejected(rejection, path, why))
    };
    for (path, is_file) in names {
        let is_new = match is_file {
            true => files.insert(folded(path)),
            false => directories.insert(folded(path)),
        };
        if !is_new {
            let why = "listed twice, or beside a name that differs only in case";
            return refuse(path, why);
        }
    }
    for (name, is_file) in names {
        let path = folded(name);
        let mut parents = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if parents.any(|parent| files.contains(parent)) || (*is_file && directories.contains(&path))
        {
            return refuse(name, "a file is also a directory");
        }
    }
    Ok(())
}

fn refuse_other_trees(rows: &[Listed]) -> Result<(), FetchError> {
    let directory = |row| match row {
        &Listed::Directory(ref path, id) => Some((path, id)),
        Listed::File(..) => None,
    };
    let mut trees = Trees::of(rows.iter().filter_map(directory));
    for row in rows {
        match row {
            Listed::File(file, id) => trees.add_file(&file.path, *id),
            Listed::Directory(path, id) => trees.add_directory(path, *id),
        }
    }
    trees.refuse_others()
}
