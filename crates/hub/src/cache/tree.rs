//! `trees/COMMIT.json`: what the Hub listed when `huggingface_hub` downloaded the commit.

use std::collections::BTreeMap;

use serde::Deserialize;
use tensorgate_verify::{FilePath, Revision, json};

use crate::cache::{Cache, folder_of};
use crate::error::FetchError;
use crate::hub::too_large;
use crate::limits::FetchLimits;
use crate::listing::{Content, Lfs, ListedFile, Listing};
use crate::target::Target;

/// As `huggingface_hub` 2.4.0 writes it (`_tree_cache.py`). Fields that are not used, such as
/// `xet_hash`, are passed over.
#[derive(Deserialize)]
struct Tree {
    format_version: u64,
    files: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
struct Row {
    size: u64,
    blob_id: String,
    lfs_sha256: Option<String>,
    lfs_size: Option<u64>,
}

/// The one that is known.
const FORMAT_VERSION: u64 = 1;

impl Cache {
    /// What the cache says of a commit, or `None` where it says nothing.
    ///
    /// It is the word of whoever wrote the cache, and checked as a Hub's listing is: names, git
    /// ids, and that the sha256 of an LFS file is the one of the pointer in the commit's tree.
    pub(super) fn tree(
        &self,
        target: &Target,
        revision: &Revision,
        limits: &FetchLimits,
    ) -> Result<Option<Listing>, FetchError> {
        let at = format!("{}/trees/{revision}.json", folder_of(target));
        let Some(bytes) = self.read(&at, limits.listing_bytes)? else {
            return Ok(None);
        };
        let malformed = |what: &dyn std::fmt::Display| self.unusable(&at, what);
        json::refuse_ambiguity(&bytes).map_err(|error| malformed(&error))?;
        let tree: Tree = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
        if tree.format_version != FORMAT_VERSION {
            let version = tree.format_version;
            return Err(malformed(&format!("its format {version} is not known")));
        }
        let most = u64::try_from(limits.entries).unwrap_or(u64::MAX);
        too_large("entries of the cache's listing", tree.files.len(), most)?;
        let files = tree.files.into_iter().map(|(path, row)| {
            let path: FilePath = path.parse()?;
            row.into_file(path, &malformed)
        });
        Listing::of_files(files.collect::<Result<_, _>>()?).map(Some)
    }
}

impl Row {
    fn into_file(
        self,
        path: FilePath,
        malformed: &dyn Fn(&dyn std::fmt::Display) -> FetchError,
    ) -> Result<ListedFile, FetchError> {
        let wrong =
            |what: &dyn std::fmt::Display| malformed(&format!("{:?}: {what}", path.as_str()));
        let id = self.blob_id.parse().map_err(|error| wrong(&error))?;
        let size = self.size;
        let content = match self.lfs_sha256 {
            None => Content::Git(id),
            Some(oid) => {
                let sha256 = oid.parse().map_err(|error| wrong(&error))?;
                let lfs = Lfs {
                    oid,
                    size: self.lfs_size.unwrap_or(size),
                    pointer_size: None,
                };
                lfs.refuse_other_pointer(&path, size, id)?;
                Content::Lfs(sha256)
            }
        };
        Ok(ListedFile {
            path,
            size,
            content,
        })
    }
}
